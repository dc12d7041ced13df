//! What measurements are made on: this host's namespaces and processes, which end with their owners, whatever happens.

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::fmt;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
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
const PACKAGES: [(&str, &str); 9] = [
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("iperf3", "iperf3"),
    ("NPtcp", "netpipe-tcp"),
    ("redis-server", "redis-server"),
    ("redis-benchmark", "redis-tools"),
    ("ping", "iputils-ping"),
    ("ip", "iproute2"),
    ("tc", "iproute2"),
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

/// The first line in which a program says its version.
pub fn version(program: &str) -> String {
    let (path, option) = match program {
        "ip" | "ping" | "tc" => (program.into(), "-V"),
        "qemu-system-x86_64" => {
            return format!("{}; {}", said(Command::new(program).arg("--version")), super::stock::version());
        }
        "iperf3" | "redis-server" | "redis-benchmark" => (program.into(), "--version"),
        "NPtcp" => return package("netpipe-tcp"),
        ours => (own(ours), "--version"),
    };
    said(Command::new(path).arg(option))
}

/// The first line of what a command says.
fn said(command: &mut Command) -> String {
    let said = command.stdin(Stdio::null()).output();
    let text = said.map(|o| [o.stdout, o.stderr].concat()).unwrap_or_default();
    String::from_utf8_lossy(&text).lines().next().unwrap_or_default().trim().to_owned()
}

/// A program that does not say its version: Debian's.
fn package(name: &str) -> String {
    let said = Command::new("dpkg-query").args(["-W", "-f", "${Package} ${Version}", name]).output();
    said.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default()
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
pub fn finish(command: &mut Command, patience: Duration) -> Result<Outcome, Error> {
    let mut running = Running::start(command.stdout(Stdio::piped()).stderr(Stdio::piped()))?;
    let (out, err) = (drain(running.0.stdout.take()), drain(running.0.stderr.take()));
    let end = Instant::now() + patience;
    let status = loop {
        go_on()?;
        match running.0.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < end => std::thread::sleep(Duration::from_millis(1)),
            Ok(None) => return failed(format!("{command:?} did not end in {patience:?}")),
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

static NUMBER: AtomicU32 = AtomicU32::new(0);
/// All names begin so, with the number of this process.
const STEM: &str = "mvb";

/// A name of this process' own, short enough for a network interface.
pub fn unique() -> String {
    format!("{STEM}{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// A network namespace, removed with this. Its devices say nothing by themselves.
pub struct Namespace {
    /// Its name.
    pub name: String,
}

impl Namespace {
    /// A new one, with its loopback up.
    pub fn new() -> Result<Self, Error> {
        let new = Self { name: unique() };
        run(Command::new("ip").args(["netns", "add", &new.name]))?;
        let quiet = "echo 1 | tee /proc/sys/net/ipv6/conf/default/disable_ipv6 /proc/sys/net/ipv6/conf/all/disable_ipv6";
        run(&mut new.command(&["sh", "-c", quiet]))?;
        new.ip("link set lo up")?;
        Ok(new)
    }

    /// Runs `ip` in it.
    pub fn ip(&self, words: &str) -> Result<(), Error> {
        run(Command::new("ip").args(["-n", &self.name]).args(words.split(' '))).map(drop)
    }

    /// A command that runs in it.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).args(words);
        command
    }

    /// Gives a device an address and brings it up.
    pub fn address(&self, device: &str, address: &str, mtu: u16) -> Result<(), Error> {
        self.ip(&format!("addr add {address} dev {device}"))?;
        self.ip(&format!("link set {device} mtu {mtu} up"))
    }

    /// Waits until somebody listens on a TCP port in it.
    pub fn listens(&self, port: u16) -> Result<(), Error> {
        until(&format!("a server listens on port {port}"), 10, || {
            let listening = run(&mut self.command(&["ss", "-Htln", &format!("sport = :{port}")]));
            listening.is_ok_and(|said| !said.is_empty())
        })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = run(Command::new("ip").args(["netns", "del", &self.name]));
    }
}

/// Removes namespaces of those who were killed before they could.
pub fn sweep() {
    for entry in std::fs::read_dir("/run/netns").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let pid = name.strip_prefix(STEM).and_then(|rest| rest.split_once('-')).map(|(pid, _)| pid);
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            let _ = run(Command::new("ip").args(["netns", "del", &name]));
        }
    }
}

/// A folder for sockets and files, removed with this.
pub struct Folder(pub PathBuf);

impl Folder {
    /// A new one.
    pub fn new() -> Result<Self, Error> {
        let path = std::env::temp_dir().join(unique());
        match std::fs::create_dir(&path) {
            Ok(()) => Ok(Self(path)),
            Err(e) => failed(format!("{}: {e}", path.display())),
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
