//! The node itself and its host.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How the node is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Status {
    /// Version of the program.
    pub version: String,
    /// Process.
    pub pid: u32,
    /// When it was started, nanoseconds since 1970.
    pub started_unix_ns: u64,
    /// Instances by state.
    pub instances: BTreeMap<String, usize>,
    /// Process of the switch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switch: Option<u32>,
    /// How often the switch was started again.
    pub switch_restarts: u32,
    /// Prepared monitors that are ready.
    pub shells: usize,
    /// Prepared monitors that are kept.
    pub shells_kept: usize,
    /// What it runs on.
    pub host: Host,
}

/// The host of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Host {
    /// Processors.
    pub cpus: usize,
    /// Memory, MiB.
    pub memory_mib: u64,
    /// Memory that could be had, MiB.
    pub available_mib: u64,
    /// Seconds since it was started.
    pub uptime_s: u64,
}
