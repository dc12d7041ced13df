//! Net devices (virtio 1.2, 5.1): feature bits, counters and addresses. [`device`] serves one whose other end is a TAP,
//! which [`tap`] opens; the device's side of its queues is the crate `virtqueue`. Devices over vhost-user are in
//! [`crate::vhost`]. [`options`] is a device on the command line, [`back_end`] its other end.

pub mod back_end;
pub mod device;
pub mod options;
pub mod tap;

use abi::net::*;

/// Feature bits that this back end can serve.
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
/// Of [`FEATURES`], those that move work between guest and host.
pub const OFFLOADS: u64 = FEATURE_CSUM
    | FEATURE_GUEST_CSUM
    | FEATURE_GUEST_TSO4
    | FEATURE_GUEST_TSO6
    | FEATURE_HOST_TSO4
    | FEATURE_HOST_TSO6;

/// Feature bits for a guest that asks for `wanted`, of a back end that has `present`.
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

/// Names of feature bits, as the standard has them, for people.
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

/// Packets, and why some went nowhere.
#[derive(Clone, Copy, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Counters {
    /// TAP to guest.
    pub received: u64,
    /// Guest to TAP.
    pub transmitted: u64,
    /// Guest to TAP, refused by the kernel: interface down, or a header that contradicts the packet.
    pub refused: u64,
    /// Its TAP is gone: no packet will come or go any more.
    #[serde(default)]
    pub lost: bool,
    /// For a device over vhost-user, whose packets the monitor does not see.
    #[serde(default)]
    pub vhost_user: Option<BackEnd>,
}

/// How a device over vhost-user is doing.
#[derive(Clone, Copy, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct BackEnd {
    /// A back end is at work.
    pub connected: bool,
    /// How many have been, the present one included.
    pub back_ends: u64,
}

/// A locally administered address that is the same for the same name (FNV-1a).
pub fn mac_from(name: &str) -> [u8; 6] {
    let hash =
        name.bytes().fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
    let b = hash.to_be_bytes();
    [0x02, b[1], b[2], b[3], b[4], b[5]]
}
