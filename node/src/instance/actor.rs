//! One instance's life: the only place where its state changes. It carries out commands, each by a change of the desired
//! state that is stored first; [`steps`](super::steps) brings the instance there, [`outcome`](super::outcome) takes in
//! what its monitor reports.

use super::health::Checks;
use super::launch::{REPORT, SOCKET};
use super::outcome::Cause;
use super::plan::{check_words, plan};
use super::prepared::UnderWay;
use super::report::Reader;
use super::{Command, Handle, RequestTrace};
use crate::desired::{Desired, Goal, Observed, Step};
use crate::failpoint;
use crate::node::Node;
use crate::process::Process;
use crate::store::{Row, Running};
use api::Problem;
use api::instance::{Instance, InstanceChange, InstanceSpec, Restart, State};
use api::timeline::Timeline;
use machine::report::Report;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedRwLockReadGuard, mpsc, oneshot, watch};
use tokio::time::Instant;

/// Commands that may wait.
const WAITING: usize = 16;

/// A monitor at work.
pub(super) struct Run {
    pub process: Process,
    pub report: Reader,
    pub running: Running,
    /// When it is killed, if it has not ended by then.
    pub kill_at: Option<Instant>,
    /// Whether this daemon has asked it to stop, or has killed it.
    pub ending: bool,
    /// The last line of its report, once it is there.
    pub end: Option<Report>,
    /// Until its guest is ready.
    pub under_way: Option<UnderWay>,
    /// Why it was found to be unhealthy, if it is ended for that.
    pub unhealthy: Option<String>,
}

pub(super) struct Actor {
    pub node: Arc<Node>,
    pub spec: InstanceSpec,
    pub desired: Desired,
    pub instance: Instance,
    pub run: Option<Run>,
    pub view: watch::Sender<Instance>,
    /// When its guest became ready.
    pub ready_at: Option<Instant>,
    /// Its health checks, while its guest is ready.
    pub checks: Option<Checks>,
    /// No step is tried before: the last one failed.
    pub retry_at: Option<Instant>,
    /// The request that the next start answers.
    pub trace: Option<RequestTrace>,
    /// Its creator is about to send [`Command::Launch`].
    pub launch_follows: bool,
    /// How many wait for its forced deletion.
    pub killers: watch::Receiver<u32>,
    /// Who waits until it is gone.
    pub deleting: Vec<oneshot::Sender<Result<(), Problem>>>,
    /// It was removed from the store.
    pub gone: bool,
    /// What was told and is not written down yet.
    pub due: Option<Due>,
}

/// An instance that was told to be ready, and is written down as that next.
pub(super) struct Due {
    pub timeline: Timeline,
    /// Who reads the store waits until this is given back.
    pub _unwritten: OwnedRwLockReadGuard<()>,
}

fn begin(node: Arc<Node>, row: Row, run: Option<Run>) -> (Actor, Handle, mpsc::Receiver<Command>) {
    let Row { spec, desired, instance, .. } = row;
    let (commands, received) = mpsc::channel(WAITING);
    let (view, observed) = watch::channel(instance.clone());
    let socket = node.folder(instance.id).join(SOCKET);
    let (killers, forced) = watch::channel(0);
    let (id, name) = (instance.id, instance.name.clone());
    let handle = Handle { id, name, view: observed, socket, commands, killers };
    let actor = Actor {
        node,
        spec,
        desired,
        instance,
        run,
        view,
        ready_at: None,
        checks: None,
        retry_at: None,
        trace: None,
        launch_follows: false,
        killers: forced,
        deleting: Vec::new(),
        gone: false,
        due: None,
    };
    (actor, handle, received)
}

/// A new instance, which does not run yet. One that shall run gets a [`Command::Launch`] from its creator.
pub fn create(node: Arc<Node>, row: Row) -> Handle {
    let (mut actor, handle, received) = begin(node, row, None);
    actor.launch_follows = actor.desired.goal == Goal::Running;
    tokio::spawn(actor.live(received));
    handle
}

/// An instance of a former daemon, with its monitor if that is still there. `rebooted`: the host was started again since.
pub fn adopt(node: Arc<Node>, mut row: Row, process: Option<Process>, rebooted: bool) -> Handle {
    let report = node.folder(row.instance.id).join(REPORT);
    let running = row.running.take();
    let report = if running.is_some() { Reader::open(&node.watcher, &report).ok() } else { None };
    let (run, lost) = match (process, running, report) {
        (Some(process), Some(running), Some(report)) => {
            let run = Run {
                process,
                report,
                running,
                kill_at: None,
                ending: false,
                end: None,
                under_way: None,
                unhealthy: None,
            };
            (Some(run), None)
        }
        (process, Some(running), report) => {
            if let Some(process) = process {
                // Its folder is gone: nobody could reach it any more.
                process.signal(libc::SIGKILL);
            }
            (None, Some((running, report)))
        }
        (_, None, _) => {
            if row.instance.state.runs() {
                // The daemon was killed before it had written its monitor down.
                row.instance.state = State::Stopped;
            }
            (None, None)
        }
    };
    let (mut actor, handle, received) = begin(node, row, run);
    tokio::spawn(async move {
        match lost {
            Some((running, report)) => {
                let lines = report.map(|mut r| r.lines()).unwrap_or_default();
                let cause = if rebooted { Cause::Reboot } else { Cause::Itself };
                actor.ended(&running, lines.into_iter().last(), cause);
            }
            None => actor.read(),
        }
        actor.write_due();
        actor.advance().await;
        actor.live(received).await;
    });
    handle
}

impl Actor {
    async fn live(mut self, mut received: mpsc::Receiver<Command>) {
        while !self.gone {
            let kill_at = self.run.as_ref().and_then(|r| r.kill_at);
            let next_try = self.next_try();
            let run = self.run.as_ref();
            tokio::select! {
                command = received.recv() => match command {
                    Some(command) => self.execute(command).await,
                    None => return,
                },
                () = changed(run) => self.read(),
                () = ended(run) => self.over(),
                outcome = Checks::next(self.checks.as_mut()) => self.checked(outcome).await,
                () = sleep_until(kill_at) => self.kill(),
                () = sleep_until(next_try) => self.retry_at = None,
            }
            if self.due.is_some() {
                // Who waits for it goes first: this thread would have kept it waiting.
                tokio::task::yield_now().await;
                self.write_due();
            }
            self.advance().await;
        }
    }

    /// What is to be done next.
    pub(super) fn step(&self) -> Step {
        let (runs, ending) = self.run.as_ref().map_or((false, false), |run| (true, run.ending));
        self.desired.step(Observed { state: self.instance.state, runs, ending })
    }

    /// Writes down what it shall be from now on, before anything is done for it.
    pub(super) fn intend(&mut self, desired: Desired) -> Result<(), Problem> {
        self.node.store.intend(self.instance.id, &self.spec, &desired)?;
        self.desired = desired;
        self.retry_at = None;
        failpoint::reach("intended");
        Ok(())
    }

    /// Refuses what a deleted instance cannot do any more.
    fn is_not_deleted(&self) -> Result<(), Problem> {
        match self.desired.goal {
            Goal::Deleted => Err(Problem::conflict(format!("{} is being deleted", self.instance.name))),
            _ => Ok(()),
        }
    }

    async fn execute(&mut self, command: Command) {
        match command {
            Command::Launch(plan, to) => {
                self.launch_follows = false;
                let outcome = self.is_not_deleted().and_then(|()| self.launch(*plan));
                let _ = to.send(outcome);
            }
            Command::Start(trace, to) => {
                let outcome = self.start(trace);
                let _ = to.send(outcome);
            }
            Command::Stop(grace, to) => {
                let outcome = self.stop(grace);
                self.advance().await;
                let _ = to.send(outcome);
            }
            Command::Reboot(trace, grace, to) => {
                let outcome = self.reboot(trace, grace);
                self.advance().await;
                let _ = to.send(outcome);
            }
            Command::Wait(to) => {
                let outcome = self.wait();
                let _ = to.send(outcome);
            }
            Command::Wake(trace) => {
                if self.instance.state == State::Waiting
                    && self.is_not_deleted().is_ok()
                    && let Err(e) = self.start(trace)
                {
                    self.failed(e.to_string());
                }
            }
            Command::Retire => {
                if self.instance.state == State::Ready && self.desired.goal == Goal::Running {
                    let grace_ms = self.node.images.grace_ms(&self.spec.image);
                    let desired = Desired { goal: Goal::Waiting, grace_ms, ..self.desired.clone() };
                    if let Err(e) = self.intend(desired) {
                        tracing::error!(instance = self.instance.name, "it is not retired: {e}");
                    }
                }
            }
            Command::Pause(pause, to) => {
                let outcome = self.pause(pause).await;
                let _ = to.send(outcome);
            }
            Command::Configure(config, to) => {
                let outcome = self.reconfigure(config).await;
                let _ = to.send(outcome);
            }
            Command::Change(change, to) => {
                let _ = to.send(self.change(&change));
            }
            Command::Delete(force, to) => {
                if self.run.is_some() && !force && self.desired.goal != Goal::Deleted {
                    let name = &self.instance.name;
                    let problem = Problem::conflict(format!("{name} is {}", self.instance.state.name()));
                    let _ = to.send(Err(problem.hint("stop it first, or force")));
                    return;
                }
                match self.intend(Desired { goal: Goal::Deleted, ..self.desired.clone() }) {
                    Ok(()) => {
                        self.deleting.push(to);
                        // One that has been asked to stop has no more time for it.
                        self.kill();
                    }
                    Err(e) => {
                        let _ = to.send(Err(e));
                    }
                }
            }
            Command::Timeline(to) => {
                let outcome = self.timeline().await;
                let _ = to.send(outcome);
            }
        }
    }

    fn start(&mut self, trace: RequestTrace) -> Result<(), Problem> {
        self.is_not_deleted()?;
        if self.run.is_some() {
            let (name, state) = (&self.instance.name, self.instance.state.name());
            return Err(Problem::conflict(format!("{name} is {state} already")));
        }
        let plan = plan(&self.node, &self.spec, trace)?;
        self.desired.pause_ms = 0;
        self.launch(plan)
    }

    fn stop(&mut self, grace: Duration) -> Result<(), Problem> {
        self.is_not_deleted()?;
        if self.run.is_none() && matches!(self.desired.goal, Goal::Stopped) {
            return Err(Problem::conflict(format!("{} does not run", self.instance.name)));
        }
        self.intend(Desired { grace_ms: milliseconds(grace), ..Desired::new(Goal::Stopped) })?;
        if let Some(run) = &mut self.run {
            // Asked again, it gets the new time.
            run.ending = false;
        }
        Ok(())
    }

    fn reboot(&mut self, trace: RequestTrace, grace: Duration) -> Result<(), Problem> {
        self.is_not_deleted()?;
        if self.run.is_none() {
            return self.start(trace);
        }
        let desired = Desired::new(Goal::Running);
        self.intend(Desired { fresh_run: true, grace_ms: milliseconds(grace), ..desired })?;
        self.trace = Some(trace);
        Ok(())
    }

    fn wait(&mut self) -> Result<(), Problem> {
        self.is_not_deleted()?;
        self.intend(Desired::new(Goal::Waiting))?;
        self.announce()
    }

    async fn pause(&mut self, pause: bool) -> Result<(), Problem> {
        self.is_not_deleted()?;
        let (from, goal) = if pause { (State::Ready, Goal::Paused) } else { (State::Paused, Goal::Running) };
        let state = self.instance.state;
        let before = self.desired.goal;
        // After a crash of the daemon, the state may not be what was asked for before yet.
        let is_asked_back = self.run.is_some() && self.desired.runs() && before != goal;
        if state != from && !is_asked_back {
            let name = &self.instance.name;
            return Err(Problem::conflict(format!("{name} is {}, not {}", state.name(), from.name())));
        }
        self.intend(Desired { goal, ..self.desired.clone() })?;
        if state != from {
            return Ok(());
        }
        let outcome = self.set_paused(pause).await;
        if outcome.is_err() {
            self.intend(Desired { goal: before, ..self.desired.clone() })?;
        }
        outcome
    }

    fn change(&mut self, change: &InstanceChange) -> Result<Instance, Problem> {
        self.is_not_deleted()?;
        let (mut spec, mut instance, mut desired) =
            (self.spec.clone(), self.instance.clone(), self.desired.clone());
        change.apply(&mut spec);
        check_words(&spec)?;
        (instance.labels, instance.restart) = (spec.labels.clone(), spec.restart);
        // One that waits for its next start by the policy before.
        let waits = self.run.is_none() && desired.runs() && desired.not_before_unix_ns != 0;
        if spec.restart == Restart::Never && waits {
            desired = Desired::new(Goal::Stopped);
        }
        self.node.store.change(&spec, &instance, &desired)?;
        failpoint::reach("change::kept");
        (self.spec, self.instance, self.desired) = (spec, instance, desired);
        self.view.send_replace(self.instance.clone());
        self.node.events.emit("instance.changed", &self.instance.name, serde_json::Value::Null);
        Ok(self.instance.clone())
    }

    async fn reconfigure(&mut self, config: String) -> Result<(), Problem> {
        self.is_not_deleted()?;
        if self.run.is_none() {
            return Err(Problem::conflict("the instance is not running").hint("start it"));
        }
        let before = self.spec.config.replace(config);
        let desired = Desired { replaced_config: before.clone(), ..self.desired.clone() };
        if let Err(e) = self.intend(desired) {
            self.spec.config = before;
            return Err(e);
        }
        self.configure(before).await
    }
}

fn milliseconds(grace: Duration) -> u32 {
    grace.as_millis().min(u32::MAX.into()) as u32
}

async fn changed(run: Option<&Run>) {
    match run {
        Some(run) => run.report.changed().await,
        None => std::future::pending().await,
    }
}

async fn ended(run: Option<&Run>) {
    match run {
        Some(run) => run.process.ended().await,
        None => std::future::pending().await,
    }
}

async fn sleep_until(when: Option<Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when).await,
        None => std::future::pending().await,
    }
}
