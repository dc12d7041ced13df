//! The node itself and its host.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// State of the node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Status {
    /// Version of the program.
    pub version: String,
    /// Process number of the daemon.
    pub pid: u32,
    /// When the daemon was started, nanoseconds since 1970.
    pub started_unix_ns: u64,
    /// Number of instances in each state.
    pub instances: BTreeMap<String, usize>,
    /// Process number of the switch; none while it does not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switch: Option<u32>,
    /// How many times this daemon has restarted the switch.
    pub switch_restarts: u32,
    /// Prepared monitors that are ready for a start request.
    pub prepared: usize,
    /// Prepared monitors that the node tries to have.
    pub prepared_target: usize,
    /// The host that the node runs on.
    pub host: Host,
}

/// The host of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Host {
    /// Number of processors that are online.
    pub cpus: usize,
    /// Memory, MiB.
    pub memory_mib: u64,
    /// Memory that new programs can have without swapping, MiB.
    pub available_mib: u64,
    /// Time since the host booted, seconds.
    pub uptime_s: u64,
}
