//! The control interface of the switch: its configuration, the protocol and client of the control socket, counters and states.
//! Nothing in this crate moves packets.

pub mod config;
pub mod control;
pub mod counters;
pub mod lacp;
pub mod mac;
