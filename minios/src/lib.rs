//! The runtime that every MicroVisor guest links.
//!
//! A guest is one program in ring 3 of its own virtual machine, with one processor, no interrupts and no kernel below
//! it. What an operating system would do for it is here, as a library: it starts in [`entry`], allocates from
//! [`heap`], tells the time by [`clock`], talks to its operator through [`console`] and [`control`], carries packets
//! with [`net`], and waits in [`idle`]. [`executor`] runs asynchronous guests on top of these; a guest that has a
//! loop of its own, as ClickOS has, does without.
//!
//! ```ignore
//! #![no_std]
//! #![no_main]
//!
//! minios::image! { name: "hello", main: main }
//!
//! fn main() {
//!     minios::println!("Hello from ring 3.");
//! }
//! ```
//!
//! The contract with the monitor is the crate `abi`; `docs/writing-guests.md` is the tutorial. Unsafe code is in the
//! modules that say so at their top, and nowhere else.
#![cfg_attr(not(test), no_std)]
#![deny(unsafe_code)]

extern crate alloc;

pub mod boot;
pub mod clock;
pub mod console;
pub mod control;
pub mod entry;
pub mod executor;
pub mod future;
mod global;
pub mod heap;
pub mod idle;
mod image;
mod memory;
pub mod net;
#[cfg(not(test))]
mod panic;
mod polling;
#[cfg(not(test))]
mod prepared;
pub mod random;
pub mod registers;

pub use entry::{ExitCode, exit};
#[doc(hidden)]
pub use image::{Note, nothing};

/// The guest ABI, for guests that go below this crate.
pub use abi;
