//! Health checks: what passes, what does not, and what a restart policy makes of it.

use crate::site::{Site, firewall, spec};
use e2e::{eventually, run};
use serde_json::{Value, json};
use std::process::Command;

fn health(check: &str, more: &Value) -> Value {
    let mut health = json!({ "check": check, "interval_s": 1, "failures": 1 });
    if let (Some(health), Some(more)) = (health.as_object_mut(), more.as_object()) {
        health.extend(more.clone());
    }
    json!({ "health": health })
}

fn state(site: &Site, name: &str) -> Value {
    site.instance(name)["health"]["state"].clone()
}

/// Sends what a firewall lets pass, more often than the checks allow.
fn questions(site: &Site, address: &str) {
    let socket = site.host.udp("10.81.0.1:0");
    for _ in 0..8 {
        socket.send_to(b"question", (address, 53)).expect("sent");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn an_instance_that_answers_is_healthy_and_one_that_does_not_is_not() {
    let site = Site::new();
    for (name, check) in [("ping", "ping"), ("handler", "passed.count < 1000000")] {
        assert_eq!(site.create(name, &health(check, &Value::Null))["health"]["state"], "unknown");
    }
    let redis = json!({ "name": "tcp", "image": "redis", "memory_mib": 64, "devices": [{ "network": "blue" }],
        "health": { "check": "tcp:6379", "interval_s": 1 } });
    site.node.post("/v1/instances", &redis).is(201);
    for (name, check) in [("wrong", "passed.count == 7"), ("none", "nothing.count == 0"), ("closed", "tcp:9")]
    {
        site.create(name, &health(check, &Value::Null));
    }
    for name in ["ping", "handler", "tcp"] {
        eventually("it is healthy", || state(&site, name) == "healthy");
    }
    for (name, why) in [("wrong", "it is"), ("none", "nothing"), ("closed", "tcp:9")] {
        eventually("it is unhealthy", || state(&site, name) == "unhealthy");
        let instance = site.instance(name);
        assert!(instance["health"]["reason"].to_string().contains(why), "{instance}");
        assert_eq!(instance["state"], "ready", "no policy asks for more");
    }
    let shown = run(Command::new(e2e::program("microvisor"))
        .arg("ps")
        .env("MICROVISOR_NODE", site.node.folder.join("run/api.sock")));
    assert!(shown.out.lines().any(|l| l.starts_with("wrong") && l.contains("unhealthy")), "{}", shown.out);
    let metrics = site.node.get("/metrics").text;
    assert!(metrics.contains("microvisor_instance_healthy{name=\"ping\"} 1"), "{metrics}");
    assert!(metrics.contains("microvisor_instance_healthy{name=\"closed\"} 0"), "{metrics}");
    let events = site.node.get("/v1/events").text;
    assert!(events.contains("instance.unhealthy") && events.contains("instance.healthy"), "{events}");
    let paused = site.node.post("/v1/instances/ping/pause", &Value::Null).is(200);
    assert_eq!(paused["health"]["state"], "healthy");
    std::thread::sleep(std::time::Duration::from_millis(2500));
    assert_eq!(state(&site, "ping"), "healthy", "a paused guest is asked nothing");
}

#[test]
fn an_unhealthy_instance_is_started_again_by_its_policy() {
    let site = Site::new();
    let mut more = health("passed.count < 3", &Value::Null);
    more["restart"] = "on-failure".into();
    let made = site.create("fw", &more);
    eventually("it is healthy", || state(&site, "fw") == "healthy");
    questions(&site, made["devices"][0]["address"].as_str().unwrap_or_default());
    eventually("it was started again", || site.instance("fw")["restarts"] == 1);
    eventually("it is ready and healthy", || state(&site, "fw") == "healthy");
    assert_ne!(site.instance("fw")["pid"], made["pid"]);
    let events = site.node.get("/v1/events").text;
    assert!(events.contains("unhealthy: passed.count < 3: it is"), "{events}");
}

#[test]
fn an_unhealthy_instance_is_healthy_again_when_its_checks_pass() {
    let site = Site::new();
    let made = site.create("fw", &health("passed.count < 3", &json!({ "successes": 2 })));
    let address = made["devices"][0]["address"].as_str().unwrap_or_default();
    eventually("it is healthy", || state(&site, "fw") == "healthy");
    questions(&site, address);
    eventually("it is unhealthy", || state(&site, "fw") == "unhealthy");
    let reset = json!({ "value": "" });
    site.node.ask("PUT", "/v1/instances/fw/handlers/passed.reset", Some(&reset), &[]).is(200);
    eventually("it is healthy again", || state(&site, "fw") == "healthy");
    assert_eq!((&site.instance("fw")["pid"], &site.instance("fw")["restarts"]), (&made["pid"], &json!(0)));
}

#[test]
fn a_killed_daemon_goes_on_with_the_checks() {
    let mut site = Site::new();
    site.create("fw", &health("passed.count < 3", &Value::Null));
    eventually("it is healthy", || state(&site, "fw") == "healthy");
    // Events are written down shortly after they are told.
    std::thread::sleep(std::time::Duration::from_millis(200));
    site.node.kill();
    site.node.start();
    eventually("it is asked again", || state(&site, "fw") == "healthy");
    // The state alone may still be what the daemon before had found: it is told anew.
    let told = || site.node.get("/v1/events").text.matches("\"instance.healthy\"").count();
    eventually("it is found to be healthy again", || told() == 2);
}

#[test]
fn a_check_that_cannot_be_made_is_refused() {
    let site = Site::new();
    site.node.post("/v1/networks", &json!({ "name": "away", "subnet": "10.90.0.0/24" })).is(201);
    for (check, more) in [
        ("pong", json!({})),
        ("tcp:0", json!({})),
        ("a.b < many", json!({})),
        ("ping", json!({ "interval_s": 0 })),
        ("ping", json!({ "failures": 101 })),
        ("ping", json!({ "timeout_ms": 60001 })),
    ] {
        let refused = site.node.post("/v1/instances", &spec("x", &health(check, &more)));
        assert_eq!(refused.status, 422, "{check} {more}");
    }
    let away = json!({ "name": "x", "config": firewall(), "devices": [{ "network": "away" }], "health": { "check": "ping" } });
    let refused = site.node.post("/v1/instances", &away);
    assert_eq!(refused.status, 422);
    assert!(refused.json["detail"].to_string().contains("no address on away"), "{}", refused.json);
}
