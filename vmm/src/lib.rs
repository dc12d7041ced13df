//! The MicroVisor monitor for ring-3 guests: one process, one virtual machine, one guest.
//!
//! | module | content |
//! |---|---|
//! | [`options`] | the command line |
//! | [`image`] | guest images: checks, and the built-in ones |
//! | [`memory_map`] | guest-physical memory: layout, page tables, descriptor tables and fault gates, boot page |
//! | [`cpu`] | the virtual processor: its registers, and the thread that runs it |
//! | [`channel`] | control ring between monitor and guest, boot marks |
//! | [`start`] | from the options to a running guest, at once or prepared |
//!
//! Parts that do not depend on ring 3 (memory, devices, the I/O thread, confinement, control socket) are in `machine`.

#![deny(unsafe_code)]

pub mod channel;
pub mod cpu;
pub mod image;
pub mod memory_map;
pub mod options;
pub mod start;
