//! The figures: each from a real run on this host, as numbers (JSON), as pictures (SVG, PNG), and all of them on a page.
//!
//! [`testbed`] makes the configurations, [`load`] measures them, [`rounds`] lets them alternate. `throughput`, `latency`,
//! `redis` and `instantiation` define the figures. [`data`] is the result; [`draw`] draws it, `page` shows it, [`compare`]
//! compares it with an older run's.

mod compare;
mod data;
mod draw;
mod instantiation;
mod latency;
pub mod load;
mod page;
mod redis;
mod rounds;
pub mod testbed;
mod throughput;
mod timelines;

use data::{Draft, Figure, SCHEMA};
use rounds::{Effort, Run};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Instant, SystemTime};
use testbed::process::{Error, failed};
use testbed::{host, namespace, process, versions};

const HELP: &str = "\
Draws the figures, each from a real run on this host.

Usage: microvisor-bench FIGURE ... [--quick] [--out DIR]
       microvisor-bench all [--quick] [--out DIR]
       microvisor-bench compare OLD NEW
       microvisor-bench spec [redis | tcp | switch] [--rounds N] [--json]
       microvisor-bench faults

  fig01 ... fig17  a figure; `list` says what they are
  all              all of them
  compare OLD NEW  what got better or worse between two runs (folders, or files), beyond the noise; status 1: something
                   got worse
  spec             measure what SPECIFICATION.md promises (spec --help)
  faults           do one bad thing at a time to a node with traffic: a table of what others lost

  --quick          fewer rounds and points: all within 15 minutes on 2 CPUs
  --out DIR        where figNN.json, .svg, .png and index.html go (default: figures)
  --rounds N       runs of each configuration (default 7, with --quick 3)
  --timelines FILE what /v1/timelines answered on nodes that orchestrators drove, for figures 12 to 17

As root. Ctrl-C stops and removes what was made; figures that were done stay.
Exit status: 0 done, 1 failed or something got worse, 2 the command line is wrong, 130 stopped.
";

/// A figure that can be made.
struct Kind {
    id: &'static str,
    caption: &'static str,
    /// About how many seconds it takes.
    seconds: fn(&Effort) -> f64,
    make: fn(&mut Run) -> Result<Draft, Error>,
}

static KINDS: [Kind; 17] = [
    Kind {
        id: "fig01",
        caption: "TCP throughput of MicroVisor and native Linux over one and two links",
        seconds: |e| throughput::BONDING.seconds(e),
        make: |run| throughput::BONDING.make(run),
    },
    Kind {
        id: "fig02",
        caption: "Transactions per second of Redis: guest, native, and two guests on one host",
        seconds: redis::seconds,
        make: redis::make,
    },
    Kind {
        id: "fig03",
        caption: "Network throughput (iperf3) by number of streams for MicroVisor's configurations",
        seconds: |e| throughput::CONFIGURATIONS.seconds(e),
        make: |run| throughput::CONFIGURATIONS.make(run),
    },
    Kind {
        id: "fig04",
        caption: "Latency (NPtcp) by packet size: native and MicroVisor",
        seconds: |e| latency::PLATFORMS.seconds(e),
        make: |run| latency::PLATFORMS.make(run),
    },
    Kind {
        id: "fig05",
        caption: "Latency (NPtcp) by packet size for virtualisation configurations",
        seconds: |e| latency::CONFIGURATIONS.seconds(e),
        make: |run| latency::CONFIGURATIONS.make(run),
    },
    Kind {
        id: "fig06",
        caption: "Network throughput (iperf3) by number of streams, one option changed at a time",
        seconds: |e| throughput::OPTIONS.seconds(e),
        make: |run| throughput::OPTIONS.make(run),
    },
    Kind {
        id: "fig07",
        caption: "Round trip from outside the host, through an uplink",
        seconds: latency::outside_seconds,
        make: latency::outside,
    },
    Kind {
        id: "fig08",
        caption: "Round trip within the host: to a guest, and between two guests",
        seconds: latency::inside_seconds,
        make: latency::inside,
    },
    Kind {
        id: "fig09",
        caption: "Network throughput (iperf3) by number of streams for ways to connect",
        seconds: |e| throughput::PATHS.seconds(e),
        make: |run| throughput::PATHS.make(run),
    },
    Kind {
        id: "fig10",
        caption: "The general model of an instantiation",
        seconds: |_| 0.0,
        make: instantiation::model,
    },
    Kind {
        id: "fig11",
        caption: "The model mapped onto Nova, Nomad and the node",
        seconds: |_| 0.0,
        make: instantiation::mapping,
    },
    Kind {
        id: "fig12",
        caption: "The model for OpenStack Nova, from a real request",
        seconds: |_| 0.0,
        make: |run| instantiation::request(run, "nova"),
    },
    Kind {
        id: "fig13",
        caption: "The model for Nomad, from a real request",
        seconds: |_| 0.0,
        make: |run| instantiation::request(run, "nomad"),
    },
    Kind {
        id: "fig14",
        caption: "ClickOS instantiation time by phase: the node, and OpenStack Nova",
        seconds: instantiation::seconds,
        make: |run| instantiation::breakdown(run, "nova"),
    },
    Kind {
        id: "fig15",
        caption: "ClickOS spawn and boot time: the node, and OpenStack Nova",
        seconds: instantiation::seconds,
        make: |run| instantiation::spawning(run, "nova"),
    },
    Kind {
        id: "fig16",
        caption: "ClickOS instantiation time by phase: the node, and Nomad",
        seconds: instantiation::seconds,
        make: |run| instantiation::breakdown(run, "nomad"),
    },
    Kind {
        id: "fig17",
        caption: "ClickOS spawn and boot time: the node, and Nomad",
        seconds: instantiation::seconds,
        make: |run| instantiation::spawning(run, "nomad"),
    },
];

/// What the command line asks for.
struct Options {
    kinds: Vec<&'static Kind>,
    effort: Effort,
    out: PathBuf,
}

/// All but `spec`.
pub fn main(arguments: &[String]) -> ExitCode {
    match arguments.first().map(String::as_str) {
        None | Some("--help" | "-h" | "help") => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Some("list") => {
            KINDS.iter().for_each(|kind| println!("{}  {}", kind.id, kind.caption));
            return ExitCode::SUCCESS;
        }
        Some("compare") => return compare::main(&arguments[1..]),
        _ => {}
    }
    let outcome = match options(arguments) {
        Ok(options) => make_all(&options),
        Err(why) => {
            eprintln!("microvisor-bench: {why}; see microvisor-bench --help");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Error::Interrupted) => {
            eprintln!("\nstopped; nothing is left behind");
            ExitCode::from(130)
        }
        Err(e) => {
            eprintln!("\nmicrovisor-bench: {e}");
            ExitCode::FAILURE
        }
    }
}

fn options(arguments: &[String]) -> Result<Options, String> {
    let mut options = Options {
        kinds: Vec::new(),
        effort: Effort { quick: false, rounds: 0, timelines: None },
        out: "figures".into(),
    };
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} takes a value"));
        match word.as_str() {
            "--quick" => options.effort.quick = true,
            "--out" => options.out = value()?.into(),
            "--timelines" => options.effort.timelines = Some(value()?.into()),
            "--rounds" => {
                let rounds = value()?;
                options.effort.rounds = rounds
                    .parse()
                    .ok()
                    .filter(|n| *n > 0)
                    .ok_or(format!("--rounds: {rounds} is no count"))?;
            }
            "all" => options.kinds.extend(&KINDS),
            id => options
                .kinds
                .push(KINDS.iter().find(|kind| kind.id == id).ok_or(format!("there is no figure {id}"))?),
        }
    }
    if options.kinds.is_empty() {
        return Err("no figure is named".into());
    }
    if options.effort.rounds == 0 {
        options.effort.rounds = if options.effort.quick { 3 } else { 7 };
    }
    Ok(options)
}

/// One after the other; one that cannot be made does not keep others from being made.
fn make_all(options: &Options) -> Result<(), Error> {
    if let Err(e) = std::fs::create_dir_all(&options.out) {
        return failed(format!("{}: {e}", options.out.display()));
    }
    // SAFETY: a plain system call.
    if unsafe { libc::geteuid() } != 0 {
        return failed("namespaces are made by root: try sudo");
    }
    process::need(&[draw::CONVERTER])?;
    process::watch_for_interrupts()?;
    namespace::sweep();
    let host = host::describe();
    eprintln!("{}, {} CPUs, Linux {}, {}", host.processor, host.cpus, host.kernel, host.virtualisation);
    eprintln!("{}", host.placement);
    if host.load > 0.3 {
        eprintln!("others are at work here (load {}): the spread will say how much that matters", host.load);
    }
    let seconds = options.kinds.iter().map(|kind| (kind.seconds)(&options.effort)).sum();
    let mut run = Run::new(options.effort.clone(), seconds);
    let mut why_not = Vec::new();
    for kind in &options.kinds {
        run.begin(kind.id, (kind.seconds)(&options.effort));
        match make(kind, &mut run).and_then(|figure| write(&figure, &options.out)) {
            Ok(()) => run.say(&format!("done: {}", kind.caption)),
            Err(Error::Interrupted) => return Err(Error::Interrupted),
            Err(e) => {
                run.say(&e.to_string());
                why_not.push(format!("{}: {e}", kind.id));
            }
        }
    }
    let page = page::write(&options.out)?;
    eprintln!("{}", page.display());
    if why_not.is_empty() { Ok(()) } else { failed(why_not.join("\n")) }
}

fn make(kind: &Kind, run: &mut Run) -> Result<Figure, Error> {
    let (begun, host) = (Instant::now(), host::describe());
    let begun_unix_s =
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let made = (kind.make)(run)?;
    let mut versions: BTreeMap<String, String> =
        made.programs.iter().map(|program| ((*program).to_owned(), versions::version(program))).collect();
    versions.insert("microvisor-bench".into(), env!("CARGO_PKG_VERSION").into());
    Ok(Figure {
        schema: SCHEMA.into(),
        figure: kind.id.into(),
        caption: kind.caption.into(),
        command: std::env::args()
            .enumerate()
            .map(|(n, word)| if n == 0 { "microvisor-bench".into() } else { word })
            .collect::<Vec<_>>()
            .join(" "),
        begun_unix_s,
        seconds: begun.elapsed().as_secs_f64(),
        rounds: run.effort.rounds,
        host,
        versions,
        compared: made.compared,
        missing: made.missing,
        content: made.content,
    })
}

/// Numbers and pictures, beside each other.
fn write(figure: &Figure, folder: &Path) -> Result<(), Error> {
    let json = serde_json::to_string_pretty(figure).or_else(failed)?;
    let svg = draw::draw(figure);
    let path = |extension| folder.join(format!("{}.{extension}", figure.figure));
    for (extension, text) in [("json", json), ("svg", svg)] {
        if let Err(e) = std::fs::write(path(extension), text) {
            return failed(format!("{}: {e}", path(extension).display()));
        }
    }
    draw::rasterise(&path("svg"), &path("png"))
}

#[cfg(test)]
fn example() -> Figure {
    use data::{Axis, Better, Content, Host, Point, Scale, Series, Stat};
    let axis = |label: &str, scale| Axis {
        label: label.into(),
        unit: "u".into(),
        scale,
        better: Some(Better::More),
    };
    let point = |x: f64| Point { x, stat: Stat::of(vec![x, x * 1.1, x * 1.2]) };
    let series = |key: &str| Series {
        key: key.into(),
        label: draw::style::of(key).label.into(),
        points: [1.0, 2.0, 4.0].map(point).to_vec(),
    };
    Figure {
        schema: SCHEMA.into(),
        figure: "fig03".into(),
        caption: "An example".into(),
        command: "microvisor-bench fig03".into(),
        begun_unix_s: 1,
        seconds: 2.0,
        rounds: 3,
        host: Host::default(),
        versions: BTreeMap::new(),
        compared: vec!["one with the other".into()],
        missing: vec![],
        content: Content::Lines {
            x: axis("streams", Scale::Log2),
            y: axis("rate", Scale::Linear),
            series: ["native", "switch"].map(series).to_vec(),
        },
    }
}
