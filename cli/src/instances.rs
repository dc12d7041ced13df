//! Run directories: one a running instance, locked by the process that supervises it, found and swept without a
//! daemon.

use crate::node;
use machine::control::{CallError, Client, RefusalKind, Request, Response};
use machine::error::Error;
use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

const LOCK: &str = "lock";
const RECORD: &str = "instance.json";
const SOCKET: &str = "control.sock";
/// Longest path of a Unix socket that the kernel takes.
const SOCKET_PATH_MAXIMUM: usize = 107;

/// What is known of an instance beside what it says itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// Its name.
    pub name: String,
    /// The image's own name.
    pub image: String,
    /// Configuration file.
    pub config: Option<String>,
    /// TAPs, in the order of its net devices.
    pub taps: Vec<String>,
    /// Process of the monitor.
    pub pid: u32,
    /// When it was started, nanoseconds since 1970.
    pub started_unix_ns: u64,
}

/// Folder of all run directories.
pub fn root() -> PathBuf {
    if let Some(folder) = std::env::var_os("MICROVISOR_RUN_DIR") {
        return folder.into();
    }
    match std::env::var_os("XDG_RUNTIME_DIR") {
        Some(folder) if fs::metadata("/proc/self").is_ok_and(|m| is_ordinary(&m)) => {
            PathBuf::from(folder).join("microvisor")
        }
        _ => "/run/microvisor".into(),
    }
}

fn is_ordinary(me: &fs::Metadata) -> bool {
    std::os::unix::fs::MetadataExt::uid(me) != 0
}

/// The run directory of an instance that this process supervises. Removed when dropped.
#[derive(Debug)]
pub struct RunDirectory {
    name: String,
    path: PathBuf,
    _lock: File,
}

impl RunDirectory {
    /// Takes a name: `wanted`, or `stem` with a number if that is taken.
    pub fn take(wanted: Option<&str>, stem: &str) -> Result<Self, Error> {
        let root = root();
        make_folder(&root)?;
        sweep(&root);
        if let Some(name) = wanted {
            check_name(name)?;
            return Self::try_take(&root, name)?.ok_or_else(|| Error::Host {
                problem: format!("an instance named {name} is running"),
                hint: format!("choose another --name, or stop it: microvisor stop {name}"),
            });
        }
        let stem = tidy(stem);
        for number in 1..10_000 {
            let name = if number == 1 { stem.clone() } else { format!("{stem}-{number}") };
            if let Some(directory) = Self::try_take(&root, &name)? {
                return Ok(directory);
            }
        }
        Err(Error::Configuration(format!("ten thousand instances are named {stem}; give this one a --name")))
    }

    fn try_take(root: &Path, name: &str) -> Result<Option<Self>, Error> {
        let path = root.join(name);
        if path.join(SOCKET).as_os_str().len() > SOCKET_PATH_MAXIMUM {
            return Err(Error::Configuration(format!(
                "{}: too long for a socket; choose a shorter name",
                path.display()
            )));
        }
        // The folder appears complete with its lock held, so that nobody sweeps it half made.
        let draft = root.join(format!(".{name}.{}", std::process::id()));
        DirBuilder::new().mode(0o700).create(&draft).map_err(|e| cannot_make(&draft, &e))?;
        let lock = File::create(draft.join(LOCK)).and_then(|f| f.lock().map(|()| f));
        let taken = lock.and_then(|lock| {
            fs::rename(&draft, &path)?;
            Ok(lock)
        });
        match taken {
            Ok(lock) => Ok(Some(Self { name: name.into(), path, _lock: lock })),
            Err(e) => {
                let _ = fs::remove_dir_all(&draft);
                match e.kind() {
                    io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists => Ok(None),
                    _ => Err(cannot_make(&path, &e)),
                }
            }
        }
    }

    /// The instance's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its control socket.
    pub fn socket(&self) -> PathBuf {
        self.path.join(SOCKET)
    }

    /// Writes down what the instance is.
    pub fn record(&self, record: &Record) -> io::Result<()> {
        let draft = self.path.join(".record");
        fs::write(&draft, serde_json::to_vec_pretty(record)?)?;
        fs::rename(draft, self.path.join(RECORD))
    }
}

impl Drop for RunDirectory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn cannot_make(path: &Path, e: &io::Error) -> Error {
    match e.kind() {
        io::ErrorKind::PermissionDenied => Error::Permission {
            doing: format!("make {}", path.display()),
            hint: "run as root, or set MICROVISOR_RUN_DIR to a folder of yours".into(),
        },
        _ => Error::Host {
            problem: format!("{}: {e}", path.display()),
            hint: "set MICROVISOR_RUN_DIR to a folder that can be written".into(),
        },
    }
}

fn make_folder(root: &Path) -> Result<(), Error> {
    DirBuilder::new().recursive(true).mode(0o755).create(root).map_err(|e| cannot_make(root, &e))
}

fn check_name(name: &str) -> Result<(), Error> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.len() <= 63 && name.chars().all(fits) {
        return Ok(());
    }
    Err(Error::Configuration(format!(
        "{name:?} cannot name an instance: letters, digits, - _ . and at most 63 of them"
    )))
}

fn tidy(stem: &str) -> String {
    let tidy: String =
        stem.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(40).collect();
    let tidy = tidy.trim_matches('-');
    if tidy.is_empty() { "instance".into() } else { tidy.into() }
}

/// Whether a run directory's supervisor is gone. The lock says so, not a process number that may be another's by now.
fn is_stale(path: &Path) -> bool {
    match OpenOptions::new().read(true).open(path.join(LOCK)) {
        Ok(file) => !matches!(file.try_lock(), Err(TryLockError::WouldBlock)),
        Err(_) => !path.file_name().is_some_and(|n| n.as_encoded_bytes().starts_with(b".")),
    }
}

/// Removes run directories whose supervisor was killed.
fn sweep(root: &Path) {
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        if is_stale(&entry.path()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// All running instances, by name.
pub fn running() -> Vec<Record> {
    let root = root();
    sweep(&root);
    let mut records: Vec<Record> = fs::read_dir(&root)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| serde_json::from_slice(&fs::read(entry.path().join(RECORD)).ok()?).ok())
        .collect();
    records.sort_by(|a, b| a.name.cmp(&b.name));
    records
}

/// Why a running instance did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// No such instance.
    #[error("no instance named {0} is running")]
    Absent(String),
    /// It could not be asked.
    #[error("{0}: {1}")]
    Call(String, CallError),
    /// It said no.
    #[error("{1}")]
    Refused(RefusalKind, String),
}

/// Whether an instance of this name runs without the node.
pub fn is_running(name: &str) -> bool {
    let path = root().join(name);
    check_name(name).is_ok() && path.is_dir() && !is_stale(&path)
}

/// Connects to a running instance, with or without the node.
pub fn connect(name: &str) -> Result<Client, Refusal> {
    let here = is_running(name).then(|| root().join(name).join(SOCKET));
    let socket = here.or_else(|| node::socket(name)).filter(|s| s.exists());
    let socket = socket.ok_or_else(|| Refusal::Absent(name.into()))?;
    Client::connect(&socket).map_err(|e| Refusal::Call(name.into(), e))
}

/// Asks a running instance once.
pub fn call(name: &str, request: &Request) -> Result<Response, Refusal> {
    let answer = connect(name)?.call(request, Duration::from_secs(10));
    match answer.map_err(|e| Refusal::Call(name.into(), e))? {
        Response::Refused { kind, message } => Err(Refusal::Refused(kind, message)),
        other => Ok(other),
    }
}

/// Waits until an instance is gone; `false` if it is still there after `patience`.
pub fn wait_gone(name: &str, patience: Duration) -> bool {
    let path = root().join(name);
    let deadline = std::time::Instant::now() + patience;
    while path.is_dir() && !is_stale(&path) {
        if std::time::Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_leave_the_folder_are_refused() {
        for name in ["", ".", "..", "a/b", "../x", "-x", "a b", &"x".repeat(64)] {
            assert!(check_name(name).is_err(), "{name}");
        }
        assert!(check_name("fw-1.a_b").is_ok());
    }

    #[test]
    fn any_file_name_gives_a_name() {
        for stem in ["", "...", "ünïcode", "a b"] {
            assert!(check_name(&tidy(stem)).is_ok(), "{stem}");
        }
    }
}
