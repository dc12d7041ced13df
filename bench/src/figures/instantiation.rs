//! Figures of instantiations: the model (10), who does what of it (11), and where the time of real ones went (12 to 17).
//!
//! What orchestrators add comes from a file: what `GET /v1/timelines` answered on a node that one of them drove. Its
//! `external` phases are placed by the mapping tables.

use super::data::{Axis, Better, Content, Draft, ModelPhase, PhaseTime, Scale, Stack, Stat};
use super::rounds::{Effort, Run};
use super::testbed::node::Node;
use super::testbed::process::{Error, failed, need, until};
use super::timelines::{Instantiations, read};
use api::phases::{ORCHESTRATORS, Orchestrator, Place, meaning, orchestrator, place};
use api::timeline::Timeline;
use machine::timeline::{Phase, Span};

/// Figure 10.
pub fn model(_: &mut Run) -> Result<Draft, Error> {
    let phase = |p: Phase| ModelPhase {
        name: p.name().into(),
        within: p.within().map(|p| p.name().into()),
        place: match place(p) {
            Place::Core => "core",
            Place::Host => "host",
            Place::Guest => "guest",
        }
        .into(),
        meaning: meaning(p).into(),
    };
    let content = Content::Model { phases: Phase::ALL.into_iter().map(phase).collect() };
    let compared = vec!["The phases are those that timelines have; the picture is drawn from their definition in the program (machine/src/timeline, api/src/phases.rs).".into()];
    Ok(Draft { content, programs: vec![], compared, missing: vec![] })
}

/// Figure 11.
pub fn mapping(_: &mut Run) -> Result<Draft, Error> {
    let name = |o: &Orchestrator| match o.measured {
        true => o.name.to_owned(),
        false => format!("{} (mapped, not run)", o.name),
    };
    let columns = ["phase".to_owned()].into_iter().chain(ORCHESTRATORS.iter().map(name));
    let row = |phase: Phase| {
        let who = ORCHESTRATORS.iter().map(|o| o.component(phase).unwrap_or_default());
        [phase.name()].into_iter().chain(who).map(str::to_owned).collect()
    };
    let top = Phase::ALL.into_iter().filter(|phase| phase.within().is_none());
    let content = Content::Mapping { columns: columns.collect(), rows: top.map(row).collect() };
    let compared = vec!["Kubernetes and OpenVIM are mapped from their documents; nothing of them was run. The table is the program's own (api/src/phases.rs); it is also used to place an orchestrator's phases in figures 12 to 17.".into()];
    Ok(Draft { content, programs: vec![], compared, missing: vec![] })
}

/// Instantiations of each kind.
fn count(e: &Effort) -> usize {
    if e.quick { 100 } else { 300 }
}

/// Those before them, which are not counted.
const WARM_UP: usize = 5;

/// About how many seconds the node's figures take, which share a measurement.
pub fn seconds(e: &Effort) -> f64 {
    count(e) as f64 * 0.25 / 4.0
}

/// Makes instances, a cold one, a prepared one, and so on, unless another figure did so in this run.
fn measured(run: &mut Run) -> Result<&Instantiations, Error> {
    if run.instantiations.is_none() {
        run.instantiations = Some(measure(run)?);
    }
    run.instantiations.as_ref().map_or_else(|| failed("no instantiations"), Ok)
}

fn measure(run: &mut Run) -> Result<Instantiations, Error> {
    need(&["microvisor-node", "microvisor-vmm", "microvisor-switch"])?;
    let count = count(&run.effort);
    let (cold, prepared) = (Node::start(0)?, Node::start(1)?);
    for n in 0..WARM_UP + count {
        if n % 20 == 0 {
            run.step(&format!("instantiation {n} of {count}, cold and prepared"), 20.0 * 0.25 / 4.0);
        }
        // A guest that is just being prepared would be in the way of the cold one.
        until("a guest is prepared", 10, || prepared.has_shells(1))?;
        cold.instantiate()?;
        prepared.instantiate()?;
    }
    Ok(Instantiations { cold: cold.timelines(count)?, prepared: prepared.timelines(count)? })
}

/// A phase on the node's clock.
struct TimedPhase {
    phase: String,
    model: String,
    source: String,
    start: u64,
    end: u64,
}

/// What of a timeline a figure shows.
#[derive(Clone, Copy)]
struct PhaseFilter {
    /// Of the node's and the monitor's phases.
    own: fn(&Span) -> Vec<Span>,
    /// Of an orchestrator's, by the phase of the model.
    others: fn(Option<Phase>) -> bool,
}

/// Phases of a timeline: those of a source, and the node's.
fn phases_of(t: &Timeline, source: &str, filter: PhaseFilter) -> Vec<TimedPhase> {
    let own = t.timeline.spans.iter().flat_map(filter.own).map(|span| TimedPhase {
        phase: span.phase.name().into(),
        model: span.phase.name().into(),
        source: "microvisor".into(),
        start: t.begun_unix_ns + span.start_ns,
        end: t.begun_unix_ns + span.end_ns,
    });
    let others = t.external.iter().filter(|p| p.source == source).filter_map(|p| {
        let model = orchestrator(source).and_then(|o| o.phase(&p.name));
        (filter.others)(model).then(|| TimedPhase {
            phase: p.name.clone(),
            model: model.map_or_else(String::new, |phase| phase.name().into()),
            source: p.source.clone(),
            start: p.start_unix_ns,
            end: p.end_unix_ns,
        })
    });
    others.chain(own).collect()
}

/// A bar of medians, in milliseconds.
fn stack(label: String, timelines: &[Vec<TimedPhase>]) -> Option<Stack> {
    let millis = |ns: u64| ns as f64 / 1e6;
    let mut order: Vec<&TimedPhase> = Vec::new();
    for p in timelines.iter().flatten() {
        if !order.iter().any(|known| (&known.phase, &known.source) == (&p.phase, &p.source)) {
            order.push(p);
        }
    }
    let origin = |seen: &[TimedPhase]| seen.iter().map(|p| p.start).min().unwrap_or(0);
    let total: Vec<f64> = timelines
        .iter()
        .filter(|seen| !seen.is_empty())
        .map(|seen| millis(seen.iter().map(|p| p.end).max().unwrap_or(0) - origin(seen)))
        .collect();
    if total.is_empty() {
        return None;
    }
    let place = |seen: &[TimedPhase], (phase, source): (&str, &str)| {
        let p = seen.iter().find(|p| p.phase == phase && p.source == source)?;
        Some((millis(p.start - origin(seen)), millis(p.end - p.start)))
    };
    let mut phases: Vec<PhaseTime> = order
        .iter()
        .map(|p| {
            let which = (p.phase.as_str(), p.source.as_str());
            let (starts, lengths) = timelines.iter().filter_map(|seen| place(seen, which)).unzip();
            PhaseTime {
                phase: p.phase.clone(),
                model: p.model.clone(),
                source: p.source.clone(),
                start: Stat::of(starts).median,
                stat: Stat::of(lengths),
            }
        })
        .collect();
    phases.sort_by(|a, b| a.start.total_cmp(&b.start));
    // A phase is drawn as far behind the one before it as it usually is: then those that follow at once touch.
    for n in 1..phases.len() {
        let [before, this] = [&phases[n - 1], &phases[n]].map(|p| (p.phase.as_str(), p.source.as_str()));
        let gap = |seen: &Vec<TimedPhase>| {
            let (start, length) = place(seen, before)?;
            Some(place(seen, this)?.0 - start - length)
        };
        let gaps: Vec<f64> = timelines.iter().filter_map(gap).collect();
        if !gaps.is_empty() {
            phases[n].start = phases[n - 1].start + phases[n - 1].stat.median + Stat::of(gaps).median;
        }
    }
    Some(Stack { label, total: Stat::of(total), phases })
}

fn is_missing(source: &str) -> String {
    let name = orchestrator(source).map_or(source, |o| o.name);
    format!(
        "{name} did not take part in this run, so none of its phases are shown. They come with --timelines FILE: what \
         GET /v1/timelines answers on a node that it has driven, with phases of the source \"{source}\"."
    )
}

fn millis() -> Axis {
    Axis { label: "time".into(), unit: "ms".into(), scale: Scale::Linear, better: Some(Better::Less) }
}

/// Figures 12 and 13: the real request in the middle of those that are known.
pub fn request(run: &mut Run, source: &str) -> Result<Draft, Error> {
    let first = read(run.effort.timelines.as_deref(), source)?.into_iter().next();
    let (name, mut all) = first.unwrap_or_default();
    let length = |t: &Timeline| {
        let first = t.external.iter().map(|p| p.start_unix_ns).min().unwrap_or(t.begun_unix_ns);
        t.begun_unix_ns + t.timeline.total_ns() - first.min(t.begun_unix_ns)
    };
    all.sort_by_key(length);
    let middle = all.get(all.len() / 2);
    let stacks =
        middle.and_then(|t| stack(format!("{name}, request {}", t.request), &[phases_of(t, source, WHOLE)]));
    let (content, missing) = match stacks {
        Some(stack) => (Content::Stacks { value: millis(), stacks: vec![stack] }, vec![]),
        None => (Content::Words, vec![is_missing(source)]),
    };
    let compared = vec!["One real request, that in the middle of all by its length; an orchestrator's phases by the table of figure 11, then the node's own.".into()];
    Ok(Draft {
        content,
        programs: vec![],
        compared: if middle.is_some() { compared } else { vec![] },
        missing,
    })
}

fn top(span: &Span) -> Vec<Span> {
    // After `ready` there is nothing that somebody waits for.
    if span.phase == Phase::FirstPacket { vec![] } else { vec![span.clone()] }
}

fn parts(span: &Span) -> Vec<Span> {
    if matches!(span.phase, Phase::Spawn | Phase::Boot) { span.inside.clone() } else { vec![] }
}

/// From the request to ready.
const WHOLE: PhaseFilter = PhaseFilter { own: top, others: |_| true };
/// What a host does.
const PARTS: PhaseFilter = PhaseFilter {
    own: parts,
    others: |phase| matches!(phase, Some(Phase::Image | Phase::Network | Phase::Spawn)),
};

/// Figures 14 and 16.
pub fn breakdown(run: &mut Run, source: &str) -> Result<Draft, Error> {
    instantiations(run, source, WHOLE, "Phases from the request to ready.")
}

/// Figures 15 and 17.
pub fn spawning(run: &mut Run, source: &str) -> Result<Draft, Error> {
    instantiations(
        run,
        source,
        PARTS,
        "The parts of the phases spawn (the monitor: create, memory, load, enter) and boot (the guest: runtime, devices, configure).",
    )
}

fn instantiations(run: &mut Run, source: &str, filter: PhaseFilter, what: &str) -> Result<Draft, Error> {
    let elsewhere = read(run.effort.timelines.as_deref(), source)?;
    let count = count(&run.effort);
    let measured = measured(run)?;
    let made = |label: &str, timelines: &[Timeline], source: &str| {
        let all: Vec<Vec<TimedPhase>> = timelines.iter().map(|t| phases_of(t, source, filter)).collect();
        stack(label.to_owned(), &all)
    };
    let mut stacks: Vec<Option<Stack>> =
        elsewhere.iter().map(|(name, all)| made(name, all, source)).collect();
    stacks.push(made("The node, cold", &measured.cold, ""));
    stacks.push(made("The node, prepared guest", &measured.prepared, ""));
    let mut compared = vec![
        what.to_owned(),
        format!("{count} ClickOS instances that answer pings, on a network of a node, one after the other, cold and prepared in turns; {WARM_UP} of each before them are not counted. Cold: microvisor-node; prepared: microvisor-node --prepared 1, which has taken effect again before each. Programs run where the scheduler puts them."),
        "A bar is as long as the median of its phase, and as far behind the one before it as in the median; the line beneath is the whole, from the 10th to the 90th percentile. White is time that no phase claims.".into(),
    ];
    let missing = if elsewhere.is_empty() {
        vec![is_missing(source)]
    } else {
        compared.extend(
            elsewhere
                .iter()
                .map(|(name, all)| format!("{name}: {} requests, measured elsewhere.", all.len())),
        );
        vec![]
    };
    let content = Content::Stacks { value: millis(), stacks: stacks.into_iter().flatten().collect() };
    Ok(Draft {
        content,
        programs: vec!["microvisor-node", "microvisor-vmm", "microvisor-switch"],
        compared,
        missing,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::timeline::External;
    use machine::timeline::{Timeline as Spans, Tsc};

    #[test]
    fn an_orchestrators_phases_stand_before_the_nodes() {
        let mut spans = Spans::new(Tsc(0), 1_000_000_000);
        spans.spans.push(spans.span(Phase::Spawn, Tsc(0), Tsc(2_000_000)));
        let external = External {
            source: "nova".into(),
            name: "scheduler".into(),
            start_unix_ns: 1_000_000,
            end_unix_ns: 4_000_000,
        };
        let timeline = Timeline {
            instance: Default::default(),
            name: "fw".into(),
            request: "r".into(),
            begun_unix_ns: 5_000_000,
            traceparent: None,
            timeline: spans,
            external: vec![external],
        };
        let stack = stack("x".into(), &[phases_of(&timeline, "nova", WHOLE)]).unwrap();
        let phases: Vec<_> =
            stack.phases.iter().map(|p| (p.phase.as_str(), p.start, p.stat.median)).collect();
        assert_eq!(phases, [("scheduler", 0.0, 3.0), ("spawn", 4.0, 2.0)]);
        assert_eq!(stack.total.median, 6.0);
    }
}
