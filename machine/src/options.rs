//! Options that all monitors have in common.

use crate::confine::privileges;
use crate::error::Error;
use crate::report::{ReportTo, program};
use crate::timeline::Tsc;
use std::path::PathBuf;
use std::str::FromStr;

/// Options of every monitor.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Common {
    pub control: Option<PathBuf>,
    pub console: bool,
    pub report: Option<ReportTo>,
    pub origin: Option<Tsc>,
    /// Process id of the starter; this process ends when the starter ends.
    pub die_with_parent: Option<i32>,
    pub no_mounts: bool,
}

impl Default for Common {
    fn default() -> Self {
        Self {
            control: None,
            console: true,
            report: None,
            origin: None,
            die_with_parent: None,
            no_mounts: false,
        }
    }
}

impl Common {
    /// Parses the long option `name` with its value. Errors: the value is wrong, or there is no such option.
    pub fn take(&mut self, name: &str, parser: &mut lexopt::Parser) -> Result<(), Stop> {
        match name {
            "control" => self.control = Some(parser.value()?.into()),
            "console" => self.console = parse_switch("--console", &text(parser)?)?,
            "report" => self.report = Some(parser.value()?.into()),
            "origin" => self.origin = Some(Tsc(lexopt::ValueExt::parse(&parser.value()?)?)),
            "no-mounts" => self.no_mounts = true,
            "die-with-parent" => {
                // Without a number there is no way to tell that it ended before this line was read.
                self.die_with_parent = Some(match parser.optional_value() {
                    Some(pid) => lexopt::ValueExt::parse(&pid)?,
                    None => privileges::parent(),
                });
            }
            _ => return Err(lexopt::Error::UnexpectedOption(format!("--{name}")).into()),
        }
        Ok(())
    }

    /// Drops all privileges, and ends with the starter if the options say so.
    pub fn drop_privileges(&self) -> Result<(), Error> {
        privileges::drop_all(self.no_mounts)?;
        self.die_with_parent.map_or(Ok(()), privileges::die_with_parent)
    }
}

/// Why parsing of the command line stopped.
pub enum Stop {
    /// The syntax is wrong.
    Lexopt(lexopt::Error),
    /// A value is not possible.
    Monitor(Error),
}

impl From<lexopt::Error> for Stop {
    fn from(e: lexopt::Error) -> Self {
        Stop::Lexopt(e)
    }
}

impl From<Error> for Stop {
    fn from(e: Error) -> Self {
        Stop::Monitor(e)
    }
}

impl From<Stop> for Error {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Lexopt(e) => Error::Configuration(format!("{e}; see {} --help", program())),
            Stop::Monitor(e) => e,
        }
    }
}

/// The value of the current option as text.
pub fn text(parser: &mut lexopt::Parser) -> Result<String, Stop> {
    Ok(lexopt::ValueExt::string(parser.value()?)?)
}

/// The error for a value that an option cannot have.
pub fn invalid(what: &str, value: &str) -> Error {
    Error::Configuration(format!("{what}: {value:?} will not do; see {} --help", program()))
}

/// Parses a number, an address or the like.
pub fn number<T: FromStr>(what: &str, value: &str) -> Result<T, Error> {
    value.parse().map_err(|_| invalid(what, value))
}

/// Parses `on` or `off`.
pub fn parse_switch(what: &str, value: &str) -> Result<bool, Error> {
    match value {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(invalid(what, value)),
    }
}

/// Parses a unicast Ethernet address, `02:00:00:00:00:01`.
pub fn parse_mac(text: &str) -> Option<[u8; 6]> {
    let mut mac = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut mac {
        *byte = u8::from_str_radix(parts.next()?, 16).ok()?;
    }
    (parts.next().is_none() && mac[0] & 1 == 0).then_some(mac)
}
