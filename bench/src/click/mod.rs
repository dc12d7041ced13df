//! Click's paths: on the host by the program `click`, beside the C++ router if that is there, and in a guest.

mod graphs;
mod trace;

use crate::sample::{Sample, Unit};
use crate::stop;
use e2e::{RunFolder, finish_within, program, root, start, unique};
use graphs::{FLOWS, FORWARDING};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use trace::Trace;

pub const PLACEMENT: &str = "every program runs where the scheduler puts it";

/// How long each configuration forwards.
const SECONDS: u64 = 2;
/// Packets of the trace.
const TRACE: u32 = 3_000_000;
/// Packets that are counted before a handler is called.
const CALLED: u32 = 40_000_000;
/// Longest time of one run.
const LONGEST: Duration = Duration::from_secs(60);

/// What a run of a `click` says about a graph.
enum Measure {
    /// Packets that are counted in a while, by what a script reads.
    Count(&'static str),
    /// So many packets until the router stops by itself.
    ToTheEnd(u32),
    /// Time until so many elements are initialized.
    Start,
}

/// Packets that `c` counts.
const COUNT: Measure = Measure::Count("$(c.count)");

/// A row of the table.
struct Row {
    name: &'static str,
    graph: String,
    measure: Measure,
}

fn rows(trace: &Trace) -> Vec<Row> {
    use Measure::{Start, ToTheEnd};
    let row = |name, graph, measure| Row { name, graph, measure };
    let file = trace.0.display();
    let replay = |rest: &str| format!("FromDump({file}, STOP true) -> {rest} -> Discard;");
    vec![
        row("forwarding: eight elements", graphs::flood(FORWARDING), COUNT),
        row("router of two networks with ARP", graphs::router(), COUNT),
        row("IPRewriter, 10,000 flows", graphs::flood(&graphs::translation(10_000)), COUNT),
        row("IPRewriter, 20,000 flows", graphs::flood(&graphs::translation(FLOWS)), COUNT),
        row("IPFilter, 100 rules, the last matches", graphs::flood(&graphs::filter()), COUNT),
        row("FromDump", replay("Null"), ToTheEnd(TRACE)),
        row(
            "FromDump, IPRewriter, 20,000 flows",
            replay("MarkIPHeader(14) -> Strip(14) -> IPRewriter(pattern 198.51.100.1 1024-65535# - - 0 0)"),
            ToTheEnd(TRACE),
        ),
        row(
            "FromDump, AggregateIPFlows, 20,000 flows",
            replay("CheckIPHeader(14) -> AggregateIPFlows"),
            ToTheEnd(TRACE),
        ),
        row(
            "FromDump, ToIPSummaryDump",
            replay(
                "CheckIPHeader(14) -> ToIPSummaryDump(/dev/null, FIELDS timestamp ip_src sport ip_dst dport ip_proto ip_len)",
            ),
            ToTheEnd(TRACE),
        ),
        row(
            "Counter(COUNT_CALL)",
            graphs::flood(&format!("Counter(COUNT_CALL {CALLED} stop)")),
            ToTheEnd(CALLED),
        ),
        row("start, 20,000 elements", graphs::chain(20_000), Start),
        row("start, 60,000 elements", graphs::chain(60_000), Start),
    ]
}

/// How fast a run was: packets, millions a second, or milliseconds of a start.
struct Speed {
    /// By the processor time that it took, so that it matters little who else is at work. Starts are by the clock.
    processor: f64,
    /// By the clock.
    clock: f64,
}

/// Runs a graph.
fn run(click: &Path, graph: &str, measure: &Measure, threads: u32) -> Speed {
    let text = match measure {
        Measure::Count(read) => format!("{graph} DriverManager(wait {SECONDS}s, print {read}, stop)"),
        _ => graph.into(),
    };
    let file = File::new(&text);
    let mut command = Command::new(click);
    if threads > 1 {
        command.args(["-j", &threads.to_string()]);
    }
    command.arg(if matches!(measure, Measure::Start) { "-q" } else { "-t" });
    let began = Instant::now();
    let outcome = finish_within(start(command.arg(&file.0)), LONGEST);
    let passed = began.elapsed();
    let said = || stop(&format!("{}: {}{}", click.display(), outcome.out, outcome.err), 1);
    if outcome.status != 0 {
        said();
    }
    let mut words = outcome.out.split_whitespace();
    let seconds = || {
        let time =
            |unit| outcome.out.split_whitespace().find_map(|w| w.strip_suffix(unit)?.parse::<f64>().ok());
        Some(time('u')? + time('s')?)
    };
    let count = match measure {
        Measure::Start => {
            let time = passed.as_secs_f64() * 1e3;
            return Speed { processor: time, clock: time };
        }
        Measure::Count(_) => words.next().and_then(|w| w.parse().ok()),
        Measure::ToTheEnd(packets) => Some(f64::from(*packets)),
    };
    let clock = match measure {
        Measure::Count(_) => SECONDS as f64,
        _ => passed.as_secs_f64(),
    };
    match count.zip(seconds()) {
        Some((count, seconds)) => Speed { processor: count / seconds / 1e6, clock: count / clock / 1e6 },
        None => said(),
    }
}

/// A configuration's file, removed when dropped.
struct File(PathBuf);

impl File {
    fn new(text: &str) -> Self {
        let file = Self(std::env::temp_dir().join(unique("graph") + ".click"));
        std::fs::write(&file.0, text).unwrap_or_else(|e| stop(&format!("{}: {e}", file.0.display()), 1));
        file
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // What cannot be removed stays in the system's temporary folder.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A graph in a guest, millions a second.
fn in_a_guest(folder: &RunFolder, graph: &str) -> f64 {
    let file = File::new(graph);
    let started =
        folder.run(&["run", &file.0.display().to_string(), "--detach", "--name", "path", "--memory", "64"]);
    if started.status != 0 {
        stop(&started.err, 1);
    }
    let count = || {
        let read = folder.run(&["click", "path", "read", "c.count"]);
        (Instant::now(), read.out.trim().parse::<f64>().unwrap_or_else(|_| stop(&format!("{read:?}"), 1)))
    };
    let (from, before) = count();
    std::thread::sleep(Duration::from_secs(SECONDS));
    let (to, after) = count();
    folder.run(&["stop", "path"]);
    folder.is_empty_soon();
    (after - before) / to.duration_since(from).as_secs_f64() / 1e6
}

/// All rows; beside another `click` if there is one, each pair in turns and its share of the same round.
pub fn measure(rounds: usize, other: Option<&Path>, only: Option<&str>) -> Vec<Sample> {
    let (trace, folder) = (Trace::write(TRACE, FLOWS), RunFolder::new());
    if !root().join("target/images/clickos").exists() {
        stop("the guest images are not there: make images", 1);
    }
    let own = program("click");
    let mut samples = Vec::new();
    let wanted = |name: &str| only.is_none_or(|only| name.contains(only));
    for Row { name, graph, measure } in rows(&trace).into_iter().filter(|row| wanted(row.name)) {
        let starts = matches!(measure, Measure::Start);
        let unit = if starts { Unit::Millis } else { Unit::Millions };
        let mut here = Sample::new(name, unit);
        let mut there = Sample::new("  by the C++ router", unit);
        let mut times = Sample::new("  as fast as the C++ router, same round", Unit::Times);
        let mut guest = Sample::new("  in a guest", unit);
        let mut share = Sample::new("  in a guest over on the host, same round", Unit::Times);
        for _ in 0..rounds {
            let Speed { processor: on_the_host, clock } = run(&own, &graph, &measure, 1);
            here.push(on_the_host);
            if let Some(other) = other {
                let value = run(other, &graph, &measure, 1).processor;
                there.push(value);
                times.push(if starts { value / on_the_host } else { on_the_host / value });
            }
            if matches!(measure, Measure::Count(_)) {
                let value = in_a_guest(&folder, &graph);
                guest.push(value);
                share.push(value / clock);
            }
        }
        samples.push(here);
        samples.extend([there, times, guest, share].into_iter().filter(|s| !s.is_empty()));
    }
    if wanted("threads") {
        samples.extend(on_two_threads(&own, rounds));
    }
    samples
}

/// Two graphs beside each other that share nothing but a script that adds up what they count.
fn on_two_threads(own: &Path, rounds: usize) -> [Sample; 2] {
    let graph = graphs::flood(FORWARDING);
    let second = graph.replace("c :: Counter", "d :: Counter").replace("r :: ", "s :: ");
    let both = format!("{graph}\n{second}");
    let mut two = Sample::new("forwarding twice, on two threads, by the clock", Unit::Millions);
    let mut more = Sample::new("  on two threads over on one, same round", Unit::Times);
    let measure = Measure::Count("$(add $(c.count) $(d.count))");
    for _ in 0..rounds {
        let (one, on_two) = (run(own, &both, &measure, 1).clock, run(own, &both, &measure, 2).clock);
        two.push(on_two);
        more.push(on_two / one);
    }
    [two, more]
}
