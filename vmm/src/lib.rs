//! The MicroVisor monitor for ring-3 guests: one process, one virtual machine, one guest.
//!
//! | room | what is in it |
//! |---|---|
//! | [`options`] | the command line |
//! | [`image`] | guest images: checks, and those that come with MicroVisor |
//! | [`memory_map`] | where everything lies: layout, page tables, descriptor tables and fault gates, boot page |
//! | [`cpu`] | the virtual processor: its registers, and the thread that runs it |
//! | [`channel`] | between monitor and guest: control ring and boot marks |
//! | [`start`] | from options to a running guest, at once or prepared |
//!
//! What has nothing to do with ring 3 (memory, devices, the I/O thread, confinement, control socket) is in `machine`.

#![deny(unsafe_code)]

pub mod channel;
pub mod cpu;
pub mod image;
pub mod memory_map;
pub mod options;
pub mod start;
