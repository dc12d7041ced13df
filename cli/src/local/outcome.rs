//! What a run says: events in JSON for programs, and in words how it came out.

use super::record::Record;
use super::symbols;
use crate::options::TimelineForm;
use crate::output::{self, Failure, bars, complain, note, of_monitor};
use api::trace::flat;
use machine::ending::Ending;
use machine::status;
use machine::timeline::Timeline;
use serde::{Deserialize, Serialize};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;

/// How a run talks.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    /// JSON, one object per line.
    pub json: bool,
    /// Whether and how to show the timeline.
    pub timeline: Option<TimelineForm>,
}

/// A line of a run's JSON output.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event<'a> {
    /// Nothing was started.
    Refused {
        /// Why.
        message: &'a str,
        /// The next step, if there is one to name.
        hint: Option<&'a str>,
        /// Exit status.
        status: u8,
    },
    /// The monitor runs.
    Started {
        /// Name of the instance.
        name: &'a str,
        /// Process of the monitor.
        pid: u32,
        /// Name of the image.
        image: &'a str,
    },
    /// Console output.
    Console {
        /// What the guest printed; bytes that are not UTF-8 are replaced.
        text: &'a str,
    },
    /// The guest said that it is ready.
    Ready {
        /// Where the time of its start went.
        timeline: &'a Timeline,
    },
    /// The instance ended.
    Ended {
        /// How, in words.
        message: &'a str,
        /// How, as the monitor says it.
        ending: Option<&'a Ending>,
        /// Exit status.
        status: u8,
        /// Where the time of its start went.
        timeline: Option<&'a Timeline>,
    },
}

/// How a run came out.
#[derive(Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// Exit status.
    pub status: u8,
    /// In words.
    pub message: String,
    /// The next step, if there is one to name.
    pub hint: Option<String>,
    /// How the instance ended, if it was started.
    pub ending: Option<Ending>,
    /// Where the time of its start went.
    pub timeline: Option<Timeline>,
    /// The last of its console.
    pub console: String,
}

/// What a guest says that needs more memory than it has: minios, the C library, Rust.
const OUT_OF_MEMORY: [&str; 3] = ["memory allocation", "out of memory", "Cannot allocate memory"];

impl Outcome {
    /// An end before the guest was ready, which nobody who watches its console has seen: its last words, and what to do.
    pub fn unseen(mut self) -> Self {
        let last = self.console.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default().to_owned();
        if matches!(self.ending, Some(Ending::Exit { .. })) {
            self.message = format!("{} before it was ready", self.message);
        }
        if !last.is_empty() {
            self.message = format!("{}; its last words: {last}", self.message);
        }
        if OUT_OF_MEMORY.iter().any(|words| self.console.contains(words)) {
            self.hint = Some("give it more memory: --memory MIB".into());
        }
        self
    }
}

impl Output {
    /// Nothing was started; the exit status.
    pub fn refused(self, message: &str, hint: Option<&str>, status: u8) -> Result<u8, Failure> {
        if self.json {
            output::json(&Event::Refused { message, hint, status })?;
        } else {
            complain(message, hint);
        }
        Ok(status)
    }

    /// The monitor runs.
    pub fn started(self, record: &Record) -> Result<(), Failure> {
        let Record { name, pid, image, .. } = record;
        output::json(&Event::Started { name, pid: *pid, image })
    }

    /// Shows a timeline in the form that was asked for, if any.
    pub fn timeline(self, timeline: &Timeline) {
        match self.timeline {
            Some(TimelineForm::Bars) if !self.json => note(bars(&flat(&of_monitor("", timeline)))),
            Some(TimelineForm::Json) if !self.json => {
                note(format!("{}\n", serde_json::to_string(timeline).unwrap_or_default()));
            }
            _ => {}
        }
    }

    /// Tells how a run came out; the exit status of the command.
    pub fn finish(self, outcome: Outcome) -> Result<u8, Failure> {
        let silent =
            matches!(&outcome.ending, Some(Ending::Exit { code }) if *code <= status::GUEST_MAXIMUM.into());
        self.print_outcome(outcome, silent)
    }

    /// Tells how a run came out, which nobody has seen yet; the exit status of the command.
    pub fn finish_unseen(self, outcome: Outcome) -> Result<u8, Failure> {
        if matches!(outcome.ending, Some(Ending::Exit { code: 0 })) {
            return self.finish(outcome);
        }
        self.print_outcome(outcome.unseen(), false)
    }

    fn print_outcome(self, outcome: Outcome, silent: bool) -> Result<u8, Failure> {
        let Outcome { status, message, hint, ending, timeline, .. } = outcome;
        if self.json {
            if ending.is_none() && timeline.is_none() && status < status::SIGNAL {
                return self.refused(&message, hint.as_deref(), status);
            }
            let (ending, timeline) = (ending.as_ref(), timeline.as_ref());
            output::json(&Event::Ended { message: &message, ending, status, timeline })?;
            return Ok(status);
        }
        if !silent {
            complain(&message, hint.as_deref());
        }
        if let Some(timeline) = &timeline {
            self.timeline(timeline);
        }
        Ok(status)
    }
}

/// How an instance ended, in words.
pub fn describe(ending: &Ending, status: u8, image: &Path) -> String {
    match ending {
        Ending::Exit { code } if *code > status::GUEST_MAXIMUM.into() => {
            format!("the guest exited with code {code}, reported as {}", status::GUEST_MAXIMUM)
        }
        Ending::Exit { .. } if status > status::SIGNAL => {
            format!("stopped by signal {}", status - status::SIGNAL)
        }
        Ending::Exit { code } => format!("the guest exited with code {code}"),
        Ending::Fault(fault) => symbols::explain(fault, image),
        Ending::Killed => "the guest did not stop in time and was killed".into(),
        Ending::Monitor { message } => message.clone(),
    }
}

/// The monitor ended without a report of its end.
pub fn lost(exit: io::Result<ExitStatus>) -> Outcome {
    let (status, message) = match exit.map(|e| (e.signal(), e.code())) {
        Ok((Some(libc::SIGSYS), _)) => (
            status::MONITOR,
            "the monitor made a system call that its filter forbids: this is a bug in MicroVisor".into(),
        ),
        Ok((Some(signal), _)) => {
            (status::SIGNAL.wrapping_add(signal as u8), format!("the monitor was killed by signal {signal}"))
        }
        Ok((_, code)) => (
            status::MONITOR,
            format!("the monitor ended without saying why (exit status {})", code.unwrap_or(-1)),
        ),
        Err(e) => (status::MONITOR, format!("the monitor is lost: {e}")),
    };
    Outcome { status, message, hint: None, ending: None, timeline: None, console: String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guest_that_had_too_little_memory_says_so_and_what_to_do() {
        let console = "hello\npanic at alloc.rs:553: memory allocation of 152 bytes failed\n\n".to_owned();
        let outcome = Outcome {
            status: 101,
            message: "the guest exited with code 101".into(),
            hint: None,
            ending: Some(Ending::Exit { code: 101 }),
            timeline: None,
            console,
        };
        let told = outcome.unseen();
        let wanted = "the guest exited with code 101 before it was ready; its last words: panic at alloc.rs:553: memory \
            allocation of 152 bytes failed";
        assert_eq!(told.message, wanted);
        assert!(told.hint.is_some_and(|hint| hint.contains("--memory")));
    }
}
