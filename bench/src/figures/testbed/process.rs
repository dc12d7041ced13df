//! Processes that end with their owners, whatever happens; interrupts; the programs that a measurement needs.

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::fmt;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Why a figure was not made.
#[derive(Debug)]
pub enum Error {
    /// Somebody wants to stop.
    Interrupted,
    /// Something went wrong: what, and what can be done.
    Failed(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Interrupted => f.write_str("stopped"),
            Error::Failed(why) => f.write_str(why),
        }
    }
}

/// A failure in words.
pub fn failed<T>(why: impl fmt::Display) -> Result<T, Error> {
    Err(Error::Failed(why.to_string()))
}

static STOP: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// From here on Ctrl-C and its like end the measurement in order.
pub fn watch_for_interrupts() -> Result<(), Error> {
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        if let Err(e) = signal_hook::flag::register(signal, STOP.clone()) {
            return failed(format!("signal {signal}: {e}"));
        }
    }
    Ok(())
}

/// Whether to go on.
pub fn go_on() -> Result<(), Error> {
    if STOP.load(Ordering::Relaxed) { Err(Error::Interrupted) } else { Ok(()) }
}

/// Waits until something holds, no longer than so many seconds.
pub fn until(what: &str, seconds: u64, mut holds: impl FnMut() -> bool) -> Result<(), Error> {
    let end = Instant::now() + Duration::from_secs(seconds);
    while !holds() {
        go_on()?;
        if Instant::now() > end {
            return failed(format!("not in {seconds} s: {what}"));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Programs that are not ours, with their Debian packages.
const PACKAGES: [(&str, &str); 10] = [
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("iperf3", "iperf3"),
    ("NPtcp", "netpipe-tcp"),
    ("redis-server", "redis-server"),
    ("redis-benchmark", "redis-tools"),
    ("ping", "iputils-ping"),
    ("ip", "iproute2"),
    ("tc", "iproute2"),
    ("rsvg-convert", "librsvg2-bin"),
    ("taskset", "util-linux"),
];

/// Where a program is.
pub fn on_path(program: &str) -> Option<PathBuf> {
    let paths = std::env::var_os("PATH")?;
    std::env::split_paths(&paths).map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// Sees that programs are there, ours beside this one.
pub fn need(programs: &[&str]) -> Result<(), Error> {
    for &name in programs {
        match PACKAGES.iter().find(|(program, _)| *program == name) {
            Some((_, package)) if on_path(name).is_none() => {
                return failed(format!("{name} is missing: apt-get install {package}"));
            }
            None if !own(name).is_file() => {
                return failed(format!("{} is missing: make build, or make install", own(name).display()));
            }
            _ => {}
        }
    }
    Ok(())
}

/// A program of ours.
pub fn own(name: &str) -> PathBuf {
    let here = std::env::current_exe().unwrap_or_default();
    here.parent().unwrap_or(Path::new("/")).join(name)
}

/// Reads all that a process says, while it runs.
fn drain(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut bytes);
        }
        bytes
    })
}

/// What a process said, and whether it ended well.
#[derive(Debug)]
pub struct Outcome {
    /// Whether its exit status is 0.
    pub is_well: bool,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

/// Runs a command to its end, or until somebody wants to stop.
pub fn finish(command: &mut Command, limit: Duration) -> Result<Outcome, Error> {
    let mut running = Running::start(command.stdout(Stdio::piped()).stderr(Stdio::piped()))?;
    let (out, err) = (drain(running.0.stdout.take()), drain(running.0.stderr.take()));
    let end = Instant::now() + limit;
    let status = loop {
        go_on()?;
        match running.0.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < end => std::thread::sleep(Duration::from_millis(1)),
            Ok(None) => return failed(format!("{command:?} did not end in {limit:?}")),
            Err(e) => return failed(format!("{command:?}: {e}")),
        }
    };
    let text = |reader: JoinHandle<Vec<u8>>| {
        String::from_utf8_lossy(&reader.join().unwrap_or_default()).into_owned()
    };
    Ok(Outcome { is_well: status.success(), out: text(out), err: text(err) })
}

/// Runs a short command that has to end well; what it printed. Nothing interrupts it: it makes or removes something.
pub fn run(command: &mut Command) -> Result<String, Error> {
    let output = command.stdin(Stdio::null()).process_group(0).output();
    match output {
        Ok(o) if o.status.success() => Ok(String::from_utf8_lossy(&o.stdout).into_owned()),
        Ok(o) => failed(format!("{command:?}: {}", String::from_utf8_lossy(&o.stderr).trim())),
        Err(e) => failed(format!("{command:?}: {e}")),
    }
}

/// A process, ended with this. Ctrl-C on the terminal does not reach it, so that all ends in order.
pub struct Running(Child);

impl Running {
    /// Starts it; its output is as the caller wants.
    pub fn start(command: &mut Command) -> Result<Self, Error> {
        let child = command.stdin(Stdio::null()).process_group(0).spawn();
        child.map(Self).or_else(|e| failed(format!("{command:?}: {e}")))
    }

    /// Its number.
    pub fn pid(&self) -> u64 {
        self.0.id().into()
    }

    /// Starts one whose output nobody wants.
    pub fn quiet(command: &mut Command) -> Result<Self, Error> {
        Self::start(command.stdout(Stdio::null()).stderr(Stdio::null()))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let ended = |child: &mut Child| !matches!(child.try_wait(), Ok(None));
        if ended(&mut self.0) {
            return;
        }
        let _ = Command::new("kill").arg(self.0.id().to_string()).stderr(Stdio::null()).status();
        let end = Instant::now() + Duration::from_secs(3);
        while !ended(&mut self.0) {
            if Instant::now() > end {
                let _ = self.0.kill();
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}
