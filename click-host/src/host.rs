//! The world as elements see it: clock, devices' names, files, signals, another configuration.

use crate::clock::Clock;
use crate::files::reason;
use crate::signals::{self, Signals};
use crate::{CLASSES, library, output, report, sys};
use click::args::{bytes_of, text_of};
use click::element::{Class, Handler, Outside, write};
use click::{Batch, DeviceId, DeviceInfo, HandlerError, Host, Nanos, Router, Source};
use std::fs;
use std::io::{self, Write};
use std::time::Instant;

/// Handlers that replace the configuration, with the option `-R`.
const RECONFIGURE: &[Handler] = &[write("config"), write("hotconfig")];

/// This host.
pub struct ProcessHost {
    pub(crate) clock: Clock,
    devices: Vec<String>,
    variables: Vec<(String, String)>,
    reconfigure: bool,
    /// Warnings are not printed.
    pub silent: bool,
    /// Threads that routers run on.
    pub(crate) threads: usize,
    next: Option<Router>,
    /// How many of the scripts that take signals will be gone with the router that runs.
    released_signals: Vec<(i32, usize)>,
    /// None on threads other than the first.
    pub(crate) signals: Option<Signals>,
}

/// What a script that needs signals is told elsewhere than on the first thread, where all such elements are.
const NO_SIGNALS: &str = "signals are the first thread's";

impl ProcessHost {
    /// The host, for configurations with these variables. `reconfigure`: they can be replaced.
    pub fn new(variables: Vec<(String, String)>, reconfigure: bool) -> io::Result<Self> {
        let signals = Signals::new()?;
        Ok(Self {
            clock: Clock::System(Instant::now()),
            devices: Vec::new(),
            variables,
            reconfigure,
            silent: false,
            threads: 1,
            next: None,
            released_signals: Vec::new(),
            signals: Some(signals),
        })
    }

    /// The same host for another thread. `None`: time is simulated, which is one thread's.
    pub(crate) fn for_thread(&self) -> Option<Self> {
        Some(Self {
            clock: self.clock.share()?,
            devices: self.devices.clone(),
            variables: self.variables.clone(),
            reconfigure: false,
            silent: self.silent,
            threads: self.threads,
            next: None,
            released_signals: Vec::new(),
            signals: None,
        })
    }

    fn signal_users(&self) -> Vec<(i32, usize)> {
        self.signals.as_ref().map(Signals::users_of).unwrap_or_default()
    }

    fn release(&mut self, signal: i32, scripts: usize) {
        if let Some(signals) = &mut self.signals {
            signals.release(signal, scripts);
        }
    }

    /// Whether a signal came that ends the program.
    pub(crate) fn is_to_end(&mut self) -> bool {
        self.signals.as_mut().is_some_and(Signals::stop)
    }

    /// Makes a router.
    pub fn router(&mut self, source: &Source<'_>) -> Result<Router, click::Diagnostics> {
        let variables = self.variables.clone();
        Router::new(source, &variables, self)
    }

    /// The router that is to take the place of the one that runs.
    pub fn take_next(&mut self) -> Option<Router> {
        let next = self.next.take()?;
        for (signal, scripts) in std::mem::take(&mut self.released_signals) {
            self.release(signal, scripts);
        }
        Some(next)
    }
}

impl Host for ProcessHost {
    fn now(&self) -> Nanos {
        self.clock.now()
    }

    fn wall_clock(&self) -> Nanos {
        self.clock.wall()
    }

    fn device(&mut self, name: &str) -> Option<DeviceId> {
        if let Some(at) = self.devices.iter().position(|d| d == name) {
            return Some(DeviceId(at));
        }
        sys::exists(name).then(|| self.devices.push(name.to_string()))?;
        Some(DeviceId(self.devices.len() - 1))
    }

    fn device_info(&self, device: DeviceId) -> DeviceInfo {
        self.devices.get(device.0).map(|name| sys::device_info(name)).unwrap_or_default()
    }

    // Elements of this host open their devices themselves.
    fn receive(&mut self, _: DeviceId, _: usize, _: &mut Batch) {}

    fn transmit(&mut self, _: DeviceId, batch: &mut Batch) {
        drop(std::mem::take(batch));
    }

    fn named_devices(&mut self) -> Vec<(String, DeviceInfo)> {
        sys::interfaces()
    }

    fn classes(&self) -> &'static [&'static Class] {
        CLASSES
    }

    fn threads(&self) -> usize {
        self.threads
    }

    fn handlers(&self) -> &'static [Handler] {
        if self.reconfigure { RECONFIGURE } else { &[] }
    }

    fn write(&mut self, _: &str, value: &str) -> Result<(), HandlerError> {
        const NAME: &str = "hotconfig";
        let text = library::expand(NAME, value.into(), None).map_err(HandlerError::Refused)?;
        let before = self.signal_users();
        match self.router(&Source { name: NAME, text: &text }) {
            Ok(router) => {
                self.next = Some(router);
                self.released_signals = before;
                Ok(())
            }
            Err(diagnostics) => {
                for (signal, scripts) in self.signal_users() {
                    let stay = before.iter().find(|b| b.0 == signal).map_or(0, |b| b.1);
                    self.release(signal, scripts - stay);
                }
                Err(HandlerError::Refused(report::errors(&diagnostics)))
            }
        }
    }

    fn is_replaced(&self) -> bool {
        self.next.is_some()
    }

    fn outside(&mut self) -> Option<&mut dyn Outside> {
        Some(self)
    }

    fn print(&mut self, text: &str) {
        // Nobody may listen; that is no reason to stop.
        let bytes = bytes_of(text);
        crate::sockets::tell(&bytes);
        let _ = io::stderr().write_all(&bytes);
    }

    fn warn(&mut self, warnings: &click::Diagnostics) {
        if !self.silent {
            self.print(&report::errors(warnings));
        }
    }

    fn random_seed(&mut self) -> u64 {
        use std::hash::{BuildHasher, Hasher};
        std::hash::RandomState::new().build_hasher().finish()
    }
}

impl Outside for ProcessHost {
    fn write_out(&mut self, text: &str) {
        output::out(text);
    }

    fn read_file(&mut self, path: &str) -> Result<String, String> {
        let bytes = fs::read(path).map_err(|e| format!("{path}: {}", reason(&e)))?;
        Ok(text_of(&bytes))
    }

    fn write_file(&mut self, path: &str, append: bool, text: &str) -> Result<(), String> {
        let mut options = fs::OpenOptions::new();
        options.create(true).write(true).append(append).truncate(!append);
        let written = options.open(path).and_then(|mut file| file.write_all(&bytes_of(text)));
        written.map_err(|e| format!("{path}: {}", reason(&e)))
    }

    fn watch_signal(&mut self, name: &str) -> Result<i32, String> {
        self.signals.as_mut().ok_or(NO_SIGNALS)?.take_over(name)
    }

    fn signal_count(&mut self, number: i32) -> usize {
        self.signals.as_mut().map_or(0, |signals| signals.count(number))
    }

    fn release_signal(&mut self, number: i32) {
        self.release(number, 1);
    }

    fn kill(&mut self, signal: &str, process: &str) -> Result<(), String> {
        signals::kill(signal, process)
    }

    fn process(&self) -> u32 {
        std::process::id()
    }
}
