//! A run in the background: the command returns once the guest is ready. A small process stays behind, which waits for
//! the monitor's end and removes its run directory.

use super::directory::Record;
use super::foreground::pass_signals_on;
use super::monitor::{Monitor, cannot_start};
use super::outcome::{Event, Outcome, Output, lost};
use crate::output::{self, Failure};
use crate::process;
use machine::timeline::Timeline;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::process::Stdio;

/// What the process in the background tells the command that started it.
#[derive(serde::Serialize, serde::Deserialize)]
enum News {
    /// The guest is ready.
    Ready { record: Record, timeline: Timeline },
    /// It did not get that far.
    Ended(Outcome),
}

/// Starts an instance; the exit status of the command.
pub fn run(mut monitor: Monitor, output: Output) -> Result<u8, Failure> {
    let (mut told, mut tell) = match io::pipe() {
        Ok(pipe) => pipe,
        Err(e) => return output.finish(cannot_start(&e)),
    };
    match process::split() {
        Err(e) => output.finish(cannot_start(&e)),
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
            match read.ok().and_then(|_| serde_json::from_slice::<News>(&answer).ok()) {
                Some(News::Ready { record, timeline }) => {
                    if output.json {
                        output.started(&record)?;
                        output::json(&Event::Ready { timeline: &timeline })?;
                    } else {
                        output::print(format!("{}\n", record.name))?;
                        output.timeline(&timeline);
                    }
                    Ok(0)
                }
                Some(News::Ended(outcome)) => output.finish(outcome),
                None => output.finish(lost(Err(io::Error::other("its supervisor said nothing")))),
            }
        }
    }
}

fn supervise(monitor: &mut Monitor, tell: &mut io::PipeWriter) {
    let mut ready = false;
    let outcome = match monitor.start(false, Stdio::null()) {
        Err(e) => cannot_start(&e),
        Ok(running) => {
            let _ = pass_signals_on(monitor.record.pid);
            let record = monitor.record.clone();
            running.follow(&monitor.image.clone(), |timeline| {
                ready = true;
                say(tell, &News::Ready { record: record.clone(), timeline: timeline.clone() });
            })
        }
    };
    if !ready {
        say(tell, &News::Ended(outcome));
    }
}

fn say(tell: &mut io::PipeWriter, news: &News) {
    let bytes = serde_json::to_vec(news).unwrap_or_default();
    // The command that started this may be gone; the instance goes on.
    let _ = tell.write_all(&bytes);
    // The command waits for the end of the pipe.
    if let Ok(null) = std::fs::File::options().write(true).open("/dev/null") {
        *tell = io::PipeWriter::from(OwnedFd::from(null));
    }
}
