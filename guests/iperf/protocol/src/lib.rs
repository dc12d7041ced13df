//! iperf3's protocol (as of 3.12), without any I/O.
//!
//! The client opens a control connection and sends a cookie. From then on the server names a [`state::State`] a byte at
//! a time; in some of them the two exchange JSON behind four bytes of length, [`parameters`] at first, [`results`] at
//! the end. Data flows meanwhile on connections of their own that begin with the same cookie, or in datagrams
//! ([`datagram`]). [`options`] reads the words of iperf3's command line, [`pace`] keeps a sender to its rate.
#![no_std]
#![deny(unsafe_code)]

extern crate alloc;

pub mod datagram;
pub mod options;
pub mod pace;
pub mod parameters;
pub mod report;
pub mod results;
pub mod state;

/// Bytes of a cookie: 36 characters and a zero.
pub const COOKIE: usize = 37;
/// Where servers listen, unless told otherwise; TCP and UDP.
pub const PORT: u16 = 5201;
/// Most bytes of JSON that are taken from a peer.
pub const JSON_MAXIMUM: usize = 64 << 10;
/// Most parallel streams.
pub const STREAMS_MAXIMUM: u32 = 32;
/// Most bytes that are sent at a time.
pub const BLOCK_MAXIMUM: u32 = 1 << 20;

/// A number for a stream: iperf3 counts 1, 3, 4, 5 and so on.
pub fn stream_id(index: usize) -> u32 {
    if index == 0 { 1 } else { index as u32 + 2 }
}
