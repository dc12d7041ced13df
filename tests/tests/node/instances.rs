//! The node, through its API: instances with real packets, and what happens when a part of it is killed.

use crate::site::{Site, firewall, kill, spec};
use e2e::{eventually, run};
use serde_json::{Value, json};
use std::process::Command;

#[test]
fn the_first_packet_starts_an_instance_on_demand() {
    let site = Site::new();
    let made = site.create("fw", &json!({ "on_demand": { "idle_s": 1 } }));
    assert_eq!((&made["state"], &made["pid"]), (&json!("waiting"), &Value::Null));
    for _ in 0..2 {
        assert!(site.pings(&made), "the first packet is not lost");
        assert_eq!(site.instance("fw")["state"], "ready");
        eventually("it is retired when idle", || site.instance("fw")["state"] == "waiting");
    }
    // A switch that starts anew knows what waits.
    kill(&site.node.get("/v1/status").json["switch"]);
    eventually("it is there again", || site.pings(&made));
    site.node.post("/v1/instances/fw/stop", &Value::Null).is(200);
    assert_eq!(site.instance("fw")["state"], "stopped");
    let address = made["devices"][0]["address"].as_str().unwrap_or_default();
    assert!(!site.host.pings(address, 1), "what was stopped stays so");
    let other = json!({ "on_demand": { "idle_s": 0 } });
    assert_eq!(site.node.post("/v1/instances", &spec("x", &other)).status, 422);
}

#[test]
fn a_paused_guest_does_not_run() {
    let site = Site::new();
    let made = site.create("fw", &Value::Null);
    let act = |what: &str| site.node.post(&format!("/v1/instances/fw/{what}"), &Value::Null);
    assert_eq!(act("resume").status, 409);
    assert_eq!(act("pause").is(200)["state"], "paused");
    assert!(!site.host.pings(made["devices"][0]["address"].as_str().unwrap_or_default(), 1));
    assert_eq!(act("pause").status, 409);
    assert_eq!(act("resume").is(200)["state"], "ready");
    assert!(site.pings(&made));
    act("pause").is(200);
    assert_eq!(act("stop").is(200)["state"], "stopped");
}

#[test]
fn an_orchestrator_adds_its_phases() {
    let site = Site::new();
    let phase = |start: u64, end: u64| json!([{ "source": "nova", "name": "scheduler", "start_unix_ns": start, "end_unix_ns": end }]);
    let add = |body: &Value| site.node.post("/v1/instances/fw/timeline/phases", body).status;
    assert_eq!(add(&phase(1, 2)), 404);
    site.create("fw", &Value::Null);
    assert_eq!((add(&phase(1, 2)), add(&phase(2, 1)), add(&json!([{ "name": "x" }]))), (204, 422, 422));
    let timeline = site.node.get("/v1/instances/fw/timeline").is(200);
    assert_eq!(timeline["external"], phase(1, 2));
}

#[test]
fn an_instance_is_ready_when_the_answer_comes_and_answers_pings() {
    let site = Site::new();
    let made = site.create("fw", &Value::Null);
    assert_eq!((&made["state"], &made["devices"][0]["address"]), (&json!("ready"), &json!("10.81.0.2")));
    assert!(site.pings(&made));
    let read = site.node.get("/v1/instances/fw/handlers/ping.count").is(200);
    assert_ne!(read["value"].as_str().unwrap_or("0").trim(), "0");
    assert!(site.node.get("/metrics").text.contains("microvisor_instances{state=\"ready\"} 1"));
    site.node.ask("DELETE", "/v1/instances/fw", None, &[]).is(409);
    let stopped = site.node.post("/v1/instances/fw/stop", &Value::Null).is(200);
    assert_eq!(stopped["state"], "stopped");
    assert!(!site.pings(&made));
    let again = site.node.post("/v1/instances/fw/start", &Value::Null).is(200);
    assert_eq!(again["state"], "ready");
    assert!(site.pings(&again));
    site.node.ask("DELETE", "/v1/instances/fw?force=true", None, &[]).is(204);
    site.node.get("/v1/instances/fw").is(404);
    let left = std::fs::read_dir(site.node.folder.join("run/i")).expect("a folder").count();
    assert_eq!(left, 0);
}

#[test]
fn a_timeline_goes_from_the_request_to_the_first_packet() {
    let site = Site::new();
    let made = site.create("fw", &Value::Null);
    assert!(site.pings(&made));
    let timeline = site.node.get("/v1/instances/fw/timeline").is(200);
    let spans = timeline["timeline"]["spans"].as_array().expect("spans").clone();
    let phases: Vec<&str> = spans.iter().filter_map(|s| s["phase"].as_str()).collect();
    let expected = ["authorize", "request", "image", "network", "spawn", "boot", "ready", "first-packet"];
    assert_eq!(phases, expected);
    let starts: Vec<u64> = spans.iter().filter_map(|s| s["start_ns"].as_u64()).collect();
    assert!(starts.is_sorted(), "{starts:?}");
    let rows = site.node.get("/v1/timelines/statistics").is(200);
    assert!(rows.as_array().is_some_and(|r| r.iter().any(|r| r["phase"] == "total")), "{rows}");
}

#[test]
fn what_cannot_run_is_refused_with_its_place_and_nothing_is_left() {
    let site = Site::new();
    let post = |spec: &Value| site.node.post("/v1/instances", spec);
    let broken = post(&spec("a", &json!({ "config": "FromDevice(eth0) -> Nonsense -> Discard;" }))).is(422);
    assert_eq!(
        (&broken["errors"][0]["line"], &broken["errors"][0]["column"]),
        (&json!(1), &json!(21)),
        "{broken}"
    );
    post(&spec("a", &json!({ "devices": [] }))).is(422);
    post(&spec("a", &json!({ "devices": [{ "network": "red" }] }))).is(404);
    post(&spec("a", &json!({ "image": "nothing" }))).is(404);
    post(&spec("a", &json!({ "flavor": "huge" }))).is(404);
    post(&spec("../a", &Value::Null)).is(422);
    post(&spec("a", &json!({ "memory_mib": 1u64 << 40 }))).is(422);
    post(&spec("a", &json!({ "nonsense": 1 }))).is(422);
    post(&spec("a", &json!({ "devices": [{ "network": "blue", "address": "10.81.0.1" }] }))).is(409);
    assert_eq!(site.node.get("/v1/instances").is(200)["instances"], json!([]));
    site.create("a", &Value::Null);
    post(&spec("a", &Value::Null)).is(409);
    site.node.ask("DELETE", "/v1/networks/blue", None, &[]).is(409);
    site.node.get("/v1/nothing").is(404);
}

#[test]
fn a_request_sent_twice_makes_one_instance() {
    let site = Site::new();
    let send = |spec: &Value| site.node.ask("POST", "/v1/instances", Some(spec), &["Idempotency-Key: k"]);
    let one = spec("a", &Value::Null);
    let first = send(&one).is(201);
    assert_eq!(send(&one).is(200)["id"], first["id"]);
    send(&spec("b", &Value::Null)).is(422);
}

#[test]
fn a_killed_daemon_loses_nothing() {
    let mut site = Site::new();
    let made = site.create("fw", &Value::Null);
    let stopped = site.create("idle", &Value::Null);
    site.node.post("/v1/instances/idle/stop", &Value::Null).is(200);
    site.node.kill();
    assert!(site.pings(&made));
    site.node.start();
    assert_eq!(site.instance("fw")["pid"], made["pid"]);
    assert_eq!(site.instance("fw")["state"], "ready");
    assert_eq!(site.instance("idle")["state"], "stopped");
    let again = site.node.post("/v1/instances/idle/start", &Value::Null).is(200);
    assert_eq!(again["devices"], stopped["devices"]);
    assert!(site.pings(&again));
    let stopped = site.node.post("/v1/instances/fw/stop", &Value::Null).is(200);
    assert_eq!(stopped["state"], "stopped");
}

#[test]
fn a_monitor_killed_while_the_daemon_is_away_has_failed() {
    let mut site = Site::new();
    let made = site.create("fw", &Value::Null);
    site.node.kill();
    kill(&made["pid"]);
    site.node.start();
    eventually("it has failed", || site.instance("fw")["state"] == "failed");
    assert_eq!(site.instance("fw")["reason"], "its monitor was killed");
}

#[test]
fn a_killed_monitor_is_replaced_if_its_instance_is_to_be_restarted() {
    let site = Site::new();
    let (kept, lost) =
        (site.create("kept", &json!({ "restart": "on-failure" })), site.create("lost", &Value::Null));
    kill(&kept["pid"]);
    kill(&lost["pid"]);
    eventually("the one is there again", || {
        let now = site.instance("kept");
        now["state"] == "ready" && now["pid"] != kept["pid"]
    });
    assert!(site.pings(&kept));
    assert_eq!(site.instance("lost")["state"], "failed");
}

#[test]
fn a_killed_switch_comes_back_with_all_its_ports() {
    let site = Site::new();
    let made = site.create("fw", &Value::Null);
    kill(&site.node.get("/v1/status").json["switch"]);
    eventually("it answers again", || site.pings(&made));
    assert_eq!(site.instance("fw")["pid"], made["pid"]);
    assert_eq!(site.node.get("/v1/status").json["switch_restarts"], 1);
}

#[test]
fn another_configuration_runs_at_once_and_after_the_next_start() {
    let site = Site::new();
    site.create("fw", &Value::Null);
    let other = format!("{}\nextra :: Counter;\nIdle -> extra -> Discard;", firewall());
    let put = |text: &str| {
        let body = json!({ "config": text });
        site.node.ask("PUT", "/v1/instances/fw/config", Some(&body), &[])
    };
    put("nonsense(").is(422);
    put(&other).is(204);
    site.node.get("/v1/instances/fw/handlers/extra.count").is(200);
    let rebooted = site.node.post("/v1/instances/fw/reboot", &Value::Null).is(200);
    assert_eq!(rebooted["state"], "ready");
    site.node.get("/v1/instances/fw/handlers/extra.count").is(200);
    site.node.get("/v1/instances/fw/handlers/nothing.count").is(404);
}

#[test]
fn thirty_at_once_are_all_ready_with_addresses_of_their_own() {
    let site = Site::new();
    let made: Vec<Value> = std::thread::scope(|scope| {
        let makers: Vec<_> = (0..30)
            .map(|n| {
                scope.spawn({
                    let site = &site;
                    move || site.create(&format!("fw{n}"), &Value::Null)
                })
            })
            .collect();
        makers.into_iter().map(|m| m.join().expect("made")).collect()
    });
    assert!(made.iter().all(|i| i["state"] == "ready"));
    let mut addresses: Vec<String> = made.iter().map(|i| i["devices"][0]["address"].to_string()).collect();
    addresses.sort();
    addresses.dedup();
    assert_eq!(addresses.len(), 30);
    assert!(made.iter().all(|i| site.pings(i)));
    let page = site.node.get("/v1/instances?limit=20").is(200);
    let next = page["next"].as_str().expect("there are more").to_owned();
    let rest = site.node.get(&format!("/v1/instances?limit=20&after={next}")).is(200);
    assert_eq!(rest["instances"].as_array().map(Vec::len), Some(10));
}

/// What there is of a node, besides memory.
fn counted(site: &Site) -> [usize; 5] {
    let entries = |path: &str| std::fs::read_dir(path).map_or(0, Iterator::count);
    let status = site.node.get("/v1/status").json;
    let folder = site.node.folder.display();
    let processes = run(Command::new("pgrep").args(["-cf", &format!("{folder}/run")]));
    [
        entries(&format!("/proc/{}/fd", status["pid"])),
        entries(&format!("/proc/{}/fd", status["switch"])),
        entries(&format!("{folder}/run/i")),
        site.node.groups(),
        processes.out.trim().parse().unwrap_or_default(),
    ]
}

/// `CYCLES` says how many: 100 if it is not set.
#[test]
fn instances_that_come_and_go_leave_nothing() {
    let cycles = std::env::var("CYCLES").ok().and_then(|n| n.parse().ok()).unwrap_or(100);
    let site = Site::new();
    let cycle = || {
        site.create("brief", &json!({}));
        site.node.ask("DELETE", "/v1/instances/brief?force=true", None, &[]).is(204);
    };
    (0..10).for_each(|_| cycle());
    let before = counted(&site);
    (0..cycles).for_each(|_| cycle());
    let mut after = counted(&site);
    eventually("all is as before", || {
        after = counted(&site);
        // A descriptor more may be a connection that is about to be closed.
        before.iter().zip(&after).all(|(b, a)| a <= b)
    });
    assert_eq!(site.node.get("/v1/instances").json["instances"], json!([]));
}
