//! `Driver`: the calls.

use super::{Driver, NAME, exec, fingerprint, network, refusal, time};
use crate::node::Fault;
use crate::proto::drivers::driver_capabilities::{FsIsolation, MountConfigs};
use crate::proto::drivers::driver_server::Driver as Service;
use crate::proto::drivers::fingerprint_response::HealthState;
use crate::proto::drivers::network_isolation_spec::NetworkIsolationMode;
use crate::proto::drivers::*;
use crate::schema::job::{self, Job};
use crate::task::start::Started;
use crate::task::stats::{Meter, Sample, packets};
use crate::task::{StoredTask, Task, bridge, label, now, request, start};
use crate::timeline::mapping;
use api::instance::{Device, Instance};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};

/// Version of what handles keep.
const HANDLE: i32 = 1;
/// For a task that is asked to end by a signal, and for one whose job says nothing.
const GRACE: Duration = Duration::from_secs(2);
/// After the node said that an instance has stopped, until its end is known here.
const EVENT_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two tries to reach a node that is away.
const NODE_RETRY_PAUSE: Duration = Duration::from_millis(500);
/// Between two looks at what a task uses, unless Nomad says otherwise; no shorter than the last.
const STATS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_millis(100));

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;
type Done<T> = Result<Response<T>, Status>;

fn duration(asked: Option<prost_types::Duration>, otherwise: Duration) -> Duration {
    asked.and_then(|d| Duration::try_from(d).ok()).unwrap_or(otherwise)
}

/// Whether a task's id is one: an instance without one is nobody's.
fn is_of(instance: &Instance, id: &str) -> bool {
    !id.is_empty() && instance.labels.get(label::ID).is_some_and(|label| label == id)
}

impl Driver {
    fn follow(&self, config: TaskConfig, kept: StoredTask) -> Arc<Task> {
        let settings = self.settings();
        let task = Task::follow(config, kept, settings.node.clone(), &settings.watch);
        self.add(task.clone());
        task
    }

    /// Removes what the node has of a task that this process never knew, or has forgotten.
    async fn remove_unknown(&self, id: &str, force: bool) -> Result<(), Status> {
        let node = self.settings().node.clone();
        let all = node.instances().await.map_err(|e| refusal::by_node(&e))?;
        let Some(instance) = all.into_iter().find(|i| is_of(i, id)) else { return Err(refusal::not_found()) };
        if instance.state.runs() && !force {
            return Err(running());
        }
        match node.remove(instance.id).await {
            Err(e) if !e.is("absent") => return Err(refusal::by_node(&e)),
            _ => {}
        }
        if let Some(name) = instance.labels.get(label::BRIDGE) {
            bridge::release(&node, name).await.map_err(|e| refusal::by_node(&e))?;
        }
        Ok(())
    }

    /// Has the guest run what its configuration's file says now.
    async fn reload(&self, task: &Task) -> Result<(), Status> {
        let job = Job::read(&task.config.msgpack_driver_config).map_err(Status::invalid_argument)?;
        if job.config_file.is_empty() {
            return Err(Status::failed_precondition(
                "a configuration that is not a file cannot be read again: use config_file",
            ));
        }
        let text = request::configuration(&task.config, &job).map_err(Status::failed_precondition)?;
        let text = text.unwrap_or_default();
        match task.node.configure(task.state.instance, &text).await {
            Ok(()) => {
                self.emit_event(&task.config, format!("{} runs now, without a packet lost", job.config_file));
                Ok(())
            }
            Err(e) => {
                self.emit_event(
                    &task.config,
                    format!("{} is refused, and what ran goes on: {e}", job.config_file),
                );
                Err(refusal::by_node(&e))
            }
        }
    }
}

/// Removes a task whose node was away when Nomad wanted that: Nomad does not ask again.
fn remove_later(driver: Driver, task: Arc<Task>) {
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(NODE_RETRY_PAUSE).await;
            match task.remove().await {
                Err(Fault::Unreachable { .. }) => {}
                Err(e) => {
                    tracing::warn!(task = task.id, "not removed: {e}");
                    return;
                }
                Ok(()) => {
                    driver.forget(&task.id);
                    return;
                }
            }
        }
    });
}

/// Says that a task runs: to Nomad, and to those who look at its timeline. `call` is from when to when Nomad asked.
async fn report(driver: Driver, task: Arc<Task>, started: Started, call: (u64, u64)) {
    let Started { instance, asked_unix_ns, .. } = started;
    let ready = instance.ready_ns.map_or(0.0, |ns| ns as f64 / 1e6);
    let text = format!("{} {} after {ready:.1} ms: {}", instance.name, instance.state.name(), at(&instance));
    driver.emit_event(&task.config, text);
    task.refresh().await;
    let phases = [(mapping::START, call), (mapping::NODE, asked_unix_ns)];
    let phases =
        phases.map(|(phase, (start_unix_ns, end_unix_ns))| phase.external(start_unix_ns, end_unix_ns));
    // One that waits for its first packet has no timeline yet.
    if let Err(e) = task.node.add_phases(&task.state.name, &phases).await {
        tracing::debug!(task = task.id, "no phases were added: {e}");
    }
}

fn running() -> Status {
    Status::failed_precondition("the task runs: stop it first, or force")
}

fn at(instance: &Instance) -> String {
    let addresses = instance.devices.iter().flat_map(Device::addresses).map(|a| a.to_string());
    addresses.collect::<Vec<_>>().join(", ")
}

#[tonic::async_trait]
impl Service for Driver {
    type FingerprintStream = Answers<FingerprintResponse>;
    type TaskStatsStream = Answers<TaskStatsResponse>;
    type TaskEventsStream = Answers<DriverTaskEvent>;
    type ExecTaskStreamingStream = Answers<ExecTaskStreamingResponse>;

    async fn task_config_schema(
        &self,
        _: Request<TaskConfigSchemaRequest>,
    ) -> Done<TaskConfigSchemaResponse> {
        Ok(Response::new(TaskConfigSchemaResponse { spec: Some(job::schema()) }))
    }

    async fn capabilities(&self, _: Request<CapabilitiesRequest>) -> Done<CapabilitiesResponse> {
        let modes = [NetworkIsolationMode::Host, NetworkIsolationMode::Group, NetworkIsolationMode::None];
        let capabilities = DriverCapabilities {
            send_signals: true,
            exec: true,
            // Templates and artifacts are files that the driver reads for the guest.
            fs_isolation: FsIsolation::None.into(),
            network_isolation_modes: modes.map(i32::from).into(),
            must_create_network: false,
            mount_configs: MountConfigs::NoMounts.into(),
            remote_tasks: false,
            disable_log_collection: false,
        };
        Ok(Response::new(CapabilitiesResponse { capabilities: Some(capabilities) }))
    }

    async fn fingerprint(&self, _: Request<FingerprintRequest>) -> Done<Self::FingerprintStream> {
        let (to, answers) = mpsc::channel(1);
        let driver = self.clone();
        tokio::spawn(async move {
            let mut last = None;
            let mut seen = false;
            while !to.is_closed() {
                let settings = driver.settings();
                let found = fingerprint::check(&settings, seen).await;
                seen |= found.health() == HealthState::Healthy;
                if last.as_ref() != Some(&found) {
                    if to.send(Ok(found.clone())).await.is_err() {
                        return;
                    }
                    last = Some(found);
                }
                tokio::select! {
                    () = fingerprint::wait(&settings) => {}
                    () = to.closed() => return,
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
    }

    async fn start_task(&self, asked: Request<StartTaskRequest>) -> Done<StartTaskResponse> {
        let begun = now();
        let config =
            asked.into_inner().task.ok_or_else(|| Status::invalid_argument("a start without a task"))?;
        if config.id.is_empty() || config.alloc_id.is_empty() {
            return Err(Status::invalid_argument("a task without an id"));
        }
        let settings = self.settings();
        let known = self.find(&config.id).filter(|task| task.ended().is_none());
        let kept = match known {
            Some(task) => task.state.clone(),
            None => {
                let started = if settings.agent.enabled {
                    start::start(&settings.node, &settings.agent, &self.inner.known, &config).await
                } else {
                    Err(start::Failure::Job("the driver is disabled by the agent's configuration".into()))
                };
                let started = started.map_err(|failure| {
                    tracing::warn!(task = config.id, "not started: {failure}");
                    refusal::not_started(&failure)
                })?;
                let kept = started.state.clone();
                let task = self.follow(config.clone(), kept.clone());
                tokio::spawn(report(self.clone(), task, started, (begun, now())));
                kept
            }
        };
        let driver_state = rmp_serde::to_vec_named(&kept).map_err(|e| Status::internal(e.to_string()))?;
        let handle = TaskHandle {
            version: HANDLE,
            config: Some(config),
            state: TaskState::Running.into(),
            driver_state,
        };
        Ok(Response::new(StartTaskResponse { handle: Some(handle), ..Default::default() }))
    }

    async fn recover_task(&self, asked: Request<RecoverTaskRequest>) -> Done<RecoverTaskResponse> {
        let handle = asked.into_inner().handle.ok_or_else(|| Status::invalid_argument("no handle"))?;
        let config = handle.config.ok_or_else(|| Status::invalid_argument("a handle without a task"))?;
        if handle.version != HANDLE {
            return Err(Status::invalid_argument(format!("a handle of version {}", handle.version)));
        }
        let kept: StoredTask = rmp_serde::from_slice(&handle.driver_state)
            .map_err(|e| Status::invalid_argument(format!("the handle cannot be read: {e}")))?;
        if let Some(task) = self.find(&config.id) {
            task.recovered.store(true, Ordering::Relaxed);
            return Ok(Response::new(RecoverTaskResponse {}));
        }
        match self.settings().node.instance(&kept.instance.to_string()).await {
            Ok(instance) if !is_of(&instance, &config.id) => return Err(refusal::not_found()),
            Ok(instance) => {
                if let Some(ended) = crate::task::end::Ended::of(&instance) {
                    let why = ended.reason.unwrap_or_else(|| format!("exit status {}", ended.status));
                    return Err(Status::failed_precondition(format!("the task has ended meanwhile: {why}")));
                }
            }
            Err(e) if e.is("absent") => return Err(refusal::not_found()),
            // The node is away, and what it ran goes on. A second start would be worse than a short doubt.
            Err(e) => tracing::warn!(task = config.id, "recovered without a word of the node: {e}"),
        }
        self.follow(config, kept).recovered.store(true, Ordering::Relaxed);
        Ok(Response::new(RecoverTaskResponse {}))
    }

    async fn wait_task(&self, asked: Request<WaitTaskRequest>) -> Done<WaitTaskResponse> {
        let task = self.task(&asked.get_ref().task_id)?;
        // A client that was killed before it had told its server that the task runs tells it with the next event only.
        if task.recovered.swap(false, Ordering::Relaxed) && task.ended().is_none() {
            self.emit_event(
                &task.config,
                "found again after a restart of the client or the driver; it has run on".into(),
            );
        }
        let ended = task.end().await;
        let err = ended.reason.clone().unwrap_or_default();
        Ok(Response::new(WaitTaskResponse { result: Some(ended.result()), err }))
    }

    async fn stop_task(&self, asked: Request<StopTaskRequest>) -> Done<StopTaskResponse> {
        let asked = asked.into_inner();
        let task = self.task(&asked.task_id)?;
        if task.ended().is_some() {
            return Ok(Response::new(StopTaskResponse {}));
        }
        let kill = asked.signal == "SIGKILL";
        let grace = if kill { Duration::ZERO } else { duration(asked.timeout, GRACE) };
        match task.node.stop(task.state.instance, grace).await {
            Ok(_) => {}
            // It has ended by itself, or is gone.
            Err(e) if e.is("conflict") || e.is("absent") => {}
            Err(e) => return Err(refusal::by_node(&e)),
        }
        task.refresh().await;
        match tokio::time::timeout(EVENT_TIMEOUT, task.end()).await {
            Ok(_) => Ok(Response::new(StopTaskResponse {})),
            Err(_) => Err(Status::deadline_exceeded("the task has not ended")),
        }
    }

    async fn destroy_task(&self, asked: Request<DestroyTaskRequest>) -> Done<DestroyTaskResponse> {
        let asked = asked.into_inner();
        let Some(task) = self.find(&asked.task_id) else {
            self.remove_unknown(&asked.task_id, asked.force).await?;
            return Ok(Response::new(DestroyTaskResponse {}));
        };
        if task.ended().is_none() && !task.refresh().await && !asked.force {
            return Err(running());
        }
        if let Err(e) = task.remove().await {
            if matches!(e, Fault::Unreachable { .. }) {
                remove_later(self.clone(), task);
            }
            return Err(refusal::by_node(&e));
        }
        self.forget(&asked.task_id);
        Ok(Response::new(DestroyTaskResponse {}))
    }

    async fn inspect_task(&self, asked: Request<InspectTaskRequest>) -> Done<InspectTaskResponse> {
        let task = self.task(&asked.get_ref().task_id)?;
        let ended = task.ended();
        let status = TaskStatus {
            id: task.id.clone(),
            name: task.config.name.clone(),
            state: if ended.is_some() { TaskState::Exited } else { TaskState::Running }.into(),
            started_at: Some(time(task.state.started_unix_ns)),
            // Nomad wants a moment in any case.
            completed_at: Some(ended.as_ref().map_or_else(Default::default, |e| time(e.at_unix_ns))),
            result: Some(ended.as_ref().map_or_else(Default::default, |e| e.result())),
        };
        let mut attributes =
            std::collections::HashMap::from([("instance".to_owned(), task.state.name.clone())]);
        if ended.is_none() {
            if let Ok(instance) = task.instance().await {
                attributes.insert("addresses".into(), at(&instance));
                attributes.insert("state".into(), instance.state.name().into());
            }
            if let Ok(seen) = task.node.inspect(task.state.instance).await
                && let Ok(seen) = serde_json::from_value::<Sample>(seen)
            {
                attributes.extend(packets(&seen));
            }
        }
        Ok(Response::new(InspectTaskResponse {
            task: Some(status),
            driver: Some(TaskDriverStatus { attributes }),
            network_override: None,
        }))
    }

    async fn task_stats(&self, asked: Request<TaskStatsRequest>) -> Done<Self::TaskStatsStream> {
        let asked = asked.into_inner();
        let task = self.task(&asked.task_id)?;
        let interval = duration(asked.collection_interval, STATS.0).max(STATS.1);
        let (to, answers) = mpsc::channel(1);
        tokio::spawn(async move {
            let mut meter = Meter::new();
            while task.ended().is_none() {
                if let Some(stats) = meter.sample(&task).await
                    && to.send(Ok(TaskStatsResponse { stats: Some(stats) })).await.is_err()
                {
                    return;
                }
                tokio::select! {
                    () = tokio::time::sleep(interval) => {}
                    () = to.closed() => return,
                    _ = task.end() => return,
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
    }

    async fn task_events(&self, _: Request<TaskEventsRequest>) -> Done<Self::TaskEventsStream> {
        let events = tokio_stream::wrappers::BroadcastStream::new(self.inner.events.subscribe());
        // Who is too slow misses some.
        Ok(Response::new(Box::pin(events.filter_map(|event| event.ok().map(Ok)))))
    }

    async fn signal_task(&self, asked: Request<SignalTaskRequest>) -> Done<SignalTaskResponse> {
        let asked = asked.into_inner();
        let task = self.task(&asked.task_id)?;
        if task.ended().is_some() {
            return Err(Status::failed_precondition("the task has ended"));
        }
        let (node, id) = (&task.node, task.state.instance);
        let done = match asked.signal.as_str() {
            "SIGHUP" => return self.reload(&task).await.map(|()| Response::new(SignalTaskResponse {})),
            "SIGTERM" | "SIGINT" | "SIGQUIT" => node.stop(id, GRACE).await.map(drop),
            "SIGKILL" => node.stop(id, Duration::ZERO).await.map(drop),
            "SIGSTOP" | "SIGTSTP" => node.pause(id).await,
            "SIGCONT" => node.resume(id).await,
            signal => {
                return Err(Status::invalid_argument(format!(
                    "{signal} means nothing to a guest: SIGHUP reads config_file again, SIGTERM and SIGKILL end it, SIGSTOP and SIGCONT pause it"
                )));
            }
        };
        task.refresh().await;
        done.map_err(|e| refusal::by_node(&e))?;
        Ok(Response::new(SignalTaskResponse {}))
    }

    async fn exec_task(&self, asked: Request<ExecTaskRequest>) -> Done<ExecTaskResponse> {
        let asked = asked.into_inner();
        let task = self.task(&asked.task_id)?;
        let timeout = duration(asked.timeout, Duration::from_secs(10)).min(Duration::from_secs(600));
        let run = async {
            match crate::task::exec::Command::of(&asked.command) {
                Ok(command) => crate::task::exec::run(&task, command, b"").await,
                Err(outcome) => outcome,
            }
        };
        let outcome = tokio::time::timeout(timeout, run).await;
        let outcome = outcome.map_err(|_| Status::deadline_exceeded("the command took too long"))?;
        Ok(Response::new(ExecTaskResponse {
            stdout: outcome.output,
            stderr: outcome.errors.into(),
            result: Some(ExitResult { exit_code: outcome.status, ..ExitResult::default() }),
        }))
    }

    async fn exec_task_streaming(
        &self,
        asked: Request<Streaming<ExecTaskStreamingRequest>>,
    ) -> Done<Self::ExecTaskStreamingStream> {
        let mut input = asked.into_inner();
        let setup = input.message().await?.and_then(|first| first.setup);
        let setup = setup.ok_or_else(|| Status::invalid_argument("the first message sets up"))?;
        let task = self.task(&setup.task_id)?;
        let (to, answers) = mpsc::channel(16);
        tokio::spawn(exec::stream(task, setup, input, to));
        Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
    }

    async fn create_network(&self, asked: Request<CreateNetworkRequest>) -> Done<CreateNetworkResponse> {
        let (spec, created) = network::create(&asked.get_ref().alloc_id).await?;
        Ok(Response::new(CreateNetworkResponse { isolation_spec: Some(spec), created }))
    }

    async fn destroy_network(&self, asked: Request<DestroyNetworkRequest>) -> Done<DestroyNetworkResponse> {
        network::destroy(&asked.get_ref().alloc_id).await?;
        Ok(Response::new(DestroyNetworkResponse {}))
    }

    async fn init(&self, _: Request<InitRequest>) -> Done<InitResponse> {
        tracing::debug!("{NAME} is used by a client of a later line");
        Ok(Response::new(InitResponse {}))
    }

    async fn shutdown(&self, _: Request<ShutdownRequest>) -> Done<ShutdownResponse> {
        // Tasks are the node's, and live on; places of consoles are kept as they are written.
        Ok(Response::new(ShutdownResponse {}))
    }
}
