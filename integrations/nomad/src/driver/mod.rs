//! Nomad's calls. [`Driver`] has the tasks; each call is short, and what it does is elsewhere: [`base`] the calls of every plugin,
//! [`calls`] those of drivers, [`fingerprint`] how the node is, [`exec`] the commands of `nomad alloc exec`, [`network`] namespaces of
//! allocations, [`refusal`] how Nomad is told no.

pub mod base;
pub mod calls;
pub mod exec;
pub mod fingerprint;
pub mod network;
pub mod refusal;

use crate::node::Node;
use crate::node::watch::Watch;
use crate::plugin::{Presence, broker, controller, health, stdio};
use crate::proto::base::base_plugin_server::BasePluginServer;
use crate::proto::drivers::driver_server::DriverServer;
use crate::proto::drivers::{DriverTaskEvent, TaskConfig};
use crate::proto::health::health_server::HealthServer;
use crate::proto::plugin::grpc_broker_server::GrpcBrokerServer;
use crate::proto::plugin::grpc_controller_server::GrpcControllerServer;
use crate::proto::plugin::grpc_stdio_server::GrpcStdioServer;
use crate::schema::agent::Agent;
use crate::task::start::Known;
use crate::task::{Task, now};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use tokio::sync::broadcast;
use tonic::Status;
use tonic::transport::Server;
use tonic::transport::server::Router;

/// As jobs name it: `driver = "microvisor"`.
pub const NAME: &str = "microvisor";
/// Longest message, bytes.
const LONGEST: usize = 32 << 20;
/// Events that a slow client may be behind.
const BEHIND: usize = 1024;

/// What the agent's configuration says, and who is asked because of it.
pub struct Settings {
    /// The configuration.
    pub agent: Agent,
    /// The node.
    pub node: Node,
    /// What happens there.
    pub watch: Watch,
}

impl Settings {
    fn of(agent: Agent) -> Arc<Self> {
        let node = Node::at(&agent.node);
        let watch = Watch::begin(node.clone());
        Arc::new(Self { agent, node, watch })
    }
}

/// The driver.
#[derive(Clone)]
pub struct Driver {
    inner: Arc<Inner>,
}

struct Inner {
    settings: RwLock<Arc<Settings>>,
    known: Known,
    tasks: Mutex<HashMap<String, Arc<Task>>>,
    events: broadcast::Sender<DriverTaskEvent>,
    presence: Presence,
}

/// A moment as gRPC has it.
pub fn time(unix_ns: u64) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: i64::try_from(unix_ns / 1_000_000_000).unwrap_or(i64::MAX),
        nanos: (unix_ns % 1_000_000_000) as i32,
    }
}

impl Driver {
    /// A driver without tasks, with the configuration's defaults.
    pub fn new(presence: Presence) -> Self {
        let inner = Inner {
            settings: RwLock::new(Settings::of(Agent::default())),
            known: Known::default(),
            tasks: Mutex::default(),
            events: broadcast::Sender::new(BEHIND),
            presence,
        };
        Self { inner: Arc::new(inner) }
    }

    /// All services of a plugin that is this driver.
    pub fn services(&self) -> Router {
        Server::builder()
            .add_service(HealthServer::new(health::Health))
            .add_service(GrpcControllerServer::new(controller::Controller(self.inner.presence.clone())))
            .add_service(GrpcBrokerServer::new(broker::Broker))
            .add_service(GrpcStdioServer::new(stdio::Stdio))
            .add_service(BasePluginServer::new(self.clone()).max_decoding_message_size(LONGEST))
            .add_service(DriverServer::new(self.clone()).max_decoding_message_size(LONGEST))
    }

    fn settings(&self) -> Arc<Settings> {
        self.inner.settings.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Another configuration. Tasks are followed where they are.
    fn set(&self, agent: Agent) {
        if self.settings().agent == agent {
            return;
        }
        let new = Settings::of(agent);
        self.inner.known.clear();
        *self.inner.settings.write().unwrap_or_else(PoisonError::into_inner) = new;
    }

    fn task(&self, id: &str) -> Result<Arc<Task>, Status> {
        self.find(id).ok_or_else(refusal::not_found)
    }

    fn find(&self, id: &str) -> Option<Arc<Task>> {
        self.inner.tasks.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    fn add(&self, task: Arc<Task>) {
        self.inner.tasks.lock().unwrap_or_else(PoisonError::into_inner).insert(task.id.clone(), task);
    }

    fn forget(&self, id: &str) {
        self.inner.tasks.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    /// Says something of a task, for its list of events.
    fn emit_event(&self, config: &TaskConfig, message: String) {
        let event = DriverTaskEvent {
            task_id: config.id.clone(),
            alloc_id: config.alloc_id.clone(),
            task_name: config.name.clone(),
            timestamp: Some(time(now())),
            message,
            annotations: HashMap::new(),
        };
        // There may be nobody who listens.
        let _ = self.inner.events.send(event);
    }
}
