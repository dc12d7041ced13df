//! A run in the background: the command returns once the guest is ready. A small process stays behind, which waits for
//! the monitor's end and removes its run directory.
//!
//! The instance belongs to the command until it has printed the name and said so. If the command is killed before, or
//! cannot print, the process in the background ends the instance: nobody would know of it.

use super::foreground::pass_signals_on;
use super::monitor::{Monitor, cannot_start};
use super::outcome::{Event, Outcome, Output, lost};
use super::record::Record;
use crate::output::{self, Failure};
use crate::process;
use machine::timeline::Timeline;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag::register_conditional_shutdown;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Longest message between the two processes, bytes.
const MESSAGE_MAXIMUM: u64 = 16 << 20;
/// What the command says once the instance is known to its user.
const ACKNOWLEDGED: u8 = b'T';

/// What the process in the background tells the command that started it, a line.
#[derive(serde::Serialize, serde::Deserialize)]
enum Message {
    /// The guest is ready.
    Ready { record: Record, timeline: Timeline },
    /// It did not get that far.
    Ended(Outcome),
}

/// Starts an instance; the exit status of the command.
pub fn run(mut monitor: Monitor, output: Output) -> Result<u8, Failure> {
    let (here, there) = match UnixStream::pair() {
        Ok(pair) => pair,
        Err(e) => return output.finish(cannot_start(monitor.program, &e)),
    };
    match process::fork_detached() {
        Err(e) => output.finish(cannot_start(monitor.program, &e)),
        Ok(None) => {
            drop(here);
            supervise(&mut monitor, &there);
            drop(monitor);
            std::process::exit(0)
        }
        Ok(Some(_)) => {
            drop(there);
            let Monitor { directory, keep, sockets, taps, .. } = monitor;
            directory.hand_over();
            std::mem::forget((sockets, taps));
            drop(keep);
            end_by_signals();
            let told = print_result(&here, output);
            if told.is_err() {
                // The other process ends the instance, and then itself.
                let _ = here.shutdown(std::net::Shutdown::Write);
                let _ = (&here).take(MESSAGE_MAXIMUM).read_to_end(&mut Vec::new());
            }
            told
        }
    }
}

/// Signals end the command while it waits, also where a shell had it ignore them, which is inherited. The other process
/// then ends the instance.
fn end_by_signals() {
    let always = Arc::new(AtomicBool::new(true));
    for signal in [SIGINT, SIGTERM] {
        // Without it, a command that ignores a signal goes on to wait.
        let _ = register_conditional_shutdown(signal, 128 + signal, always.clone());
    }
}

/// Tells the user what the process in the background says.
fn print_result(mut from: &UnixStream, output: Output) -> Result<u8, Failure> {
    let mut line = String::new();
    let read = BufReader::new(from.take(MESSAGE_MAXIMUM)).read_line(&mut line);
    match read.ok().and_then(|_| serde_json::from_str::<Message>(&line).ok()) {
        Some(Message::Ready { record, timeline }) => {
            if output.json {
                output.started(&record)?;
                output::json(&Event::Ready { timeline: &timeline })?;
            } else {
                output::print(format!("{}\n", record.name))?;
                output.timeline(&timeline);
            }
            from.write_all(&[ACKNOWLEDGED]).map(|()| 0).map_err(Failure::Output)
        }
        Some(Message::Ended(outcome)) => output.finish_unseen(outcome),
        None => output.finish(lost(Err(io::Error::other("its supervisor said nothing")))),
    }
}

/// Watches the monitor to its end.
fn supervise(monitor: &mut Monitor, command: &UnixStream) {
    let mut ready = false;
    let ended = Arc::new(AtomicBool::new(false));
    let outcome = match monitor.start(false, Stdio::null()) {
        Err(e) => cannot_start(monitor.program, &e),
        Ok(running) => {
            let pid = monitor.record.pid;
            if let Ok(command) = command.try_clone() {
                let ended = ended.clone();
                std::thread::spawn(move || end_unless_acknowledged(&command, pid, &ended));
            }
            let _ = pass_signals_on(pid);
            let record = monitor.record.clone();
            running.follow(&monitor.image.clone(), |timeline| {
                ready = true;
                send_message(command, &Message::Ready { record: record.clone(), timeline: timeline.clone() });
            })
        }
    };
    ended.store(true, Ordering::Release);
    if !ready {
        send_message(command, &Message::Ended(outcome));
    }
}

/// Kills the monitor if the command goes away before it has taken the instance.
fn end_unless_acknowledged(mut command: &UnixStream, pid: u32, ended: &AtomicBool) {
    let mut byte = [0];
    let taken = matches!(command.read(&mut byte), Ok(1)) && byte[0] == ACKNOWLEDGED;
    if !taken && !ended.load(Ordering::Acquire) {
        process::send_signal(pid, libc::SIGKILL);
    }
}

fn send_message(mut command: &UnixStream, message: &Message) {
    let mut line = serde_json::to_vec(message).unwrap_or_default();
    line.push(b'\n');
    // A command that is gone has left nobody to tell.
    let _ = command.write_all(&line);
}
