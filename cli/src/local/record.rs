//! What a run directory says of its instance, and the names of its files.

use machine::error::Error;
use serde::{Deserialize, Serialize};

/// File that holds the [`Record`].
pub const RECORD: &str = "instance.json";
/// The record while it is written.
pub const RECORD_DRAFT: &str = ".record";
/// Control socket of the monitor.
pub const SOCKET: &str = "control.sock";

/// What is known of an instance beside what its monitor says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// Name of the instance.
    pub name: String,
    /// Name of the image.
    pub image: String,
    /// Configuration file.
    pub config: Option<String>,
    /// TAPs, in the order of its net devices.
    pub taps: Vec<String>,
    /// Process of the monitor.
    pub pid: u32,
    /// When it was started, nanoseconds since 1970.
    pub started_unix_ns: u64,
}

/// Refuses names that would leave the folder.
pub fn check_name(name: &str) -> Result<(), Error> {
    if api::instance::is_name(name) {
        return Ok(());
    }
    Err(Error::Configuration(format!(
        "{name:?} cannot name an instance: use letters, digits, - _ . (at most 63, a letter or digit first)"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_leave_the_folder_are_refused() {
        for name in ["", ".", "..", "a/b", "../x", "-x", "a b", &"x".repeat(64)] {
            assert!(check_name(name).is_err(), "{name}");
        }
        assert!(check_name("fw-1.a_b").is_ok());
    }
}
