//! Everything that a daemon has, and how it begins: what a former one has left is found again or cleared away.

use crate::audit::AuditLog;
use crate::cgroup::Cgroups;
use crate::confinement::Confinement;
use crate::disks::Disks;
use crate::events::Events;
use crate::images::Images;
use crate::instance::checked::CheckedConfigs;
use crate::instance::prepared::PreparedPool;
use crate::instance::report::Watcher;
use crate::instance::{Handle, actor, demand};
use crate::network::SwitchSupervisor;
use crate::otlp::{self, Exporter};
use crate::process::{self, Process};
use crate::settings::Settings;
use crate::starts::Starts;
use crate::store::{Row, Store, upkeep};
use api::Problem;
use api::instance::{InstanceSpec, State};
use api::status::Status;
use machine::timeline::unix_ns;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use uuid::Uuid;

/// The image of prepared guests that are only counted.
const DEFAULT_IMAGE: &str = "clickos";
/// Programs that run guests.
const MONITORS: [&str; 2] = ["microvisor-vmm", "microvisor-linux"];
/// Events that are kept unless told otherwise.
const EVENTS: u64 = 100_000;

/// A node.
pub struct Node {
    /// Options and configuration file.
    pub settings: Settings,
    /// State that outlives the daemon.
    pub store: Arc<Store>,
    /// Events, for listeners and the store.
    pub events: Arc<Events>,
    /// Guest images.
    pub images: Images,
    /// Disks of instances.
    pub disks: Disks,
    /// The switch's supervisor.
    pub switch: Arc<SwitchSupervisor>,
    /// Namespaces and control groups of monitors.
    pub confinement: Arc<Confinement>,
    /// Watches the files of monitors' reports.
    pub watcher: Watcher,
    /// Guests that are prepared for the next starts.
    pub prepared: PreparedPool,
    /// How long starts took.
    pub starts: Starts,
    /// Where requests are written down, if that is asked for.
    pub audit: Option<AuditLog>,
    /// Sends starts to a collector, if one is set.
    pub exporter: Option<Arc<Exporter>>,
    /// Configurations that need no second check.
    pub checked: CheckedConfigs,
    /// Held for reading while something that was told is not written down yet.
    pub unwritten: Arc<tokio::sync::RwLock<()>>,
    /// Held while an interface becomes an uplink.
    pub uplinks: tokio::sync::Mutex<()>,
    instances: RwLock<HashMap<Uuid, Handle>>,
    started_unix_ns: u64,
    tsc_hz: u64,
}

impl Node {
    /// Begins: the store, the switch, and what runs already.
    pub async fn begin(settings: Settings) -> Result<Arc<Self>, Problem> {
        let folder = settings.run().join("i");
        std::fs::create_dir_all(&folder).map_err(|e| Problem::host(format!("{}: {e}", folder.display())))?;
        let store = Arc::new(Store::open(settings.state())?);
        upkeep::begin(&store, settings.state());
        crate::http::backup::clear(settings.state());
        let events = Arc::new(Events::new(store.clone(), settings.events.unwrap_or(EVENTS))?);
        let images = Images::open(store.clone(), settings.state())?;
        let switch = SwitchSupervisor::begin(&settings, store.clone(), events.clone()).await?;
        let watcher = Watcher::new().map_err(|e| Problem::host(format!("inotify: {e}")))?;
        let confinement = Arc::new(Confinement::begin(settings.run())?);
        let prepared = PreparedPool::new(
            &settings.all_prepared(DEFAULT_IMAGE, images.find(DEFAULT_IMAGE).is_ok()),
            |name| images.find(name),
            folder.clone(),
            confinement.clone(),
        )?;
        let audit = settings.audit_log.clone().map(|path| {
            AuditLog::open(path.clone()).map_err(|e| Problem::host(format!("{}: {e}", path.display())))
        });
        let audit = audit.transpose()?;
        let (exporter, due) = Exporter::new(&settings).map(|(e, due)| (Arc::new(e), due)).unzip();
        let rows = store.instances()?;
        let disks = Disks::open(settings.state(), &rows)?;
        let node = Arc::new(Self {
            settings,
            store,
            events,
            images,
            disks,
            switch,
            confinement,
            watcher,
            prepared,
            audit,
            starts: Starts::default(),
            exporter: exporter.clone(),
            checked: CheckedConfigs::default(),
            unwritten: Arc::default(),
            uplinks: tokio::sync::Mutex::default(),
            instances: RwLock::default(),
            started_unix_ns: unix_ns(),
            tsc_hz: measure().await,
        });
        clear(&folder, &rows, &node.confinement.groups).await;
        node.confinement.groups.clear(&folder);
        for row in rows {
            node.adopt(row);
        }
        tokio::spawn(demand::wake(node.clone(), node.switch.listen()));
        tokio::spawn(demand::stop_idle(node.clone()));
        if let Some((exporter, due)) = exporter.zip(due) {
            tokio::spawn(otlp::run(node.clone(), exporter, due));
        }
        let keeping = node.clone();
        tokio::spawn(async move { keeping.prepared.run_refills().await });
        node.events.emit("node.started", "node", serde_json::Value::Null);
        Ok(node)
    }

    /// Takes an instance over from a former daemon.
    fn adopt(self: &Arc<Self>, row: Row) {
        let boot = crate::host::boot();
        let this_boot = row.running.as_ref().filter(|r| r.boot.is_empty() || r.boot == boot);
        let rebooted = row.running.is_some() && this_boot.is_none();
        let process = this_boot.and_then(|r| Process::find(r.pid, r.began));
        // Held meanwhile: its actor may remove it at once, which has to come after this.
        let mut all = self.write();
        let handle = actor::adopt(self.clone(), row, process, rebooted);
        all.insert(handle.id, handle);
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, HashMap<Uuid, Handle>> {
        self.instances.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a new instance.
    pub fn add(&self, handle: Handle) {
        self.write().insert(handle.id, handle);
    }

    /// An instance is gone.
    pub fn forget(&self, id: Uuid) {
        self.write().remove(&id);
    }

    /// An instance by name or id; or by another's id that is one of its labels, an allocation's say, of which the beginning is
    /// enough.
    pub fn instance(&self, name: &str) -> Result<Handle, Problem> {
        let all = self.instances.read().unwrap_or_else(PoisonError::into_inner);
        let by_id = name.parse().ok().and_then(|id: Uuid| all.get(&id));
        let found = by_id.or_else(|| all.values().find(|h| h.name == name));
        let found = found.or_else(|| {
            let mut labelled = all.values().filter(|h| is_labelled(&h.view.borrow().labels, name));
            // Of several, none is meant.
            labelled.next().filter(|_| labelled.next().is_none())
        });
        found
            .cloned()
            .ok_or_else(|| Problem::absent("instance", name).hint("see what there is: microvisor ps"))
    }

    /// Folder of what belongs to a running instance.
    pub fn folder(&self, id: Uuid) -> PathBuf {
        self.settings.run().join("i").join(id.to_string())
    }

    /// Waits until all that was told is written down.
    pub async fn written(&self) {
        drop(self.unwritten.write().await);
    }

    /// Frequency of the time stamp counter, Hz.
    pub fn tsc_hz(&self) -> u64 {
        self.tsc_hz
    }

    /// How the node is.
    pub fn status(&self) -> Status {
        let all = self.instances.read().unwrap_or_else(PoisonError::into_inner);
        let mut instances = BTreeMap::new();
        for handle in all.values() {
            *instances.entry(handle.view.borrow().state.name().to_owned()).or_insert(0) += 1;
        }
        let prepared_guests = self.prepared.status();
        Status {
            version: env!("CARGO_PKG_VERSION").into(),
            pid: std::process::id(),
            started_unix_ns: self.started_unix_ns,
            instances,
            switch: self.switch.pid(),
            switch_restarts: self.switch.restarts(),
            prepared: prepared_guests.iter().map(|guests| guests.ready).sum(),
            prepared_target: prepared_guests.iter().map(|guests| guests.target).sum(),
            prepared_guests,
            host: crate::host::host(),
        }
    }

    /// Handles of all instances.
    pub fn handles(&self) -> Vec<Handle> {
        self.instances.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// A name for an instance that was given none.
    pub fn name_for(&self, spec: &InstanceSpec, id: Uuid) -> String {
        let text = id.simple().to_string();
        format!("{}-{}", spec.image.get(..20).unwrap_or(&spec.image), &text[text.len() - 8..])
    }
}

/// Ends monitors that no row knows, and removes folders that belong to nobody: a daemon was killed while it started them.
async fn clear(folder: &Path, rows: &[Row], groups: &Cgroups) {
    let known = |pid: u32| rows.iter().any(|r| r.running.as_ref().is_some_and(|run| run.pid == pid));
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else { continue };
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let mut words =
            line.split(|&b| b == 0).filter_map(|word| std::str::from_utf8(word).ok()).map(Path::new);
        let is_monitor =
            words.next().is_some_and(|program| MONITORS.iter().any(|monitor| program.ends_with(monitor)));
        let is_ours = is_monitor && words.any(|word| word.starts_with(folder));
        // A monitor of a former version has a child that connects its devices to the next switch.
        let is_known = known(pid) || process::parent(pid).is_some_and(known);
        if is_ours && !is_known && pid != std::process::id() {
            tracing::warn!(pid, "a monitor that nobody knows is ended");
            if let Some(process) = Process::open_any(pid) {
                process.signal(libc::SIGKILL);
                process.ended().await;
            }
        }
    }
    // One that hides its command line is found by its control group.
    for pids in groups.processes().into_iter().filter(|pids| !pids.iter().any(|&pid| known(pid))) {
        for pid in pids {
            tracing::warn!(pid, "a process that nobody knows is ended");
            if let Some(process) = Process::open_any(pid) {
                process.signal(libc::SIGKILL);
                process.ended().await;
            }
        }
    }
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let kept = |r: &Row| r.running.is_some() && name.to_str() == Some(&r.instance.id.to_string());
        if !rows.iter().any(kept) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// The time stamp counter's frequency, by the wall clock.
async fn measure() -> u64 {
    let (begun, from) = (std::time::Instant::now(), machine::timeline::Tsc::now());
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    let ticks = machine::timeline::Tsc::now().0.saturating_sub(from.0);
    (ticks as f64 / begun.elapsed().as_secs_f64()) as u64
}

/// What a state that a former daemon has left comes to when its monitor is not there.
pub fn after(state: State) -> State {
    match state {
        State::Stopping | State::Stopped => State::Stopped,
        State::Waiting => State::Waiting,
        State::Starting | State::Ready | State::Paused | State::Failed => State::Failed,
    }
}

/// Characters that another's id is known by, at the least.
const SHORTEST: usize = 8;

/// Whether a label is an id that begins so. Labels that are no ids name nothing: whoever removes an instance by a word must mean it.
fn is_labelled(labels: &BTreeMap<String, String>, id: &str) -> bool {
    let is_id = |value: &str| Uuid::try_parse(value).is_ok();
    id.len() >= SHORTEST && labels.values().any(|value| value.starts_with(id) && is_id(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_others_name_an_instance_and_words_do_not() {
        let labels = BTreeMap::from([
            ("nomad.alloc".to_owned(), "2cff17b9-26c7-3f2a-24f7-444de4668f0c".to_owned()),
            ("nomad.job".to_owned(), "firewalls".to_owned()),
        ]);
        for (id, named) in [
            ("2cff17b9-26c7-3f2a-24f7-444de4668f0c", true),
            ("2cff17b9", true),
            ("2cff17b", false),
            ("firewalls", false),
        ] {
            assert_eq!(is_labelled(&labels, id), named, "{id}");
        }
    }
}
