//! What Nomad says, line by line, gathered by allocation.

use super::Source;
use super::mapping::{self, Phase};
use api::timeline::External;
use serde_json::Value;
use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::Hash;

/// Evaluations, allocations and requests that are remembered.
const KEPT: usize = 4096;

/// From when to when, nanoseconds since 1970.
type Span = (u64, u64);

/// A task that was started.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StartedTask {
    /// Its allocation.
    pub allocation: String,
    /// Its name.
    pub task: String,
    /// Its job.
    pub job: String,
}

/// The newest of some, by name.
struct BoundedMap<K, V> {
    by: HashMap<K, V>,
    order: VecDeque<K>,
}

impl<K, V> Default for BoundedMap<K, V> {
    fn default() -> Self {
        Self { by: HashMap::new(), order: VecDeque::new() }
    }
}

impl<K: Clone + Eq + Hash, V: Default> BoundedMap<K, V> {
    fn of(&mut self, key: &K) -> &mut V {
        if !self.by.contains_key(key) {
            self.order.push_back(key.clone());
            if self.order.len() > KEPT
                && let Some(oldest) = self.order.pop_front()
            {
                self.by.remove(&oldest);
            }
        }
        self.by.entry(key.clone()).or_default()
    }
}

/// What is known of an evaluation, moments in nanoseconds since 1970.
#[derive(Default)]
struct Evaluation {
    created: Option<u64>,
    complete: Option<u64>,
    dequeued: Option<u64>,
    planned: Option<u64>,
    submitted: Option<u64>,
}

/// What is known of an allocation.
#[derive(Default)]
struct Allocation {
    evaluation: String,
    created: Option<u64>,
    /// Hooks of all its tasks, by name and from when to when.
    hooks: Vec<(String, Span)>,
    all_hooks: Option<Span>,
    tasks: HashMap<String, Task>,
}

#[derive(Default)]
struct Task {
    received: Option<u64>,
    started: Option<u64>,
    hooks: Vec<(String, Span)>,
    all_hooks: Option<Span>,
}

/// Everything that was said.
#[derive(Default)]
pub struct Collector {
    evaluations: BoundedMap<String, Evaluation>,
    allocations: BoundedMap<String, Allocation>,
    /// Registrations by the API.
    requests: VecDeque<Span>,
    told: HashSet<StartedTask>,
}

/// Nanoseconds since 1970 of a moment as Go writes it (RFC 3339).
fn moment(text: &str) -> Option<u64> {
    let timestamp: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(timestamp.as_nanosecond()).ok()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// From when to when something was, of which a line says how long and until when.
fn span(line: &Value) -> Option<Span> {
    let end = moment(text(line, "end"))?;
    Some((end.saturating_sub(line["duration"].as_u64()?), end))
}

impl Collector {
    /// Takes a line; tasks that were started, each once.
    pub fn take(&mut self, source: Source, line: &[u8]) -> Vec<StartedTask> {
        let Ok(line) = serde_json::from_slice::<Value>(line) else { return Vec::new() };
        match source {
            Source::Events => {
                let events = line["Events"].as_array().into_iter().flatten();
                events.flat_map(|event| self.event(&event["Payload"])).collect()
            }
            Source::Client => {
                self.client(&line);
                Vec::new()
            }
            Source::Server => {
                self.server(&line);
                Vec::new()
            }
        }
    }

    fn event(&mut self, payload: &Value) -> Vec<StartedTask> {
        if let Some(id) = payload["Evaluation"]["ID"].as_str() {
            let said = &payload["Evaluation"];
            let known = self.evaluations.of(&id.to_owned());
            known.created = said["CreateTime"].as_u64().or(known.created);
            if text(said, "Status") == "complete" {
                known.complete = known.complete.or(said["ModifyTime"].as_u64());
            }
        }
        let said = &payload["Allocation"];
        let Some(id) = said["ID"].as_str() else { return Vec::new() };
        let known = self.allocations.of(&id.to_owned());
        text(said, "EvalID").clone_into(&mut known.evaluation);
        known.created = known.created.or(said["CreateTime"].as_u64());
        let mut found = Vec::new();
        for (name, state) in said["TaskStates"].as_object().into_iter().flatten() {
            let task = known.tasks.entry(name.clone()).or_default();
            for event in state["Events"].as_array().into_iter().flatten() {
                let at = event["Time"].as_u64();
                match text(event, "Type") {
                    "Received" => task.received = task.received.or(at),
                    "Started" => task.started = task.started.or(at),
                    _ => {}
                }
            }
            let this =
                StartedTask { allocation: id.into(), task: name.clone(), job: text(said, "JobID").into() };
            if task.started.is_some() && self.told.insert(this.clone()) {
                found.push(this);
            }
        }
        if self.told.len() > KEPT {
            self.told.retain(|found| self.allocations.by.contains_key(&found.allocation));
        }
        found
    }

    /// A line of the client's log: `running prestart hook`, `finished prestart hook`, ...
    fn client(&mut self, line: &Value) {
        let (Some(allocation), Some(span)) = (line["alloc_id"].as_str(), span(line)) else { return };
        let known = self.allocations.of(&allocation.to_owned());
        let task = line["task"].as_str();
        let name = line["name"].as_str().map(mapping::hook);
        match (text(line, "@message"), name, task) {
            ("finished pre-run hook", Some(name), _) => known.hooks.push((name, span)),
            ("finished pre-run hooks", None, _) => known.all_hooks = Some(span),
            ("finished prestart hook", Some(name), Some(task)) => {
                known.tasks.entry(task.into()).or_default().hooks.push((name, span));
            }
            ("finished prestart hooks", None, Some(task)) => {
                known.tasks.entry(task.into()).or_default().all_hooks = Some(span);
            }
            _ => {}
        }
    }

    /// A line of the server's log.
    fn server(&mut self, line: &Value) {
        let Some(at) = moment(text(line, "@timestamp")) else { return };
        let message = text(line, "@message");
        if text(line, "@module") == "http"
            && message == "request complete"
            && text(line, "path").starts_with("/v1/jobs")
        {
            if ["PUT", "POST"].contains(&text(line, "method")) {
                let begun = at.saturating_sub(line["duration"].as_u64().unwrap_or(0));
                self.requests.push_back((begun, at));
                if self.requests.len() > KEPT {
                    self.requests.pop_front();
                }
            }
            return;
        }
        let Some(id) = line["eval_id"].as_str() else { return };
        let known = self.evaluations.of(&id.to_owned());
        match message {
            "dequeued evaluation" => known.dequeued = Some(at),
            "reconciled current state with desired state" => known.planned = Some(at),
            "submitted plan for evaluation" => known.submitted = Some(at),
            _ => {}
        }
    }

    /// What Nomad did for a task.
    pub fn phases(&self, found: &StartedTask) -> Vec<External> {
        let mut phases = Vec::new();
        let mut add = |name: &str, from: Option<u64>, to: Option<u64>| {
            if let (Some(start_unix_ns), Some(end_unix_ns)) = (from, to) {
                // Clocks of two hosts may differ.
                let end_unix_ns = end_unix_ns.max(start_unix_ns);
                phases.push(External {
                    source: mapping::SOURCE.into(),
                    name: name.into(),
                    start_unix_ns,
                    end_unix_ns,
                });
            }
        };
        let Some(allocation) = self.allocations.by.get(&found.allocation) else { return phases };
        let none = Evaluation::default();
        let evaluation = self.evaluations.by.get(&allocation.evaluation).unwrap_or(&none);
        let named = |phase: Phase| phase.name;
        if let Some(created) = evaluation.created
            && let Some(&(begun, _)) =
                self.requests.iter().find(|(begun, end)| (*begun..=*end).contains(&created))
        {
            add(named(mapping::REGISTER), Some(begun), Some(created));
        }
        let planned = evaluation.planned.or(allocation.created);
        let applied = evaluation.submitted.or(evaluation.complete);
        add(named(mapping::QUEUE), evaluation.created, evaluation.dequeued);
        add(named(mapping::SCHEDULER), evaluation.dequeued.or(evaluation.created), planned);
        add(named(mapping::PLAN), planned, applied);
        let Some(task) = allocation.tasks.get(&found.task) else { return phases };
        add(named(mapping::NOTICE), applied, task.received);
        for (name, all, hooks) in [
            (named(mapping::ALLOCATION), allocation.all_hooks, &allocation.hooks),
            (named(mapping::TASK), task.all_hooks, &task.hooks),
        ] {
            add(name, all.map(|a| a.0), all.map(|a| a.1));
            for (hook, (from, to)) in hooks {
                add(hook, Some(*from), Some(*to));
            }
        }
        add(named(mapping::DRIVER), task.all_hooks.map(|a| a.1), task.started);
        phases
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn take(collector: &mut Collector, source: Source, line: &Value) -> Vec<StartedTask> {
        collector.take(source, line.to_string().as_bytes())
    }

    #[test]
    fn lines_of_three_streams_become_one_task_s_phases() {
        let mut collector = Collector::default();
        let evaluation = |status: &str| {
            json!({ "Events": [{ "Payload": { "Evaluation":
                { "ID": "e", "JobID": "j", "CreateTime": 1_000_000_000_100_u64, "ModifyTime": 1_000_000_000_900_u64, "Status": status } } }] })
        };
        take(&mut collector, Source::Events, &evaluation("pending"));
        take(&mut collector, Source::Events, &evaluation("complete"));
        let request = json!({ "@module": "http", "@message": "request complete", "method": "PUT", "path": "/v1/jobs", "duration": 350,
            "@timestamp": "1970-01-01T00:16:40.000000400Z" });
        take(&mut collector, Source::Server, &request);
        let hook = |what: &str, name: Option<&str>, end: &str| {
            let mut line =
                json!({ "@message": what, "alloc_id": "a", "task": "t", "duration": 10, "end": end });
            if let Some(name) = name {
                line["name"] = name.into();
            }
            line
        };
        for (what, name) in [("finished prestart hook", Some("artifacts")), ("finished prestart hooks", None)]
        {
            take(&mut collector, Source::Client, &hook(what, name, "1970-01-01T01:16:40.000002000+01:00"));
        }
        let started = json!({ "Events": [{ "Payload": { "Allocation": { "ID": "a", "EvalID": "e", "JobID": "j",
            "CreateTime": 1_000_000_000_500_u64, "TaskStates": { "t": { "Events": [
                { "Type": "Received", "Time": 1_000_000_001_000_u64 }, { "Type": "Started", "Time": 1_000_000_003_000_u64 }] } } } } }] });
        let found = take(&mut collector, Source::Events, &started);
        assert_eq!(found.len(), 1);
        assert!(take(&mut collector, Source::Events, &started).is_empty(), "it is told twice");
        let phases = collector.phases(&found[0]);
        let spans: Vec<_> = phases
            .iter()
            .map(|p| {
                (p.name.as_str(), p.start_unix_ns - 1_000_000_000_000, p.end_unix_ns - 1_000_000_000_000)
            })
            .collect();
        let expected = [
            ("scheduler", 100, 500),
            ("plan", 500, 900),
            ("client: notice", 900, 1000),
            ("client: task hooks", 1990, 2000),
            ("artifact", 1990, 2000),
            ("driver", 2000, 3000),
        ];
        assert_eq!(spans[1..], expected);
        assert_eq!(spans[0].0, "register");
    }

    #[test]
    fn garbage_and_the_unknown_are_no_phases() {
        let mut collector = Collector::default();
        for line in
            ["", "{", "[]", "null", "{\"Events\": 7}", "{\"@message\": 1, \"alloc_id\": {}, \"end\": \"x\"}"]
        {
            for source in [Source::Events, Source::Client, Source::Server] {
                assert!(collector.take(source, line.as_bytes()).is_empty());
            }
        }
        let nobody = StartedTask { allocation: "x".into(), task: "y".into(), job: "z".into() };
        assert!(collector.phases(&nobody).is_empty());
    }
}
