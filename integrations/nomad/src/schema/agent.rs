//! `plugin "nomad-driver-microvisor" { config { ... } }` of Nomad's client.

use super::{object, with_default};
use crate::node::SOCKET;
use crate::proto::hclspec::Spec;
use serde::Deserialize;
use std::time::Duration;

/// What may be written there.
pub fn schema() -> Spec {
    object([
        ("enabled", with_default("enabled", "bool", "true")),
        ("node", with_default("node", "string", &format!("\"{SOCKET}\""))),
        ("network", with_default("network", "string", "\"\"")),
        ("fingerprint_s", with_default("fingerprint_s", "number", "5")),
        ("alone_s", with_default("alone_s", "number", "300")),
    ])
}

/// What was written there.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default)]
pub struct Agent {
    /// Whether tasks are run.
    #[serde(deserialize_with = "enabled")]
    pub enabled: bool,
    /// The node's socket.
    pub node: String,
    /// The node's network for tasks in host mode that name none; none if empty.
    #[serde(deserialize_with = "super::or_default")]
    pub network: String,
    /// Seconds between two looks at the node.
    pub fingerprint_s: f64,
    /// Seconds without a client after which the plugin ends.
    pub alone_s: f64,
}

fn enabled<'de, D: serde::Deserializer<'de>>(d: D) -> Result<bool, D::Error> {
    Ok(Option::<bool>::deserialize(d)?.unwrap_or(true))
}

impl Default for Agent {
    fn default() -> Self {
        Self {
            enabled: true,
            node: SOCKET.into(),
            network: String::new(),
            fingerprint_s: 5.0,
            alone_s: 300.0,
        }
    }
}

impl Agent {
    /// Reads what Nomad sends.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let read: Self = super::read(bytes)?;
        if !read.node.starts_with('/') {
            return Err(format!("node: {:?} is not an absolute path of a socket", read.node));
        }
        for (name, value) in [("fingerprint_s", read.fingerprint_s), ("alone_s", read.alone_s)] {
            if !(0.05..=1e6).contains(&value) {
                return Err(format!("{name}: {value} is not between 0.05 and 1000000 seconds"));
            }
        }
        Ok(read)
    }

    /// Between two looks at the node.
    pub fn fingerprint(&self) -> Duration {
        Duration::from_secs_f64(self.fingerprint_s)
    }

    /// How long a plugin without a client stays.
    pub fn alone(&self) -> Duration {
        Duration::from_secs_f64(self.alone_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_the_default() {
        assert_eq!(Agent::read(&[]), Ok(Agent::default()));
        let map = rmp_serde::to_vec_named(&serde_json::json!({ "node": "/x", "unheard_of": 1 })).unwrap();
        assert_eq!(Agent::read(&map), Ok(Agent { node: "/x".into(), ..Agent::default() }));
    }

    #[test]
    fn a_relative_socket_and_no_time_are_refused() {
        for wrong in [serde_json::json!({ "node": "x" }), serde_json::json!({ "alone_s": 0 })] {
            assert!(Agent::read(&rmp_serde::to_vec_named(&wrong).unwrap()).is_err(), "{wrong}");
        }
    }
}
