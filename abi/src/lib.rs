//! What a MicroVisor guest and its monitor agree on.
//!
//! A guest is a 64-bit program that runs in ring 3 of its own virtual machine from its first instruction to its
//! last. There is no firmware, interrupt, timer, port or bus: the guest finds its devices ready in its
//! [`boot::BootPage`], talks to them through memory, and has a handful of [`registers`] to store to when it
//! wants the monitor's attention.
//!
//! Constants and `#[repr(C)]` types only; both sides bring their own logic. `docs/guest-abi.md` says the same in
//! prose, for guests written in other languages. All integers are little endian.
//!
//! | module | what it holds |
//! |---|---|
//! | [`image`] | the ELF note by which an image says what it is and wants |
//! | [`layout`] | guest-physical addresses; virtual addresses are the same |
//! | [`boot`] | the boot page (monitor to guest) and the guest page (guest to monitor) |
//! | [`registers`] | the device page and the doorbell page |
//! | [`control`] | the control ring: console, stop requests, handlers, clock |
//! | [`virtqueue`] | virtio 1.2 split rings |
//! | [`net`] | the virtio-net header and feature bits |
#![no_std]
#![forbid(unsafe_code)]

pub mod boot;
pub mod control;
pub mod image;
pub mod layout;
pub mod net;
pub mod registers;
pub mod virtqueue;

/// Version of the contract as a whole. An image built for another major version is refused; one built for a
/// newer minor version than the monitor's is refused too, since it may count on what the monitor does not have.
pub const VERSION_MAJOR: u16 = 1;
/// See [`VERSION_MAJOR`]. Minor versions only add fields at the end of structures (or in reserved bytes, where 0 keeps
/// its meaning), registers and message kinds; both sides skip messages of a kind that they do not know.
pub const VERSION_MINOR: u16 = 2;
