//! One instance's life: the only place where its state changes.

use super::launch::{self, Launched, REPORT, SOCKET, clean};
use super::plan::{Plan, plan};
use super::report::Reader;
use super::{Command, Handle, RequestTrace, control};
use crate::node::{Node, after};
use crate::process::Process;
use crate::store::{Row, Running};
use api::Problem;
use api::instance::{Instance, InstanceSpec, Restart, State};
use api::timeline::Timeline;
use machine::ending::Ending;
use machine::report::Report;
use machine::timeline as model;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

/// Questions that may wait.
const WAITING: usize = 16;
/// How long a guest has to stop when it is retired.
const GRACE: Duration = Duration::from_secs(2);
/// Before an instance that ended is started again: doubled each time, up to the last.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));
/// An instance that was ready for so long begins with the shortest pause again.
const STABLE: Duration = Duration::from_secs(60);

/// A monitor at work.
struct Run {
    process: Process,
    report: Reader,
    running: Running,
    kill_at: Option<Instant>,
    /// The last line of its report, once it is there.
    end: Option<Report>,
}

struct Actor {
    node: Arc<Node>,
    spec: InstanceSpec,
    instance: Instance,
    run: Option<Run>,
    view: watch::Sender<Instance>,
    /// When it is started again, and the pause before the next time.
    again: Option<Instant>,
    pause: Duration,
    ready_at: Option<Instant>,
    /// Started again as soon as it has stopped.
    reboot: Option<RequestTrace>,
    /// It stops because it was idle.
    retiring: bool,
    /// Gone as soon as it has ended.
    deleting: Vec<oneshot::Sender<Result<(), Problem>>>,
}

fn begin(
    node: Arc<Node>,
    spec: InstanceSpec,
    instance: Instance,
    run: Option<Run>,
) -> (Actor, Handle, mpsc::Receiver<Command>) {
    let (commands, received) = mpsc::channel(WAITING);
    let (view, observed) = watch::channel(instance.clone());
    let socket = node.folder(instance.id).join(SOCKET);
    let handle = Handle { id: instance.id, name: instance.name.clone(), view: observed, socket, commands };
    let actor = Actor {
        node,
        spec,
        instance,
        run,
        view,
        again: None,
        pause: PAUSES.0,
        ready_at: None,
        reboot: None,
        retiring: false,
        deleting: Vec::new(),
    };
    (actor, handle, received)
}

/// A new instance, which does not run yet.
pub fn create(node: Arc<Node>, spec: InstanceSpec, instance: Instance) -> Handle {
    let (actor, handle, received) = begin(node, spec, instance, None);
    tokio::spawn(actor.live(received));
    handle
}

/// An instance of a former daemon, with its monitor if that is still there.
pub fn adopt(node: Arc<Node>, row: Row, process: Option<Process>) -> Handle {
    let Row { spec, mut instance, running } = row;
    let report = node.folder(instance.id).join(REPORT);
    let report = if running.is_some() { Reader::open(&node.watcher, &report).ok() } else { None };
    let was = instance.state;
    let run = match (process, running, report) {
        (Some(process), Some(running), Some(report)) => {
            Some(Run { process, report, running, kill_at: None, end: None })
        }
        (_, None, _) => {
            if was == State::Starting {
                // The daemon was killed before it could start the monitor; the wish remains.
                instance.state = State::Stopped;
            }
            None
        }
        (process, Some(running), report) => {
            if let Some(process) = process {
                // Its folder is gone: nobody could reach it any more.
                process.signal(libc::SIGKILL);
            }
            let (mut actor, handle, received) = begin(node, spec, instance, None);
            tokio::spawn(async move {
                let lines = report.map(|mut r| r.lines()).unwrap_or_default();
                actor.ended(&running, lines.into_iter().last());
                actor.live(received).await;
            });
            return handle;
        }
    };
    let unborn = run.is_none() && was == State::Starting;
    let (mut actor, handle, received) = begin(node, spec, instance, run);
    if unborn {
        actor.again = Some(Instant::now());
    }
    tokio::spawn(async move {
        actor.read();
        actor.settle().await;
        actor.live(received).await;
    });
    handle
}

impl Actor {
    async fn live(mut self, mut received: mpsc::Receiver<Command>) {
        loop {
            let kill_at = self.run.as_ref().and_then(|r| r.kill_at);
            let again = self.again.filter(|_| self.run.is_none());
            let run = self.run.as_ref();
            tokio::select! {
                command = received.recv() => match command {
                    Some(command) => self.execute(command).await,
                    None => return,
                },
                () = changed(run) => self.read(),
                () = ended(run) => self.over(),
                () = sleep_until(kill_at) => self.kill(),
                () = sleep_until(again) => self.start_again(),
            }
            if !self.deleting.is_empty() && self.run.is_none() && self.remove() {
                return;
            }
        }
    }

    /// Removes the instance, which does not run; `false` if the store keeps it: then it is still there and can be deleted
    /// again.
    fn remove(&mut self) -> bool {
        self.withdraw();
        let outcome = self.node.store.remove_instance(self.instance.id).map_err(Problem::from);
        if outcome.is_ok() {
            self.node.forget(self.instance.id);
            self.node.events.emit("instance.deleted", &self.instance.name, serde_json::Value::Null);
        }
        for waiting in self.deleting.drain(..) {
            // Who asked may not wait any more.
            let _ = waiting.send(outcome.clone());
        }
        outcome.is_ok()
    }

    /// Makes an adopted guest run or rest as its row says: the daemon may have been killed between the two.
    async fn settle(&self) {
        let request = match self.instance.state {
            State::Ready => machine::control::Request::Resume,
            State::Paused => machine::control::Request::Pause,
            _ => return,
        };
        if self.run.is_some() {
            // One that is as it should be refuses.
            let _ = control::call(self.node.folder(self.instance.id).join(SOCKET), request).await;
        }
    }

    async fn execute(&mut self, command: Command) {
        match command {
            Command::Launch(plan, to) => {
                let outcome = self.launch(*plan);
                let _ = to.send(outcome);
            }
            Command::Start(trace, to) => {
                self.pause = PAUSES.0;
                let outcome = self.start(trace);
                let _ = to.send(outcome);
            }
            Command::Stop(grace, to) => {
                self.again = None;
                self.retiring = false;
                let outcome = match self.instance.state {
                    State::Waiting => {
                        self.withdraw();
                        self.becomes(State::Stopped, None);
                        Ok(())
                    }
                    _ => self.stop(grace).await,
                };
                let _ = to.send(outcome);
            }
            Command::Reboot(trace, grace, to) => {
                let outcome = match self.stop(grace).await {
                    Ok(()) => {
                        self.reboot = Some(trace);
                        Ok(())
                    }
                    Err(_) => self.start(trace),
                };
                let _ = to.send(outcome);
            }
            Command::Wait(to) => {
                let outcome = self.wait();
                let _ = to.send(outcome);
            }
            Command::Wake(trace) => {
                if self.instance.state == State::Waiting {
                    self.start_or_fail(trace);
                }
            }
            Command::Retire => {
                if self.instance.state == State::Ready && self.stop(GRACE).await.is_ok() {
                    self.retiring = true;
                }
            }
            Command::Pause(pause, to) => {
                let outcome = self.pause(pause).await;
                let _ = to.send(outcome);
            }
            Command::Delete(force, to) => {
                if self.run.is_some() && !force {
                    let name = &self.instance.name;
                    let problem = Problem::conflict(format!("{name} is {}", self.instance.state.name()));
                    let _ = to.send(Err(problem.hint("stop it first, or force")));
                    return;
                }
                (self.again, self.reboot) = (None, None);
                self.deleting.push(to);
                self.kill();
            }
            Command::Timeline(to) => {
                let outcome = self.timeline().await;
                let _ = to.send(outcome);
            }
            Command::Configured(config) => {
                self.spec.config = Some(config);
                if let Err(e) = self.node.store.set_spec(self.instance.id, &self.spec) {
                    tracing::error!(instance = self.instance.name, "{e}");
                }
            }
        }
    }

    /// Another state, if it may follow.
    fn becomes(&mut self, next: State, reason: Option<String>) {
        if !self.instance.state.may(next) {
            return;
        }
        self.instance.state = next;
        self.instance.reason = reason;
        self.instance.pid = self.run.as_ref().map(|r| r.process.pid);
        self.keep();
        let detail = match &self.instance.reason {
            Some(reason) => serde_json::json!({ "reason": reason }),
            None => serde_json::Value::Null,
        };
        self.node.events.emit(&format!("instance.{}", next.name()), &self.instance.name, detail);
    }

    fn keep(&mut self) {
        if let Err(e) = self.node.store.update(&self.instance, self.run.as_ref().map(|r| &r.running)) {
            tracing::error!(instance = self.instance.name, "{e}");
        }
        self.view.send_replace(self.instance.clone());
    }

    fn start(&mut self, trace: RequestTrace) -> Result<(), Problem> {
        if self.run.is_some() {
            let (name, state) = (&self.instance.name, self.instance.state.name());
            return Err(Problem::conflict(format!("{name} is {state} already")));
        }
        self.again = None;
        let plan = plan(&self.node, &self.spec, trace)?;
        self.launch(plan)
    }

    fn launch(&mut self, plan: Plan) -> Result<(), Problem> {
        self.instance.memory_mib = plan.memory_mib;
        (self.instance.status, self.instance.ready_ns) = (None, None);
        // Written down first: a daemon that is killed now leaves the wish behind.
        self.becomes(State::Starting, None);
        match launch::launch(&self.node, &self.spec, &self.instance, plan) {
            Ok(Launched { process, report, running }) => {
                self.run = Some(Run { process, report, running, kill_at: None, end: None });
                self.instance.pid = self.run.as_ref().map(|r| r.process.pid);
                self.keep();
                // It may have spoken before it was listened to.
                self.read();
                Ok(())
            }
            Err(e) => {
                self.becomes(State::Failed, Some(e.to_string()));
                Err(e)
            }
        }
    }

    fn start_again(&mut self) {
        self.again = None;
        self.instance.restarts += 1;
        self.start_or_fail(RequestTrace::now("restart"));
    }

    /// Starts; nobody waits for the answer.
    fn start_or_fail(&mut self, trace: RequestTrace) {
        if let Err(e) = self.start(trace) {
            self.becomes(State::Failed, Some(e.to_string()));
            self.plan_again();
        }
    }

    /// By its policy.
    fn plan_again(&mut self) {
        if self.spec.restart == Restart::Never || !self.deleting.is_empty() {
            return;
        }
        if self.ready_at.take().is_some_and(|at| at.elapsed() > STABLE) {
            self.pause = PAUSES.0;
        }
        self.again = Some(Instant::now() + self.pause);
        self.pause = (self.pause * 2).min(PAUSES.1);
    }

    async fn stop(&mut self, grace: Duration) -> Result<(), Problem> {
        let Some(run) = &mut self.run else {
            return Err(Problem::conflict(format!("{} does not run", self.instance.name)));
        };
        run.kill_at = Some(Instant::now() + grace + Duration::from_secs(1));
        self.becomes(State::Stopping, None);
        let grace_ms = grace.as_millis().min(u32::MAX.into()) as u32;
        let socket = self.node.folder(self.instance.id).join(SOCKET);
        // A monitor that does not listen yet, or no longer, is killed in time.
        if control::call(socket, machine::control::Request::Stop { grace_ms }).await.is_err() {
            self.kill();
        }
        Ok(())
    }

    /// Announces its addresses: the first packet for one of them starts it.
    fn wait(&mut self) -> Result<(), Problem> {
        for device in &self.instance.devices {
            self.node.switch.announce(device)?;
        }
        self.becomes(State::Waiting, None);
        Ok(())
    }

    /// No packet starts it any more.
    fn withdraw(&self) {
        if self.spec.on_demand.is_none() {
            return;
        }
        for device in &self.instance.devices {
            if let Err(e) = self.node.switch.withdraw(&device.port) {
                tracing::debug!(port = device.port, "{e}");
            }
        }
    }

    async fn pause(&mut self, pause: bool) -> Result<(), Problem> {
        let (from, to, request) = match pause {
            true => (State::Ready, State::Paused, machine::control::Request::Pause),
            false => (State::Paused, State::Ready, machine::control::Request::Resume),
        };
        if self.instance.state != from {
            let (name, state) = (&self.instance.name, self.instance.state.name());
            return Err(Problem::conflict(format!("{name} is {state}, not {}", from.name())));
        }
        control::call(self.node.folder(self.instance.id).join(SOCKET), request).await?;
        self.becomes(to, None);
        Ok(())
    }

    fn kill(&mut self) {
        if let Some(run) = &mut self.run {
            run.kill_at = None;
            run.process.signal(libc::SIGKILL);
        }
    }

    /// Reads what the monitor has said.
    fn read(&mut self) {
        let Some(run) = &mut self.run else { return };
        for report in run.report.lines() {
            match report {
                Report::Ready { timeline } => self.ready(timeline),
                Report::DeviceLost { device, message } => {
                    tracing::warn!("an instance's net device {device}: {message}");
                }
                end => {
                    if let Some(run) = &mut self.run {
                        run.end = Some(end);
                    }
                }
            }
            if self.run.is_none() {
                return;
            }
        }
    }

    fn ready(&mut self, monitor: model::Timeline) {
        let Some(run) = &self.run else { return };
        let whole = whole(&run.running, &self.instance, monitor);
        let ready = whole.timeline.spans.iter().find(|s| s.phase == model::Phase::Ready);
        self.instance.ready_ns = ready.map(|s| s.end_ns);
        // A report is read from its beginning by each daemon: one that is paused stays so.
        if self.instance.state == State::Starting {
            self.ready_at = Some(Instant::now());
            self.becomes(State::Ready, None);
        }
        self.save(&whole);
    }

    fn save(&self, timeline: &Timeline) {
        if let Err(e) = self.node.store.put_timeline(timeline) {
            tracing::error!(instance = self.instance.name, "{e}");
        }
    }

    async fn timeline(&mut self) -> Result<Timeline, Problem> {
        if let Some(run) = &self.run {
            let socket = self.node.folder(self.instance.id).join(SOCKET);
            if let Ok(machine::control::Response::Timeline(t)) =
                control::call(socket, machine::control::Request::Timeline).await
            {
                self.save(&whole(&run.running, &self.instance, t));
            }
        }
        let kept = self.node.store.timeline(self.instance.id)?;
        kept.ok_or_else(|| Problem::conflict(format!("{} was never started", self.instance.name)))
    }

    /// The monitor has ended.
    fn over(&mut self) {
        self.read();
        let Some(mut run) = self.run.take() else { return };
        run.report.close(&self.node.watcher);
        self.ended(&run.running, run.end);
    }

    fn ended(&mut self, running: &Running, end: Option<Report>) {
        clean(&self.node, &self.instance);
        let asked = self.instance.state == State::Stopping || !self.deleting.is_empty();
        let (state, reason) = match end {
            Some(Report::End { ending, status, timeline, console }) => {
                self.save(&whole(running, &self.instance, timeline));
                if let Err(e) = self.node.store.set_console(self.instance.id, &console) {
                    tracing::error!(instance = self.instance.name, "{e}");
                }
                self.instance.status = Some(status);
                match ending {
                    Ending::Exit { code: 0 } => (State::Stopped, None),
                    Ending::Exit { code } => {
                        (State::Failed, Some(format!("the guest exited with code {code}")))
                    }
                    Ending::Fault(fault) => (State::Failed, Some(fault.to_string())),
                    Ending::Killed => (State::Failed, Some("it was killed".into())),
                    Ending::Monitor { message } => (State::Failed, Some(message)),
                }
            }
            Some(Report::Refused { message, status, .. }) => {
                self.instance.status = Some(status);
                (State::Failed, Some(message))
            }
            _ => (after(self.instance.state), Some("its monitor was killed".into())),
        };
        let retired = std::mem::take(&mut self.retiring)
            || (self.spec.on_demand.is_some() && state == State::Stopped && !asked);
        if retired && self.deleting.is_empty() && self.reboot.is_none() {
            if let Err(e) = self.wait() {
                self.becomes(State::Stopped, Some(e.to_string()));
            }
        } else if asked {
            self.withdraw();
            self.becomes(State::Stopped, None);
        } else {
            self.becomes(state, reason);
            if self.spec.restart == Restart::Always || state == State::Failed {
                self.plan_again();
            }
        }
        self.instance.pid = None;
        self.keep();
        if let Some(trace) = self.reboot.take()
            && let Err(e) = self.start(trace)
        {
            tracing::warn!(instance = self.instance.name, "{e}");
        }
    }
}

/// A monitor's timeline with the phases before it.
fn whole(running: &Running, instance: &Instance, monitor: model::Timeline) -> Timeline {
    let mut timeline = model::Timeline::new(running.begun, monitor.tsc_hz);
    timeline.spans =
        running.phases.iter().map(|&(phase, start, end)| timeline.span(phase, start, end)).collect();
    timeline.append(monitor);
    Timeline {
        instance: instance.id,
        name: instance.name.clone(),
        request: running.request.clone(),
        begun_unix_ns: running.begun_unix_ns,
        timeline,
        external: Vec::new(),
    }
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
