//! Devices as configurations for DPDK name them, by number: they are the same net devices.

use super::{FromDevice, ToDevice};
use crate::args::Args;
use crate::element::{Class, Described};

/// Those of the one that receives.
pub const RECEIVES: &[&str] = &[
    "PORT",
    "BURST",
    "QUEUE",
    "N_QUEUES",
    "MAXTHREADS",
    "VERBOSE",
    "ALLOW_NONEXISTENT",
    "NUMA",
    "NUMA_NODE",
    "SCALE",
    "THREADOFFSET",
    "NDESC",
    "MAXQUEUES",
    "MINQUEUES",
    "IPCO",
    "TCO",
    "UCO",
    "ACTIVE",
    "PROMISC",
    "VLAN_FILTER",
    "VLAN_STRIP",
    "VLAN_EXTEND",
    "LRO",
    "JUMBO",
    "MAC",
    "MTU",
    "MODE",
    "FLOW_ISOLATE",
    "FLOW_RULES_FILE",
    "VF_POOLS",
    "VF_VLAN",
    "RX_INTR",
    "MAX_RSS",
    "RETA_SIZE",
    "TIMESTAMP",
    "RSS_AGGREGATE",
    "PAINT_QUEUE",
    "CLEAR",
    "PAUSE",
    "POWER_MGMT",
];
/// Those of the one that sends.
pub const SENDS: &[&str] = &[
    "PORT",
    "BURST",
    "QUEUE",
    "N_QUEUES",
    "MAXTHREADS",
    "VERBOSE",
    "ALLOW_NONEXISTENT",
    "NUMA",
    "NUMA_NODE",
    "SCALE",
    "THREADOFFSET",
    "NDESC",
    "MAXQUEUES",
    "MINQUEUES",
    "IPCO",
    "TCO",
    "UCO",
    "ACTIVE",
    "TIMEOUT",
    "ALLOC",
    "TSO",
    "IQUEUE",
    "BLOCKING",
];

/// The manual of the one that receives.
#[cfg(feature = "manual")]
pub const RECEIVES_MANUAL: &[&str] = &[
    " Receives packets from a net device that is named by its number, as configurations for DPDK have it.",
    "",
    " It is `FromDevice` of that number: one queue, whose packets it pushes.",
    "",
    " # Arguments",
    " `PORT`: the number. `BURST` (32): packets at once. What says how DPDK drives the device is accepted: `QUEUE`,",
    " `N_QUEUES`, `MAXTHREADS`, `VERBOSE`, `ALLOW_NONEXISTENT`, `NUMA`, `NUMA_NODE`, `SCALE`, `THREADOFFSET`, `NDESC`,",
    " `MAXQUEUES`, `MINQUEUES`, `IPCO`, `TCO`, `UCO`, `ACTIVE`, `PROMISC`, `VLAN_FILTER`, `VLAN_STRIP`, `VLAN_EXTEND`,",
    " `LRO`, `JUMBO`, `MAC`, `MTU`, `MODE`, `FLOW_ISOLATE`, `FLOW_RULES_FILE`, `VF_POOLS`, `VF_VLAN`, `RX_INTR`,",
    " `MAX_RSS`, `RETA_SIZE`, `TIMESTAMP`, `RSS_AGGREGATE`, `PAINT_QUEUE`, `CLEAR`, `PAUSE`, `POWER_MGMT`.",
    "",
    " # Handlers",
    " As of `FromDevice`: `count`, `device`, `reset_counts`, and on a host `kernel_drops`, `encap`, `active`.",
];

/// The manual of the one that sends.
#[cfg(feature = "manual")]
pub const SENDS_MANUAL: &[&str] = &[
    " Sends packets to a net device that is named by its number, as configurations for DPDK have it.",
    "",
    " It is `ToDevice` of that number; packets are pushed into it or pulled.",
    "",
    " # Arguments",
    " `PORT`: the number. `BURST` (32): packets at once. What says how DPDK drives the device is accepted: `QUEUE`,",
    " `N_QUEUES`, `MAXTHREADS`, `VERBOSE`, `ALLOW_NONEXISTENT`, `NUMA`, `NUMA_NODE`, `SCALE`, `THREADOFFSET`, `NDESC`,",
    " `MAXQUEUES`, `MINQUEUES`, `IPCO`, `TCO`, `UCO`, `ACTIVE`, `TIMEOUT`, `ALLOC`, `TSO`, `IQUEUE`, `BLOCKING`.",
    "",
    " # Handlers",
    " As of `ToDevice`: `count`, `drops`, `device`, `reset_counts`.",
];

/// Leaves the device and the burst of the arguments, under the names that the plain elements know.
pub fn plain(args: &mut Args<'_>, known: &[&str]) {
    args.positional_as("PORT");
    args.rename("PORT", "DEVNAME");
    // Queues may follow without a name, and whether all is received.
    args.positional_as("QUEUE");
    args.positional_as("N_QUEUES");
    for name in known.iter().filter(|n| !["PORT", "BURST", "PROMISC"].contains(n)) {
        args.ignored(name);
    }
}

/// Receives from a device by its number.
pub struct FromDPDKDevice;

impl Described for FromDPDKDevice {
    const CLASS: Class = Class {
        name: "FromDPDKDevice",
        keywords: RECEIVES,
        #[cfg(feature = "manual")]
        manual: RECEIVES_MANUAL,
        make: |args| {
            plain(args, RECEIVES);
            (FromDevice::CLASS.make)(args)
        },
        ..FromDevice::CLASS
    };
}

/// Sends to a device by its number.
pub struct ToDPDKDevice;

impl Described for ToDPDKDevice {
    const CLASS: Class = Class {
        name: "ToDPDKDevice",
        keywords: SENDS,
        #[cfg(feature = "manual")]
        manual: SENDS_MANUAL,
        make: |args| {
            plain(args, SENDS);
            (ToDevice::CLASS.make)(args)
        },
        ..ToDevice::CLASS
    };
}
