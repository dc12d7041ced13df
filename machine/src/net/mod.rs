//! Net devices (virtio 1.2, 5.1): feature bits, counters and addresses. [`device`] serves a device on a TAP, which [`tap`]
//! opens; the queues are the crate `virtqueue`'s. Devices over vhost-user are in [`crate::vhost`]. [`options`] parses a device of
//! the command line, and [`back_end`] opens its back end.

pub mod back_end;
pub mod device;
pub mod options;
pub mod tap;

use abi::net::*;

/// Feature bits that a device on a TAP supports.
pub const FEATURES: u64 = FEATURE_CSUM
    | FEATURE_GUEST_CSUM
    | FEATURE_MTU
    | FEATURE_MAC
    | FEATURE_GUEST_TSO4
    | FEATURE_GUEST_TSO6
    | FEATURE_HOST_TSO4
    | FEATURE_HOST_TSO6
    | FEATURE_MRG_RXBUF
    | FEATURE_EVENT_IDX
    | FEATURE_VERSION_1;
/// The offloads among [`FEATURES`].
pub const OFFLOADS: u64 = FEATURE_CSUM
    | FEATURE_GUEST_CSUM
    | FEATURE_GUEST_TSO4
    | FEATURE_GUEST_TSO6
    | FEATURE_HOST_TSO4
    | FEATURE_HOST_TSO6;

/// Feature bits in force, for a guest that wants `wanted` on a back end that has `present`. Without `offload` there are no
/// offloads.
pub fn negotiate_features(present: u64, wanted: u64, offload: bool) -> u64 {
    let always = FEATURE_MAC | FEATURE_MTU | FEATURE_VERSION_1;
    let refused = if offload { 0 } else { OFFLOADS };
    let mut features = present & (wanted | always) & !refused;
    // Segmentation without checksums means nothing (virtio 1.2, 5.1.3.1).
    if features & FEATURE_CSUM == 0 {
        features &= !(FEATURE_HOST_TSO4 | FEATURE_HOST_TSO6);
    }
    if features & FEATURE_GUEST_CSUM == 0 || features & FEATURE_MRG_RXBUF == 0 {
        features &= !(FEATURE_GUEST_TSO4 | FEATURE_GUEST_TSO6);
    }
    features
}

/// Names of feature bits in the standard.
pub fn feature_names(features: u64) -> Vec<&'static str> {
    let names = [
        (FEATURE_CSUM, "csum"),
        (FEATURE_GUEST_CSUM, "guest-csum"),
        (FEATURE_GUEST_TSO4, "guest-tso4"),
        (FEATURE_GUEST_TSO6, "guest-tso6"),
        (FEATURE_HOST_TSO4, "host-tso4"),
        (FEATURE_HOST_TSO6, "host-tso6"),
        (FEATURE_MRG_RXBUF, "mrg-rxbuf"),
        (FEATURE_EVENT_IDX, "event-idx"),
    ];
    names.iter().filter(|n| features & n.0 != 0).map(|n| n.1).collect()
}

/// Packet counters of a net device.
#[derive(Clone, Copy, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Counters {
    /// Packets from the TAP to the guest.
    pub received: u64,
    /// Packets from the guest to the TAP.
    pub transmitted: u64,
    /// Packets from the guest that the kernel refused: the interface is down, or a header contradicts the packet.
    pub refused: u64,
    /// The TAP is gone; the device carries no more packets.
    #[serde(default)]
    pub lost: bool,
    /// State of a device over vhost-user, whose packets the monitor does not see.
    #[serde(default)]
    pub vhost_user: Option<BackEnd>,
}

/// State of a device over vhost-user.
#[derive(Clone, Copy, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct BackEnd {
    /// Whether a back end is connected.
    pub connected: bool,
    /// Number of back ends so far, including the present one.
    pub back_ends: u64,
}

/// A locally administered address made from a name (FNV-1a); the same name gives the same address.
pub fn mac_from(name: &str) -> [u8; 6] {
    let hash =
        name.bytes().fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
    let b = hash.to_be_bytes();
    [0x02, b[1], b[2], b[3], b[4], b[5]]
}
