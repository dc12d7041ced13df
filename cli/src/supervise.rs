//! From a prepared monitor to the end of its instance: start it, pass signals on, tell what happened, clean up.

use crate::instances::{Record, RunDirectory};
use crate::output::{self, Event, Output};
use crate::{process, symbols};
use machine::ending::Ending;
use machine::report::Report;
use machine::status;
use machine::timeline::{Phase, Timeline, Tsc};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::WithOrigin;
use signal_hook::low_level::siginfo::{Cause, Sent};
use std::io::{self, BufRead, BufReader, PipeReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

/// All that a monitor is given, ready to start.
#[derive(Debug)]
pub struct Monitor {
    /// Its run directory, removed with it.
    pub directory: RunDirectory,
    /// What `ps` shows of it.
    pub record: Record,
    /// Image file, for symbols.
    pub image: PathBuf,
    /// Command line.
    pub arguments: Vec<String>,
    /// Descriptors that the command line names.
    pub keep: Vec<OwnedFd>,
    /// Phases that are over.
    pub phases: Vec<(Phase, Tsc, Tsc)>,
}

/// How a run came out.
struct Outcome {
    status: u8,
    message: String,
    hint: Option<String>,
    ending: Option<Ending>,
    timeline: Option<Timeline>,
}

/// The monitor's program: beside this one.
fn program() -> PathBuf {
    let here = std::env::current_exe().ok();
    let beside = here.as_deref().and_then(Path::parent).map(|folder| folder.join("microvisor-vmm"));
    beside.filter(|p| p.is_file()).unwrap_or_else(|| "microvisor-vmm".into())
}

struct Running {
    child: Child,
    report: BufReader<PipeReader>,
    phases: Vec<(Phase, Tsc, Tsc)>,
}

impl Monitor {
    fn start(&mut self, console: bool, output: Stdio) -> io::Result<Running> {
        let (report, to) = io::pipe()?;
        let to = OwnedFd::from(to);
        process::hand_over(&to)?;
        for fd in &self.keep {
            process::hand_over(fd)?;
        }
        let mut command = Command::new(program());
        command.args(&self.arguments);
        command.args(["--report", &std::os::fd::AsRawFd::as_raw_fd(&to).to_string()]);
        command.args(["--origin", &Tsc::now().0.to_string(), "--die-with-parent"]);
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

    fn cannot_start(e: &io::Error) -> Outcome {
        Outcome {
            status: status::HOST,
            message: format!("cannot start {}: {e}", program().display()),
            hint: Some("microvisor-vmm is installed beside microvisor, or is on the PATH".into()),
            ending: None,
            timeline: None,
        }
    }
}

impl Running {
    /// The next line of the report.
    fn next(&mut self) -> Option<Report> {
        let mut line = String::new();
        let n = (&mut self.report).take(16 << 20).read_line(&mut line).ok()?;
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
    fn follow(mut self, image: &Path, mut ready: impl FnMut(&Timeline)) -> Outcome {
        let mut end = None;
        while let Some(report) = self.next() {
            match report {
                Report::Ready { timeline } => ready(&self.whole(timeline)),
                Report::DeviceLost { device, message } => eprintln!("net device {device}: {message}"),
                last => end = Some(last),
            }
        }
        let exit = self.child.wait();
        match end {
            Some(Report::Refused { message, hint, status }) => {
                Outcome { status, message, hint, ending: None, timeline: None }
            }
            Some(Report::End { ending, status, timeline, .. }) => {
                let message = in_words(&ending, status, image);
                let timeline = Some(self.whole(timeline));
                Outcome { status, message, hint: None, ending: Some(ending), timeline }
            }
            _ => lost(exit),
        }
    }
}

fn in_words(ending: &Ending, status: u8, image: &Path) -> String {
    match ending {
        Ending::Exit { code } if *code > status::GUEST_MAXIMUM.into() => {
            format!("the guest exited with code {code}, taken as {}", status::GUEST_MAXIMUM)
        }
        Ending::Exit { .. } if status > status::SIGNAL => {
            format!("stopped by signal {}", status - status::SIGNAL)
        }
        Ending::Exit { code } => format!("the guest exited with code {code}"),
        Ending::Fault(fault) => symbols::explain(fault, image),
        Ending::Killed => "the guest did not stop in time and was ended".into(),
        Ending::Monitor { message } => message.clone(),
    }
}

/// The monitor ended without a last word.
fn lost(exit: io::Result<ExitStatus>) -> Outcome {
    let (status, message) = match exit.map(|e| (e.signal(), e.code())) {
        Ok((Some(libc::SIGSYS), _)) => (
            status::MONITOR,
            "the monitor made a system call that its filter forbids: a fault of MicroVisor".into(),
        ),
        Ok((Some(signal), _)) => {
            (status::SIGNAL.wrapping_add(signal as u8), format!("the monitor was killed by signal {signal}"))
        }
        Ok((_, code)) => {
            (status::MONITOR, format!("the monitor ended without a word (status {})", code.unwrap_or(-1)))
        }
        Err(e) => (status::MONITOR, format!("the monitor is lost: {e}")),
    };
    Outcome { status, message, hint: None, ending: None, timeline: None }
}

/// Passes on signals that were sent to this process alone; the terminal's reach the monitor by themselves.
fn pass_signals_on(pid: u32) -> io::Result<()> {
    let mut signals = SignalsInfo::<WithOrigin>::new([SIGINT, SIGTERM, SIGHUP])?;
    std::thread::spawn(move || {
        for origin in &mut signals {
            if matches!(origin.cause, Cause::Sent(Sent::User | Sent::TKill | Sent::Queue)) {
                process::send_signal(pid, origin.signal);
            }
        }
    });
    Ok(())
}

/// Runs in the foreground: the console is this process's standard input and output.
pub fn foreground(mut monitor: Monitor, output: Output) -> u8 {
    let stdout = if output.json { Stdio::piped() } else { Stdio::inherit() };
    let mut running = match monitor.start(true, stdout) {
        Ok(running) => running,
        Err(e) => return finish(Monitor::cannot_start(&e), output),
    };
    if let Err(e) = pass_signals_on(monitor.record.pid) {
        output::complain(&format!("signals will not be passed on: {e}"), None);
    }
    if output.json {
        output::json(&crate::run::started(&monitor.record));
    }
    let console = running.child.stdout.take().map(|pipe| std::thread::spawn(move || console_events(pipe)));
    let outcome = running.follow(&monitor.image, |timeline| {
        if output.json {
            output::json(&Event::Ready { timeline });
        }
    });
    if let Some(thread) = console {
        // The pipe has ended with the monitor.
        let _ = thread.join();
    }
    drop(monitor);
    finish(outcome, output)
}

fn console_events(mut pipe: impl Read) {
    let mut buffer = [0; 4096];
    while let Ok(n @ 1..) = pipe.read(&mut buffer) {
        output::json(&Event::Console { text: &String::from_utf8_lossy(&buffer[..n]) });
    }
}

/// Tells how a run came out; the exit status of the command.
fn finish(outcome: Outcome, output: Output) -> u8 {
    let Outcome { status, message, hint, ending, timeline } = outcome;
    if output.json {
        if ending.is_none() && timeline.is_none() && status < status::SIGNAL {
            return output.refused(&message, hint.as_deref(), status);
        }
        output::json(&Event::Ended {
            message: &message,
            ending: ending.as_ref(),
            status,
            timeline: timeline.as_ref(),
        });
        return status;
    }
    let silent = matches!(&ending, Some(Ending::Exit { code }) if *code <= status::GUEST_MAXIMUM.into());
    if !silent {
        output::complain(&message, hint.as_deref());
    }
    if let Some(timeline) = &timeline {
        output.timeline(timeline);
    }
    status
}

/// Starts in the background and returns once the guest is ready. What stays behind is a small process that waits for
/// the monitor's end and removes its run directory.
pub fn detach(mut monitor: Monitor, output: Output) -> u8 {
    let (mut told, mut tell) = match io::pipe() {
        Ok(pipe) => pipe,
        Err(e) => return finish(Monitor::cannot_start(&e), output),
    };
    match process::split() {
        Err(e) => finish(Monitor::cannot_start(&e), output),
        Ok(None) => {
            drop(told);
            supervise(&mut monitor, &mut tell);
            drop(monitor);
            std::process::exit(0)
        }
        Ok(Some(_)) => {
            drop(tell);
            // The run directory is the child's now.
            std::mem::forget(monitor.directory);
            let mut answer = Vec::new();
            let read = told.read_to_end(&mut answer);
            match read.ok().and_then(|_| serde_json::from_slice::<Told>(&answer).ok()) {
                Some(Told::Ready { record, timeline }) => {
                    if output.json {
                        output::json(&crate::run::started(&record));
                        output::json(&Event::Ready { timeline: &timeline });
                    } else {
                        println!("{}", record.name);
                        output.timeline(&timeline);
                    }
                    0
                }
                Some(Told::Ended { status, message, hint, ending, timeline }) => {
                    finish(Outcome { status, message, hint, ending, timeline }, output)
                }
                None => finish(lost(Err(io::Error::other("its supervisor said nothing"))), output),
            }
        }
    }
}

/// What the background process tells the command that started it.
#[derive(serde::Serialize, serde::Deserialize)]
enum Told {
    Ready {
        record: Record,
        timeline: Timeline,
    },
    Ended {
        status: u8,
        message: String,
        hint: Option<String>,
        ending: Option<Ending>,
        timeline: Option<Timeline>,
    },
}

fn supervise(monitor: &mut Monitor, tell: &mut io::PipeWriter) {
    let mut ready = false;
    let outcome = match monitor.start(false, Stdio::null()) {
        Err(e) => Monitor::cannot_start(&e),
        Ok(running) => {
            let _ = pass_signals_on(monitor.record.pid);
            let record = monitor.record.clone();
            running.follow(&monitor.image.clone(), |timeline| {
                ready = true;
                say(tell, &Told::Ready { record: record.clone(), timeline: timeline.clone() });
            })
        }
    };
    if !ready {
        let Outcome { status, message, hint, ending, timeline } = outcome;
        say(tell, &Told::Ended { status, message, hint, ending, timeline });
    }
}

fn say(tell: &mut io::PipeWriter, told: &Told) {
    let bytes = serde_json::to_vec(told).unwrap_or_default();
    // The command that started this may be gone; the instance goes on.
    let _ = tell.write_all(&bytes);
    // Its end of the pipe is what the command waits for.
    if let Ok(null) = std::fs::File::options().write(true).open("/dev/null") {
        *tell = io::PipeWriter::from(OwnedFd::from(null));
    }
}
