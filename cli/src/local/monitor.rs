//! A monitor process: its start, and its report until it ends.

use super::directory::RunDirectory;
use super::outcome::{Outcome, describe, lost};
use super::record::Record;
use crate::output::note;
use crate::process;
use machine::report::Report;
use machine::status;
use machine::timeline::Tsc;
use machine::timeline::{Phase, Timeline};
use std::io::{self, BufRead, BufReader, PipeReader, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Longest line of a report, bytes.
const LINE_MAXIMUM: u64 = 16 << 20;

/// All that a monitor is given, ready to start.
#[derive(Debug)]
pub struct Monitor {
    /// What the user's TAPs were like before, restored with this value: ahead of the run directory's end, which tells that
    /// nothing is left of the instance.
    pub taps: Vec<tap::SavedSettings>,
    /// Its program.
    pub program: &'static str,
    /// Its run directory, removed with this value.
    pub directory: RunDirectory,
    /// What `ps` shows of it.
    pub record: Record,
    /// Image file, for symbols.
    pub image: PathBuf,
    /// Command line, without the program.
    pub arguments: Vec<String>,
    /// Descriptors that the command line names.
    pub keep: Vec<OwnedFd>,
    /// Phases of the start that are over, with their begin and end.
    pub phases: Vec<(Phase, Tsc, Tsc)>,
    /// Sockets at which it listens for a switch.
    pub sockets: Sockets,
}

/// Sockets that a monitor makes and, confined, cannot remove. Removed with this, unless somebody listens there.
#[derive(Debug)]
pub struct Sockets(pub Vec<PathBuf>);

impl Drop for Sockets {
    fn drop(&mut self) {
        for path in &self.0 {
            let nobody = listener::connect(path).is_err_and(|e| e.kind() == io::ErrorKind::ConnectionRefused);
            if nobody {
                // Who cannot remove it leaves it: the next monitor there replaces it.
                let _ = std::fs::remove_file(path);
            }
        }
    }
}

/// A monitor that runs.
pub struct Running {
    /// Its process.
    pub child: Child,
    report: BufReader<PipeReader>,
    phases: Vec<(Phase, Tsc, Tsc)>,
}

/// What to say if the monitor's program does not start.
pub fn cannot_start(program: &str, e: &io::Error) -> Outcome {
    Outcome {
        status: status::HOST,
        message: format!("cannot start {}: {e}", process::sibling(program).display()),
        hint: Some(format!("install {program} beside microvisor, or put it on the PATH")),
        ending: None,
        timeline: None,
        console: String::new(),
    }
}

impl Monitor {
    /// Starts the monitor. `console`: whether standard input and `output` are the guest's console.
    pub fn start(&mut self, console: bool, output: Stdio) -> io::Result<Running> {
        let (report, to) = io::pipe()?;
        let to = OwnedFd::from(to);
        process::inherit(&to)?;
        for fd in &self.keep {
            process::inherit(fd)?;
        }
        let mut command = Command::new(process::sibling(self.program));
        command.args(&self.arguments);
        command.args(["--report", &to.as_raw_fd().to_string()]);
        command.args(["--origin", &Tsc::now().0.to_string()]);
        command.arg(format!("--die-with-parent={}", std::process::id()));
        if !console {
            command.args(["--console", "off"]).stdin(Stdio::null());
        }
        let child = command.stdout(output).spawn()?;
        // From here on only the monitor holds the TAPs: they end with it.
        self.keep.clear();
        self.record.pid = child.id();
        self.directory.record(&self.record)?;
        Ok(Running { child, report: BufReader::new(report), phases: std::mem::take(&mut self.phases) })
    }
}

impl Running {
    /// The next line of the report.
    fn next(&mut self) -> Option<Report> {
        let mut line = String::new();
        let n = (&mut self.report).take(LINE_MAXIMUM).read_line(&mut line).ok()?;
        (n > 0).then(|| serde_json::from_str(&line).ok()).flatten()
    }

    /// The monitor's timeline, with the phases before it.
    fn whole(&self, monitor: Timeline) -> Timeline {
        let origin = self.phases.first().map_or(monitor.origin, |p| p.1);
        let mut whole = Timeline::new(origin, monitor.tsc_hz);
        whole.spans = self.phases.iter().map(|&(p, start, end)| whole.span(p, start, end)).collect();
        whole.append(monitor);
        whole
    }

    /// Follows the report to its end; `ready` is called once, if the guest gets that far.
    pub fn follow(mut self, image: &Path, mut ready: impl FnMut(&Timeline)) -> Outcome {
        let mut end = None;
        while let Some(report) = self.next() {
            match report {
                Report::Ready { timeline } => ready(&self.whole(timeline)),
                Report::DeviceLost { device, message } => note(format!("net device {device}: {message}\n")),
                last => end = Some(last),
            }
        }
        let exit = self.child.wait();
        match end {
            Some(Report::Refused { message, hint, status }) => {
                Outcome { status, message, hint, ending: None, timeline: None, console: String::new() }
            }
            Some(Report::End { ending, status, timeline, console }) => {
                let message = describe(&ending, status, image);
                let timeline = Some(self.whole(timeline));
                Outcome { status, message, hint: None, ending: Some(ending), timeline, console }
            }
            _ => lost(exit),
        }
    }
}
