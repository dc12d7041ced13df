//! Instances. Each has a task of its own ([`actor`]), which alone changes its state and starts and ends its monitor;
//! others ask it through a [`Handle`] and watch what it comes to. [`plan`] refuses what cannot run before anything is
//! made (what it found right is in [`checked`]), [`steps`] brings it to its desired state, [`outcome`] takes in what becomes of it, [`launch`] makes a monitor's surroundings and starts it ([`linux`] knows what Linux guests need), or has one of the [`prepared`] monitors run it, [`report`] reads what
//! monitors say, [`health`] asks whether it does its work, [`demand`] starts what a packet wants and retires what is idle.

pub mod actor;
pub mod checked;
pub mod control;
pub mod demand;
pub mod health;
pub mod launch;
pub mod linux;
mod outcome;
pub mod plan;
pub mod prepared;
pub mod report;
mod steps;

use api::Problem;
use api::instance::{Instance, InstanceChange, State};
use api::timeline::Timeline;
use api::trace_context::TraceParent;
use machine::timeline::{Phase, Tsc, unix_ns};
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use uuid::Uuid;

/// A request from its arrival on: where a timeline begins.
#[derive(Clone, Debug)]
pub struct RequestTrace {
    /// The request's id.
    pub request: String,
    /// The trace that it belongs to, if it named one.
    pub traceparent: Option<TraceParent>,
    /// When it arrived.
    pub begun: Tsc,
    /// The same, nanoseconds since 1970.
    pub begun_unix_ns: u64,
    /// Phases that are over.
    pub phases: Vec<(Phase, Tsc, Tsc)>,
}

impl RequestTrace {
    /// Now, from the node itself.
    pub fn now(why: &str) -> Self {
        let request = format!("{why}-{}", Uuid::now_v7().simple());
        Self { request, traceparent: None, begun: Tsc::now(), begun_unix_ns: unix_ns(), phases: Vec::new() }
    }

    /// A phase is over that began when the last one ended.
    pub fn past(&mut self, phase: Phase) {
        let start = self.phases.last().map_or(self.begun, |p| p.2);
        self.phases.push((phase, start, Tsc::now()));
    }
}

/// What an instance's task is told to do.
pub enum Command {
    /// Start with what was found for it already.
    Launch(Box<plan::Plan>, oneshot::Sender<Result<(), Problem>>),
    /// Start, if it does not run.
    Start(RequestTrace, oneshot::Sender<Result<(), Problem>>),
    /// Stop, if it runs; its monitor is killed after the grace period.
    Stop(Duration, oneshot::Sender<Result<(), Problem>>),
    /// Stop and start.
    Reboot(RequestTrace, Duration, oneshot::Sender<Result<(), Problem>>),
    /// Be started by the first packet, if it does not run.
    Wait(oneshot::Sender<Result<(), Problem>>),
    /// Start, for a packet came.
    Wake(RequestTrace),
    /// Stop, and wait for the next packet.
    Retire,
    /// Let its guest run no longer, or on.
    Pause(bool, oneshot::Sender<Result<(), Problem>>),
    /// Be gone. What runs is only ended if `force`.
    Delete(bool, oneshot::Sender<Result<(), Problem>>),
    /// How did it come to be?
    Timeline(oneshot::Sender<Result<Timeline, Problem>>),
    /// Run another configuration, now and after the next start.
    Configure(String, oneshot::Sender<Result<(), Problem>>),
    /// Have other labels, or another restart policy.
    Change(InstanceChange, oneshot::Sender<Result<Instance, Problem>>),
}

/// An instance, for others.
#[derive(Clone, Debug)]
pub struct Handle {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// What it is now.
    pub view: watch::Receiver<Instance>,
    /// Its monitor's control socket, while it runs.
    pub socket: PathBuf,
    commands: mpsc::Sender<Command>,
    /// How many wait for its forced deletion: its task waits for no answer of its monitor then.
    killers: watch::Sender<u32>,
}

fn gone(name: &str) -> Problem {
    Problem::absent("instance", name)
}

impl Handle {
    async fn request<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, Problem>>) -> Command,
    ) -> Result<T, Problem> {
        let (to, from) = oneshot::channel();
        self.commands.send(command(to)).await.map_err(|_| gone(&self.name))?;
        from.await.map_err(|_| gone(&self.name))?
    }

    /// Starts it.
    pub async fn start(&self, trace: RequestTrace) -> Result<(), Problem> {
        self.request(|to| Command::Start(trace, to)).await
    }

    /// Starts it with what was found for it already.
    pub async fn launch(&self, plan: plan::Plan) -> Result<(), Problem> {
        self.request(|to| Command::Launch(Box::new(plan), to)).await
    }

    /// Asks it to stop.
    pub async fn stop(&self, grace: Duration) -> Result<(), Problem> {
        self.request(|to| Command::Stop(grace, to)).await
    }

    /// Asks it to stop and start again.
    pub async fn reboot(&self, trace: RequestTrace, grace: Duration) -> Result<(), Problem> {
        self.request(|to| Command::Reboot(trace, grace, to)).await
    }

    /// Has it wait for its first packet.
    pub async fn wait(&self) -> Result<(), Problem> {
        self.request(Command::Wait).await
    }

    /// Starts it if it waits for a packet.
    pub async fn wake(&self, trace: RequestTrace) {
        // One that is gone needs no packet.
        let _ = self.commands.send(Command::Wake(trace)).await;
    }

    /// Stops it until the next packet.
    pub async fn retire(&self) {
        // One that is gone has stopped.
        let _ = self.commands.send(Command::Retire).await;
    }

    /// Keeps its guest from running, or lets it run on.
    pub async fn pause(&self, pause: bool) -> Result<(), Problem> {
        self.request(|to| Command::Pause(pause, to)).await
    }

    /// Removes it. With `force` nothing that its monitor is asked for is waited for any more.
    pub async fn delete(&self, force: bool) -> Result<(), Problem> {
        if !force {
            return self.request(|to| Command::Delete(false, to)).await;
        }
        let handle = self.clone();
        // Whoever asks may go away.
        let deletion = tokio::spawn(async move {
            handle.killers.send_modify(|n| *n += 1);
            let outcome = handle.request(|to| Command::Delete(true, to)).await;
            handle.killers.send_modify(|n| *n -= 1);
            outcome
        });
        deletion.await.map_err(|e| Problem::node(e.to_string()))?
    }

    /// How it came to be.
    pub async fn timeline(&self) -> Result<Timeline, Problem> {
        self.request(Command::Timeline).await
    }

    /// Has it run another configuration, now and after the next start.
    pub async fn configure(&self, config: String) -> Result<(), Problem> {
        self.request(|to| Command::Configure(config, to)).await
    }

    /// Gives it other labels or another restart policy; what it is then.
    pub async fn change(&self, change: InstanceChange) -> Result<Instance, Problem> {
        self.request(|to| Command::Change(change, to)).await
    }

    /// Waits until it is as wanted, or as long as `timeout`; what it is then. One that is gone is as it was last.
    pub async fn until(&self, wanted: impl Fn(State) -> bool, timeout: Duration) -> Instance {
        let mut view = self.view.clone();
        let waiting = view.wait_for(|i| wanted(i.state));
        let outcome = tokio::time::timeout(timeout, waiting).await;
        drop(outcome);
        self.view.borrow().clone()
    }
}
