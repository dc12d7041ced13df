//! Redis' protocol, data types and commands, without I/O.
//!
//! A host gives an [`Engine`] what it needs: the bytes that clients send, the time, and how much memory is in use. It
//! takes from it the bytes to send. On the way: [`resp`] finds requests in the bytes, [`engine`] checks and dispatches
//! them, [`commands`] has a file per family, and [`store`] a file per type.
//!
//! Nothing is written to a disk, and nothing here allocates more than there is: what a client can make large (requests,
//! replies, values) is checked against the memory left before it grows.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod blocked;
mod client;
mod commands;
mod engine;
mod error;
mod glob;
mod listpack;
mod memory;
mod number;
mod resp;
mod server;
mod stats;
mod store;
mod table;

pub use engine::{Engine, Setup};
