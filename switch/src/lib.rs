//! The MicroVisor data plane: packets between guests, and between guests and the wire, cross this process and never the
//! host kernel's network.
//!
//! `config` says what shall be, `manage` makes it so: it opens what stands behind the ports (`port`), decides which links
//! of a bond carry packets (`bond`), and gives each thread (`worker`) its devices and tables. A thread receives packets
//! (`frame`), decides where they go (`forward`), does what a receiver cannot (`offload`) and sends them. `control` is how
//! others ask for changes and look on; it and `config` are a crate of their own, for those who only ask.

#![warn(missing_docs)]
#![deny(unsafe_code)]

pub mod bond;
pub mod capture;
pub mod confine;
pub mod counters;
pub mod forward;
pub mod frame;
pub mod headers;
pub mod manage;
pub mod netns;
pub mod offload;
pub mod port;
mod port_id;
pub mod worker;

pub use switch_control::{config, control};
