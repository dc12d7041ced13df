//! Network namespaces of allocations. Nomad makes them itself; a client that would have its driver make them gets the same: a
//! mount under `/run/netns`, named by the allocation's id, as `ip netns` has it.
#![allow(unsafe_code)]

use crate::proto::drivers::NetworkIsolationSpec;
use crate::proto::drivers::network_isolation_spec::NetworkIsolationMode;
use rustix::io::Errno;
use rustix::mount::{
    MountPropagationFlags, UnmountFlags, mount_bind, mount_bind_recursive, mount_change, unmount,
};
use rustix::thread::UnshareFlags;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use tonic::Status;

const FOLDER: &str = "/run/netns";
/// The type of the file system that namespaces are files of (`NSFS_MAGIC`, linux/magic.h).
const NAMESPACES: rustix::fs::FsWord = 0x6e73_6673;

/// Where an allocation's namespace is. Ids of allocations are UUIDs: nothing else becomes a part of a path.
fn path(alloc: &str) -> Result<PathBuf, Status> {
    let id = uuid::Uuid::parse_str(alloc)
        .map_err(|_| Status::invalid_argument(format!("{alloc:?} is not an allocation id")))?;
    Ok(Path::new(FOLDER).join(id.to_string()))
}

/// Has the folder be a mount that passes new ones on, so that namespaces are seen in other mount namespaces as well.
fn share(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let shared = MountPropagationFlags::SHARED | MountPropagationFlags::REC;
    match mount_change(folder, shared) {
        // It is no mount yet.
        Err(Errno::INVAL) => {
            mount_bind_recursive(folder, folder)?;
            Ok(mount_change(folder, shared)?)
        }
        other => Ok(other?),
    }
}

/// Whether a namespace is mounted there, not a file that one was to be mounted on.
fn is_there(path: &Path) -> bool {
    rustix::fs::statfs(path).is_ok_and(|found| found.f_type == NAMESPACES)
}

/// Makes a namespace and mounts it, unless there is one; whether it was made.
fn make(path: &Path) -> io::Result<bool> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    share(path.parent().unwrap_or(Path::new("/")))?;
    if is_there(path) {
        return Ok(false);
    }
    File::create(path)?;
    let enter_and_mount = || -> io::Result<()> {
        // SAFETY: no descriptors are unshared, only the network namespace of this short-lived thread.
        unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET)? };
        Ok(mount_bind("/proc/thread-self/ns/net", path)?)
    };
    let made = std::thread::scope(|scope| {
        let there = scope.spawn(enter_and_mount);
        there.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    if made.is_err() {
        // An empty file would look like a namespace to the next who asks.
        let _ = fs::remove_file(path);
    }
    made.map(|()| true)
}

/// Removes a namespace, and a file that was left where one was to be mounted.
fn remove(path: &Path) -> io::Result<()> {
    match unmount(path, UnmountFlags::DETACH) {
        // It is no mount.
        Ok(()) | Err(Errno::INVAL) => {}
        Err(Errno::NOENT) => return Ok(()),
        Err(e) => return Err(e.into()),
    }
    match fs::remove_file(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Does something that the kernel may take its time for.
async fn run_blocking<T: Send + 'static>(
    path: PathBuf,
    act: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
) -> Result<T, Status> {
    let outcome = tokio::task::spawn_blocking(move || {
        act(&path).map_err(|e| Status::internal(format!("{}: {e}", path.display())))
    });
    outcome.await.map_err(|e| Status::internal(e.to_string()))?
}

/// Makes one, unless it is there; whether it was made.
pub async fn create(alloc: &str) -> Result<(NetworkIsolationSpec, bool), Status> {
    let path = path(alloc)?;
    let spec = NetworkIsolationSpec {
        mode: NetworkIsolationMode::Group.into(),
        path: path.display().to_string(),
        labels: HashMap::new(),
        hosts_config: None,
    };
    Ok((spec, run_blocking(path, make).await?))
}

/// Removes it, if it is there.
pub async fn destroy(alloc: &str) -> Result<(), Status> {
    run_blocking(path(alloc)?, remove).await
}
