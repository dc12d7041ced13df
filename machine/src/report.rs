//! What the monitor tells the process that started it, a JSON object a line.

use crate::ending::Ending;
use crate::error::Error;
use crate::timeline::Timeline;
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::os::fd::{FromRawFd, RawFd};
use std::path::PathBuf;
use std::sync::OnceLock;

/// A line of the report.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "report", rename_all = "kebab-case")]
pub enum Report {
    /// Nothing was started.
    Refused {
        /// Why.
        message: String,
        /// The next step, if there is one to name.
        hint: Option<String>,
        /// Exit status that follows.
        status: u8,
    },
    /// The guest said that it is ready.
    Ready {
        /// How it came to be.
        timeline: Timeline,
    },
    /// A net device's other end is gone, for good. The guest runs on.
    DeviceLost {
        /// Which of the guest's net devices, from 0.
        device: usize,
        /// Why.
        message: String,
    },
    /// The instance has ended. The last line.
    End {
        /// How.
        ending: Ending,
        /// Exit status that follows.
        status: u8,
        /// How it came to be.
        timeline: Timeline,
        /// The last of its console.
        console: String,
    },
}

/// Where the report goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReportTo {
    /// A descriptor that was handed over.
    Descriptor(RawFd),
    /// The end of a file.
    File(PathBuf),
}

impl From<OsString> for ReportTo {
    fn from(value: OsString) -> Self {
        match value.to_str().and_then(|text| text.parse().ok()) {
            Some(fd) => Self::Descriptor(fd),
            None => Self::File(value.into()),
        }
    }
}

/// Name of this program.
static PROGRAM: OnceLock<&'static str> = OnceLock::new();

/// Says what this program is called, once, before it says anything.
pub fn set_program(name: &'static str) {
    let _ = PROGRAM.set(name);
}

/// What this program is called.
pub fn program() -> &'static str {
    PROGRAM.get().unwrap_or(&"microvisor-vmm")
}

/// Says something on standard error. A reader that is gone changes nothing.
pub fn print_error(text: &str) {
    let _ = writeln!(std::io::stderr(), "{}: {text}", program());
}

/// From now on a panic ends the process, in words. No backtrace: it would open files, which no thread may once the guest
/// runs.
pub fn abort_at_panic() {
    std::panic::set_hook(Box::new(|info| {
        print_error(&info.to_string());
        std::process::abort();
    }));
}

/// Sends the report to a descriptor, or, without one, says the end in words on standard error.
pub struct Reporter(pub Option<File>);

impl Reporter {
    /// Opens where the report goes, for the program and once more for what it says at its end.
    #[allow(unsafe_code)]
    pub fn open(to: Option<&ReportTo>) -> Result<[Self; 2], Error> {
        let first = to.map(|to| match to {
            // SAFETY: the starter opened it for this, and nothing else in this process uses it.
            ReportTo::Descriptor(fd) => Ok(unsafe { File::from_raw_fd(*fd) }),
            ReportTo::File(path) => File::options()
                .append(true)
                .create(true)
                .open(path)
                .map_err(|e| Error::Configuration(format!("--report {}: {e}", path.display()))),
        });
        let first = first.transpose()?;
        let second = first.as_ref().and_then(|file| file.try_clone().ok());
        Ok([Self(first), Self(second)])
    }

    /// Says that nothing was started, and why; the exit status.
    pub fn refuse(&mut self, e: &Error) -> u8 {
        let (message, hint) = (e.to_string(), e.hint().map(str::to_owned));
        self.send(&Report::Refused { message, hint, status: e.status() });
        e.status()
    }

    /// Sends a line.
    pub fn send(&mut self, report: &Report) {
        if let Some(file) = &mut self.0 {
            let mut line = serde_json::to_vec(report).unwrap_or_default();
            line.push(b'\n');
            // Without a reader there is nobody to tell.
            let _ = file.write_all(&line);
            return;
        }
        let text = match report {
            Report::Refused { message, hint: Some(hint), .. } => format!("{message}\n  {hint}"),
            Report::Refused { message, .. } | Report::End { ending: Ending::Monitor { message }, .. } => {
                message.clone()
            }
            Report::End { ending: Ending::Fault(fault), .. } => fault.to_string(),
            _ => return,
        };
        print_error(&text);
    }
}
