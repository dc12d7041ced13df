//! The monitor for guests with a kernel of their own, Linux: one process, one virtual machine, on a processor that runs
//! guests' ring 0 by hardware.
//!
//! | module | what is in it |
//! |---|---|
//! | [`options`] | the command line |
//! | [`host`] | what a host needs |
//! | [`start`] | from options to a guest that runs |
//! | [`layout`], [`memory`] | guest memory |
//! | [`boot`] | kernel, initial file system, what the kernel is told |
//! | [`cpu`] | virtual processors, and resets |
//! | [`platform`] | what loads and stores of the guest reach: [`serial`], [`registers`], [`virtio`] |
//! | [`channel`] | console, power button and boot marks, for the I/O thread |

#![deny(unsafe_code)]

pub mod boot;
pub mod channel;
pub mod cpu;
pub mod host;
pub mod layout;
pub mod memory;
pub mod options;
pub mod platform;
pub mod registers;
pub mod serial;
pub mod start;
pub mod virtio;
