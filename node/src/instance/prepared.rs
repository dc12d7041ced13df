//! Prepared monitors: virtual machine, memory, threads and confinement are there, image and configuration come when an
//! instance is started. A prepared monitor ends when the daemon does: nobody could send it a start request any more.

use super::launch::{REPORT, SOCKET, cannot, log_file};
use crate::cgroup::Group;
use crate::confinement::Confinement;
use crate::process::spawn::{Program, spawn};
use crate::process::{Process, program};
use api::Problem;
use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fs::{DirBuilder, File};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use uuid::Uuid;

/// After a start, before another monitor is prepared: the start comes first.
const PAUSE: Duration = Duration::from_millis(50);
/// After one could not be made, before it is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// A prepared monitor.
pub struct PreparedMonitor {
    process: Process,
    /// Where its start request is sent.
    requests: UnixStream,
    folder: PathBuf,
    group: Option<Group>,
}

/// All of them.
pub struct PreparedPool {
    wanted: usize,
    memory_mib: u64,
    folder: PathBuf,
    confinement: Arc<Confinement>,
    ready: Mutex<VecDeque<PreparedMonitor>>,
    taken: Notify,
}

impl PreparedMonitor {
    fn start(parent: &Path, memory_mib: u64, confinement: &Confinement) -> Result<Self, Problem> {
        let folder = parent.join(format!("prepared-{}", Uuid::now_v7()));
        let cannot = |e: std::io::Error| cannot(&folder, &e);
        DirBuilder::new().mode(0o700).create(&folder).map_err(cannot)?;
        let (ours, theirs) = UnixStream::pair().map_err(cannot)?;
        let output = log_file(&folder)?;
        let group = confinement.groups.make(&folder).map_err(cannot)?;
        let memory = memory_mib.to_string();
        let words =
            ["--prepared", "0", "--memory", &memory, "--control", SOCKET, "--report", REPORT, "--no-mounts"];
        let (path, arguments, input) =
            (program("microvisor-vmm"), words.map(OsStr::new), OwnedFd::from(theirs));
        let program = Program {
            path: &path,
            arguments: &arguments,
            folder: Some(&folder),
            input: Some(&input),
            output: &output,
            descriptors: &[],
        };
        let process = spawn(&program, confinement.sandbox(group.as_ref()).as_ref());
        let process = process.map_err(|e| Problem::host(format!("start a monitor: {e}")))?;
        Ok(Self { process, requests: ours, folder, group })
    }

    /// Gives its folder another place; what is open there stays open.
    pub fn move_to(&mut self, folder: &Path) -> std::io::Result<()> {
        std::fs::rename(&self.folder, folder)?;
        self.folder = folder.into();
        Ok(())
    }

    /// Its control group.
    pub fn group(&self) -> Option<&Group> {
        self.group.as_ref()
    }

    /// Sends it the start request: it runs a guest from now on.
    pub fn start_guest(
        self,
        arguments: &[String],
        image: &File,
        config: Option<&File>,
        listeners: &[OwnedFd],
    ) -> std::io::Result<Process> {
        vmm::start::prepared::request_start(&self.requests, arguments, image, config, listeners)?;
        Ok(self.process)
    }

    /// Ends it: it has nothing to do.
    async fn end(self, confinement: Arc<Confinement>) {
        drop(self.requests);
        self.process.ended().await;
        confinement.groups.remove(&self.folder);
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl PreparedPool {
    /// A place for so many monitors, each with guest memory of so many MiB.
    pub fn new(wanted: usize, memory_mib: u64, folder: PathBuf, confinement: Arc<Confinement>) -> Self {
        Self { wanted, memory_mib, folder, confinement, ready: Mutex::default(), taken: Notify::new() }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<PreparedMonitor>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many are ready.
    pub fn ready(&self) -> usize {
        self.lock().len()
    }

    /// A prepared monitor, if there is one that lives.
    pub fn take(&self) -> Option<PreparedMonitor> {
        loop {
            let monitor = self.lock().pop_front()?;
            self.taken.notify_one();
            if !monitor.process.is_over() {
                return Some(monitor);
            }
            tokio::spawn(monitor.end(self.confinement.clone()));
        }
    }

    /// Keeps as many as are wanted, for ever.
    pub async fn keep(&self) {
        loop {
            let mut failed = false;
            while self.lock().len() < self.wanted {
                match PreparedMonitor::start(&self.folder, self.memory_mib, &self.confinement) {
                    Ok(monitor) => self.lock().push_back(monitor),
                    Err(e) => {
                        tracing::error!("prepare a monitor: {e}");
                        failed = true;
                        break;
                    }
                }
                tokio::task::yield_now().await;
            }
            if failed {
                // With none left nobody takes one: what failed is tried again by the clock.
                let _ = tokio::time::timeout(AGAIN, self.taken.notified()).await;
            } else {
                self.taken.notified().await;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Ends them all.
    pub async fn close(&self) {
        let all = std::mem::take(&mut *self.lock());
        let all = all.into_iter().map(|monitor| monitor.end(self.confinement.clone()));
        futures_util::future::join_all(all).await;
    }
}
