//! Has the node make a task's instance: exactly one, however often Nomad asks and whoever was killed meanwhile.

use super::request::{Request, Source, digest};
use super::{StoredTask, bridge, label, now};
use crate::node::{Fault, Node};
use crate::proto::drivers::TaskConfig;
use crate::schema::agent::Agent;
use crate::schema::job::Job;
use api::instance::{Instance, State};
use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Tries to have a name that a former start still holds.
const TRIES: usize = 3;
/// Longest image, bytes.
const IMAGE: u64 = 256 << 20;
/// How long one that is there already is waited for, and how often it is looked at.
const READY: (Duration, Duration) = (Duration::from_secs(20), Duration::from_millis(5));

/// What to do about two tasks that want the same address.
const ONE_ADDRESS: &str = "in bridge mode one task of a group has the allocation's address; write `allocation_address = false` into the others' config";

/// Why a task was not started.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// What the job says cannot be.
    #[error("{0}")]
    Job(String),
    /// The node did not do it.
    #[error("{0}")]
    Node(#[from] Fault),
}

impl Failure {
    /// Whether the same job may start later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Failure::Node(fault) if fault.is_transient())
    }
}

/// A task that was started.
pub struct Started {
    /// What its handle keeps.
    pub state: StoredTask,
    /// The instance, as it was when it was there.
    pub instance: Instance,
    /// From when to when the node was asked for it, nanoseconds since 1970.
    pub asked_unix_ns: (u64, u64),
}

/// Sizes that the node has been told of.
#[derive(Default)]
pub struct Known(Mutex<HashSet<String>>);

impl Known {
    fn has(&self, name: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(name)
    }

    fn add(&self, name: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.into());
    }

    /// The node has forgotten, or is another one.
    pub fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// Starts a task.
pub async fn start(
    node: &Node,
    agent: &Agent,
    known: &Known,
    config: &TaskConfig,
) -> Result<Started, Failure> {
    let started_unix_ns = now();
    let job = Job::read(&config.msgpack_driver_config).map_err(Failure::Job)?;
    let mut request = Request::of(config, &job, agent).map_err(Failure::Job)?;
    fetch(node, &mut request).await?;
    let bridge = match &request.namespace {
        None => None,
        Some(namespace) => {
            let name = bridge::name(config);
            let device = bridge::take(node, &name, namespace, job.anti_spoofing).await?;
            let taken = device.is_some();
            request.spec.devices.splice(0..0, device);
            taken.then_some(name)
        }
    };
    let asked = now();
    match create(node, known, &request, config).await {
        Ok(instance) => {
            let name = instance.name.clone();
            let kept = StoredTask { instance: instance.id, name, bridge, started_unix_ns };
            Ok(Started { state: kept, instance, asked_unix_ns: (asked, now()) })
        }
        Err(e) => {
            if let Some(name) = &bridge {
                // If the node is away, the next start finds the network as it is.
                let _ = bridge::release(node, name).await;
                if e.is("conflict") {
                    return Err(Failure::Job(format!("{e}: {ONE_ADDRESS}")));
                }
            }
            Err(e.into())
        }
    }
}

/// Has the node have the image.
async fn fetch(node: &Node, request: &mut Request) -> Result<(), Failure> {
    match &request.source {
        Source::Node => Ok(()),
        Source::Url(url, digest) => {
            if !node.has_image(&request.spec.image).await? {
                node.import_from(&request.spec.image, url, digest).await?;
            }
            Ok(())
        }
        Source::File(path) => {
            let failed = |e: std::io::Error| Failure::Job(format!("{}: {e}", path.display()));
            let length = tokio::fs::metadata(path).await.map_err(failed)?.len();
            if length > IMAGE {
                return Err(Failure::Job(format!("{}: {length} bytes are not an image", path.display())));
            }
            let bytes = tokio::fs::read(path).await.map_err(failed)?;
            let name = format!("nomad-{}", &digest(&bytes)[..32]);
            if !node.has_image(&name).await? {
                node.import(&name, bytes).await?;
            }
            request.spec.image = name;
            Ok(())
        }
    }
}

async fn create(
    node: &Node,
    known: &Known,
    request: &Request,
    config: &TaskConfig,
) -> Result<Instance, Fault> {
    let name = request.spec.name.clone().unwrap_or_default();
    if !known.has(&request.flavor.name) {
        node.flavor(&request.flavor).await?;
        known.add(&request.flavor.name);
    }
    let mut tries = TRIES;
    loop {
        tries -= 1;
        let refused = match node.create(&request.spec, &config.id).await {
            Ok(instance) => return Ok(instance),
            Err(e) => e,
        };
        if refused.is("failed") {
            // It is on the node, so that its last words can be read. Nomad has them in its event.
            withdraw(node, &name, config).await?;
            return Err(refused);
        }
        if tries == 0 {
            return Err(refused);
        }
        if refused.is("absent") && known.has(&request.flavor.name) {
            // Is it the size that is gone? Then it is put there again.
            known.clear();
            node.flavor(&request.flavor).await?;
        } else if refused.is("taken") {
            match node.instance(&name).await {
                Ok(there) if there.labels.get(label::ID) == Some(&config.id) => {
                    return ready(node, there).await;
                }
                // A start whose answer never reached Nomad, or whose end it did not see.
                Ok(there) => match node.remove(there.id).await {
                    Err(e) if !e.is("absent") => return Err(e),
                    _ => {}
                },
                Err(e) if e.is("absent") => {}
                Err(e) => return Err(e),
            }
        } else {
            return Err(refused);
        }
    }
}

/// Removes what a start has left, if it is this one's.
async fn withdraw(node: &Node, name: &str, config: &TaskConfig) -> Result<(), Fault> {
    match node.instance(name).await {
        Ok(there) if there.labels.get(label::ID) == Some(&config.id) => match node.remove(there.id).await {
            Err(e) if !e.is("absent") => Err(e),
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

/// Waits until one that is there is more than about to be.
async fn ready(node: &Node, mut instance: Instance) -> Result<Instance, Fault> {
    let deadline = tokio::time::Instant::now() + READY.0;
    while instance.state == State::Starting && tokio::time::Instant::now() < deadline {
        tokio::time::sleep(READY.1).await;
        instance = node.instance(&instance.id.to_string()).await?;
    }
    Ok(instance)
}
