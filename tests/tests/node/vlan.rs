//! Networks that share an uplink: VLANs and one network without, between two nodes.

use e2e::eventually;
use e2e::net::Namespace;
use e2e::node::Node;
use serde_json::{Value, json};

/// Networks by name with their VLAN on the wire between the two nodes.
const NETWORKS: [(&str, Option<u16>); 3] = [("blue", Some(100)), ("red", Some(200)), ("plain", None)];

fn uplink(namespace: &Namespace, vlan: Option<u16>) -> Value {
    json!({ "interfaces": ["u0"], "netns": namespace.name, "vlan": vlan })
}

#[test]
fn vlans_of_a_shared_uplink_are_networks_of_their_own() {
    let ends = [Namespace::new(), Namespace::new()];
    ends[0].ip(&["link", "add", "u0", "type", "veth", "peer", "name", "u0", "netns", &ends[1].name]);
    ends.iter().for_each(|end| end.ip(&["link", "set", "u0", "up"]));
    let (guests, hosts) = (Node::with(&[]), Node::with(&[]));
    let places: Vec<Namespace> = NETWORKS.iter().map(|_| Namespace::new()).collect();
    // All have the same subnet: nothing but their VLANs keeps them apart.
    for (number, ((name, vlan), place)) in NETWORKS.iter().zip(&places).enumerate() {
        guests.post("/v1/networks", &json!({ "name": name, "uplink": uplink(&ends[0], *vlan) })).is(201);
        let host = json!({ "tap": "t", "netns": place.name, "address": "10.91.0.1/24" });
        let network = json!({ "name": name, "uplink": uplink(&ends[1], *vlan), "host": host });
        hosts.post("/v1/networks", &network).is(201);
        let device = json!({ "network": name, "address": format!("10.91.0.{}", number + 10), "prefix": 24 });
        let spec = json!({ "name": name, "image": "netpipe", "devices": [device] });
        guests.post("/v1/instances", &spec).is(201);
    }
    let pings = |from: usize, to: usize| places[from].pings(&format!("10.91.0.{}", to + 10), 1);
    for from in 0..NETWORKS.len() {
        eventually("its own network is reached", || pings(from, from));
        for to in (0..NETWORKS.len()).filter(|&to| to != from) {
            assert!(!pings(from, to), "{from} reaches {to}");
        }
    }
    for (vlan, why) in [(json!(100), "same VLAN"), (Value::Null, "alone")] {
        let another =
            json!({ "name": "x", "uplink": { "interfaces": ["u0"], "netns": ends[0].name, "vlan": vlan } });
        let refused = guests.post("/v1/networks", &another);
        assert_eq!(refused.status, 409);
        assert!(refused.json["detail"].to_string().contains(why), "{}", refused.json);
    }
    guests.ask("DELETE", "/v1/instances/red?force=true", None, &[]).is(204);
    guests.ask("DELETE", "/v1/networks/red", None, &[]).is(204);
    assert!(pings(0, 0) && pings(2, 2), "the others go on");
    // A wire that is lost takes its networks with it, and nothing else; they are back with the wire.
    ends[0].ip(&["link", "del", "u0"]);
    assert!(!pings(0, 0));
    ends[0].ip(&["link", "add", "u0", "type", "veth", "peer", "name", "u0", "netns", &ends[1].name]);
    ends.iter().for_each(|end| end.ip(&["link", "set", "u0", "up"]));
    eventually("they are reached again", || pings(0, 0) && pings(2, 2));
}
