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
    /// Guests that are prepared for the next starts.
    pub prepared: usize,
    /// Prepared guests that the node tries to have.
    pub prepared_target: usize,
    /// Prepared guests by their shapes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prepared_guests: Vec<PreparedGuests>,
    /// The host that the node runs on.
    pub host: Host,
}

/// Prepared guests of one shape: only an instance of just that shape can take one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct PreparedGuests {
    /// Name of their image.
    pub image: String,
    /// Guest memory of each, MiB.
    pub memory_mib: u64,
    /// Net devices of each.
    pub devices: usize,
    /// How many are ready.
    pub ready: usize,
    /// How many the node tries to have.
    pub target: usize,
    /// Starts that took one, since the daemon began.
    pub hits: u64,
    /// Starts that found none.
    pub misses: u64,
    /// Guests that were prepared.
    pub refills: u64,
    /// Memory of those that are ready, with what they share, bytes.
    pub resident: u64,
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
