//! NetPIPE's protocol over TCP, as NPtcp 3.7.2 speaks it, without any I/O.
//!
//! The transmitter connects. Both say [`SYNC`] and read the other's; [`WARM_UP`] messages of the first size go back
//! and forth; both say [`SYNC`] once more. Then, for each size of the [`schedule`], which both know: [`SYNC`]; the transmitter
//! says how often each trial goes back and forth, as four bytes, the highest first; and [`TRIALS`] times [`SYNC`] and the
//! messages. Instead of the [`SYNC`] of another size the transmitter may say [`QUIT`], which the receiver repeats.
#![no_std]
#![deny(unsafe_code)]

extern crate alloc;

pub mod options;
pub mod schedule;

/// Each side says so, and waits for the other's.
pub const SYNC: [u8; 6] = *b"SyncMe";
/// The end.
pub const QUIT: [u8; 5] = *b"QUIT\0";
/// Messages back and forth before the first size.
pub const WARM_UP: u32 = 100;
/// How often each size is measured; the shortest time counts.
pub const TRIALS: u32 = 3;
/// Where receivers listen, unless told otherwise.
pub const PORT: u16 = 5002;
