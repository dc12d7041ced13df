//! The node, through its API: instances with real packets, and what happens when a part of it is killed.

use e2e::net::Namespace;
use e2e::node::Node;
use e2e::{eventually, root, run};
use serde_json::{Value, json};
use std::process::Command;

/// A node with a network that a namespace is on.
struct Site {
    node: Node,
    host: Namespace,
}

fn firewall() -> String {
    std::fs::read_to_string(root().join("examples/firewall.click")).expect("an example")
}

impl Site {
    fn new() -> Self {
        Self::with(&[])
    }

    fn with(options: &[&str]) -> Self {
        let (node, host) = (Node::with(options), Namespace::new());
        let network = json!({ "name": "blue", "subnet": "10.81.0.0/24", "gateway": "10.81.0.1",
            "host": { "tap": "blue", "netns": host.name, "address": "10.81.0.1/24" } });
        node.post("/v1/networks", &network).is(201);
        Self { node, host }
    }

    /// Creates a firewall with more of its specification.
    #[track_caller]
    fn create(&self, name: &str, more: &Value) -> Value {
        self.node.post("/v1/instances", &spec(name, more)).is(201)
    }

    fn pings(&self, instance: &Value) -> bool {
        self.host.pings(instance["devices"][0]["address"].as_str().unwrap_or_default(), 3)
    }

    fn instance(&self, name: &str) -> Value {
        self.node.get(&format!("/v1/instances/{name}")).json
    }
}

fn spec(name: &str, more: &Value) -> Value {
    let mut spec = e2e::node::spec("firewall.click", more);
    spec["name"] = name.into();
    spec
}

fn kill(pid: &Value) {
    assert_eq!(run(Command::new("kill").args(["-9", &pid.to_string()])).status, 0, "{pid}");
}

/// Names of a timeline's phases, those inside others too.
fn phases(timeline: &Value) -> Vec<String> {
    let mut names = Vec::new();
    for span in timeline["timeline"]["spans"].as_array().into_iter().flatten() {
        names.push(span["phase"].as_str().unwrap_or_default().to_owned());
        let inside = span["inside"].as_array().into_iter().flatten();
        names.extend(inside.map(|s| s["phase"].as_str().unwrap_or_default().to_owned()));
    }
    names
}

#[test]
fn prepared_guests_become_instances() {
    let mut site = Site::with(&["--prepared", "2"]);
    let ready = |site: &Site| site.node.get("/v1/status").json["prepared"] == 2;
    for number in 0..5 {
        eventually("two guests are prepared", || ready(&site));
        let name = format!("f{number}");
        let made = site.create(&name, &json!({ "variables": { "LONG": "x".repeat(1500) } }));
        assert!(site.pings(&made));
        let timeline = site.node.get(&format!("/v1/instances/{name}/timeline")).is(200);
        let phases = phases(&timeline);
        assert!(!phases.contains(&"create".to_owned()), "the guest was there already: {phases:?}");
        assert!(phases.contains(&"assign".to_owned()), "{phases:?}");
        let preparation = &timeline["timeline"]["preparation"]["spans"];
        assert_eq!((&preparation[0]["phase"], &preparation[1]["phase"]), (&json!("spawn"), &json!("boot")));
    }
    // What no prepared guest can be starts cold.
    let large = site.create("large", &json!({ "memory_mib": 64 }));
    let long = std::fs::read_to_string(root().join("examples/firewall.click")).expect("an example");
    let wordy = site.create("wordy", &json!({ "config": long + &"// And so on.\n".repeat(6000) }));
    for (name, made) in [("large", &large), ("wordy", &wordy)] {
        assert!(site.pings(made));
        let timeline = site.node.get(&format!("/v1/instances/{name}/timeline")).is(200);
        assert!(phases(&timeline).contains(&"create".to_owned()), "{name}");
    }
    // A packet's start takes one, too.
    eventually("two guests are prepared", || ready(&site));
    let waiting = site.create("waiting", &json!({ "on_demand": { "idle_s": 3600 } }));
    assert!(
        site.host.pings(waiting["devices"][0]["address"].as_str().unwrap_or_default(), 1),
        "it is not lost"
    );
    eventually("two guests are prepared", || ready(&site));
    let guests = &site.node.get("/v1/status").json["prepared_guests"][0];
    assert_eq!(
        (&guests["image"], &guests["hits"], &guests["refills"]),
        (&json!("clickos"), &json!(6), &json!(8))
    );
    assert!(guests["resident"].as_u64().is_some_and(|bytes| bytes > 1 << 20), "{guests}");
    let metrics = site.node.get("/metrics").text;
    let line = "microvisor_prepared_hits_total{image=\"clickos\",memory_mib=\"16\",devices=\"1\"} 6";
    assert!(metrics.contains(line), "{metrics}");
    // A start anew, a switch that is gone for a moment: as with any instance.
    site.node.post("/v1/instances/f0/reboot", &Value::Null).is(200);
    kill(&site.node.get("/v1/status").json["switch"]);
    eventually("it answers again", || site.pings(&large));
    // Prepared guests end with the daemon, instances do not.
    site.node.kill();
    eventually("what waits has ended", || site.node.monitors().len() == 8);
    site.node.start();
    assert!(site.pings(&large));
    eventually("two guests are prepared anew", || ready(&site));
    assert!(site.pings(&site.create("after", &Value::Null)));
    let bad = site.node.post("/v1/instances", &spec("bad", &json!({ "image": "redis" })));
    assert_eq!(bad.status, 422, "{bad:?}");
}

/// All that an instance says of itself to who asks, without what differs from one to the next: identity, and time.
fn told(site: &Site, name: &str) -> Value {
    let at = |path: &str| site.node.get(&format!("/v1/instances/{name}{path}")).is(200);
    // Asleep, it has said how much of its heap is in use.
    eventually("it sleeps", || at("/inspect")["guest"][4].as_u64().is_some_and(|used| used > 0));
    let (mut instance, mut inspected) = (at(""), at("/inspect"));
    for key in ["id", "name", "pid", "ready_ns", "started_unix_ns", "created_unix_ns", "flavor", "requested"]
    {
        instance.as_object_mut().expect("an object").remove(key);
    }
    for key in ["mac", "port", "address"] {
        instance["devices"][0].as_object_mut().expect("an object").remove(key);
    }
    let up_ns = inspected["up_ns"].as_u64().unwrap_or(u64::MAX);
    for key in ["pid", "up_ns", "usage"] {
        inspected.as_object_mut().expect("an object").remove(key);
    }
    // How often it slept depends on what else the host did.
    inspected["guest"][3] = Value::Null;
    let read = |handler: &str| site.node.get(&format!("/v1/instances/{name}/handlers/{handler}")).json;
    let handlers: Vec<Value> =
        ["list", "version", "ping.count", "dropped.count", "out.length", "out.highwater_length"]
            .map(read)
            .into();
    let switch = site.node.get("/v1/switch").json;
    let port = switch["ports"].as_array().into_iter().flatten().find(|p| {
        let id = site.instance(name)["devices"][0]["port"].clone();
        p["name"] == id
    });
    json!({ "instance": instance, "inspected": inspected, "handlers": handlers,
        "console": site.node.get(&format!("/v1/instances/{name}/console")).text,
        "counters": port.map(|p| p["counters"].clone()), "up_a_minute": up_ns > 60_000_000_000 })
}

#[test]
fn prepared_and_cold_guest_report_the_same() {
    let site = Site::with(&["--prepared", "1"]);
    site.node.post("/v1/flavors", &json!({ "name": "cold", "prepared": false })).is(201);
    // Of itself, the host sends nothing.
    run(&mut site.host.command(&["sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1"]));
    eventually("a guest is prepared", || site.node.get("/v1/status").json["prepared"] == 1);
    site.create("warm", &Value::Null);
    site.create("cold", &json!({ "flavor": "cold" }));
    assert_eq!(site.node.get("/v1/status").json["prepared_guests"][0]["hits"], 1);
    assert_eq!(told(&site, "warm"), told(&site, "cold"));
    // What passes it from now on is counted alike, too.
    for name in ["warm", "cold"] {
        assert!(site.pings(&site.instance(name)));
        let count = site.node.get(&format!("/v1/instances/{name}/handlers/ping.count")).is(200);
        assert_eq!(count["value"], "3", "{name}");
    }
}

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
fn over_tcp_a_token_decides() {
    let folder = std::env::temp_dir().join(e2e::unique("tls"));
    std::fs::create_dir(&folder).expect("new");
    let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    let path = |p: &std::path::Path| p.display().to_string();
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]);
    openssl.args([
        "-addext",
        "subjectAltName=IP:127.0.0.1",
        "-keyout",
        &path(&key),
        "-out",
        &path(&certificate),
    ]);
    assert_eq!(run(&mut openssl).status, 0);
    let (c, k) = (path(&certificate), path(&key));
    let tls = ["--tls-certificate", &c, "--tls-key", &k];
    for options in [&[][..], &tls[..]] {
        let node = Node::with(&[&["--listen", "127.0.0.1:0"][..], options].concat());
        let (port, scheme) = (node.port(), if options.is_empty() { "http" } else { "https" });
        let token = |role: &str| {
            let made = node.post("/v1/tokens", &json!({ "name": role, "role": role })).is(201);
            made["token"].as_str().unwrap_or_default().to_owned()
        };
        let ask = |method: &str, path: &str, token: &str| {
            let mut curl = Command::new("curl");
            curl.args([
                "-s",
                "-m",
                "10",
                "-o",
                "/dev/null",
                "-w",
                "%{http_code}",
                "-X",
                method,
                "--cacert",
                &c,
            ]);
            if !token.is_empty() {
                curl.args(["-H", &format!("Authorization: Bearer {token}")]);
            }
            run(curl.arg(format!("{scheme}://127.0.0.1:{port}{path}"))).out
        };
        let (read, operate, admin) = (token("read"), token("operate"), token("admin"));
        assert_eq!(ask("GET", "/v1/instances", ""), "401");
        assert_eq!(ask("GET", "/v1/instances", "mv-0"), "401");
        assert_eq!(ask("GET", "/v1/instances", &read), "200");
        assert_eq!(ask("POST", "/v1/instances/x/stop", &read), "403");
        assert_eq!(ask("POST", "/v1/instances/x/stop", &operate), "404");
        assert_eq!(ask("DELETE", "/v1/networks/x", &operate), "403");
        assert_eq!(ask("DELETE", "/v1/networks/x", &admin), "404");
        assert_eq!(ask("DELETE", "/v1/tokens/read", &admin), "204");
        assert_eq!(ask("GET", "/v1/instances", &read), "401");
        assert_eq!(ask("GET", "/v1/openapi.json", ""), "200");
    }
    let _ = std::fs::remove_dir_all(&folder);
    let mut open = Command::new(e2e::program("microvisor-node"));
    let refused = run(open.args(["--listen", "0.0.0.0:0", "--check"]));
    assert_eq!(refused.status, 122, "{refused:?}");
}

#[test]
fn an_image_is_fetched_by_its_address() {
    use std::io::{Read, Write};
    let node = Node::new();
    let image = std::fs::read(root().join("target/test-images/hello")).expect("built");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/hello", listener.local_addr().expect("bound"));
    let body = image.clone();
    let server = std::thread::spawn(move || {
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().expect("somebody asks");
            let _ = stream.read(&mut [0; 4096]);
            let head =
                format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
        }
    });
    let import = |more: &str| node.post(&format!("/v1/images?name=mine&url={url}{more}"), &Value::Null);
    assert_eq!(import("&id=00").status, 422, "another digest");
    let made = import("").is(201);
    assert_eq!(made["size"], image.len());
    server.join().expect("it served twice");
    assert_eq!(node.post("/v1/images?name=x&url=file:///etc/passwd", &Value::Null).status, 422);
    assert_eq!(node.post("/v1/images?name=x&url=http://127.0.0.1:1/x", &Value::Null).status, 502);
}

#[test]
fn commands_show_what_the_node_does() {
    let site = Site::new();
    site.create("fw", &Value::Null);
    let command = |words: &[&str]| {
        let mut command = Command::new(e2e::program("microvisor"));
        command.args(words).env("MICROVISOR_NODE", site.node.folder.join("run/api.sock"));
        let outcome = run(&mut command);
        assert_eq!(outcome.status, 0, "{words:?}: {outcome:?}");
        outcome.out
    };
    let top = command(&["top", "-n", "2", "-i", "0.2"]);
    assert!(top.contains("CPU %") && top.contains("fw") && top.contains("ready"), "{top}");
    assert!(command(&["timeline", "fw"]).contains("spawn"));
    let chrome: Value = serde_json::from_str(&command(&["timeline", "fw", "--chrome-trace"])).expect("JSON");
    assert!(chrome["traceEvents"].as_array().is_some_and(|e| e.iter().any(|e| e["name"] == "boot")));
    let otlp: Value = serde_json::from_str(&command(&["timeline", "fw", "--otlp"])).expect("JSON");
    let spans = &otlp["resourceSpans"][0]["scopeSpans"][0]["spans"];
    assert_eq!(spans[0]["name"], "instantiation");
    command(&["pause", "fw"]);
    command(&["resume", "fw"]);
    assert!(command(&["token", "create", "t", "--role", "operate"]).starts_with("mv-"));
    assert!(command(&["token", "ls"]).contains("operate"));
    assert!(command(&["completion", "bash"]).contains("microvisor"));
    let folder = site.node.folder.join("man");
    std::fs::create_dir(&folder).expect("new");
    command(&["man", folder.to_str().expect("a path")]);
    assert!(folder.join("microvisor-timeline.1").is_file());
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

#[test]
fn an_image_is_imported_checked_and_removed() {
    let site = Site::new();
    let import = |path: &str, name: &str| {
        let mut command = Command::new("curl");
        command.args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "--unix-socket"]);
        command.arg(site.node.folder.join("run/api.sock")).args(["--data-binary", &format!("@{path}")]);
        run(command.arg(format!("http://node/v1/images?name={name}"))).out
    };
    let hello = root().join("target/images/hello").display().to_string();
    assert_eq!(import(&hello, "mine"), "201");
    assert_eq!(import(&hello, "mine"), "409");
    assert_eq!(import("/etc/passwd", "other"), "422");
    let spec = json!({ "name": "h", "image": "mine" });
    let made = site.node.post("/v1/instances?wait=none", &spec).is(201);
    assert_eq!(made["image"], "mine");
    eventually("it has ended", || site.instance("h")["state"] == "stopped");
    assert!(
        site.node.get("/v1/instances/h/console").text.contains("Hello"),
        "{}",
        site.node.get("/v1/instances/h/console").text
    );
    site.node.ask("DELETE", "/v1/images/mine", None, &[]).is(204);
    site.node.ask("DELETE", "/v1/images/clickos", None, &[]).is(409);
    site.node.post("/v1/instances/h/start", &Value::Null).is(404);
}

#[test]
fn the_commands_do_what_the_api_does() {
    let (node, host) = (Node::new(), Namespace::new());
    let microvisor = |line: &str| {
        let mut command = Command::new(e2e::program("microvisor"));
        command.args(line.split(' ')).current_dir(root());
        command.env("MICROVISOR_NODE", node.folder.join("run/api.sock"));
        run(command.env("MICROVISOR_RUN_DIR", node.folder.join("alone")))
    };
    let says = |line: &str, words: &[&str]| {
        let outcome = microvisor(line);
        assert_eq!(outcome.status, 0, "{line}: {outcome:?}");
        assert!(words.iter().all(|w| outcome.out.contains(w)), "{line}: {outcome:?}");
    };
    let network = "--subnet 10.81.1.0/24 --gateway 10.81.1.1 --host green --address 10.81.1.1/24";
    says(&format!("net create green {network} --netns {}", host.name), &[]);
    says("net ls", &["green", "10.81.1.0/24"]);
    says("run examples/firewall.click --network green", &["firewall ready", "10.81.1.2"]);
    assert!(host.pings("10.81.1.2", 3));
    says("ps", &["firewall", "ready", "green=10.81.1.2"]);
    says("click firewall read ping.count", &[]);
    says("timeline firewall", &["network", "first-packet"]);
    says("timeline --stats", &["PHASE", "total"]);
    says("stop firewall", &[]);
    says("ps", &["stopped"]);
    says("start firewall", &[]);
    says("reboot firewall", &[]);
    assert!(host.pings("10.81.1.2", 3));
    says("logs firewall", &[]);
    says("image ls", &["clickos", "built in"]);
    says("image import target/images/hello --name mine", &[]);
    says("image rm mine", &[]);
    says("events", &["instance.ready", "network.created"]);
    microvisor("net rm green").ends(124, "firewall is on network green");
    microvisor("rm firewall").ends(124, "force");
    says("rm -f firewall", &[]);
    microvisor("stop firewall").ends(124, "no instance named firewall");
    microvisor("run nonsense --network green").ends(124, "no image named nonsense");
    says("net rm green", &[]);
}

#[test]
fn nonsense_is_refused_with_words() {
    let node = |arguments: &[&str]| run(Command::new(e2e::program("microvisor-node")).args(arguments));
    node(&["--config", "/nonexistent"]).ends(122, "/nonexistent");
    node(&["--nonsense"]).ends(122, "unexpected argument");
    node(&["--check", "--run", &"x".repeat(100)]).ends(122, "too long");
    assert!(node(&["--openapi"]).out.contains("\"openapi\": \"3.1.0\""));
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
