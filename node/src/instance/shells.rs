//! Prepared monitors: virtual machine, memory, threads and confinement are there, image and configuration come when an
//! instance is started. A shell ends when the daemon does: nobody could order it any more.

use super::launch::{REPORT, SOCKET, log_file};
use crate::problem::Problem;
use crate::process::{Process, program};
use std::collections::VecDeque;
use std::fs::{DirBuilder, File};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use uuid::Uuid;

/// After a start, before another shell is made: the start comes first.
const PAUSE: Duration = Duration::from_millis(50);

/// A prepared monitor.
pub struct Shell {
    process: Process,
    order: UnixStream,
    folder: PathBuf,
}

/// All of them.
pub struct Shells {
    wanted: usize,
    memory_mib: u64,
    folder: PathBuf,
    ready: Mutex<VecDeque<Shell>>,
    taken: Notify,
}

impl Shell {
    fn start(parent: &Path, memory_mib: u64) -> Result<Self, Problem> {
        let folder = parent.join(format!("shell-{}", Uuid::now_v7()));
        let cannot = |e: std::io::Error| Problem::host(format!("{}: {e}", folder.display()));
        DirBuilder::new().mode(0o700).create(&folder).map_err(cannot)?;
        let (ours, theirs) = UnixStream::pair().map_err(cannot)?;
        let mut command = Command::new(program("microvisor-vmm"));
        command.args([
            "--shell",
            "0",
            "--memory",
            &memory_mib.to_string(),
            "--control",
            SOCKET,
            "--report",
            REPORT,
        ]);
        let log = log_file(&folder)?;
        let output = log.try_clone().map_err(cannot)?;
        command.current_dir(&folder).stdout(output).stderr(log);
        let process = Process::start_with(&mut command, Stdio::from(OwnedFd::from(theirs)));
        let process = process.map_err(|e| Problem::host(format!("start a monitor: {e}")))?;
        Ok(Self { process, order: ours, folder })
    }

    /// Gives its folder another place; what is open there stays open.
    pub fn move_to(&mut self, folder: &Path) -> std::io::Result<()> {
        std::fs::rename(&self.folder, folder)?;
        self.folder = folder.into();
        Ok(())
    }

    /// Has it run a guest.
    pub fn order(
        self,
        arguments: &[String],
        image: &File,
        config: Option<&File>,
    ) -> std::io::Result<Process> {
        vmm::shell::order(&self.order, arguments, image, config)?;
        Ok(self.process)
    }

    /// Ends it: it has nothing to do.
    fn end(self) {
        drop(self.order);
        let _ = std::fs::remove_dir_all(&self.folder);
        tokio::spawn(async move { self.process.ended().await });
    }
}

impl Shells {
    /// A place for so many shells, each with guest memory of so many MiB.
    pub fn new(wanted: usize, memory_mib: u64, folder: PathBuf) -> Self {
        Self { wanted, memory_mib, folder, ready: Mutex::default(), taken: Notify::new() }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Shell>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many are ready.
    pub fn ready(&self) -> usize {
        self.lock().len()
    }

    /// A shell, if there is one that lives.
    pub fn take(&self) -> Option<Shell> {
        loop {
            let shell = self.lock().pop_front()?;
            self.taken.notify_one();
            if !shell.process.is_over() {
                return Some(shell);
            }
            shell.end();
        }
    }

    /// Keeps as many as are wanted, for ever.
    pub async fn keep(&self) {
        loop {
            while self.lock().len() < self.wanted {
                match Shell::start(&self.folder, self.memory_mib) {
                    Ok(shell) => self.lock().push_back(shell),
                    Err(e) => {
                        tracing::error!("prepare a monitor: {e}");
                        break;
                    }
                }
                tokio::task::yield_now().await;
            }
            self.taken.notified().await;
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Ends them all.
    pub fn close(&self) {
        let all = std::mem::take(&mut *self.lock());
        all.into_iter().for_each(Shell::end);
    }
}
