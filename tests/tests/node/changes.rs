//! Changes of what is there: labels, restart policies, networks.

use crate::site::Site;
use e2e::{Outcome, eventually, program, run, signal};
use serde_json::{Value, json};
use std::process::Command;
use std::time::Duration;
use switch::control::{Client, Request, Response};

fn patch(site: &Site, path: &str, change: &Value) -> e2e::node::Answer {
    site.node.ask("PATCH", path, Some(change), &[])
}

/// What the switch has in force.
fn flood_limit(site: &Site) -> u64 {
    let asked = Client::connect(&site.node.folder.join("run/switch.sock"))
        .and_then(|mut client| client.call(&Request::Config, Duration::from_secs(10)));
    match asked {
        Ok(Response::Config(config)) => config.segments["blue"].flood_limit,
        other => panic!("{other:?}"),
    }
}

fn command(site: &Site, words: &[&str]) -> Outcome {
    let node = site.node.folder.join("run/api.sock");
    run(Command::new(program("microvisor")).args(words).env("MICROVISOR_NODE", node))
}

#[test]
fn labels_and_restart_policy_change_below_a_running_guest() {
    let mut site = Site::with_failpoints();
    let made = site.create("fw", &json!({ "labels": { "app": "fw", "old": "x" } }));
    let path = "/v1/instances/fw";
    let change = json!({ "labels": { "app": "edge", "old": null, "new": "" }, "restart": "always" });
    let changed = patch(&site, path, &change).is(200);
    let expected = json!({ "app": "edge", "new": "" });
    assert_eq!(
        (&changed["labels"], &changed["restart"], &changed["pid"]),
        (&expected, &json!("always"), &made["pid"])
    );
    // Once more, and nothing at all, change nothing.
    assert_eq!(patch(&site, path, &change).is(200), changed);
    assert_eq!(patch(&site, path, &json!({})).is(200), changed);
    let spec = site.node.get("/v1/instances/fw/spec").is(200);
    assert_eq!((&spec["labels"], &spec["restart"]), (&expected, &json!("always")));

    // The daemon dies with the change: it was written down whole.
    site.node.arm("change::kept");
    patch(&site, path, &json!({ "labels": { "new": null } }));
    site.node.dies();
    site.node.start();
    let after = site.instance("fw");
    assert_eq!((&after["labels"], &after["pid"]), (&json!({ "app": "edge" }), &made["pid"]));
    assert_eq!(site.node.get("/v1/instances/fw/spec").is(200)["labels"], after["labels"]);

    // The policy holds from now on.
    let kill = |site: &Site| {
        let pid = site.instance("fw")["pid"].as_u64().and_then(|pid| pid.try_into().ok()).expect("it runs");
        signal(pid, "KILL");
    };
    kill(&site);
    eventually("it is started again", || {
        let now = site.instance("fw");
        now["state"] == "ready" && now["restarts"] == 1
    });
    patch(&site, path, &json!({ "restart": "never" })).is(200);
    kill(&site);
    eventually("it stays down", || site.instance("fw")["state"] == "failed");
}

#[test]
fn an_instance_that_waits_for_its_next_start_is_not_started_under_the_new_policy() {
    let site = Site::new();
    // It ends at once, again and again, with longer and longer pauses.
    let spec = json!({ "restart": "always", "config": "Idle -> Discard; DriverManager(wait 0.01s, stop);" });
    site.node.post("/v1/instances", &crate::site::spec("ends", &spec));
    eventually("it waits", || site.instance("ends")["restarts"].as_u64().is_some_and(|n| n >= 3));
    eventually("it is down", || site.instance("ends")["state"] == "failed");
    patch(&site, "/v1/instances/ends", &json!({ "restart": "never" })).is(200);
    let restarts = site.instance("ends")["restarts"].clone();
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(site.instance("ends")["restarts"], restarts);
}

#[test]
fn changes_that_make_no_sense_change_nothing() {
    let site = Site::new();
    site.create("fw", &json!({ "labels": { "app": "fw" } }));
    let before = (site.instance("fw"), site.node.get("/v1/networks/blue").json);
    let many: serde_json::Map<String, Value> = (0..257).map(|n| (format!("l{n}"), json!("x"))).collect();
    for (path, change, status) in [
        ("/v1/instances/fw", json!({ "labels": { "a\u{0}": "b" } }), 422),
        ("/v1/instances/fw", json!({ "labels": { "a": 5 } }), 422),
        ("/v1/instances/fw", json!({ "labels": many }), 422),
        ("/v1/instances/fw", json!({ "restart": "sometimes" }), 422),
        ("/v1/instances/fw", json!({ "memory_mib": 12 }), 422),
        ("/v1/instances/nobody", json!({}), 404),
        ("/v1/networks/blue", json!({ "gateway": "10.99.0.1" }), 422),
        ("/v1/networks/blue", json!({ "subnet": "10.1.0.0/24" }), 422),
        ("/v1/networks/blue", json!({ "flood_limit": -1 }), 422),
        ("/v1/networks/nobody", json!({}), 404),
    ] {
        assert_eq!(patch(&site, path, &change).status, status, "{path} {change}");
    }
    assert_eq!((site.instance("fw"), site.node.get("/v1/networks/blue").json), before);
}

#[test]
fn a_network_s_limit_and_gateway_change_while_instances_are_on_it() {
    let mut site = Site::with_failpoints();
    let made = site.create("fw", &Value::Null);
    let changed = patch(&site, "/v1/networks/blue", &json!({ "flood_limit": 7 })).is(200);
    assert_eq!((changed["flood_limit"].as_u64(), flood_limit(&site)), (Some(7), 7));
    assert!(site.pings(&made));

    // The daemon dies before the switch knows: the next one tells it.
    site.node.arm("network::changed");
    patch(&site, "/v1/networks/blue", &json!({ "flood_limit": 8, "gateway": null }));
    site.node.dies();
    site.node.start();
    eventually("the switch has it", || flood_limit(&site) == 8);
    let next = site.create("next", &Value::Null);
    assert!(next["devices"][0]["gateway"].is_null() && site.pings(&made), "{next}");
}

#[test]
fn the_command_changes_what_is_there() {
    let site = Site::new();
    for name in ["a", "b"] {
        site.create(name, &json!({ "labels": { "old": "x" } }));
    }
    let command = |words: &[&str]| command(&site, words);
    command(&["set", "a", "b", "-l", "app=edge", "--unlabel", "old", "--restart", "on-failure"]).ends(0, "");
    for name in ["a", "b"] {
        let instance = site.instance(name);
        assert_eq!(
            (&instance["labels"], &instance["restart"]),
            (&json!({ "app": "edge" }), &json!("on-failure"))
        );
    }
    command(&["set", "a"]).ends(122, "--label");
    command(&["set", "nobody", "--restart", "never"]).ends(124, "nobody");
    command(&["net", "set", "blue", "--flood-limit", "9", "--no-gateway"]).ends(0, "");
    assert_eq!(flood_limit(&site), 9);
    command(&["net", "set", "blue"]).ends(122, "nothing to change");
    command(&["net", "set", "nobody", "--flood-limit", "9"]).ends(124, "nobody");
}
