//! What a monitor reports, and what becomes of its instance when it has ended.

use super::actor::{Actor, Due};
use super::launch::clean;
use crate::desired::{Desired, Goal};
use crate::failpoint;
use crate::node::after;
use crate::store::Running;
use api::Problem;
use api::instance::{Instance, State};
use api::timeline::Timeline;
use machine::control::{Request, Response};
use machine::ending::Ending;
use machine::report::Report;
use machine::status;
use machine::timeline::{self as model, unix_ns};
use tokio::time::Instant;

/// Why a run has ended, beside what its report says.
pub(super) enum Cause {
    /// By itself, or asked to.
    Itself,
    /// With the host, which was started again.
    Reboot,
    /// Its health checks had found it unhealthy.
    Unhealthy(String),
}

impl Actor {
    /// Reads what the monitor has said.
    pub(super) fn read(&mut self) {
        let Some(run) = &mut self.run else { return };
        for report in run.report.lines() {
            match report {
                Report::Ready { timeline } => self.ready(timeline),
                Report::DeviceLost { device, message } => {
                    tracing::warn!(instance = self.instance.name, "net device {device} is lost: {message}");
                }
                end => {
                    if let Some(run) = &mut self.run {
                        run.end = Some(end);
                    }
                }
            }
        }
        if self.run.as_ref().is_some_and(|run| run.report.is_too_long() && !run.ending) {
            tracing::warn!(instance = self.instance.name, "its monitor's report has no end: it is killed");
            self.kill();
        }
    }

    fn ready(&mut self, monitor: model::Timeline) {
        let Some(run) = &mut self.run else { return };
        run.under_way = None;
        if self.checks.is_none() {
            self.begin_checks();
        }
        let Some(run) = &self.run else { return };
        let whole = whole(&run.running, &self.instance, monitor);
        let ready = whole.timeline.spans.iter().find(|s| s.phase == model::Phase::Ready);
        self.instance.ready_ns = ready.map(|s| s.end_ns);
        // A report is read from its beginning by each daemon: one that is paused stays so.
        if self.instance.state == State::Starting {
            failpoint::reach("start::ready");
            self.ready_at = Some(Instant::now());
            self.node.starts.add(&whole.timeline);
            if let Some(exporter) = &self.node.exporter {
                exporter.ready(self.instance.id);
            }
            if let Ok(unwritten) = self.node.unwritten.clone().try_read_owned() {
                // Told before it is written down: after a crash, the report says it again.
                if self.shows(State::Ready, None) {
                    self.view.send_replace(self.instance.clone());
                    self.emit();
                }
                self.due = Some(Due { timeline: whole, _unwritten: unwritten });
                return;
            }
            self.becomes(State::Ready, None);
        }
        self.save(&whole);
    }

    /// Writes down what was told.
    pub(super) fn write_due(&mut self) {
        if let Some(due) = self.due.take() {
            self.keep();
            self.put(&due.timeline);
        }
    }

    fn save(&mut self, timeline: &Timeline) {
        // The one before it first.
        self.write_due();
        self.put(timeline);
    }

    fn put(&self, timeline: &Timeline) {
        if let Err(e) = self.node.store.put_timeline(timeline) {
            tracing::error!(instance = self.instance.name, "{e}");
        }
    }

    pub(super) async fn timeline(&mut self) -> Result<Timeline, Problem> {
        if let Some(run) = &self.run
            && let Ok(Response::Timeline(t)) = self.ask(Request::Timeline).await
        {
            let whole = whole(&run.running, &self.instance, t);
            self.save(&whole);
        }
        let kept = self.node.store.timeline(self.instance.id)?;
        kept.ok_or_else(|| Problem::conflict(format!("{} was never started", self.instance.name)))
    }

    /// The monitor has ended.
    pub(super) fn over(&mut self) {
        self.read();
        let Some(mut run) = self.run.take() else { return };
        run.report.close(&self.node.watcher);
        let cause = run.unhealthy.take().map_or(Cause::Itself, Cause::Unhealthy);
        let end = run.end.or_else(|| {
            run.report.is_too_long().then(|| Report::Refused {
                message: "its monitor's report had no end, and it was killed".into(),
                hint: None,
                status: status::MONITOR,
            })
        });
        self.ended(&run.running, end, cause);
    }

    /// A run has ended, with the last line of its report if there is one.
    pub(super) fn ended(&mut self, running: &Running, end: Option<Report>, cause: Cause) {
        let rebooted = matches!(cause, Cause::Reboot);
        (self.checks, self.instance.health) = (None, None);
        failpoint::reach("end::seen");
        clean(&self.node, &self.instance);
        failpoint::reach("end::cleaned");
        let (state, reason) = match end {
            _ if rebooted => (State::Stopped, Some("the host was started again".into())),
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
        let (state, reason) = match cause {
            Cause::Unhealthy(why) => (State::Failed, Some(format!("unhealthy: {why}"))),
            Cause::Itself | Cause::Reboot => (state, reason),
        };
        (self.instance.pid, self.instance.started_unix_ns) = (None, None);
        if self.desired.goal == Goal::Waiting {
            // Its addresses are announced next.
            self.becomes(State::Stopped, None);
        } else if !self.desired.runs() {
            self.withdraw();
            self.becomes(State::Stopped, None);
        } else if self.desired.fresh_run {
            // It is started again next; until then it counts as stopping.
            self.keep();
        } else if self.spec.on_demand.is_some() && state == State::Stopped && !rebooted {
            self.desired = Desired::new(Goal::Waiting);
            self.becomes(State::Stopped, None);
        } else {
            self.apply_policy(state == State::Failed || rebooted);
            if self.desired.runs() && !rebooted {
                // Nobody asked for its end, and it is not over: that it has ended well makes no difference.
                let why = reason.unwrap_or_else(|| "the guest ended by itself".into());
                let wait_ms = self.desired.not_before_unix_ns.saturating_sub(unix_ns()) / 1_000_000;
                self.becomes(State::Failed, Some(format!("{why}; it is started again in {wait_ms} ms")));
            } else {
                self.becomes(state, reason);
            }
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
        traceparent: running.traceparent,
        timeline,
        external: Vec::new(),
    }
}
