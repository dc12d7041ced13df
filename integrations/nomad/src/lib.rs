//! A task driver for HashiCorp Nomad: its tasks are instances of a MicroVisor node.
//!
//! A client of Nomad starts this program, reads one line from it, and asks it over gRPC from then on. [`plugin`] is that
//! part, the same for plugins of any kind; [`schema`] says which HCL jobs and agents may write, and reads it; [`driver`] answers
//! Nomad's calls; [`task`] has what one task is made of; [`node`] asks the node, by its API alone. [`timeline`] is a program
//! beside: it adds what Nomad did for an allocation to the node's timeline of it.
//!
//! The program may be killed at any time. Tasks are the node's and live on; what the next one needs to know of them
//! is in their handles, which Nomad keeps, and in the labels of instances.

#![deny(unsafe_code)]
#![expect(clippy::result_large_err, reason = "a status of gRPC is that large, and an error is rare")]

pub mod driver;
pub mod node;
pub mod plugin;
pub mod schema;
pub mod task;
pub mod timeline;

/// Messages and services, made from `proto/`.
#[allow(missing_docs, clippy::all)]
pub mod proto {
    include!(concat!(env!("OUT_DIR"), "/definitions.rs"));

    pub use google::rpc;
    pub use grpc::health::v1 as health;
    pub use hashicorp::nomad::plugins::base::proto as base;
    pub use hashicorp::nomad::plugins::drivers::proto as drivers;
    pub use hashicorp::nomad::plugins::shared::{hclspec, structs};
}
