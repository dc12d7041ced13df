//! What others ask of a switch and see of it: its configuration, the control socket's protocol with its client, and the
//! numbers and states that it shows. Nothing in here moves packets.

pub mod config;
pub mod control;
pub mod counters;
pub mod lacp;
pub mod mac;
