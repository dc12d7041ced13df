//! The steps that bring an instance to its desired state, one after the other until nothing is left to do.

use super::actor::{Actor, Run};
use super::launch::{self, Launched, SOCKET};
use super::plan::{Plan, plan};
use super::{RequestTrace, control};
use crate::desired::{Desired, Goal, Step};
use crate::failpoint;
use api::Problem;
use api::instance::{Restart, State};
use machine::control::{Request, Response};
use machine::timeline::unix_ns;
use std::time::Duration;
use tokio::time::Instant;

/// Steps that may follow each other at once; no way has more.
const STEPS: usize = 8;
/// Before a step that failed is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// The shortest and the longest pause before an instance that ended is started again, milliseconds; each is twice the
/// one before.
const PAUSES_MS: (u32, u32) = (100, 30_000);
/// An instance that was ready for so long begins with the shortest pause again.
const STABLE: Duration = Duration::from_secs(60);

impl Actor {
    /// Does what is to be done, as far as nothing has to be waited for.
    pub(super) async fn advance(&mut self) {
        for _ in 0..STEPS {
            if self.retry_at.is_some() || self.gone {
                return;
            }
            let outcome = match self.step() {
                Step::Nothing => return,
                Step::Start => {
                    if self.launch_follows || self.next_try().is_some_and(|at| at > Instant::now()) {
                        return;
                    }
                    self.start_again();
                    Ok(())
                }
                Step::Stop => {
                    self.ask_to_stop().await;
                    Ok(())
                }
                Step::Kill => {
                    self.kill();
                    Ok(())
                }
                Step::Pause => self.set_paused(true).await,
                Step::Resume => self.set_paused(false).await,
                Step::Configure => {
                    let before = self.desired.replaced_config.clone();
                    self.configure(before).await
                }
                Step::Announce => self.announce(),
                Step::Rest => {
                    self.withdraw();
                    self.becomes(State::Stopped, None);
                    Ok(())
                }
                Step::Remove => self.remove(),
            };
            if let Err(e) = outcome {
                tracing::warn!(instance = self.instance.name, "{e}");
                self.retry_at = Some(Instant::now() + AGAIN);
            }
        }
    }

    /// When there is something to do by the clock.
    pub(super) fn next_try(&self) -> Option<Instant> {
        if self.retry_at.is_some() {
            return self.retry_at;
        }
        let waits = self.desired.not_before_unix_ns.saturating_sub(unix_ns());
        (self.step() == Step::Start && !self.launch_follows)
            .then(|| Instant::now() + Duration::from_nanos(waits))
    }

    /// Another state, if it may follow. What it is and what it shall be are written down together.
    pub(super) fn becomes(&mut self, next: State, reason: Option<String>) {
        let is_news = self.shows(next, reason);
        self.keep();
        if is_news {
            self.emit();
        }
    }

    /// Takes another state, if it may follow; whether it may.
    pub(super) fn shows(&mut self, next: State, reason: Option<String>) -> bool {
        if !self.instance.state.may(next) {
            return false;
        }
        self.instance.state = next;
        self.instance.reason = reason;
        self.instance.pid = self.run.as_ref().map(|r| r.process.pid);
        self.instance.started_unix_ns = self.instance.started_unix_ns.filter(|_| self.run.is_some());
        true
    }

    pub(super) fn emit(&self) {
        let detail = match &self.instance.reason {
            Some(reason) => serde_json::json!({ "reason": reason }),
            None => serde_json::Value::Null,
        };
        let kind = format!("instance.{}", self.instance.state.name());
        self.node.events.emit(&kind, &self.instance.name, detail);
    }

    fn write(&self) -> Result<(), Problem> {
        let running = self.run.as_ref().map(|r| &r.running);
        Ok(self.node.store.update(&self.instance, running, &self.desired)?)
    }

    pub(super) fn keep(&mut self) {
        if let Err(e) = self.write() {
            tracing::error!(instance = self.instance.name, "{e}");
        }
        self.view.send_replace(self.instance.clone());
    }

    /// Starts a monitor. That it shall run is written down first.
    pub(super) fn launch(&mut self, plan: Plan) -> Result<(), Problem> {
        let before = (self.instance.clone(), self.desired.clone());
        let goal = if self.desired.goal == Goal::Paused { Goal::Paused } else { Goal::Running };
        let pause_ms = self.desired.pause_ms;
        self.desired = Desired { pause_ms, ..Desired::new(goal) };
        self.instance.memory_mib = plan.memory_mib;
        (self.instance.status, self.instance.ready_ns, self.instance.reason) = (None, None, None);
        self.instance.health = None;
        (self.instance.state, self.instance.pid) = (State::Starting, None);
        // A new one's row says so already.
        let is_written = before == (self.instance.clone(), self.desired.clone());
        if !is_written && let Err(e) = self.write() {
            (self.instance, self.desired) = before;
            return Err(e);
        }
        self.retry_at = None;
        self.view.send_replace(self.instance.clone());
        self.emit();
        failpoint::reach("start::intended");
        match launch::launch(&self.node, &self.spec, &self.instance, plan) {
            Ok(Launched { process, report, running, under_way }) => {
                failpoint::reach("start::spawned");
                self.instance.pid = Some(process.pid);
                self.instance.started_unix_ns = Some(unix_ns());
                let under_way = Some(under_way);
                let run = Run {
                    process,
                    report,
                    running,
                    kill_at: None,
                    ending: false,
                    end: None,
                    under_way,
                    unhealthy: None,
                };
                self.run = Some(run);
                self.keep();
                failpoint::reach("start::recorded");
                // It may have reported something before it was watched.
                self.read();
                Ok(())
            }
            Err(e) => {
                self.failed(e.to_string());
                Err(e)
            }
        }
    }

    /// Starts; nobody waits for the answer.
    fn start_again(&mut self) {
        if self.desired.not_before_unix_ns != 0 {
            self.instance.restarts += 1;
        }
        let trace = self.trace.take().unwrap_or_else(|| RequestTrace::now("restart"));
        match plan(&self.node, &self.spec, trace) {
            Ok(plan) => {
                if let Err(e) = self.launch(plan) {
                    tracing::warn!(instance = self.instance.name, "{e}");
                    if self.next_try().is_some_and(|at| at <= Instant::now()) {
                        // The store took nothing: no policy was applied.
                        self.retry_at = Some(Instant::now() + AGAIN);
                    }
                }
            }
            Err(e) => self.failed(e.to_string()),
        }
    }

    /// A start has failed.
    pub(super) fn failed(&mut self, reason: String) {
        self.apply_policy(true);
        if self.instance.state == State::Failed {
            self.instance.reason = Some(reason);
            self.keep();
        } else {
            self.becomes(State::Failed, Some(reason));
        }
    }

    /// What it shall be after it has ended by itself, or has not started, by its restart policy.
    pub(super) fn apply_policy(&mut self, failed: bool) {
        let restarts = match self.spec.restart {
            Restart::Always => true,
            Restart::OnFailure => failed,
            Restart::Never => false,
        };
        if self.ready_at.take().is_some_and(|at| at.elapsed() > STABLE) {
            self.desired.pause_ms = 0;
        }
        if !self.desired.runs() {
            return;
        }
        self.desired.fresh_run = false;
        if restarts {
            let pause_ms = self.desired.pause_ms.max(PAUSES_MS.0);
            self.desired.not_before_unix_ns = unix_ns() + u64::from(pause_ms) * 1_000_000;
            self.desired.pause_ms = (pause_ms * 2).min(PAUSES_MS.1);
        } else {
            self.desired = Desired::new(Goal::Stopped);
        }
    }

    /// Asks the monitor, and waits for its answer unless the instance is to be gone.
    pub(super) async fn ask(&self, request: Request) -> Result<Response, Problem> {
        let mut killers = self.killers.clone();
        let socket = self.node.folder(self.instance.id).join(SOCKET);
        tokio::select! {
            biased;
            Ok(_) = killers.wait_for(|n| *n > 0) => {
                Err(Problem::conflict(format!("{} is being deleted", self.instance.name)))
            }
            answer = control::call(socket, request) => answer,
        }
    }

    async fn ask_to_stop(&mut self) {
        let grace_ms = self.desired.grace_ms;
        let Some(run) = &mut self.run else { return };
        run.ending = true;
        let kill_at = Instant::now() + Duration::from_millis(grace_ms.into()) + Duration::from_secs(1);
        run.kill_at = Some(kill_at);
        self.becomes(State::Stopping, None);
        failpoint::reach("stop::stopping");
        // A monitor that does not listen yet, or no longer, or does not answer, is killed in time.
        let asked = tokio::time::timeout_at(kill_at, self.ask(Request::Stop { grace_ms })).await;
        if !asked.is_ok_and(|answer| answer.is_ok()) {
            self.kill();
        }
        failpoint::reach("stop::asked");
    }

    pub(super) fn kill(&mut self) {
        if let Some(run) = &mut self.run {
            (run.kill_at, run.ending) = (None, true);
            run.process.signal(libc::SIGKILL);
            failpoint::reach("kill::sent");
        }
    }

    /// Announces its addresses: the first packet for one of them starts it.
    pub(super) fn announce(&mut self) -> Result<(), Problem> {
        for device in &self.instance.devices {
            self.node.switch.announce(device)?;
        }
        failpoint::reach("wait::announced");
        self.becomes(State::Waiting, None);
        Ok(())
    }

    /// No packet starts it any more.
    pub(super) fn withdraw(&self) {
        if self.spec.on_demand.is_none() {
            return;
        }
        for device in &self.instance.devices {
            if let Err(e) = self.node.switch.withdraw(&device.port) {
                tracing::debug!(port = device.port, "{e}");
            }
        }
    }

    /// Keeps the guest from running, or lets it run on. A monitor that is told twice does nothing the second time.
    pub(super) async fn set_paused(&mut self, pause: bool) -> Result<(), Problem> {
        let (to, request) =
            if pause { (State::Paused, Request::Pause) } else { (State::Ready, Request::Resume) };
        self.ask(request).await?;
        failpoint::reach("pause::done");
        self.becomes(to, None);
        Ok(())
    }

    /// Gives the guest the configuration of the specification; if it refuses, the one before is that again.
    pub(super) async fn configure(&mut self, before: Option<String>) -> Result<(), Problem> {
        let config = self.spec.config.clone().unwrap_or_default();
        let outcome = self.ask(Request::Configure { config }).await;
        failpoint::reach("swap::done");
        let desired = Desired { replaced_config: None, ..self.desired.clone() };
        if outcome.is_err() {
            self.spec.config = before;
        }
        self.intend(desired)?;
        outcome.map(drop)
    }

    /// Removes the instance, which does not run. If the store keeps it, that is tried again.
    fn remove(&mut self) -> Result<(), Problem> {
        self.withdraw();
        let outcome = self.node.store.remove_instance(&self.instance).map_err(Problem::from);
        if outcome.is_ok() {
            failpoint::reach("delete::removed");
            self.gone = true;
            self.node.disks.remove(self.instance.id);
            self.node.forget(self.instance.id);
            self.node.events.emit("instance.deleted", &self.instance.name, serde_json::Value::Null);
        }
        for waiting in self.deleting.drain(..) {
            // Who asked may not wait any more.
            let _ = waiting.send(outcome.clone());
        }
        outcome
    }
}
