//! Guests that a node has prepared become instances, and are no different from those that are started cold.

use crate::site::{Site, kill, spec};
use e2e::{eventually, root, run};
use serde_json::{Value, json};

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
