//! The control socket's protocol: one JSON object a line, a [`Request`] answered by a [`Response`]. After a granted
//! [`Request::Console`] the connection carries raw console bytes both ways.

use crate::error::Error;
use crate::net::Counters;
use crate::timeline::Timeline;
use serde::{Deserialize, Serialize};
use std::os::unix::net::UnixListener;
use std::path::Path;

mod client;

pub use client::{CallError, Client};

/// Longest line of the protocol, bytes: a request may carry a whole configuration, escaped.
pub const LINE_MAXIMUM: usize = 8 << 20;

/// Listens at a path, non-blocking.
pub fn listen(path: &Path) -> Result<UnixListener, Error> {
    let listener = listener::bind(path).and_then(|l| l.set_nonblocking(true).map(|()| l));
    listener.map_err(|e| Error::Host {
        problem: format!("control socket {}: {e}", path.display()),
        hint: "choose another path, or remove what is left of an instance that ended".into(),
    })
}

/// What can be asked of a running instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case")]
pub enum Request {
    /// Its state: [`Instance`].
    Inspect,
    /// How it came to be: [`Timeline`].
    Timeline,
    /// Ask the guest to stop; kill it after the grace period.
    Stop {
        /// Grace period, milliseconds.
        grace_ms: u32,
    },
    /// Turn this connection into the console. The answer's value is the number of bytes that were written before the first
    /// that comes.
    Console,
    /// Value of a handler.
    Read {
        /// `ELEMENT.HANDLER`.
        handler: String,
    },
    /// Write a handler.
    Write {
        /// `ELEMENT.HANDLER`.
        handler: String,
        /// What to write.
        value: String,
    },
    /// Run another configuration from now on.
    Configure {
        /// The configuration itself.
        config: String,
    },
    /// The guest's own numbers.
    Statistics,
    /// Keep the guest from running.
    Pause,
    /// Let it run on.
    Resume,
}

/// The answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "response", rename_all = "kebab-case")]
pub enum Response {
    /// Done; a text where the request has one.
    Done {
        /// The value asked for.
        value: String,
    },
    /// To [`Request::Inspect`].
    Instance(Instance),
    /// To [`Request::Timeline`].
    Timeline(Timeline),
    /// Not done.
    Refused {
        /// Why, sorted.
        kind: RefusalKind,
        /// Why, in words.
        message: String,
    },
}

/// Why a request was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefusalKind {
    /// Not a request.
    Malformed,
    /// The guest does not know this kind of request.
    Unsupported,
    /// No such element or handler.
    NotFound,
    /// Not for this.
    Forbidden,
    /// The guest does not want the value.
    Refused,
    /// The guest has not taken earlier requests yet.
    Busy,
    /// The instance ended.
    Ended,
}

/// A running instance.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Instance {
    /// The image's own name.
    pub image: String,
    /// Process of the monitor.
    pub pid: u32,
    /// Guest memory, bytes.
    pub memory: u64,
    /// Whether the guest said that it is ready.
    pub ready: bool,
    /// Nanoseconds since entry.
    pub up_ns: u64,
    /// A counter block a net device.
    pub net: Vec<Counters>,
    /// The guest's own counters, as it claims them: received, transmitted, dropped, yields, heap bytes in use.
    pub guest: Vec<u64>,
}
