//! The switch, with real devices, front ends and packets at its ports.

mod bonds;
mod counterparts;
mod faults;
mod forwarding;
mod limits;
mod peers;
mod ports;
