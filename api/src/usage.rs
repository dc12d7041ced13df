//! What the node and its instances use: counters that grow, of which a reader makes rates.

use serde::{Deserialize, Serialize};

/// Counters of the host, the switch and all instances at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Usage {
    /// When, nanoseconds since 1970.
    pub at_unix_ns: u64,
    /// Number of processors that are online.
    pub cpus: usize,
    /// Time that the host's processors have worked since it booted, together, nanoseconds.
    pub cpu_busy_ns: u64,
    /// Memory of the host, MiB.
    pub memory_mib: u64,
    /// Memory that new programs can have without swapping, MiB.
    pub available_mib: u64,
    /// Starts that became ready since the daemon began.
    pub starts: u64,
    /// What all ports of the switch received and dropped, links of bonds left out; none while it does not answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switch: Option<Traffic>,
    /// Instances that run, in no order.
    pub instances: Vec<InstanceUsage>,
}

/// Packets through ports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Traffic {
    /// Packets.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Packets that were dropped, for any reason.
    pub dropped: u64,
}

/// What an instance has used in this run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct InstanceUsage {
    /// Its name.
    pub name: String,
    /// Processor time of its monitor, the guest's among it, nanoseconds.
    pub cpu_ns: u64,
    /// Resident memory of its monitor, the guest's among it, bytes.
    pub memory: u64,
    /// Packets to and from its guest, through all its devices, and what its ports have dropped.
    pub traffic: Traffic,
}
