//! Net devices: virtio-net on queues that were ready before the guest was entered.
//!
//! The crate `virtqueue` moves descriptors, [`queue`] moves packets that somebody owns, [`Device`] is a pair of queues.
//! A guest that handles frames by itself (ClickOS) works on these, without a copy. [`phy`] carries packets with whatever
//! offloads were agreed on, for [`tcp`] and, for everything else, smoltcp; `inet` gives each what is its own. [`stack`] runs
//! them under the executor, and [`listener`] serves thousands of connections to one port.

pub mod checksum;
#[cfg(feature = "tcpip")]
mod inet;
#[cfg(feature = "tcpip")]
pub mod listener;
#[cfg(feature = "tcpip")]
mod loan;
#[cfg(feature = "tcpip")]
mod neighbours;
#[cfg(feature = "tcpip")]
pub mod phy;
#[cfg(feature = "tcpip")]
mod ports;
pub mod queue;
#[cfg(feature = "tcpip")]
pub mod stack;
#[cfg(feature = "tcpip")]
pub mod tcp;
#[cfg(feature = "tcpip")]
mod tcp_socket;

use crate::boot;
use crate::global::Global;
use abi::boot::NetDevice;
use abi::net::{FEATURE_CSUM, FEATURE_GUEST_CSUM, FEATURE_GUEST_TSO4, FEATURE_GUEST_TSO6};
use abi::net::{FEATURE_HOST_TSO4, FEATURE_HOST_TSO6, FEATURE_MRG_RXBUF};
pub use queue::{Buffer, PacketQueue};

/// Bytes of the virtio-net header in front of every packet.
pub const HEADER: usize = size_of::<abi::net::NetHeader>();

/// All offloads that [`phy`] can use: for `net_features` of [`crate::image!`], or'ed to [`PLAIN`].
pub const OFFLOADS: u64 = FEATURE_CSUM
    | FEATURE_GUEST_CSUM
    | FEATURE_GUEST_TSO4
    | FEATURE_GUEST_TSO6
    | FEATURE_HOST_TSO4
    | FEATURE_HOST_TSO6
    | FEATURE_MRG_RXBUF;

/// What every driver here knows: plain packets, and notifications suppressed by index.
pub const PLAIN: u64 =
    abi::net::FEATURE_VERSION_1 | abi::net::FEATURE_MAC | abi::net::FEATURE_MTU | abi::net::FEATURE_EVENT_IDX;

/// A net device whose packets lie in buffers of type `B`.
pub struct Device<B: Buffer> {
    /// What the boot page says of it: features, addresses, MTU.
    pub info: &'static NetDevice,
    /// Packets for the guest, and empty buffers for more.
    pub receive: PacketQueue<B>,
    /// Packets from the guest.
    pub transmit: PacketQueue<B>,
}

/// A bit for each device that has been opened.
static OPENED: Global<u32> = Global::new(0);

impl<B: Buffer> Device<B> {
    /// Takes the instance's `index`-th net device. `None` if there is no such device, or if it was taken before.
    pub fn open(index: usize) -> Option<Self> {
        let info = boot::net_devices().get(index)?;
        let taken = OPENED.with(|opened| {
            let before = *opened & 1 << index;
            *opened |= 1 << index;
            before != 0
        });
        if taken {
            return None;
        }
        let receive = queue::open(&info.receive, info.features, queue::Direction::Receive)?;
        let transmit = queue::open(&info.transmit, info.features, queue::Direction::Transmit)?;
        Some(Self { info, receive, transmit })
    }

    /// Whether a feature was agreed on.
    pub fn has(&self, feature: u64) -> bool {
        self.info.features & feature == feature
    }

    /// Bytes that a receive buffer needs to hold any packet that may come (virtio 1.2 section 5.1.6.3.1). With
    /// mergeable buffers less will do.
    pub fn packet_maximum(&self) -> usize {
        let layer_3 = if self.info.features & (FEATURE_GUEST_TSO4 | FEATURE_GUEST_TSO6) != 0 {
            65_535
        } else {
            self.info.mtu.into()
        };
        // Ethernet with a VLAN tag.
        HEADER + 18 + layer_3
    }
}
