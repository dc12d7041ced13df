//! TCP between a namespace and a guest, over a TAP and through the switch, beside the same two programs over a veth
//! pair; pings from outside; guest to guest. Contestants take turns within each round; every thread has its processor.

use crate::figures::load::{Latencies, iperf, latencies, ping};
use crate::figures::testbed::Testbed;
use crate::figures::testbed::process::Error;
use crate::figures::testbed::setup::{self, Poll, Server, Setup};
use crate::guests::{FAR, NEAR, Running, WIRE, free_guest, guest, start};
use crate::pair::Pair;
use crate::sample::{Sample, Unit, quantile};
use crate::stop;
use e2e::net::Namespace;
use e2e::switch::Switch;
use e2e::{eventually, run, unique};
use std::path::Path;
use std::time::Instant;

/// What is said of the placement.
pub const PLACEMENT: &str = "CPU 0: the client, the monitor's I/O thread, the switch unless it says otherwise; CPU 1: the guest, or the server";
/// Seconds of each transfer.
const SECONDS: &str = "1";
/// NPtcp's sizes, bytes, and how often each goes back and forth in a series.
const SIZES: [&str; 6] = ["-l", "1", "-u", "65536", "-p", "0"];
const REPEATS: [&str; 2] = ["-n", "150"];
/// Those of them that have a row.
const REPORTED: [(f64, &str); 3] = [(64.0, "64 bytes"), (4096.0, "4 KiB"), (65_536.0, "64 KiB")];
/// Pings of an idle guest, one a millisecond.
const PINGS: usize = 300;

/// The guests: image, arguments, network.
const GUESTS: [(&str, &[&str], &str); 2] =
    [("iperf", &[], "10.71.0"), ("netpipe", &["--set", "args=-l 1 -p 0"], "10.72.0")];
const SERVERS: [&str; 2] = ["10.71.0.1", "10.72.0.1"];

/// From a namespace to an iperf3 server: gigabits per second, and how many processors were busy.
pub fn transfer(namespace: &Namespace, server: &str, arguments: &[&str]) -> (f64, f64) {
    let begun = (Instant::now(), busy());
    let client = ["taskset", "-c", NEAR, "iperf3", "-J", "-t", SECONDS, "-c", server];
    let outcome = run(&mut namespace.command(&[&client[..], arguments].concat()));
    let cores = (busy() - begun.1) / begun.0.elapsed().as_secs_f64();
    let json: serde_json::Value = serde_json::from_str(&outcome.out).unwrap_or_default();
    match json["end"]["sum_received"]["bits_per_second"].as_f64() {
        Some(rate) => (rate / 1e9, cores),
        None => stop(&format!("{server}: iperf3: {}{}", outcome.out, outcome.err), 1),
    }
}

/// Someone to measure against, as the client sees it.
struct Contestant {
    name: &'static str,
    namespace: Namespace,
    /// Where iperf3's server is, and NetPIPE's receiver.
    servers: [&'static str; 2],
    /// What has to run for it.
    _running: Vec<Running>,
    _switch: Option<Switch>,
    /// The namespace of native servers.
    other: Option<Namespace>,
}

impl Contestant {
    fn native() -> Self {
        let (near, far) = (Namespace::new(), Namespace::new());
        near.ip(&["link", "add", "near", "type", "veth", "peer", "name", "far", "netns", &far.name]);
        for (namespace, device, address) in [(&near, "near", "10.70.0.2/24"), (&far, "far", "10.70.0.1/24")] {
            namespace.ip(&["addr", "add", address, "dev", device]);
            namespace.ip(&["link", "set", device, "up"]);
        }
        let server = start(&mut far.command(&["taskset", "-c", FAR, "iperf3", "-s"]));
        Self {
            name: "veth, two processes",
            namespace: near,
            servers: ["10.70.0.1", "10.70.0.1"],
            _running: vec![server],
            _switch: None,
            other: Some(far),
        }
    }

    fn tap() -> Self {
        let namespace = Namespace::new();
        let mut running = Vec::new();
        for (image, arguments, net) in GUESTS {
            let tap = unique("t");
            namespace.ip(&["tuntap", "add", "mode", "tap", "vnet_hdr", "name", &tap]);
            namespace.ip(&["addr", "add", &format!("{net}.2/24"), "dev", &tap]);
            namespace.ip(&["link", "set", &tap, "up"]);
            let option = format!("tap={tap},ipv4={net}.1/24");
            running.push(namespace.inside(|| guest(image, &option, arguments)));
        }
        Self {
            name: "guest, TAP",
            namespace,
            servers: SERVERS,
            _running: running,
            _switch: None,
            other: None,
        }
    }

    /// Each guest and its TAP at the two ends of a wire, or of a segment that learns; without a CPU for the switch, guest and
    /// switch are where the scheduler puts them.
    fn switch(name: &'static str, segment: &str, cpu: Option<&str>) -> Self {
        let namespace = Namespace::new();
        let mut config = format!("[switch]\ncpus = [{}]\n", cpu.unwrap_or_default());
        for (guest, _, _) in GUESTS {
            config += &format!(
                "[segments.{guest}]\n{segment}[ports.{guest}]\nsegment = \"{guest}\"\n\
                 device = {{ vhost-user = {{ path = \"@/{guest}.sock\" }} }}\n\
                 [ports.{guest}-tap]\nsegment = \"{guest}\"\n\
                 device = {{ tap = {{ name = \"{guest}\", netns = \"{}\" }} }}\n",
                namespace.name
            );
        }
        let switch = Switch::new(&config);
        let mut running = Vec::new();
        for (image, arguments, net) in GUESTS {
            namespace.ip(&["addr", "add", &format!("{net}.2/24"), "dev", image]);
            namespace.ip(&["link", "set", image, "up"]);
            let net = format!("vhost-user=@/{image}.sock,ipv4={net}.1/24");
            let start = if cpu.is_some() { guest } else { free_guest };
            running.push(start(image, &switch.here(&net), arguments));
        }
        Self { name, namespace, servers: SERVERS, _running: running, _switch: Some(switch), other: None }
    }

    fn transfer(&self, arguments: &[&str]) -> (f64, f64) {
        transfer(&self.namespace, self.servers[0], arguments)
    }

    /// Microseconds one way by size; a native receiver is on a processor of choice.
    fn latencies(&self, receiver: &str) -> Latencies {
        let _receiver = self.other.as_ref().map(|other| {
            let words = [&["taskset", "-c", receiver, "NPtcp", "-o", "/dev/null"][..], &SIZES].concat();
            let receiver = start(&mut other.command(&words));
            eventually("NPtcp listens", || run(&mut other.command(&["ss", "-tln"])).out.contains(":5002"));
            receiver
        });
        let client = ["taskset", "-c", NEAR, "NPtcp", "-o", "/dev/null", "-h", self.servers[1]];
        let outcome = run(&mut self.namespace.command(&[&client[..], &SIZES, &REPEATS].concat()));
        let all = or_stop(self.name, latencies(&outcome.err));
        // Between two powers of two NPtcp measures one size more.
        all.into_iter().filter(|(size, _)| (*size as u64).is_power_of_two()).collect()
    }
}

/// A result, or the end of the measurement.
fn or_stop<T>(what: &str, result: Result<T, Error>) -> T {
    result.unwrap_or_else(|e| stop(&format!("{what}: {e}"), 1))
}

/// Microseconds one way for one of the sizes that have a row.
fn at(latencies: &Latencies, bytes: f64) -> f64 {
    latencies.iter().find(|(size, _)| *size == bytes).map_or(f64::NAN, |(_, micros)| *micros)
}

/// Processor time of the whole machine so far, seconds.
fn busy() -> f64 {
    let stat = std::fs::read_to_string(Path::new("/proc/stat")).unwrap_or_default();
    let words: Vec<f64> =
        stat.lines().next().unwrap_or_default().split_whitespace().flat_map(str::parse).collect();
    // User, nice, system, then idle and waiting, then interrupts; in hundredths.
    words.iter().enumerate().filter(|(i, _)| ![3, 4].contains(i) && *i < 7).map(|(_, v)| v / 100.0).sum()
}

/// Measurements by name, in the order in which they were named first.
#[derive(Default)]
struct Table(Vec<(String, Sample)>);

impl Table {
    /// One more measurement of what `of` says, shown under `label`.
    fn push(&mut self, of: String, label: &str, unit: Unit, value: f64) {
        if let Some((_, sample)) = self.0.iter_mut().find(|(name, _)| *name == of) {
            return sample.push(value);
        }
        let mut sample = Sample::new(label, unit);
        sample.push(value);
        self.0.push((of, sample));
    }

    /// The same of something that is compared with the native one of the round.
    fn compare(&mut self, what: &str, unit: Unit, value: f64, native: f64) {
        self.push(what.into(), what, unit, value);
        self.push(format!("{what}/"), "  over veth in the same round", Unit::Times, value / native);
    }
}

/// How evenly each configuration answers: for each size the 90th percentile of the rounds over the 10th, the worst of them.
#[derive(Default)]
struct Spread(Vec<(&'static str, Vec<Latencies>)>);

impl Spread {
    fn push(&mut self, name: &'static str, latencies: Latencies) {
        match self.0.iter_mut().find(|(of, _)| *of == name) {
            Some((_, rounds)) => rounds.push(latencies),
            None => self.0.push((name, vec![latencies])),
        }
    }

    fn samples(self) -> impl Iterator<Item = Sample> {
        self.0.into_iter().map(|(name, rounds)| {
            let sizes = rounds.first().into_iter().flatten().map(|(size, _)| *size);
            let worst = sizes.map(|size| {
                let values: Vec<f64> = rounds.iter().map(|round| at(round, size)).collect();
                quantile(&values, 0.9) / quantile(&values, 0.1)
            });
            let what = format!("NPtcp, 1 byte to 64 KiB, p90 over p10, worst size: {name}");
            let mut sample = Sample::new(what, Unit::Times);
            sample.push(worst.fold(0.0, f64::max));
            sample
        })
    }
}

/// A guest that is pinged from a namespace outside, and its kernel in its place (figure 7): microseconds there and back.
fn outside(table: &mut Table) {
    let uplink = Setup::new("switch", setup::Path::Uplink);
    let polling = Setup { poll: Poll::Always, ..uplink };
    let native = Setup::new("native", setup::Path::Veth { links: 1 });
    let mut base = f64::NAN;
    for (name, setup) in [("veth", native), ("guest, adaptive", uplink), ("guest, polling", polling)] {
        let what = format!("Ping from outside, one a millisecond: {name}");
        let median = or_stop(&what, Testbed::new(&setup, Server::Ping).and_then(|t| ping(&t, PINGS)));
        if name == "veth" {
            base = median;
            table.push(what.clone(), &what, Unit::Micros, median);
        } else {
            table.compare(&what, Unit::Micros, median, base);
        }
    }
}

/// Gigabits a second of 8 streams to a guest over a bond of two links without a limit.
fn bond() -> f64 {
    let setup = Setup::new("switch-bond", setup::Path::Bond { links: 2 });
    or_stop("bond", Testbed::new(&setup, Server::Iperf).and_then(|t| iperf(&t, 8, ["-t", SECONDS])))
}

/// All of it.
pub fn measure(rounds: usize) -> Vec<Sample> {
    let contestants = [
        Contestant::native(),
        Contestant::tap(),
        Contestant::switch("guest, switch, learning", "", Some(NEAR)),
        Contestant::switch("guest, switch, wire", WIRE, Some(NEAR)),
        Contestant::switch("guest, wire, switch on CPU 1", WIRE, Some(FAR)),
        Contestant::switch("guest, wire, placed by the scheduler", WIRE, None),
    ];
    let pair = Pair::new();
    let (mut table, mut spread) = (Table::default(), Spread::default());
    for round in 1..=rounds {
        eprintln!("round {round} of {rounds}");
        let mut eight = f64::NAN;
        for streams in ["1", "8", "32"] {
            for (way, direction) in [("to", &[][..]), ("from", &["-R"][..])] {
                let arguments = [&["-P", streams][..], direction].concat();
                let mut native = f64::NAN;
                for contestant in &contestants {
                    let (rate, cores) = contestant.transfer(&arguments);
                    let what = format!("TCP, {way} it, streams: {streams}; {}", contestant.name);
                    if contestant.other.is_some() {
                        native = rate;
                        table.push(what.clone(), &what, Unit::Gigabits, rate);
                    } else {
                        table.compare(&what, Unit::Gigabits, rate, native);
                    }
                    table.push(format!("{what}#"), "  processors busy meanwhile", Unit::Cores, cores);
                }
                if (streams, way) == ("8", "to") {
                    eight = native;
                }
            }
        }
        table.compare("TCP, 8 streams to it: guest, bond of two veths", Unit::Gigabits, bond(), eight);
        let one_way = |bytes: &str| format!("NPtcp, {bytes} one way");
        let together = at(&contestants[0].latencies(NEAR), REPORTED[0].0);
        let what = format!("{}: veth, both ends on one processor", one_way(REPORTED[0].1));
        table.push(what.clone(), &what, Unit::Micros, together);
        let mut native = Latencies::new();
        for contestant in &contestants {
            let all = contestant.latencies(FAR);
            for (size, bytes) in REPORTED {
                let what = format!("{}: {}", one_way(bytes), contestant.name);
                if contestant.other.is_some() {
                    table.push(what.clone(), &what, Unit::Micros, at(&all, size));
                } else {
                    table.compare(&what, Unit::Micros, at(&all, size), at(&native, size));
                }
            }
            if contestant.other.is_some() {
                native.clone_from(&all);
            }
            spread.push(contestant.name, all);
        }
        let what = format!("{}: guest to guest, switch, wire", one_way(REPORTED[0].1));
        table.compare(&what, Unit::Micros, pair.latency(), at(&native, REPORTED[0].0));
        table.compare("TCP, 8 streams: guest to guest, switch, wire", Unit::Gigabits, pair.rate(), eight);
        outside(&mut table);
    }
    table.0.into_iter().map(|(_, sample)| sample).chain(spread.samples()).collect()
}
