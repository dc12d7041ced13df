//! The instances that run without the node: found by their run directories, without a daemon.

use super::record::{RECORD, RECORD_DRAFT, Record, SOCKET, check_name};
use api::local::{LOCK, open_lock, open_own_lock, root};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Takes the lock of a run directory whose supervisor is gone. The lock says so, not a process number, which may be
/// another's by now. A folder without a lock that this program made is no instance's.
fn lock_of_dead(path: &Path) -> Option<File> {
    let file = open_own_lock(path).ok()?;
    file.try_lock().ok()?;
    // It may have been removed, and the name taken anew, before it was locked.
    let (ours, there) = (file.metadata().ok()?, fs::symlink_metadata(path.join(LOCK)).ok()?);
    ((ours.dev(), ours.ino()) == (there.dev(), there.ino())).then_some(file)
}

/// The name that a run directory has while it is made or removed: its process may be killed at any step of that.
pub fn unfinished_name(name: &str) -> String {
    format!(".{name}.{}", std::process::id())
}

/// How long a process that this namespace does not know may take to make or remove a run directory.
const UNFINISHED_GRACE: Duration = Duration::from_secs(2);

/// Whether a folder was being made or removed by a process that is gone: by its name, and because nothing is in it but
/// files of an instance, whose lock nobody holds.
fn is_unfinished(path: &Path) -> bool {
    let name = path.file_name().and_then(OsStr::to_str).and_then(|n| n.strip_prefix('.'));
    let pid = name.and_then(|n| n.rsplit_once('.')).and_then(|(_, pid)| pid.parse::<u32>().ok());
    let gone = |pid: u32| pid != 0 && !Path::new("/proc").join(pid.to_string()).exists();
    if !pid.is_some_and(gone) {
        return false;
    }
    let (Ok(folder), Ok(entries)) = (fs::symlink_metadata(path), fs::read_dir(path)) else { return false };
    let old = folder.modified().is_ok_and(|at| at.elapsed().is_ok_and(|age| age >= UNFINISHED_GRACE));
    // Killed before it made the lock, it has left none.
    let free = match open_lock(path) {
        Ok(lock) => lock.try_lock().is_ok(),
        Err(e) => e.kind() == io::ErrorKind::NotFound,
    };
    old && free && entries.flatten().all(|e| FILES.iter().any(|f| e.file_name() == *f))
}

/// All files of a run directory. The lock goes last: without it, nobody would know whose the rest was.
const FILES: [&str; 4] = [SOCKET, RECORD, RECORD_DRAFT, LOCK];

/// Removes a run directory: the files of an instance, and the folder if nothing else is in it.
pub fn remove(path: &Path) {
    let name = path.file_name().and_then(OsStr::to_str).filter(|name| !name.starts_with('.'));
    let unfinished = name.map(|name| path.with_file_name(unfinished_name(name)));
    // Under that name the next command removes what is left if this one is killed.
    let renamed = unfinished.filter(|unfinished| fs::rename(path, unfinished).is_ok());
    let path = renamed.as_deref().unwrap_or(path);
    for name in FILES {
        let _ = fs::remove_file(path.join(name));
    }
    let _ = fs::remove_dir(path);
}

/// Removes run directories whose supervisor was killed, and nothing else.
pub fn sweep(root: &Path) {
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        let path = entry.path();
        let lock = lock_of_dead(&path);
        if lock.is_some() || is_unfinished(&path) {
            remove(&path);
        }
    }
}

/// Whether a folder is the run directory of an instance that runs.
fn is_live(path: &Path) -> bool {
    path.join(LOCK).is_file() && lock_of_dead(path).is_none()
}

/// All running instances, by name.
pub fn running() -> Vec<Record> {
    let root = root();
    sweep(&root);
    let mut records: Vec<Record> = fs::read_dir(&root)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| is_live(&entry.path()))
        .filter_map(|entry| serde_json::from_slice(&fs::read(entry.path().join(RECORD)).ok()?).ok())
        .collect();
    records.sort_by(|a, b| a.name.cmp(&b.name));
    records
}

/// Whether an instance of this name runs without the node.
pub fn is_running(name: &str) -> bool {
    let path = root().join(name);
    check_name(name).is_ok() && is_live(&path)
}

/// The control socket of an instance that runs without the node.
pub fn socket(name: &str) -> Option<PathBuf> {
    is_running(name).then(|| root().join(name).join(SOCKET))
}

/// Waits until an instance is gone; `false` if it is still there after `timeout`.
pub fn wait_gone(name: &str, timeout: Duration) -> bool {
    let path = root().join(name);
    let deadline = Instant::now() + timeout;
    while is_live(&path) {
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    true
}
