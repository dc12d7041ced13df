//! Flavors: sizes by name.

use serde::{Deserialize, Serialize};

/// A size by name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Flavor {
    /// Name, unique on the node.
    pub name: String,
    /// Guest memory in MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<u64>,
    /// Virtual processors of a Linux guest, 1 to 32.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(minimum = 1, maximum = 32))]
    pub vcpus: Option<u8>,
    /// Length of a Linux guest's disk in MiB, at least that of its image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_mib: Option<u64>,
    /// Share of the processors while they are contended, 2 to 262144; 1024 without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_shares: Option<u64>,
    /// Most processor time, percent of one processor: 50 is half of one, 200 are two; no limit without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_percent: Option<u32>,
    /// The processors that its instances run on; any without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<Vec<usize>>,
    /// Most megabits a second that each device may send.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send_mbit: Option<f64>,
    /// Most megabits a second that each device gets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receive_mbit: Option<f64>,
    /// Entries of each queue, a power of two from 8 to 1024.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<u32>,
    /// Microseconds that an idle guest polls before it sleeps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub poll_us: Option<u32>,
    /// Whether its instances take prepared guests; `false` leaves these to others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prepared: Option<bool>,
}
