//! Signals: those that end the program, and those that scripts take.

use crate::watch::Watch;
use rustix::process::{Pid, Signal};
use signal_hook::consts::{SIGINT, SIGPIPE, SIGTERM};
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Names without `SIG`.
const NAMES: &[(&str, i32)] = &[
    ("HUP", libc::SIGHUP),
    ("INT", libc::SIGINT),
    ("QUIT", libc::SIGQUIT),
    ("USR1", libc::SIGUSR1),
    ("USR2", libc::SIGUSR2),
    ("PIPE", libc::SIGPIPE),
    ("ALRM", libc::SIGALRM),
    ("TERM", libc::SIGTERM),
    ("CHLD", libc::SIGCHLD),
    ("CONT", libc::SIGCONT),
    ("TSTP", libc::SIGTSTP),
    ("WINCH", libc::SIGWINCH),
    ("KILL", libc::SIGKILL),
    ("STOP", libc::SIGSTOP),
];

/// Those that end the program.
const ENDING: [i32; 2] = [SIGINT, SIGTERM];

/// Signals that came.
pub struct Signals {
    raised: BTreeMap<i32, Arc<AtomicBool>>,
    /// Those that scripts take or took: how many do, and how often each was seen to have come.
    users: BTreeMap<i32, (usize, usize)>,
    /// Wakes the driver when it waits.
    wake_writer: UnixStream,
    wake_reader: UnixStream,
    watch: Watch,
}

impl Signals {
    /// Takes the signals that end the program. The second of them ends it at once.
    pub fn new() -> io::Result<Self> {
        let (alarm, bell) = UnixStream::pair()?;
        alarm.set_nonblocking(true)?;
        let watch = Watch::new(&alarm)?;
        let mut signals = Self {
            raised: BTreeMap::new(),
            users: BTreeMap::new(),
            wake_writer: alarm,
            wake_reader: bell,
            watch,
        };
        // A peer that goes away is noticed when writing to it.
        signal_hook::flag::register(SIGPIPE, Arc::new(AtomicBool::new(false)))?;
        for signal in ENDING {
            let flag = Arc::new(AtomicBool::new(false));
            signal_hook::flag::register_conditional_default(signal, Arc::clone(&flag))?;
            signals.register(signal, flag)?;
        }
        Ok(signals)
    }

    fn register(&mut self, signal: i32, flag: Arc<AtomicBool>) -> io::Result<()> {
        signal_hook::flag::register(signal, Arc::clone(&flag))?;
        signal_hook::low_level::pipe::register(signal, self.wake_reader.try_clone()?)?;
        self.raised.insert(signal, flag);
        Ok(())
    }

    /// Whether the program is to end. Empties what woke the driver.
    pub fn stop(&mut self) -> bool {
        if self.watch.is_readable() {
            let mut bytes = [0; 64];
            while self.wake_writer.read(&mut bytes).is_ok_and(|n| n == bytes.len()) {}
            self.watch.set_not_readable();
        }
        for (signal, _) in
            self.users.iter().filter(|(signal, (takers, _))| *takers == 0 && !ENDING.contains(signal))
        {
            if self.raised.get(signal).is_some_and(|flag| flag.swap(false, Ordering::Relaxed)) {
                // Without a default there is nothing to do.
                let _ = signal_hook::low_level::emulate_default_handler(*signal);
            }
        }
        ENDING.iter().any(|signal| {
            self.users.get(signal).is_none_or(|(takers, _)| *takers == 0)
                && self.raised.get(signal).is_some_and(|flag| flag.load(Ordering::Relaxed))
        })
    }

    /// A script takes a signal.
    pub fn take_over(&mut self, name: &str) -> Result<i32, String> {
        let signal = number(name).ok_or_else(|| format!("bad signal number '{name}'"))?;
        if !self.users.contains_key(&signal) {
            let flag = self.raised.get(&signal).cloned().unwrap_or_default();
            if !self.raised.contains_key(&signal) {
                self.register(signal, flag).map_err(|e| format!("signal {name}: {e}"))?;
            }
        }
        self.users.entry(signal).or_default().0 += 1;
        Ok(signal)
    }

    /// Scripts take a signal no longer.
    pub fn release(&mut self, signal: i32, scripts: usize) {
        if let Some((takers, _)) = self.users.get_mut(&signal) {
            *takers = takers.saturating_sub(scripts);
        }
    }

    /// How many scripts take each signal.
    pub fn users_of(&self) -> Vec<(i32, usize)> {
        self.users.iter().map(|(signal, (takers, _))| (*signal, *takers)).collect()
    }

    /// How often a signal came that a script takes.
    pub fn count(&mut self, signal: i32) -> usize {
        let Some((_, count)) = self.users.get_mut(&signal) else { return 0 };
        let came = self.raised.get(&signal).is_some_and(|flag| flag.swap(false, Ordering::Relaxed));
        *count += usize::from(came);
        *count
    }
}

/// The number of a signal, by its name with or without `SIG`, or the number itself.
fn number(name: &str) -> Option<i32> {
    let plain = name.to_ascii_uppercase();
    let plain = plain.strip_prefix("SIG").unwrap_or(&plain);
    let named = NAMES.iter().find(|n| n.0 == plain).map(|n| n.1);
    named.or_else(|| name.parse().ok().filter(|n| (1..64).contains(n)))
}

/// Sends a signal.
pub fn kill(signal: &str, process: &str) -> Result<(), String> {
    let signal = number(signal).and_then(Signal::from_named_raw);
    let signal = signal.ok_or("bad signal")?;
    let process = process.parse().ok().and_then(Pid::from_raw).filter(|p| p.as_raw_nonzero().get() > 0);
    let process = process.ok_or_else(|| "bad process number".to_string())?;
    rustix::process::kill_process(process, signal).map_err(|e| format!("kill: {e}"))
}
