//! What the monitor tells the process that started it, a JSON object a line.

use crate::ending::Ending;
use crate::timeline::Timeline;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::Write;
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

/// Name of this program.
static PROGRAM: OnceLock<&'static str> = OnceLock::new();

/// Says what this program is called, once, before it says anything.
pub fn call_me(name: &'static str) {
    let _ = PROGRAM.set(name);
}

/// Says something on standard error. A reader that is gone changes nothing.
pub fn say(text: &str) {
    let program = PROGRAM.get().unwrap_or(&"microvisor-vmm");
    let _ = writeln!(std::io::stderr(), "{program}: {text}");
}

/// Sends the report to a descriptor, or, without one, says the end in words on standard error.
pub struct Reporter(pub Option<File>);

impl Reporter {
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
        say(&text);
    }
}
