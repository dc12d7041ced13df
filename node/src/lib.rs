//! The node: one daemon that turns a host into a place where network functions are started, watched and stopped through an
//! API. It is whole by itself on one host.
//!
//! `model` has what the API speaks of, `phases` what instantiations are made of, `problem` how it says no, `store` what outlives the daemon (SQLite), `images`,
//! `network` and `instance` what the node looks after, `host` what it runs on, `api` the HTTP side, `client` its other end, `settings` the
//! configuration.
//!
//! The switch and the monitors are processes of their own, which outlive the daemon: the next one finds them by what the
//! store says.

#![warn(missing_docs)]
#![deny(unsafe_code)]
#![expect(clippy::result_large_err, reason = "problems are seldom made, and say a lot")]

pub mod api;
pub mod cgroup;
pub mod client;
pub mod confinement;
pub mod events;
pub mod host;
pub mod images;
pub mod instance;
pub mod model;
pub mod network;
pub mod node;
pub mod phases;
pub mod problem;
pub mod process;
pub mod settings;
pub mod store;
pub mod tls;
pub mod trace;
