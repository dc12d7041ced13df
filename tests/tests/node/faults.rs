//! What a host, a user or a crash does to a node: a reboot, interfaces that vanish, a switch that nobody knows, requests at
//! the same time, a full disk.

use e2e::net::Namespace;
use e2e::node::{Node, spec};
use e2e::{eventually, is_alive, program, root, run, signal, unique};
use serde_json::{Value, json};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn network(name: &str, number: u8, host: &Namespace) -> Value {
    json!({ "name": name, "subnet": format!("10.84.{number}.0/24"), "gateway": format!("10.84.{number}.1"),
        "host": { "tap": name, "netns": host.name, "address": format!("10.84.{number}.1/24") } })
}

fn firewall(name: &str, more: &Value) -> Value {
    let mut spec = spec("firewall.click", more);
    spec["name"] = name.into();
    spec
}

/// A node with a network that a namespace is on.
fn site() -> (Node, Namespace) {
    let (node, host) = (Node::new(), Namespace::new());
    node.post("/v1/networks", &network("blue", 0, &host)).is(201);
    (node, host)
}

fn instance(node: &Node, name: &str) -> Value {
    node.get(&format!("/v1/instances/{name}")).json
}

fn switch(node: &Node) -> u32 {
    node.get("/v1/status").json["switch"].as_u64().expect("a process") as u32
}

/// Changes the store of a node whose daemon does not run.
fn change_store(node: &Node, sql: &str) {
    let store = node.folder.join("state/node.db").display().to_string();
    let script =
        "import sqlite3, sys; d = sqlite3.connect(sys.argv[1]); d.executescript(sys.argv[2]); d.commit()";
    let outcome = run(Command::new("python3").args(["-c", script, &store, sql]));
    assert_eq!(outcome.status, 0, "{outcome:?}");
}

/// Kills all that runs of a node, and takes away what a host that starts has not: the run folder.
fn reboot_host(node: &mut Node) {
    let switch = switch(node);
    let monitors = node.monitors();
    node.kill();
    monitors.into_iter().chain([switch]).for_each(|pid| signal(pid, "KILL"));
    eventually("all is gone", || !is_alive(switch) && node.monitors().is_empty());
    std::fs::remove_dir_all(node.folder.join("run")).expect("it was there");
    change_store(
        node,
        "UPDATE instances SET running = json_set(running, '$.boot', 'former') WHERE running IS NOT NULL",
    );
}

#[test]
fn after_a_reboot_of_the_host_instances_are_started_by_their_policy() {
    let (mut node, host) = site();
    node.post("/v1/instances", &firewall("kept", &json!({ "restart": "on-failure" }))).is(201);
    node.post("/v1/instances", &firewall("left", &Value::Null)).is(201);
    node.post("/v1/instances?defer=true", &firewall("idle", &Value::Null)).is(201);
    reboot_host(&mut node);
    node.start();
    eventually("the one runs again", || instance(&node, "kept")["state"] == "ready");
    assert!(host.pings("10.84.0.2", 2));
    let left = instance(&node, "left");
    assert_eq!((&left["state"], &left["reason"]), (&json!("stopped"), &json!("the host was started again")));
    assert_eq!(instance(&node, "idle")["state"], "stopped");
    assert_eq!(node.monitors().len(), 1);
}

#[test]
fn guests_answer_after_the_daemon_and_then_the_switch_was_killed() {
    let (mut node, host) = site();
    for name in ["a", "b", "c"] {
        node.post("/v1/instances", &firewall(name, &Value::Null)).is(201);
    }
    for _ in 0..2 {
        node.kill();
        node.start();
        let before = switch(&node);
        signal(before, "KILL");
        eventually("there is another switch", || node.get("/v1/status").json["switch"] != before);
    }
    for last in 2..5 {
        eventually("it answers", || host.pings(&format!("10.84.0.{last}"), 1));
    }
}

#[test]
fn network_whose_namespace_is_gone_keeps_nothing_else_from_working() {
    let (mut node, host) = site();
    let brief = Namespace::new();
    node.post("/v1/networks", &network("red", 1, &brief)).is(201);
    node.post("/v1/instances", &firewall("fw", &Value::Null)).is(201);
    drop(brief);
    node.kill();
    signal(switch_of_store(&node), "KILL");
    node.start();
    eventually("it answers", || host.pings("10.84.0.2", 1));
    node.post("/v1/networks", &network("green", 2, &host)).is(201);
    node.post("/v1/instances", &firewall("second", &Value::Null)).is(201);
    let events = node.get("/v1/events?limit=1000").json;
    let said = |e: &Value| e["kind"] == "network.degraded" && e["subject"] == "red";
    assert!(events.as_array().into_iter().flatten().any(said), "{events}");
    node.ask("DELETE", "/v1/networks/red", None, &[]).is(204);
}

/// The switch's process while the daemon does not run.
fn switch_of_store(node: &Node) -> u32 {
    let socket = node.folder.join("run/switch.sock").display().to_string();
    let script = "import socket, struct, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); \
        print(struct.unpack('3i', s.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0])";
    let outcome = run(Command::new("python3").args(["-c", script, &socket]));
    outcome.out.trim().parse().unwrap_or_else(|_| panic!("{outcome:?}"))
}

#[test]
fn switch_that_the_store_does_not_know_is_adopted() {
    let (mut node, host) = site();
    node.post("/v1/instances", &firewall("fw", &Value::Null)).is(201);
    let before = switch(&node);
    node.kill();
    change_store(&node, "DELETE FROM facts WHERE name = 'switch'");
    node.start();
    assert_eq!(switch(&node), before);
    assert!(host.pings("10.84.0.2", 2));
    signal(before, "KILL");
    eventually("there is another switch", || {
        let status = node.get("/v1/status").json;
        status["switch"] != before && status["switch_restarts"] == 1
    });
    eventually("it answers", || host.pings("10.84.0.2", 1));
}

#[test]
fn networks_that_are_made_while_instances_start_take_no_port_away() {
    let (node, host) = site();
    std::thread::scope(|scope| {
        let made = scope.spawn(|| {
            for n in 0..20 {
                node.post("/v1/instances", &firewall(&format!("fw{n}"), &Value::Null)).is(201);
            }
        });
        for n in 0.. {
            let name = format!("other{n}");
            node.post("/v1/networks", &json!({ "name": name })).is(201);
            node.ask("DELETE", &format!("/v1/networks/{name}"), None, &[]).is(204);
            if made.is_finished() {
                break;
            }
        }
    });
    let status = node.get("/v1/switch").json;
    assert_eq!(status["ports"].as_array().map(Vec::len), Some(21), "{status}");
    assert!((2..22).all(|last| host.pings(&format!("10.84.0.{last}"), 1)));
}

#[test]
fn restart_waits_for_its_pause_under_the_next_daemon_as_well() {
    let (mut node, _host) = site();
    node.post("/v1/instances", &firewall("fw", &json!({ "restart": "on-failure" }))).is(201);
    // Five deaths: the next pause is 3.2 s.
    for restarts in 1..=5 {
        let pid = instance(&node, "fw")["pid"].as_u64().expect("it runs") as u32;
        signal(pid, "KILL");
        eventually("it runs again", || {
            let now = instance(&node, "fw");
            now["restarts"] == restarts && now["state"] == "ready"
        });
    }
    signal(instance(&node, "fw")["pid"].as_u64().expect("it runs") as u32, "KILL");
    eventually("it has failed", || instance(&node, "fw")["state"] == "failed");
    let begun = Instant::now();
    node.kill();
    node.start();
    assert_eq!(instance(&node, "fw")["state"], "failed");
    eventually("it runs again", || instance(&node, "fw")["state"] == "ready");
    assert!(begun.elapsed() > Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(instance(&node, "fw")["restarts"], 6);
}

#[test]
fn stop_ends_the_tries_of_an_instance_that_fails_again_and_again() {
    let (node, _host) = site();
    node.post("/v1/instances", &firewall("fw", &json!({ "restart": "always" }))).is(201);
    for _ in 0..4 {
        eventually("it runs", || instance(&node, "fw")["state"] == "ready");
        signal(instance(&node, "fw")["pid"].as_u64().expect("it runs") as u32, "KILL");
        eventually("it has ended", || instance(&node, "fw")["state"] != "ready");
    }
    eventually("it waits", || instance(&node, "fw")["state"] == "failed");
    node.post("/v1/instances/fw/stop", &Value::Null).is(200);
    std::thread::sleep(Duration::from_millis(2000));
    assert!(instance(&node, "fw").get("pid").is_none());
    assert!(node.monitors().is_empty());
}

#[test]
fn packet_that_comes_while_an_instance_is_made_to_wait_starts_it() {
    let (node, host) = site();
    for round in 0..20 {
        let mut pings = host.command(&["ping", "-q", "-i", "0.002", "-w", "10", "-c", "3000", "10.84.0.2"]);
        let mut pings = pings.stdout(Stdio::null()).spawn().expect("ping starts");
        node.post("/v1/instances", &firewall("fw", &json!({ "on_demand": { "idle_s": 3600 } }))).is(201);
        eventually(&format!("it is woken in round {round}"), || instance(&node, "fw")["state"] == "ready");
        let _ = pings.kill();
        let _ = pings.wait();
        node.ask("DELETE", "/v1/instances/fw?force=true", None, &[]).is(204);
    }
}

#[test]
fn instance_whose_flavor_is_gone_says_so_when_a_packet_comes() {
    let (node, host) = site();
    node.post("/v1/flavors", &json!({ "name": "small", "memory_mib": 8 })).is(201);
    let wanted = firewall("fw", &json!({ "flavor": "small", "on_demand": { "idle_s": 3600 } }));
    node.post("/v1/instances", &wanted).is(201);
    node.ask("DELETE", "/v1/flavors/small", None, &[]).is(204);
    host.pings("10.84.0.2", 1);
    eventually("it has failed", || instance(&node, "fw")["state"] == "failed");
    assert!(instance(&node, "fw")["reason"].as_str().is_some_and(|r| r.contains("small")));
}

#[test]
fn reboot_of_a_guest_that_ends_at_once_is_answered_at_once() {
    let (node, _host) = site();
    // Its configuration ends it after a second; its next run likewise.
    let config = "FromDevice(eth0) -> Discard; DriverManager(wait 1s, stop);";
    node.post("/v1/instances", &firewall("brief", &json!({ "config": config }))).is(201);
    let hello = json!({ "name": "hello", "image": "hello" });
    node.post("/v1/instances?wait=none", &hello).is(201);
    eventually("it has ended", || instance(&node, "hello")["state"] == "stopped");
    for name in ["brief", "hello"] {
        let begun = Instant::now();
        node.post(&format!("/v1/instances/{name}/reboot"), &Value::Null).is(200);
        assert!(begun.elapsed() < Duration::from_secs(5), "{name}: {:?}", begun.elapsed());
    }
}

#[test]
fn pool_is_filled_again_after_a_monitor_could_not_be_started() {
    // The program looks for the others beside itself, and here finds one of them missing.
    let folder = std::env::temp_dir().join(unique("pg"));
    std::fs::create_dir(&folder).expect("new");
    let copy = |name: &str| std::fs::copy(program(name), folder.join(name)).expect("there is room");
    copy("microvisor-node");
    copy("microvisor-switch");
    let mut node = Node::idle(folder.join("microvisor-node"), &["--prepared", "1"]);
    node.environment.push(("PATH", "/usr/sbin:/usr/bin:/sbin:/bin".into()));
    node.start();
    eventually("it has failed", || node.log().contains("prepare a guest"));
    copy("microvisor-vmm");
    eventually("one is prepared", || node.get("/v1/status").json["prepared"] == 1);
    drop(node);
    std::fs::remove_dir_all(folder).expect("it was there");
}

#[test]
fn equal_requests_at_the_same_time_have_one_answer() {
    let (node, _host) = site();
    let body = firewall("fw", &Value::Null);
    let answers: Vec<(u16, Value)> = std::thread::scope(|scope| {
        let send = || {
            let answer = node.ask("POST", "/v1/instances", Some(&body), &["Idempotency-Key: once"]);
            (answer.status, answer.json["id"].clone())
        };
        let all: Vec<_> = (0..8).map(|_| scope.spawn(send)).collect();
        all.into_iter().map(|one| one.join().expect("an answer")).collect()
    });
    assert!(
        answers.iter().all(|(status, id)| [200, 201].contains(status) && *id == answers[0].1),
        "{answers:?}"
    );
    assert_eq!(answers.iter().filter(|(status, _)| *status == 201).count(), 1, "{answers:?}");
    let other = firewall("fw", &json!({ "restart": "always" }));
    let refused = node.ask("POST", "/v1/instances", Some(&other), &["Idempotency-Key: once"]);
    assert!(refused.is(422)["detail"].as_str().is_some_and(|d| d.contains("idempotency key")));
}

#[test]
fn swap_is_kept_though_its_client_has_gone_away() {
    let (node, _host) = site();
    node.post("/v1/instances", &firewall("fw", &Value::Null)).is(201);
    let text = std::fs::read_to_string(root().join("examples/firewall.click")).expect("an example");
    let body = json!({ "config": format!("{text}\nextra :: Counter;\nIdle -> extra -> Discard;") });
    let mut client = Command::new("curl");
    client.args(["-s", "-m", "0.002", "-X", "PUT", "-H", "content-type: application/json", "--unix-socket"]);
    client.arg(node.folder.join("run/api.sock")).args(["--data-binary", &body.to_string()]);
    run(client.arg("http://node/v1/instances/fw/config"));
    let runs = || node.get("/v1/instances/fw/handlers/extra.count").status == 200;
    std::thread::sleep(Duration::from_millis(300));
    let swapped = runs();
    node.post("/v1/instances/fw/reboot", &Value::Null).is(200);
    assert_eq!(runs(), swapped);
}

#[test]
fn deletion_on_a_full_disk_is_refused_and_can_be_made_later() {
    let mut node = Node::idle(program("microvisor-node"), &[]);
    let state = node.folder.join("state");
    std::fs::create_dir(&state).expect("new");
    let mounted = run(Command::new("mount").args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"]).arg(&state));
    assert_eq!(mounted.status, 0, "{mounted:?}");
    let host = Namespace::new();
    let fill = || {
        let mut file = std::fs::File::create(state.join("fill")).expect("new");
        while std::io::Write::write_all(&mut file, &[0; 4096]).is_ok() {}
    };
    let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        node.start();
        node.post("/v1/networks", &network("blue", 0, &host)).is(201);
        node.post("/v1/instances?defer=true", &firewall("fw", &Value::Null)).is(201);
        fill();
        // A log that has room takes a few more.
        let refused = (0..200).find_map(|n| {
            let name = format!("x{n}");
            let made = node.post("/v1/instances?defer=true", &firewall(&name, &Value::Null));
            (made.status != 201).then_some(made.status)
        });
        assert!(refused.is_some_and(|status| status >= 500), "{refused:?}");
        let refused = node.ask("DELETE", "/v1/instances/fw", None, &[]);
        if refused.status != 204 {
            assert!(refused.status >= 500, "{refused:?}");
            assert_eq!(instance(&node, "fw")["name"], "fw");
            std::fs::remove_file(state.join("fill")).expect("it was there");
            node.ask("DELETE", "/v1/instances/fw", None, &[]).is(204);
        }
        let _ = std::fs::remove_file(state.join("fill"));
        node.get("/v1/instances/fw").is(404);
        let again = node.post("/v1/instances?defer=true", &firewall("fw", &Value::Null)).is(201);
        assert_eq!(again["devices"][0]["address"], "10.84.0.2");
    }));
    let _ = std::fs::remove_file(state.join("fill"));
    drop(node);
    run(Command::new("umount").arg(&state));
    let _ = std::fs::remove_dir_all(state.parent().expect("a folder"));
    if let Err(panic) = checked {
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn events_go_on_after_the_last_one_seen_and_numbers_are_not_given_twice() {
    let (mut node, _host) = site();
    node.post("/v1/instances?defer=true", &firewall("a", &Value::Null)).is(201);
    let last = |node: &Node| {
        let events = node.get("/v1/events?limit=1000").json;
        events.as_array().and_then(|e| e.last()?["seq"].as_u64()).expect("events")
    };
    let before = last(&node);
    node.kill();
    node.start();
    node.post("/v1/instances?defer=true", &firewall("b", &Value::Null)).is(201);
    assert!(last(&node) > before);
    let mut client = Command::new("curl");
    client.args(["-s", "-N", "-m", "1", "-H", &format!("Last-Event-ID: {before}"), "--unix-socket"]);
    let stream = run(client.arg(node.folder.join("run/api.sock")).arg("http://node/v1/events/watch")).out;
    let ids: Vec<u64> = stream.lines().filter_map(|l| l.strip_prefix("id:")?.trim().parse().ok()).collect();
    assert!(ids.first().is_some_and(|&first| first > before) && ids.is_sorted(), "{stream}");
    assert!(stream.contains("instance.created") && stream.contains("\"b\""), "{stream}");
}

#[test]
fn creations_wait_for_a_switch_that_is_started_again() {
    let (node, host) = site();
    let before = switch(&node);
    std::thread::scope(|scope| {
        let made = scope.spawn(|| {
            for n in 0..20 {
                node.post("/v1/instances", &firewall(&format!("fw{n}"), &Value::Null)).is(201);
            }
        });
        std::thread::sleep(Duration::from_millis(60));
        signal(before, "KILL");
        made.join().expect("every creation succeeds");
    });
    eventually("there is another switch", || switch(&node) != before);
    for last in 2..22 {
        eventually("it answers", || host.pings(&format!("10.84.0.{last}"), 1));
    }
}

#[test]
fn crash_loop_reads_as_such_between_its_tries() {
    let (node, _host) = site();
    let hello = json!({ "name": "hello", "image": "hello", "restart": "always" });
    node.post("/v1/instances?wait=none", &hello).is(201);
    eventually("it waits", || {
        let now = instance(&node, "hello");
        now["state"] == "failed" && now["reason"].as_str().is_some_and(|r| r.contains("started again in"))
    });
    eventually("it has been tried several times", || {
        instance(&node, "hello")["restarts"].as_u64() >= Some(3)
    });
    node.post("/v1/instances/hello/stop", &Value::Null).is(200);
}

#[test]
fn instance_whose_first_start_fails_is_started_again_by_its_policy() {
    use std::os::unix::fs::PermissionsExt;
    let folder = std::env::temp_dir().join(unique("first"));
    std::fs::create_dir(&folder).expect("new");
    let monitor = folder.join("microvisor-vmm");
    let real = program("microvisor-vmm");
    let text = format!(
        "#!/bin/sh\nmkdir {}/failed 2>/dev/null && exit 3\nexec {} \"$@\"\n",
        folder.display(),
        real.display()
    );
    std::fs::write(&monitor, text).expect("written");
    std::fs::set_permissions(&monitor, std::fs::Permissions::from_mode(0o755)).expect("set");
    // This daemon has no other programs beside it.
    let mut node = Node::idle(program("../checked/release/microvisor-node"), &[]);
    let release = real.parent().expect("a folder").display().to_string();
    let path = std::env::var("PATH").unwrap_or_default();
    node.environment.push(("PATH", format!("{}:{release}:{path}", folder.display())));
    node.start();
    let host = Namespace::new();
    node.post("/v1/networks", &network("blue", 0, &host)).is(201);
    node.post("/v1/instances?wait=none", &firewall("fw", &json!({ "restart": "always" }))).is(201);
    eventually("it is ready in the end", || instance(&node, "fw")["state"] == "ready");
    assert!(folder.join("failed").exists(), "the first start failed");
    assert_eq!(instance(&node, "fw")["restarts"], 1);
    drop(node);
    let _ = std::fs::remove_dir_all(folder);
}

#[test]
fn no_memory_is_refused_in_its_own_words() {
    let (node, _host) = site();
    for more in [json!({ "memory_mib": 0 }), json!({ "flavor": "none" })] {
        node.post("/v1/flavors", &json!({ "name": "none", "memory_mib": 0 }));
        let refused = node.post("/v1/instances", &firewall("fw", &more));
        if more["flavor"] == "none" && refused.status == 404 {
            continue;
        }
        assert!(refused.is(422)["detail"].as_str().is_some_and(|d| d.contains("at least 1")));
    }
}

#[test]
fn few_descriptors_bound_how_many_run_and_lose_none_of_them() {
    use std::os::unix::fs::PermissionsExt;
    let wrapper = std::env::temp_dir().join(unique("few"));
    let text =
        format!("#!/bin/sh\nexec prlimit --nofile=256:256 {} \"$@\"\n", program("microvisor-node").display());
    std::fs::write(&wrapper, text).expect("there is room");
    std::fs::set_permissions(&wrapper, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
    let mut node = Node::idle(wrapper.clone(), &[]);
    node.start();
    let host = Namespace::new();
    node.post("/v1/networks", &network("blue", 0, &host)).is(201);
    let mut ready = Vec::new();
    let refused = (0..120).find_map(|n| {
        let answer = node.post("/v1/instances", &firewall(&format!("fw{n}"), &Value::Null));
        if answer.status == 201 {
            ready.push(answer.json["devices"][0]["address"].as_str().expect("an address").to_owned());
            return None;
        }
        Some(answer)
    });
    assert!(ready.len() >= 20, "{} instances, then {refused:?}", ready.len());
    if let Some(refused) = refused {
        assert!(refused.status >= 500 && !refused.json["detail"].is_null(), "{refused:?}");
    }
    node.kill();
    node.start();
    for address in [&ready[0], &ready[ready.len() - 1]] {
        eventually("it answers", || host.pings(address, 1));
    }
    let running = (0..ready.len()).filter(|n| instance(&node, &format!("fw{n}"))["state"] == "ready").count();
    assert_eq!(running, ready.len());
    drop(node);
    let _ = std::fs::remove_file(wrapper);
}

#[test]
fn state_folder_that_cannot_be_written_is_told_and_what_runs_goes_on() {
    let mut node = Node::idle(program("microvisor-node"), &[]);
    let state = node.folder.join("state");
    std::fs::create_dir(&state).expect("new");
    let mount = |options: &str| {
        let outcome = run(Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&state));
        assert_eq!(outcome.status, 0, "{outcome:?}");
    };
    mount("size=8m");
    let host = Namespace::new();
    let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        node.start();
        node.post("/v1/networks", &network("blue", 0, &host)).is(201);
        node.post("/v1/instances", &firewall("fw", &Value::Null)).is(201);
        node.kill();
        mount("remount,ro");
        let mut again = Command::new(program("microvisor-node"));
        again.arg("--run").arg(node.folder.join("run")).arg("--state").arg(&state);
        let outcome = run(&mut again);
        assert_eq!(outcome.status, 124, "{outcome:?}");
        assert!(
            outcome.err.to_lowercase().contains("read-only") || outcome.err.contains("readonly"),
            "{outcome:?}"
        );
        assert!(host.pings("10.84.0.2", 2));
        mount("remount,rw");
        node.start();
        assert_eq!(instance(&node, "fw")["state"], "ready");
        assert!(host.pings("10.84.0.2", 2));
    }));
    run(Command::new("mount").args(["-o", "remount,rw"]).arg(&state));
    drop(node);
    run(Command::new("umount").arg("-l").arg(&state));
    if let Err(panic) = checked {
        std::panic::resume_unwind(panic);
    }
}
