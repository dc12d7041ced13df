//! What the tests have in common: the programs under test, namespaces made and removed, and a look for leftovers.

use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

pub mod browser;
pub mod bundle;
pub mod emulated;
pub mod frames;
pub mod front;
pub mod net;
pub mod node;
pub mod ovs;
pub mod switch;
pub mod turns;

/// Longest time that any one command of a test takes.
const TIMEOUT: Duration = Duration::from_secs(20);

/// The repository.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the repository is there")
}

/// A program under test.
pub fn program(name: &str) -> PathBuf {
    let path = root().join("target/release").join(name);
    assert!(path.is_file(), "{} is missing: make build", path.display());
    path
}

/// A guest image with symbols.
pub fn image(name: &str) -> PathBuf {
    let path = root().join("target/test-images").join(name);
    assert!(path.is_file(), "{} is missing: make build", path.display());
    path
}

/// How a command came out.
#[derive(Debug)]
pub struct Outcome {
    /// Exit status, 128 + n for signal n.
    pub status: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Outcome {
    /// Checks status and a part of the standard error.
    #[track_caller]
    pub fn ends(&self, status: u8, says: &str) {
        assert_eq!(self.status, i32::from(status), "{self:?}");
        assert!(self.err.contains(says), "{says:?} is not said: {self:?}");
        assert!(!self.err.contains("panicked"), "{self:?}");
    }
}

fn status_of(output: &Output) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    output.status.code().unwrap_or_else(|| 128 + output.status.signal().unwrap_or(0))
}

/// Waits for a command, not for ever.
pub fn finish(child: Child) -> Outcome {
    finish_within(child, TIMEOUT)
}

/// Waits for a command; one that has not ended in time is killed, and has no status.
pub fn ends_within(child: &mut Child, timeout: Duration) -> Option<ExitStatus> {
    let deadline = Instant::now() + timeout;
    loop {
        match child.try_wait().expect("a child can be waited for") {
            None if Instant::now() > deadline => {
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
            None => std::thread::sleep(Duration::from_millis(2)),
            ended => return ended,
        }
    }
}

/// Waits for a command no longer than `timeout`.
pub fn finish_within(mut child: Child, timeout: Duration) -> Outcome {
    let reader = |pipe: Option<Box<dyn Read + Send>>| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            if let Some(mut pipe) = pipe {
                let _ = pipe.read_to_end(&mut bytes);
            }
            bytes
        })
    };
    let out = reader(child.stdout.take().map(|p| Box::new(p) as _));
    let err = reader(child.stderr.take().map(|p| Box::new(p) as _));
    let status = ends_within(&mut child, timeout);
    let status = status.unwrap_or_else(|| panic!("a command did not end in {timeout:?}"));
    let bytes = |thread: std::thread::JoinHandle<Vec<u8>>| {
        String::from_utf8_lossy(&thread.join().expect("a reader does not panic")).into_owned()
    };
    let (out, err) = (bytes(out), bytes(err));
    Outcome { status: status_of(&Output { status, stdout: vec![], stderr: vec![] }), out, err }
}

/// A program and what it needs to run elsewhere, by `LD_LIBRARY_PATH=lib lib/loader PROGRAM`.
pub fn take_along(program: &Path, job: &Path) {
    fs::create_dir_all(job.join("lib")).expect("made");
    let path = run(Command::new("which").arg(program)).out.trim().to_owned();
    let name = program.file_name().expect("a name");
    fs::copy(&path, job.join(name)).unwrap_or_else(|e| panic!("{}: {e}", program.display()));
    for line in run(Command::new("ldd").arg(&path)).out.lines() {
        let Some(library) = line.split_whitespace().find(|w| w.starts_with('/')) else { continue };
        let name =
            if library.contains("ld-linux") { "loader" } else { library.rsplit('/').next().unwrap_or("") };
        fs::copy(library, job.join("lib").join(name)).expect("copied");
    }
}

/// Starts a command with pipes.
pub fn start(command: &mut Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"))
}

/// Runs a command to its end.
pub fn run(command: &mut Command) -> Outcome {
    finish(start(command.stdin(Stdio::null())))
}

/// The monitor with a test guest and a case.
pub fn monitor(guest: &str, case: &str) -> Command {
    let mut command = Command::new(program("microvisor-vmm"));
    command.arg("--image").arg(image(guest));
    if !case.is_empty() {
        command.args(["--set", &format!("case={case}")]);
    }
    command
}

/// Runs a test guest by the monitor alone.
pub fn guest(guest: &str, case: &str) -> Outcome {
    run(&mut monitor(guest, case))
}

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A name that no other test uses.
pub fn unique(stem: &str) -> String {
    format!("{stem}{}-{}", std::process::id() % 100_000, NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// A folder for run directories, removed with this; panics if something is left in it.
pub struct RunFolder(pub PathBuf);

impl RunFolder {
    /// A new folder.
    pub fn new() -> Self {
        let path = std::env::temp_dir().join(unique("uv"));
        fs::create_dir(&path).expect("the folder is new");
        Self(path)
    }

    /// The command under test, with its run directories here.
    pub fn microvisor(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program("microvisor"));
        command.args(arguments).env("MICROVISOR_RUN_DIR", &self.0).current_dir(root());
        command.env("MICROVISOR_IMAGES", root().join("target/test-images"));
        command
    }

    /// Runs it.
    pub fn run(&self, arguments: &[&str]) -> Outcome {
        run(&mut self.microvisor(arguments))
    }

    /// Bytes of the only instance's memory that the host keeps for it.
    pub fn guest_memory(&self) -> u64 {
        let listed = self.run(&["ps", "--json"]).out;
        let listed: serde_json::Value = serde_json::from_str(&listed).expect("JSON");
        guest_memory(listed[0]["pid"].as_u64().expect("an instance") as u32)
    }

    /// Names of what is left.
    pub fn left(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).into_iter().flatten().flatten();
        entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect()
    }

    /// Waits until nothing is left.
    #[track_caller]
    pub fn is_empty_soon(&self) {
        eventually("the run directory is removed", || self.left().is_empty());
    }
}

impl Default for RunFolder {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        let left = self.left();
        let _ = fs::remove_dir_all(&self.0);
        if !std::thread::panicking() {
            assert!(left.is_empty(), "left in the run folder: {left:?}");
        }
    }
}

/// Waits until something holds.
#[track_caller]
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + TIMEOUT;
    while !holds() {
        assert!(Instant::now() < deadline, "not in {TIMEOUT:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether a process is there.
pub fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

/// Bytes of a guest's memory that the host keeps for it, by its monitor's process.
pub fn guest_memory(monitor: u32) -> u64 {
    let open = fs::read_dir(format!("/proc/{monitor}/fd")).expect("the monitor runs").flatten();
    let is_memory =
        |path: &Path| fs::read_link(path).is_ok_and(|to| to.to_string_lossy().contains("memfd:guest"));
    let memory = open.map(|entry| entry.path()).find(|path| is_memory(path)).expect("guest memory");
    memory.metadata().expect("it is open").blocks() * 512
}

/// CPU time that a process has used, clock ticks.
pub fn ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("a running process");
    let after_name = stat.rsplit(')').next().expect("a name in parentheses");
    let field = |n: usize| after_name.split_whitespace().nth(n).and_then(|t| t.parse::<u64>().ok());
    field(11).expect("user time") + field(12).expect("system time")
}

/// Sends a signal to a process that a test started.
pub fn signal(pid: u32, name: &str) {
    let outcome = run(Command::new("kill").args([&format!("-{name}"), &pid.to_string()]));
    assert_eq!(outcome.status, 0, "{outcome:?}");
}

/// Sees to huge pages for two programs with DPDK at once.
pub fn huge_pages() {
    let file = "/proc/sys/vm/nr_hugepages";
    let have: u64 = std::fs::read_to_string(file).expect("there").trim().parse().expect("a number");
    if have < 256 {
        std::fs::write(file, "256").expect("the host gives huge pages");
    }
}
