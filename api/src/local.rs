//! Instances that run without the node, as far as the node has to know of them: a name is one instance's.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// File in an instance's run directory that the supervising process keeps locked.
pub const LOCK: &str = "lock";
/// What is in it: the proof that the folder is an instance's.
pub const LOCK_MARKER: &[u8] = b"microvisor instance\n";

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

/// Opens a run directory's lock. Whatever else has that name is not waited for.
pub fn open_lock(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path.join(LOCK))
}

/// The lock of a run directory that this program made, not taken yet. `InvalidData`: it is somebody else's file.
pub fn open_own_lock(path: &Path) -> io::Result<File> {
    let mut file = open_lock(path)?;
    let mut marker = Vec::new();
    (&mut file).take(LOCK_MARKER.len() as u64 + 1).read_to_end(&mut marker)?;
    if marker == LOCK_MARKER { Ok(file) } else { Err(io::ErrorKind::InvalidData.into()) }
}

/// Whether an instance of this name runs without the node: somebody holds the lock of its run directory.
pub fn runs(name: &str) -> bool {
    open_own_lock(&root().join(name)).is_ok_and(|lock| lock.try_lock_shared().is_err())
}
