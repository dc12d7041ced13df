//! What every virtual machine has here, whatever runs in it: guest memory, net devices and their back ends, the I/O
//! loop, confinement, the control socket, the report of a start.
//!
//! | room | what is in it |
//! |---|---|
//! | [`memory`] | guest memory |
//! | [`net`], [`vhost`] | the virtio-net device on a TAP; the front end of vhost-user |
//! | [`io`] | the I/O thread: packets, console, control socket |
//! | [`vcpu`] | what the vCPU thread and the other threads share, and how it sleeps |
//! | [`confine`] | privileges, system call filters, signals |
//! | [`host`] | what is needed of the host's KVM |
//! | [`control`] | the protocol of the control socket, and its client |
//! | [`options`] | what the command lines of all monitors have in common |
//! | [`report`], [`ending`], [`status`], [`timeline`] | what a monitor tells its starter: refused, ready, ended; exit statuses; phases |
//!
//! A kind of machine (`vmm`: guests in ring 3) brings what it runs, and an implementation of [`io::Channel`].

#![deny(unsafe_code)]

mod address;
pub mod confine;
pub mod control;
pub mod ending;
pub mod error;
pub mod eventfd;
pub mod host;
pub mod io;
pub mod memory;
pub mod net;
pub mod options;
pub mod report;
pub mod status;
pub mod timeline;
pub mod vcpu;
pub mod vhost;
