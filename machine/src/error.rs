//! Why an instance cannot start, sorted by who can do something about it.

use crate::address::Outside;
use crate::status;
use std::io;

/// Everything that can go wrong before the guest runs.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A system call failed that had no reason to.
    #[error("cannot {doing}: {source}")]
    System {
        /// What was being done.
        doing: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// The image is not one, or does not fit this monitor or instance.
    #[error("image {0}")]
    Image(String),
    /// The options do not make sense together.
    #[error("{0}")]
    Configuration(String),
    /// The user may not.
    #[error("no permission to {doing}")]
    Permission {
        /// What was being done.
        doing: String,
        /// What would allow it.
        hint: String,
    },
    /// The host cannot run guests, or something wanted is in use.
    #[error("{problem}")]
    Host {
        /// What is missing or taken.
        problem: String,
        /// What to do about it.
        hint: String,
    },
    /// It was asked to stop before its guest had begun.
    #[error("stopped by signal {signal} before the guest began")]
    Stopped {
        /// The signal's number.
        signal: u8,
    },
    /// The memory layout does not hold together.
    #[error("memory layout: {0}")]
    Layout(#[from] Outside),
}

impl Error {
    /// The failed system call's error, with what was being done.
    pub fn system(doing: &'static str) -> Self {
        Error::System { doing, source: io::Error::last_os_error() }
    }

    /// As [`Error::system`], from an error that `kvm-ioctls` kept.
    pub fn kvm(doing: &'static str) -> impl Fn(kvm_ioctls::Error) -> Self {
        move |e| Error::System { doing, source: io::Error::from_raw_os_error(e.errno()) }
    }

    /// The image is refused.
    pub fn image(why: impl Into<String>) -> Self {
        Error::Image(why.into())
    }

    /// Exit status for a process that ends because of this.
    pub fn status(&self) -> u8 {
        match self {
            Error::System { .. } | Error::Layout(_) => status::MONITOR,
            Error::Image(_) => status::IMAGE_REFUSED,
            Error::Configuration(_) => status::CONFIGURATION_REFUSED,
            Error::Permission { .. } => status::PERMISSION,
            Error::Host { .. } => status::HOST,
            Error::Stopped { signal } => status::SIGNAL + signal,
        }
    }

    /// The next step, if there is one to name.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Error::Permission { hint, .. } | Error::Host { hint, .. } => Some(hint),
            _ => None,
        }
    }
}
