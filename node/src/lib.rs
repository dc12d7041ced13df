//! The node: one daemon that turns a host into a place where network functions are started, watched and stopped through an
//! API. It is whole by itself on one host.
//!
//! The crate `api` has what the API speaks of. Here, `store` is what outlives the daemon (SQLite); `images`, `network` and
//! `instance` are what the node looks after; `host` is what it runs on, `http` the server, `settings` the configuration.
//!
//! The switch and the monitors are processes of their own, which outlive the daemon: the next one finds them by what the
//! store says.

#![warn(missing_docs)]
#![deny(unsafe_code)]
#![expect(clippy::result_large_err, reason = "problems are seldom made, and say a lot")]

pub mod audit;
pub mod cgroup;
pub mod confinement;
mod desired;
pub mod disks;
pub mod events;
pub mod failpoint;
pub mod host;
pub mod http;
pub mod images;
pub mod instance;
pub mod network;
pub mod node;
pub mod otlp;
pub mod process;
pub mod removal;
pub mod service;
pub mod settings;
pub mod starts;
pub mod store;
pub mod tls;
