//! The MicroVisor monitor: one process, one virtual machine, one guest.
//!
//! [`machine`] puts an instance together, from [`options`] to the end. [`image`] checks what shall run, [`layout`]
//! and [`paging`] decide where everything lies, [`cpu`] and [`vcpu`] run it, [`io`] does everything beside, [`vhost`] speaks with back ends of net devices.
//! [`shell`] is how a monitor is prepared before it is known what it shall run.
//!
//! Others use [`control`] (the protocol of a running instance), [`report`] (what a monitor tells its starter),
//! [`timeline`] (the phase model), [`image`], [`tap`] and [`status`].

#![deny(unsafe_code)]

pub use abi;

pub mod builtin;
pub mod clock;
pub mod console;
pub mod control;
pub mod control_ring;
pub mod cpu;
pub mod error;
pub mod fault;
pub mod host;
pub mod image;
pub mod io;
mod ioctls;
pub mod layout;
pub mod machine;
pub mod marks;
pub mod memory;
pub mod net;
pub mod options;
pub mod paging;
pub mod privileges;
pub mod report;
pub mod seccomp;
pub mod shell;
pub mod signals;
pub mod status;
pub mod tap;
pub mod timeline;
pub mod vcpu;
pub mod vhost;
pub mod virtqueue;
