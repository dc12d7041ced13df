//! A run in the foreground: the guest's console is this process's standard input and output.

use super::monitor::{Monitor, cannot_start};
use super::outcome::{Event, Output};
use crate::output::{self, Failure};
use crate::process;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::WithOrigin;
use signal_hook::low_level::siginfo::{Cause, Sent};
use std::io::{self, Read};
use std::process::Stdio;

/// Passes on signals that were sent to this process alone; those of the terminal reach the monitor by themselves.
pub fn pass_signals_on(pid: u32) -> io::Result<()> {
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

/// Runs an instance to its end; the exit status of the command.
pub fn run(mut monitor: Monitor, output: Output) -> Result<u8, Failure> {
    let stdout = if output.json { Stdio::piped() } else { Stdio::inherit() };
    let mut running = match monitor.start(true, stdout) {
        Ok(running) => running,
        Err(e) => return output.finish(cannot_start(monitor.program, &e)),
    };
    if let Err(e) = pass_signals_on(monitor.record.pid) {
        output::complain(&format!("signals will not be passed on to the guest: {e}"), None);
    }
    if output.json {
        output.started(&monitor.record)?;
    }
    let console = running.child.stdout.take().map(|pipe| std::thread::spawn(move || console_events(pipe)));
    let mut written = Ok(());
    let outcome = running.follow(&monitor.image, |timeline| {
        if output.json {
            written = output::json(&Event::Ready { timeline });
        }
    });
    if let Some(thread) = console {
        // The pipe has ended with the monitor.
        let _ = thread.join();
    }
    drop(monitor);
    written?;
    output.finish(outcome)
}

fn console_events(mut pipe: impl Read) {
    let mut buffer = [0; 4096];
    while let Ok(n @ 1..) = pipe.read(&mut buffer) {
        let _ = output::json(&Event::Console { text: &String::from_utf8_lossy(&buffer[..n]) });
    }
}
