//! IPv6 on the node's networks: addresses, pings, on demand, names in Click files.

use crate::site::kill;
use e2e::net::Namespace;
use e2e::node::Node;
use e2e::{Outcome, eventually, run};
use serde_json::{Value, json};
use std::process::Command;

/// A node with a network of both families that a namespace is on, and one of IPv6 alone.
fn dual() -> (Node, Namespace) {
    let (node, host) = (Node::with(&[]), Namespace::new());
    let network = json!({ "name": "dual", "subnet": "10.82.0.0/24", "subnet6": "fd00:82::/64", "gateway6": "fd00:82::1",
        "host": { "tap": "dual", "netns": host.name, "address": "10.82.0.1/24", "address6": "fd00:82::1/64" } });
    node.post("/v1/networks", &network).is(201);
    (node, host)
}

fn create(node: &Node, name: &str, device: Value, more: &Value) -> Value {
    let mut spec = json!({ "name": name, "image": "netpipe", "devices": [device] });
    if let (Some(spec), Some(more)) = (spec.as_object_mut(), more.as_object()) {
        spec.extend(more.clone());
    }
    node.post("/v1/instances", &spec).is(201)
}

fn address6(instance: &Value) -> &str {
    instance["devices"][0]["address6"].as_str().unwrap_or_default()
}

#[test]
fn a_guest_has_an_address_of_each_family_and_answers_at_both() {
    let (node, host) = dual();
    let made = create(&node, "a", json!({ "network": "dual" }), &Value::Null);
    let device = &made["devices"][0];
    assert_eq!((&device["address"], &device["address6"]), (&json!("10.82.0.2"), &json!("fd00:82::2")));
    assert_eq!((&device["prefix6"], &device["gateway6"]), (&json!(64), &json!("fd00:82::1")));
    assert!(host.pings("10.82.0.2", 3) && host.pings("fd00:82::2", 3));
    let chosen = json!({ "network": "dual", "address6": "fd00:82::9:9" });
    assert_eq!(address6(&create(&node, "b", chosen.clone(), &Value::Null)), "fd00:82::9:9");
    assert!(host.pings("fd00:82::9:9", 3));
    let again = json!({ "name": "c", "image": "netpipe", "devices": [chosen] });
    assert_eq!(node.post("/v1/instances", &again).status, 409, "it is taken");
    node.ask("DELETE", "/v1/instances/b?force=true", None, &[]).is(204);
    node.post("/v1/instances", &again).is(201);
    for (device, status) in [
        (json!({ "network": "dual", "address6": "fd01::1" }), 422),
        (json!({ "network": "dual", "address6": "fd00:82::1" }), 409),
        (json!({ "network": "dual", "address6": "10.0.0.1" }), 422),
        (json!({ "network": "dual", "prefix6": 129 }), 422),
    ] {
        let spec = json!({ "name": "d", "image": "netpipe", "devices": [device] });
        assert_eq!(node.post("/v1/instances", &spec).status, status, "{spec}");
    }
    // What is there has its addresses still when the daemon and the switch come back.
    let status = node.get("/v1/status").json;
    kill(&status["switch"]);
    eventually("it answers again", || host.pings("fd00:82::2", 1));
}

#[test]
fn the_first_ipv6_packet_starts_an_instance_on_demand() {
    let (node, host) = dual();
    node.post(
        "/v1/networks",
        &json!({ "name": "six", "subnet6": "fd00:83::/64",
        "host": { "tap": "six", "netns": host.name, "address6": "fd00:83::1/64" } }),
    )
    .is(201);
    for network in ["dual", "six"] {
        let demand = json!({ "on_demand": { "idle_s": 1 } });
        let made = create(&node, network, json!({ "network": network }), &demand);
        assert_eq!(made["state"], "waiting");
        for _ in 0..2 {
            assert!(host.pings(address6(&made), 3), "the first packet is not lost");
            assert_eq!(node.get(&format!("/v1/instances/{network}")).json["state"], "ready");
            let state = || node.get(&format!("/v1/instances/{network}")).json["state"].clone();
            eventually("it is retired when idle", || state() == "waiting");
        }
    }
}

#[test]
fn a_click_file_names_the_addresses_of_its_device() {
    let (node, host) = dual();
    let config = "FromDevice(eth0) -> kind :: Classifier(12/86dd 20/3aff 54/87, 12/86dd 20/11, -);
        out :: Queue -> ToDevice(eth0);
        kind[0] -> IP6NDAdvertiser(eth0:ip6 eth0:eth) -> out;
        kind[1] -> EtherMirror -> MarkIP6Header(14) -> IP6Mirror -> out;
        kind[2] -> Discard;";
    let device = json!({ "network": "dual", "address6": "fd00:82::c" });
    create(&node, "click", device, &json!({ "image": "clickos", "config": config }));
    // What the switch knows, it answers for; the guest's own answer follows when it is asked directly.
    let ask = "echo question | nc -6 -u -w 2 fd00:82::c 7";
    let answer = run(&mut host.command(&["sh", "-c", ask]));
    assert_eq!(answer.out.trim(), "question");
    let four = json!({ "name": "four", "subnet": "10.84.0.0/24" });
    node.post("/v1/networks", &four).is(201);
    let spec = json!({ "name": "x", "config": config, "devices": [{ "network": "four" }] });
    let refused = node.post("/v1/instances", &spec);
    assert_eq!(refused.status, 422, "the device has no IPv6 address");
    assert!(refused.json["detail"].to_string().contains("eth0:ip6"), "{}", refused.json);
}

#[test]
fn the_command_makes_and_shows_networks_of_both_families() {
    let node = Node::with(&[]);
    let command = |words: &str| -> Outcome {
        let mut command = Command::new(e2e::program("microvisor"));
        run(command.args(words.split(' ')).env("MICROVISOR_NODE", node.folder.join("run/api.sock")))
    };
    command("net create blue --subnet 10.85.0.0/24 --subnet6 fd00:85::/64").ends(0, "");
    command("net set blue --gateway6 fe80::1").ends(0, "");
    let list = command("net ls").out;
    assert!(list.contains("10.85.0.0/24, fd00:85::/64") && list.contains("fe80::1"), "{list}");
    let ran = command("run netpipe --name a --network blue,address6=fd00:85::7").out;
    assert!(ran.contains("10.85.0.1 fd00:85::7"), "{ran}");
    let device = &node.get("/v1/instances/a").json["devices"][0];
    assert_eq!(device["gateway6"], "fe80::1");
    command("net create no --subnet6 10.0.0.0/24").ends(122, "subnet6");
    command("run netpipe --network blue,address6=10.0.0.1").ends(122, "fd00::5");
}
