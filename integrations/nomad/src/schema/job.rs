//! The `config` block of a task.

use super::{attribute, blocks, object, required, with_default};
use crate::proto::hclspec::Spec;
use serde::Deserialize;
use std::collections::BTreeMap;

/// What may be written there.
pub fn schema() -> Spec {
    let network = object([
        ("name", required("name", "string")),
        ("address", with_default("address", "string", "\"\"")),
        ("prefix", with_default("prefix", "number", "0")),
        ("gateway", with_default("gateway", "string", "\"\"")),
        ("address6", with_default("address6", "string", "\"\"")),
        ("prefix6", with_default("prefix6", "number", "0")),
        ("gateway6", with_default("gateway6", "string", "\"\"")),
        ("mac", with_default("mac", "string", "\"\"")),
        ("anti_spoofing", attribute("anti_spoofing", "bool")),
    ]);
    object([
        ("image", with_default("image", "string", "\"clickos\"")),
        ("image_sha256", with_default("image_sha256", "string", "\"\"")),
        ("config", with_default("config", "string", "\"\"")),
        ("config_file", with_default("config_file", "string", "\"\"")),
        ("variables", attribute("variables", "list(map(string))")),
        ("network", blocks("network", network)),
        ("memory_mib", with_default("memory_mib", "number", "0")),
        ("queue", with_default("queue", "number", "0")),
        ("poll_us", attribute("poll_us", "number")),
        ("send_mbit", with_default("send_mbit", "number", "0")),
        ("receive_mbit", with_default("receive_mbit", "number", "0")),
        ("on_demand_s", with_default("on_demand_s", "number", "0")),
        ("prepared", attribute("prepared", "bool")),
        ("anti_spoofing", attribute("anti_spoofing", "bool")),
        ("allocation_address", attribute("allocation_address", "bool")),
    ])
}

/// What was written there.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Job {
    /// A name of the node; with a slash a file in the task's folder; with a scheme a URL.
    #[serde(deserialize_with = "super::or_default")]
    pub image: String,
    /// The digest that an image from a URL has.
    #[serde(deserialize_with = "super::or_default")]
    pub image_sha256: String,
    /// The configuration's text.
    #[serde(deserialize_with = "super::or_default")]
    pub config: String,
    /// Or its file, in the task's folder.
    #[serde(deserialize_with = "super::or_default")]
    pub config_file: String,
    /// Variables of the configuration. HCL gives a map for each block.
    #[serde(deserialize_with = "super::or_default")]
    pub variables: Vec<BTreeMap<String, String>>,
    /// Networks of the node, in order.
    #[serde(deserialize_with = "super::or_default")]
    pub network: Vec<Attachment>,
    /// Guest memory if it is less than the task's; 0 for the task's.
    #[serde(deserialize_with = "super::or_default")]
    pub memory_mib: u64,
    /// Entries of each queue; 0 for the node's.
    #[serde(deserialize_with = "super::or_default")]
    pub queue: u32,
    /// Microseconds that an idle guest polls.
    pub poll_us: Option<u32>,
    /// Most megabits a second that each device sends; 0 without a limit.
    #[serde(deserialize_with = "super::or_default")]
    pub send_mbit: f64,
    /// And gets.
    #[serde(deserialize_with = "super::or_default")]
    pub receive_mbit: f64,
    /// Started by the first packet, retired after so many idle seconds; 0: always there.
    #[serde(deserialize_with = "super::or_default")]
    pub on_demand_s: u32,
    /// Whether a prepared guest may be taken.
    pub prepared: Option<bool>,
    /// In bridge mode: whether packets from other addresses than the allocation's are dropped.
    pub anti_spoofing: Option<bool>,
    /// In bridge mode: whether the guest has the allocation's address, which one task of a group can have.
    pub allocation_address: Option<bool>,
}

/// A network of the node that a task is on.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Attachment {
    /// The network.
    pub name: String,
    /// IPv4 address; the node chooses if empty.
    #[serde(deserialize_with = "super::or_default")]
    pub address: String,
    /// Length of the prefix that goes with it; the network's if 0.
    #[serde(deserialize_with = "super::or_default")]
    pub prefix: u8,
    /// Gateway that goes with it; the network's if empty.
    #[serde(deserialize_with = "super::or_default")]
    pub gateway: String,
    /// IPv6 address; the node chooses if empty.
    #[serde(deserialize_with = "super::or_default")]
    pub address6: String,
    /// Length of the prefix that goes with it; the network's if 0.
    #[serde(deserialize_with = "super::or_default")]
    pub prefix6: u8,
    /// Gateway that goes with it; the network's if empty.
    #[serde(deserialize_with = "super::or_default")]
    pub gateway6: String,
    /// Link-layer address; made up if empty.
    #[serde(deserialize_with = "super::or_default")]
    pub mac: String,
    /// Whether packets from other addresses are dropped.
    pub anti_spoofing: Option<bool>,
}

impl Job {
    /// Reads what Nomad sends.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let mut read: Self = super::read(bytes)?;
        if read.image.is_empty() {
            read.image = "clickos".into();
        }
        if !read.config.is_empty() && !read.config_file.is_empty() {
            return Err("config and config_file: one of them is enough".into());
        }
        let is_url = read.image.contains("://");
        if is_url && read.image_sha256.is_empty() {
            return Err("image_sha256: an image from a URL needs its SHA-256".into());
        }
        if !is_url && !read.image_sha256.is_empty() {
            return Err("image_sha256 goes with an image from a URL; an artifact has its own checksum".into());
        }
        let is_hex =
            read.image_sha256.len() == 64 && read.image_sha256.bytes().all(|b| b.is_ascii_hexdigit());
        if !read.image_sha256.is_empty() && !is_hex {
            return Err(format!("image_sha256: {:?} is not a SHA-256 in hexadecimal", read.image_sha256));
        }
        Ok(read)
    }

    /// All variables; the last of a name counts.
    pub fn variables(&self) -> BTreeMap<String, String> {
        self.variables.iter().flatten().map(|(name, value)| (name.clone(), value.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: serde_json::Value) -> Result<Job, String> {
        Job::read(&rmp_serde::to_vec_named(&value).unwrap())
    }

    #[test]
    fn nulls_and_unknown_keys_change_nothing() {
        let job =
            read(serde_json::json!({ "image": null, "variables": null, "poll_us": null, "new_key": [1] }));
        assert_eq!(job, Ok(Job { image: "clickos".into(), ..Job::default() }));
    }

    #[test]
    fn variables_of_several_blocks_are_one_map() {
        let job = read(serde_json::json!({ "variables": [{ "A": "1" }, { "B": "2" }] })).unwrap();
        assert_eq!(job.variables().into_iter().map(|(n, v)| n + &v).collect::<Vec<_>>(), ["A1", "B2"]);
    }

    #[test]
    fn what_contradicts_itself_is_refused_with_its_key() {
        for (wrong, key) in [
            (serde_json::json!({ "config": "a", "config_file": "b" }), "config_file"),
            (serde_json::json!({ "image": "http://x/y" }), "image_sha256"),
            (serde_json::json!({ "image_sha256": "ab" }), "image_sha256"),
        ] {
            assert!(read(wrong.clone()).unwrap_err().contains(key), "{wrong}");
        }
    }
}
