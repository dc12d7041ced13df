//! The vhost-user protocol (QEMU, `docs/interop/vhost-user.rst`), as far as a network device needs it: `message` has each
//! request as a typed value with `parse` and `emit`, `socket` carries messages and their descriptors.
//!
//! The front end (a monitor) sends requests and owns the guest's memory; the back end (a switch) answers and moves
//! packets. Either may be the one that listens.

#![warn(missing_docs)]

pub mod message;
pub mod socket;

/// A feature bit of virtio itself that belongs to the protocol: `GET_PROTOCOL_FEATURES` may be asked.
pub const FEATURE_PROTOCOL: u64 = 1 << 30;

/// Bits of `GET_PROTOCOL_FEATURES`.
pub mod protocol {
    /// More than one queue pair.
    pub const MQ: u64 = 1 << 0;
    /// The back end accepts `SEND_RARP`.
    pub const RARP: u64 = 1 << 2;
    /// Any request may ask for an answer.
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
