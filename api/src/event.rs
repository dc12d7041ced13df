//! Events: what happened on the node.

use serde::{Deserialize, Serialize};

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Event {
    /// Number, growing.
    pub seq: u64,
    /// When, nanoseconds since 1970.
    pub at_unix_ns: u64,
    /// What: `instance.ready`, `network.created`, ...
    pub kind: String,
    /// To whom: a name.
    pub subject: String,
    /// More about it.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub detail: serde_json::Value,
}
