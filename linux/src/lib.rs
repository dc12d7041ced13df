//! The monitor for Linux guests: one process runs one virtual machine. It needs a processor with hardware virtualisation.
//!
//! | module | content |
//! |---|---|
//! | [`options`] | the command line |
//! | [`host`] | requirements of the host |
//! | [`start`] | from the options to a running guest |
//! | [`layout`], [`memory`] | guest memory |
//! | [`boot`] | kernel, initial file system, boot parameters |
//! | [`cpu`] | virtual processors, and resets |
//! | [`platform`] | dispatch of port and memory-mapped I/O to [`serial`], [`registers`], [`virtio`] |
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
