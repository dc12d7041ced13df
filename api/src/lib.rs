//! What the node's API speaks of, and its client.
//!
//! [`instance`] with its [`health`], [`network`], [`flavor`], [`image`], [`token`], [`element`], [`status`] and [`usage`] are
//! its resources, [`event`] what happens to them, [`timeline`] how instances came to be. [`phases`] says whose component
//! does which phase, [`trace`] writes timelines for other tools. [`problem`] is how the API refuses (RFC 9457), [`client`]
//! asks it: blocking, over the node's Unix socket or TCP. [`local`] knows the names of instances that run without the node.
//!
//! Nothing here needs the daemon, its HTTP server or its store. The daemon adds the feature `server`, which describes the
//! types in its OpenAPI document and makes problems responses; `tls` lets the client use `https` URLs.

#![deny(unsafe_code)]
#![expect(clippy::result_large_err, reason = "problems are rare, and say a lot")]

pub mod client;
pub mod element;
pub mod event;
pub mod flavor;
pub mod health;
pub mod image;
pub mod instance;
pub mod local;
pub mod network;
pub mod phases;
pub mod problem;
pub mod status;
pub mod timeline;
pub mod token;
pub mod trace;
pub mod trace_context;
mod unix;
pub mod usage;

pub use problem::Problem;
