//! The Click language and its elements: parse a configuration, check it, build the graph, run it.
//!
//! No I/O of its own: a [`Host`] gives it devices, a clock and a place to print. The same crate checks a
//! configuration on a developer's desk and runs it in a guest.
//!
//! | module | what it does |
//! |---|---|
//! | [`diagnostic`] | errors that point into the source |
//! | [`lang`] | text to a flat list of elements and connections |
//! | [`args`] | the one parser of elements' arguments |
//! | [`element`] | what an element is |
//! | [`host`] | the world outside of a router |
//! | [`elements`] | the library, one file an element |
//! | [`graph`] | ports: how many, push or pull, all connected |
//! | `build` | all of these together: text to elements that fit |
//! | [`engine`], `schedule` | moves batches, lets tasks take turns, fires timers |
//! | [`handlers`] | values to read and write while it runs |
//! | [`router`] | the configuration as a whole, for whoever runs it |
//! | [`packet`], [`headers`] | what flows through it |
//! | `threads` | one router on several threads, on hosts that have them |
//!
//! A host checks a file with [`check`], makes a [`Router`], and calls [`Router::run`] as [`Host`] describes.
#![cfg_attr(not(test), no_std)]
#![deny(unsafe_code)]

extern crate alloc;
#[cfg(feature = "host")]
extern crate std;

pub mod args;
mod build;
mod decimal;
pub mod decision;
pub mod diagnostic;
pub mod element;
pub mod elements;
pub mod engine;
pub mod graph;
pub mod handlers;
pub mod headers;
pub mod host;
pub mod lang;
pub mod packet;
pub mod router;
mod schedule;
#[cfg(feature = "host")]
pub mod threads;

pub use diagnostic::{Diagnostic, Diagnostics, Severity, Source};
pub use element::{DeviceId, DeviceInfo, Host, Nanos};
pub use handlers::HandlerError;
pub use packet::{Batch, Packet};
pub use router::{Addressed, Checked, Misfit, Progress, Router, check, check_for};
