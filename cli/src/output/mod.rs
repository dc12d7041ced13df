//! Everything that the command prints: results on standard output, complaints on standard error, and what becomes of a
//! command whose output nobody takes.

mod table;
mod timeline;

pub use table::table;
pub use timeline::{bars, of_monitor};

use machine::error::Error;
use machine::status;
use serde::Serialize;
use std::fmt::Display;
use std::io::{self, Write};

/// Why a command did not do all that it was asked to.
#[derive(Debug)]
pub enum Failure {
    /// Something is wrong; the user has not been told yet.
    Message {
        /// What happened.
        message: String,
        /// The next step, if there is one to name.
        hint: Option<String>,
        /// Exit status.
        status: u8,
    },
    /// The user has been told; the exit status.
    Reported(u8),
    /// Standard output cannot be written to.
    Output(io::Error),
}

impl Failure {
    /// A failure without a next step.
    pub fn new(message: impl Display, status: u8) -> Self {
        Failure::Message { message: message.to_string(), hint: None, status }
    }

    /// The same with a next step.
    pub fn hint(self, next: impl Display) -> Self {
        match self {
            Failure::Message { message, status, .. } => {
                Failure::Message { message, hint: Some(next.to_string()), status }
            }
            other => other,
        }
    }

    /// Tells the user; the exit status. A reader that went away (`microvisor ps | head -1`) ends a command quietly, as
    /// SIGPIPE would.
    pub fn report(self) -> u8 {
        match self {
            Failure::Message { message, hint, status } => {
                complain(&message, hint.as_deref());
                status
            }
            Failure::Reported(status) => status,
            Failure::Output(e) if e.kind() == io::ErrorKind::BrokenPipe => {
                status::SIGNAL + libc::SIGPIPE as u8
            }
            Failure::Output(e) => {
                complain(&format!("cannot write to standard output: {e}"), None);
                status::HOST
            }
        }
    }
}

impl From<Error> for Failure {
    fn from(e: Error) -> Self {
        Failure::Message { message: e.to_string(), hint: e.hint().map(str::to_owned), status: e.status() }
    }
}

/// Prints a command's result. Nothing else in this crate writes to standard output, except the console of a guest.
pub fn print(text: impl AsRef<[u8]>) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_ref()).and_then(|()| out.flush()).map_err(Failure::Output)
}

/// Prints a value as one line of JSON.
pub fn json(value: &impl Serialize) -> Result<(), Failure> {
    let mut line = serde_json::to_vec(value).unwrap_or_default();
    line.push(b'\n');
    print(line)
}

/// Writes to standard error. There is nowhere left to report that it cannot be written to.
pub fn note(text: impl Display) {
    let _ = write!(io::stderr(), "{text}");
}

/// Says what may be wrong.
pub fn warn(message: &str) {
    note(format!("microvisor: warning: {message}\n"));
}

/// Says what went wrong and what to do about it.
pub fn complain(message: &str, hint: Option<&str>) {
    note(match hint {
        Some(hint) => format!("microvisor: {message}\n  {hint}\n"),
        None => format!("microvisor: {message}\n"),
    });
}

/// Does something for each of several names, and goes on after a failure.
pub fn each(names: &[String], mut act: impl FnMut(&str) -> Result<(), Failure>) -> Result<(), Failure> {
    let mut worst = Ok(());
    for name in names {
        match act(name) {
            Ok(()) => {}
            Err(Failure::Output(e)) => return Err(Failure::Output(e)),
            Err(failure) => worst = Err(Failure::Reported(failure.report())),
        }
    }
    worst
}
