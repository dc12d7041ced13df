//! Prepared guests: each runs in a monitor of its own, has done what needs no identity, and waits for who it shall be. They
//! are kept by what cannot be changed later: image, memory and net devices. One is taken once, by one instance; it ends
//! when the daemon does, which nobody could assign it for any more.

use super::launch::{REPORT, SOCKET, cannot, log_file};
use crate::cgroup::{Cgroups, Group};
use crate::confinement::Confinement;
use crate::images::{Guest, OpenImage};
use crate::process::spawn::{Program, spawn};
use crate::process::{Process, program, usage};
use crate::settings::PreparedSetting;
use api::Problem;
use api::status::PreparedGuests;
use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fs::{DirBuilder, File};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use uuid::Uuid;
use vmm::start::prepared::Starter;

/// After a start, before another guest is prepared: another start may follow.
const PAUSE: Duration = Duration::from_millis(50);
/// How long starts that are under way are waited for.
const PATIENCE: Duration = Duration::from_secs(1);
/// Wait before the next attempt after a guest could not be prepared: the first and the longest. It doubles each time.
const RETRY_WAIT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// How long a guest may take to prepare itself.
const PREPARATION: Duration = Duration::from_secs(10);
/// How long a monitor may take to say whether its guest can be what it shall be.
const ANSWER: Duration = Duration::from_millis(200);
/// Share of the processors of a guest that prepares itself: a sixteenth of an instance's.
const SHARES: u64 = 64;
/// Share of one that has done so.
const FULL_SHARES: u64 = 1024;
/// Where a monitor finds the first descriptor that it is given.
const FIRST_DESCRIPTOR_PATH: &str = "/dev/fd/3";
/// Entries of a queue, if nobody says otherwise.
const QUEUE: u32 = 256;

/// What a prepared guest cannot change any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Id of its image.
    pub image: String,
    /// Memory, MiB.
    pub memory_mib: u64,
    /// Net devices.
    pub devices: usize,
    /// Entries of each queue.
    pub queue: u32,
}

impl Shape {
    /// What an instance needs.
    pub fn new(image: &OpenImage, memory_mib: u64, devices: usize, queue: Option<u32>) -> Self {
        Self { image: image.image.id.clone(), memory_mib, devices, queue: queue.unwrap_or(QUEUE) }
    }
}

/// A prepared guest.
pub struct PreparedGuest {
    process: Process,
    /// Where it is told who it shall be.
    starter: Starter,
    folder: PathBuf,
    group: Option<Group>,
}

/// Guests of one shape.
struct ShapePool {
    shape: Shape,
    image: OpenImage,
    /// How many there shall be.
    count: usize,
    /// With fewer, more are prepared.
    low: usize,
    /// More are prepared until there are enough.
    filling: bool,
    ready: VecDeque<PreparedGuest>,
    hits: u64,
    misses: u64,
    refills: u64,
}

/// All of them.
pub struct PreparedPool {
    folder: PathBuf,
    confinement: Arc<Confinement>,
    pools: Mutex<Vec<ShapePool>>,
    taken: Notify,
    starts: Arc<AtomicUsize>,
    /// No more are prepared from now on.
    closing: watch::Sender<bool>,
    /// Held while one is being prepared.
    preparing: tokio::sync::Mutex<()>,
}

/// A start that is under way, until this is dropped.
pub struct UnderWay(Arc<AtomicUsize>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl PreparedGuest {
    /// Starts a monitor with a guest, which prepares itself.
    fn start(
        parent: &Path,
        shape: &Shape,
        image: &OpenImage,
        confinement: &Confinement,
    ) -> Result<Self, Problem> {
        // As long a name as an instance's: paths of sockets are bounded.
        let folder = parent.join(Uuid::now_v7().to_string());
        let cannot = |e: std::io::Error| cannot(&folder, &e);
        DirBuilder::new().mode(0o700).create(&folder).map_err(cannot)?;
        let started = Self::start_in(&folder, shape, image, confinement);
        if started.is_err() {
            confinement.groups.remove(&folder);
            let _ = std::fs::remove_dir_all(&folder);
        }
        started
    }

    fn start_in(
        folder: &Path,
        shape: &Shape,
        image: &OpenImage,
        confinement: &Confinement,
    ) -> Result<Self, Problem> {
        let cannot = |e: std::io::Error| cannot(folder, &e);
        let (ours, theirs) = UnixStream::pair().map_err(cannot)?;
        ours.set_read_timeout(Some(PREPARATION)).map_err(cannot)?;
        let output = log_file(folder)?;
        let group = confinement.groups.make(folder).map_err(cannot)?;
        limit(group.as_ref(), SHARES, shape).map_err(cannot)?;
        let (control, report) = (folder.join(SOCKET), folder.join(REPORT));
        let net = format!("vhost-user={},server=on,queue={}", folder.join("net.sock").display(), shape.queue);
        let memory = shape.memory_mib.to_string();
        let mut words: Vec<&OsStr> =
            ["--prepared", "0", "--memory", &memory, "--console", "off", "--no-mounts"]
                .map(OsStr::new)
                .into();
        let copy = image.copy();
        let file = copy.map_or(image.path.as_path(), |_| FIRST_DESCRIPTOR_PATH.as_ref());
        words.extend(["--image".as_ref(), file.as_os_str()]);
        words.extend(["--control".as_ref(), control.as_os_str(), "--report".as_ref(), report.as_os_str()]);
        for _ in 0..shape.devices {
            words.extend(["--net", &net].map(OsStr::new));
        }
        let (path, input) = (program("microvisor-vmm"), OwnedFd::from(theirs));
        let descriptors: Vec<_> = copy.iter().map(|copy| copy.as_fd()).collect();
        let program = Program {
            path: &path,
            arguments: &words,
            input: Some(&input),
            output: &output,
            descriptors: &descriptors,
        };
        let process = spawn(&program, confinement.sandbox(group.as_ref()).as_ref());
        let process = process.map_err(|e| Problem::host(format!("start a monitor: {e}")))?;
        Ok(Self { process, starter: Starter::new(ours), folder: folder.into(), group })
    }

    /// Waits until it waits, however long it may take. Blocks.
    fn await_guest(self, shape: &Shape) -> Result<Self, (Self, Problem)> {
        let waits = self.starter.await_guest().and_then(|()| limit(self.group.as_ref(), FULL_SHARES, shape));
        match waits {
            Ok(()) => Ok(self),
            Err(e) => {
                let log = self.folder.join("monitor.log");
                let said = std::fs::read_to_string(log).unwrap_or_default();
                let problem = Problem::host(format!("{e}; {}", said.trim()));
                Err((self, problem))
            }
        }
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

    /// Tells it who it shall be, and has `meanwhile` done while it becomes that: it is an instance from now on. The inner
    /// error: it cannot be that. Its monitor ends after either.
    pub fn assign<E>(
        self,
        arguments: &[String],
        config: Option<&File>,
        listeners: &[OwnedFd],
        meanwhile: impl FnOnce() -> Result<(), E>,
    ) -> Result<std::io::Result<Process>, E> {
        let told = self.starter.assign(arguments, config, listeners);
        let done = meanwhile();
        let accepted = told.and_then(|()| tokio::task::block_in_place(|| self.starter.accepted(ANSWER)));
        if done.is_err() || accepted.is_err() {
            self.process.signal(libc::SIGKILL);
        }
        done.map(|()| accepted.map(|()| self.process))
    }

    /// Ends it: it has nothing to do.
    async fn end(self, groups: &Cgroups) {
        self.process.signal(libc::SIGKILL);
        self.process.ended().await;
        groups.remove(&self.folder);
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn limit(group: Option<&Group>, shares: u64, shape: &Shape) -> std::io::Result<()> {
    group.map_or(Ok(()), |group| group.limit(Some(shares), None, shape.memory_mib << 20))
}

impl ShapePool {
    fn new(setting: &PreparedSetting, image: OpenImage) -> Result<Self, Problem> {
        let memory_mib = setting.memory_mib.unwrap_or(image.image.memory_mib).max(1);
        let cannot = || Problem::invalid(format!("{} cannot be prepared", setting.image));
        let Guest::Ring3(guest) = &image.guest else { return Err(cannot()) };
        guest.checked.accepts_size(memory_mib << 20, setting.devices)?;
        if !guest.checked.can_be_prepared() {
            return Err(cannot());
        }
        let shape = Shape::new(&image, memory_mib, setting.devices, setting.queue);
        let low = setting.low.unwrap_or(setting.count).clamp(1, setting.count.max(1));
        let (count, ready) = (setting.count, VecDeque::new());
        Ok(Self { shape, image, count, low, filling: true, ready, hits: 0, misses: 0, refills: 0 })
    }

    /// Whether another guest shall be prepared.
    fn needs_refill(&mut self) -> bool {
        self.filling = match self.ready.len() {
            ready if ready >= self.count => false,
            ready if ready < self.low => true,
            _ => self.filling,
        };
        self.filling
    }
}

impl PreparedPool {
    /// A place for the guests that are asked for. `find` knows the images.
    pub fn new(
        settings: &[PreparedSetting],
        find: impl Fn(&str) -> Result<OpenImage, Problem>,
        folder: PathBuf,
        confinement: Arc<Confinement>,
    ) -> Result<Self, Problem> {
        let pools: Vec<ShapePool> = settings
            .iter()
            .filter(|setting| setting.count > 0)
            .map(|setting| ShapePool::new(setting, find(&setting.image)?))
            .collect::<Result<_, Problem>>()?;
        Ok(Self {
            folder,
            confinement,
            pools: Mutex::new(pools),
            taken: Notify::new(),
            starts: Arc::default(),
            closing: watch::Sender::new(false),
            preparing: tokio::sync::Mutex::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<ShapePool>> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How it is.
    pub fn status(&self) -> Vec<PreparedGuests> {
        let of = |pool: &ShapePool| PreparedGuests {
            image: pool.image.image.name.clone(),
            memory_mib: pool.shape.memory_mib,
            devices: pool.shape.devices,
            ready: pool.ready.len(),
            target: pool.count,
            hits: pool.hits,
            misses: pool.misses,
            refills: pool.refills,
            resident: pool.ready.iter().map(|guest| usage::of(guest.process.pid).resident).sum(),
        };
        self.lock().iter().map(of).collect()
    }

    /// A start is under way: no guest is prepared meanwhile.
    pub fn start_begins(&self) -> UnderWay {
        self.starts.fetch_add(1, Ordering::Relaxed);
        UnderWay(self.starts.clone())
    }

    /// A prepared guest of a shape, if there is one that lives.
    pub fn take(&self, shape: &Shape) -> Option<PreparedGuest> {
        let mut pools = self.lock();
        let pool = pools.iter_mut().find(|pool| pool.shape == *shape)?;
        while let Some(guest) = pool.ready.pop_front() {
            self.taken.notify_one();
            if !guest.process.is_over() {
                pool.hits += 1;
                return Some(guest);
            }
            let confinement = self.confinement.clone();
            tokio::spawn(async move { guest.end(&confinement.groups).await });
        }
        pool.misses += 1;
        None
    }

    /// The next shape of which there are too few.
    fn next_refill(&self) -> Option<(Shape, OpenImage)> {
        let mut pools = self.lock();
        let pool = pools.iter_mut().find_map(|pool| pool.needs_refill().then_some(pool))?;
        Some((pool.shape.clone(), pool.image.clone()))
    }

    /// Prepares one more, unless the daemon ends.
    async fn prepare(&self, shape: &Shape, image: &OpenImage) -> Result<(), Problem> {
        let _preparing = self.preparing.lock().await;
        let mut closing = self.closing.subscribe();
        if *closing.borrow() {
            return Ok(());
        }
        let guest = PreparedGuest::start(&self.folder, shape, image, &self.confinement)?;
        let (shape, monitor) = (shape.clone(), Process::open_any(guest.process.pid));
        let mut prepared = tokio::task::spawn_blocking(move || {
            let prepared = guest.await_guest(&shape);
            (prepared, shape)
        });
        let prepared = tokio::select! {
            prepared = &mut prepared => prepared,
            () = async { drop(closing.wait_for(|closing| *closing).await) } => {
                if let Some(monitor) = monitor {
                    monitor.signal(libc::SIGKILL);
                }
                prepared.await
            }
        };
        match prepared.map_err(|e| Problem::node(e.to_string()))? {
            (Ok(guest), shape) => {
                let mut pools = self.lock();
                let pool = pools.iter_mut().find(|pool| pool.shape == shape);
                if let Some(pool) = pool {
                    pool.ready.push_back(guest);
                    pool.refills += 1;
                }
                Ok(())
            }
            (Err((guest, problem)), _) => {
                guest.end(&self.confinement.groups).await;
                if *self.closing.borrow() { Ok(()) } else { Err(problem) }
            }
        }
    }

    /// Waits until no start is under way; not for ever, since one may never come to its end.
    async fn await_quiet(&self) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while self.starts.load(Ordering::Relaxed) > 0 && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Keeps as many as are wanted, for ever.
    pub async fn run_refills(&self) {
        let mut retry_wait = RETRY_WAIT.0;
        while !*self.closing.borrow() {
            let mut failed = false;
            while !*self.closing.borrow()
                && let Some((shape, image)) = self.next_refill()
            {
                self.await_quiet().await;
                if let Err(e) = self.prepare(&shape, &image).await {
                    tracing::error!("prepare a guest of {}: {e}", image.image.name);
                    failed = true;
                    break;
                }
                retry_wait = RETRY_WAIT.0;
            }
            if failed {
                // With none left nobody takes one: what failed is tried again by the clock.
                let _ = tokio::time::timeout(retry_wait, self.taken.notified()).await;
                retry_wait = (retry_wait * 2).min(RETRY_WAIT.1);
            } else {
                self.taken.notified().await;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Ends them all, the one that is being prepared among them.
    pub async fn close(&self) {
        self.closing.send_replace(true);
        let _preparing = self.preparing.lock().await;
        let all: Vec<PreparedGuest> = self.lock().iter_mut().flat_map(|pool| pool.ready.drain(..)).collect();
        let all = all.into_iter().map(|guest| guest.end(&self.confinement.groups));
        futures_util::future::join_all(all).await;
    }
}
