//! The part of the vhost-user protocol (QEMU, `docs/interop/vhost-user.rst`) that network devices use. `message` has each
//! request as a typed value with `parse` and `emit`; `socket` carries messages and their descriptors.
//!
//! The front end (a monitor) sends requests and owns the guest's memory; the back end (a switch) answers and moves
//! packets. Either side may listen.

#![warn(missing_docs)]

pub mod message;
pub mod socket;

/// `VHOST_USER_F_PROTOCOL_FEATURES`, among the virtio features: `GET_PROTOCOL_FEATURES` is supported.
pub const FEATURE_PROTOCOL: u64 = 1 << 30;

/// Bits of `GET_PROTOCOL_FEATURES`.
pub mod protocol {
    /// More than one queue pair.
    pub const MQ: u64 = 1 << 0;
    /// The back end accepts `SEND_RARP`.
    pub const RARP: u64 = 1 << 2;
    /// Any request may ask for an acknowledgement.
    pub const REPLY_ACK: u64 = 1 << 3;
    /// `NET_SET_MTU`.
    pub const MTU: u64 = 1 << 4;
    /// `GET_INFLIGHT_FD` and `SET_INFLIGHT_FD`.
    pub const INFLIGHT_SHMFD: u64 = 1 << 12;
    /// `RESET_DEVICE`.
    pub const RESET_DEVICE: u64 = 1 << 13;
    /// `ADD_MEM_REG`, `REM_MEM_REG` and `GET_MAX_MEM_SLOTS` instead of `SET_MEM_TABLE`.
    pub const CONFIGURE_MEM_SLOTS: u64 = 1 << 15;
    /// `SET_STATUS` and `GET_STATUS`.
    pub const STATUS: u64 = 1 << 16;
}
