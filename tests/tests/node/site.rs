//! A node with a network that a namespace is on, for the tests beside this file.

use e2e::net::Namespace;
use e2e::node::Node;
use e2e::{root, run};
use serde_json::{Value, json};
use std::process::Command;

/// A node with a network that a namespace is on.
pub struct Site {
    pub node: Node,
    pub host: Namespace,
}

pub fn firewall() -> String {
    std::fs::read_to_string(root().join("examples/firewall.click")).expect("an example")
}

impl Site {
    pub fn new() -> Self {
        Self::with(&[])
    }

    pub fn with(options: &[&str]) -> Self {
        Self::around(Node::with(options))
    }

    /// Whose daemon can die at a failpoint.
    pub fn with_failpoints() -> Self {
        Self::around(Node::with_failpoints(&[]))
    }

    fn around(node: Node) -> Self {
        let host = Namespace::new();
        let network = json!({ "name": "blue", "subnet": "10.81.0.0/24", "gateway": "10.81.0.1",
            "host": { "tap": "blue", "netns": host.name, "address": "10.81.0.1/24" } });
        node.post("/v1/networks", &network).is(201);
        Self { node, host }
    }

    /// Creates a firewall with more of its specification.
    #[track_caller]
    pub fn create(&self, name: &str, more: &Value) -> Value {
        self.node.post("/v1/instances", &spec(name, more)).is(201)
    }

    pub fn pings(&self, instance: &Value) -> bool {
        self.host.pings(instance["devices"][0]["address"].as_str().unwrap_or_default(), 3)
    }

    pub fn instance(&self, name: &str) -> Value {
        self.node.get(&format!("/v1/instances/{name}")).json
    }
}

pub fn spec(name: &str, more: &Value) -> Value {
    let mut spec = e2e::node::spec("firewall.click", more);
    spec["name"] = name.into();
    spec
}

pub fn kill(pid: &Value) {
    assert_eq!(run(Command::new("kill").args(["-9", &pid.to_string()])).status, 0, "{pid}");
}
