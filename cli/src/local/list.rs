//! The instances that run without the node: found by their run directories, without a daemon.

use super::directory::{LOCK, RECORD, Record, SOCKET, check_name};
use std::fs::{self, OpenOptions, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Folder of all run directories.
pub fn root() -> PathBuf {
    if let Some(folder) = std::env::var_os("MICROVISOR_RUN_DIR") {
        return folder.into();
    }
    match std::env::var_os("XDG_RUNTIME_DIR") {
        Some(folder) if fs::metadata("/proc/self").is_ok_and(|me| me.uid() != 0) => {
            PathBuf::from(folder).join("microvisor")
        }
        _ => "/run/microvisor".into(),
    }
}

/// Whether the supervisor of a run directory is gone. The lock says so, not a process number, which may be another's
/// by now.
fn is_stale(path: &Path) -> bool {
    match OpenOptions::new().read(true).open(path.join(LOCK)) {
        Ok(file) => !matches!(file.try_lock(), Err(TryLockError::WouldBlock)),
        Err(_) => !path.file_name().is_some_and(|n| n.as_encoded_bytes().starts_with(b".")),
    }
}

/// Removes run directories whose supervisor was killed.
pub fn sweep(root: &Path) {
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

/// Whether an instance of this name runs without the node.
pub fn is_running(name: &str) -> bool {
    let path = root().join(name);
    check_name(name).is_ok() && path.is_dir() && !is_stale(&path)
}

/// The control socket of an instance that runs without the node.
pub fn socket(name: &str) -> Option<PathBuf> {
    is_running(name).then(|| root().join(name).join(SOCKET))
}

/// Waits until an instance is gone; `false` if it is still there after `timeout`.
pub fn wait_gone(name: &str, timeout: Duration) -> bool {
    let path = root().join(name);
    let deadline = Instant::now() + timeout;
    while path.is_dir() && !is_stale(&path) {
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    true
}
