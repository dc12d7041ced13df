//! One task: an instance of the node, followed from its start to its end.
//!
//! [`request`] makes of Nomad's configuration what the node is asked for, [`bridge`] gives the guest an allocation's address,
//! [`start`] has the node make it, [`end`] says how it ended, [`logs`] carries its console to Nomad, [`stats`] what it uses, [`exec`] are the
//! commands of `nomad alloc exec`.

pub mod bridge;
pub mod end;
pub mod exec;
pub mod logs;
pub mod request;
pub mod start;
pub mod stats;

use crate::node::watch::{Watch, WatchEvent};
use crate::node::{Fault, Node};
use crate::proto::drivers::TaskConfig;
use api::instance::Instance;
use end::Ended;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};
use uuid::Uuid;

/// Labels by which an instance is known to be a task's.
pub mod label {
    /// The allocation.
    pub const ALLOCATION: &str = "nomad.alloc";
    /// The task's name in its group.
    pub const TASK: &str = "nomad.task";
    /// Which start of it.
    pub const ID: &str = "nomad.task_id";
    /// The job.
    pub const JOB: &str = "nomad.job";
    /// Its group.
    pub const GROUP: &str = "nomad.group";
    /// Nomad's namespace.
    pub const NAMESPACE: &str = "nomad.namespace";
    /// The node's network that has the allocation's address.
    pub const BRIDGE: &str = "nomad.bridge";
}

/// An instance whose events were missed is looked at so often.
const REFRESH_INTERVAL: Duration = Duration::from_secs(15);

/// What Nomad keeps for the driver in a task's handle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredTask {
    /// The instance.
    pub instance: Uuid,
    /// Its name on the node.
    pub name: String,
    /// The network that has the allocation's address, if it has one.
    pub bridge: Option<String>,
    /// When the task was started, nanoseconds since 1970.
    pub started_unix_ns: u64,
}

/// A task that was started.
pub struct Task {
    /// Nomad's id of this start of it.
    pub id: String,
    /// What Nomad wants.
    pub config: TaskConfig,
    /// What its handle keeps.
    pub state: StoredTask,
    /// Where to ask.
    pub node: Node,
    ended: watch::Sender<Option<Ended>>,
    /// Whether it was recovered, and Nomad has not been told so.
    pub recovered: AtomicBool,
    /// Whether it is being removed by us: what the node says of it meanwhile is no end of its own.
    removing: AtomicBool,
    /// What a fast end does not overtake: the console's way to Nomad.
    logs: tokio::sync::Mutex<Option<tokio::task::JoinHandle<()>>>,
}

/// Nanoseconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64)
}

impl Task {
    /// A task whose instance was `seen` on the node, or is there as far as is known. It is followed from now on.
    pub fn follow(config: TaskConfig, kept: StoredTask, node: Node, watch: &Watch) -> Arc<Self> {
        let task = Arc::new(Self {
            id: config.id.clone(),
            config,
            state: kept,
            node,
            ended: watch::Sender::new(None),
            recovered: AtomicBool::new(false),
            removing: AtomicBool::new(false),
            logs: tokio::sync::Mutex::default(),
        });
        let news = watch.listen();
        let logs = tokio::spawn(logs::copy_console(task.clone()));
        if let Ok(mut place) = task.logs.try_lock() {
            *place = Some(logs);
        }
        tokio::spawn(follow(Arc::downgrade(&task), news));
        task
    }

    /// How it ended, if it has.
    pub fn ended(&self) -> Option<Ended> {
        self.ended.borrow().clone()
    }

    /// Waits for its end.
    pub async fn end(&self) -> Ended {
        let mut ended = self.ended.subscribe();
        match ended.wait_for(Option::is_some).await {
            Ok(ended) => ended.clone().unwrap_or_else(Ended::unknown),
            Err(_) => Ended::unknown(),
        }
    }

    /// Its folder: what a path in its configuration is relative to.
    pub fn folder(&self) -> PathBuf {
        request::folder(&self.config)
    }

    /// The instance, as the node has it.
    pub async fn instance(&self) -> Result<Instance, Fault> {
        self.node.instance(&self.state.instance.to_string()).await
    }

    /// Looks once; whether it has ended.
    pub async fn refresh(&self) -> bool {
        let ended = match self.instance().await {
            Ok(instance) => Ended::of(&instance),
            Err(e) if e.is("absent") => Some(Ended::removed()),
            // The node is away: what it says when it is back counts.
            Err(_) => None,
        };
        match ended {
            Some(ended) if !self.removing.load(Ordering::Relaxed) => {
                self.finish(ended).await;
                true
            }
            _ => self.ended().is_some(),
        }
    }

    /// It has ended: its last words first.
    pub async fn finish(&self, ended: Ended) {
        let carried = self.logs.lock().await.take();
        if let Some(mut carried) = carried
            && tokio::time::timeout(logs::LAST, &mut carried).await.is_err()
        {
            carried.abort();
        }
        self.ended.send_if_modified(|before| {
            let first = before.is_none();
            if first {
                tracing::info!(task = self.id, status = ended.status, "the task has ended");
                *before = Some(ended);
            }
            first
        });
    }

    /// Ends it and removes what is left. Done when nothing is left.
    pub async fn remove(&self) -> Result<(), Fault> {
        self.removing.store(true, Ordering::Relaxed);
        match self.node.remove(self.state.instance).await {
            Err(e) if !e.is("absent") => {
                self.removing.store(false, Ordering::Relaxed);
                return Err(e);
            }
            _ => {}
        }
        if let Some(network) = &self.state.bridge {
            bridge::release(&self.node, network).await?;
        }
        self.finish(Ended::removed()).await;
        logs::forget(&self.config).await;
        Ok(())
    }
}

/// Follows a task to its end, or for as long as somebody wants to know.
async fn follow(task: std::sync::Weak<Task>, mut news: broadcast::Receiver<WatchEvent>) {
    loop {
        let heard = tokio::time::timeout(REFRESH_INTERVAL, news.recv()).await;
        let Some(task) = task.upgrade() else { return };
        let mine = match heard {
            Ok(Ok(WatchEvent::Event(event))) => event.subject == task.state.name,
            Ok(Ok(WatchEvent::Connected)) | Ok(Err(RecvError::Lagged(_))) | Err(_) => true,
            Ok(Ok(WatchEvent::Disconnected)) => false,
            Ok(Err(RecvError::Closed)) => {
                tokio::time::sleep(REFRESH_INTERVAL).await;
                true
            }
        };
        if task.ended().is_some() || (mine && task.refresh().await) {
            return;
        }
    }
}
