//! The switch alone: small packets beside Open vSwitch with DPDK, a bond beside one of its links, and what it costs when
//! nothing happens. Contestants take turns within each round; every thread has its processor.

use crate::guests::{FAR, NEAR, Running, guest, start};
use crate::sample::{Sample, Unit};
use crate::stop;
use crate::tcp::transfer;
use e2e::net::Namespace;
use e2e::ovs::OpenVswitch;
use e2e::switch::Switch;
use e2e::{finish_within, huge_pages, root};
use std::fmt::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// What is said of the placement.
pub const PLACEMENT: &str = "64-byte packets: CPU 0: the load (testpmd), CPU 1: the switch; bonds: CPU 0: the client, the \
                             switch; CPU 1: the server or guest";
/// Seconds of each flood.
const FLOOD: &str = "3";
/// The same of one of many starts.
const SHORT_FLOOD: &str = "1";
/// Bursts of 32 packets a port that are in flight, one after the other, where starts are compared.
const BURSTS: [u32; 3] = [1, 4, 16];
/// Ports of a switch that has many, those of the flood among them.
const MANY: usize = 1000;
/// How long cycles are counted within it.
const COUNTED: Duration = Duration::from_secs(2);
/// How long an idle switch is looked at.
const IDLE: Duration = Duration::from_secs(10);
/// What each link of a bond can carry.
const LINK: &str = "2gbit";

/// A namespace whose devices say nothing by themselves.
fn quiet() -> Namespace {
    let namespace = Namespace::new();
    let sysctl = ["sysctl", "-q", "-w", "net.ipv6.conf.default.disable_ipv6=1"];
    if namespace.command(&sysctl).status().is_ok_and(|s| s.success()) {
        return namespace;
    }
    stop("sysctl: a namespace's IPv6 cannot be switched off", 1)
}

/// So many TAP ports in a segment of their own.
fn taps(count: usize, namespace: &Namespace) -> String {
    let mut text = "[segments.idle]\n".to_owned();
    for n in 0..count {
        let device = format!("{{ tap = {{ name = \"t{n}\", netns = \"{}\" }} }}", namespace.name);
        let _ = writeln!(text, "[ports.t{n}]\ndevice = {device}\nsegment = \"idle\"");
    }
    text
}

/// What floods two ports.
#[derive(Clone, Copy)]
struct Load {
    /// Packets go back by the port that they came by, as a segment that learns needs it.
    swaps: bool,
    /// Bursts of 32 packets a port that are in flight.
    bursts: u32,
    /// How long is counted, seconds.
    seconds: &'static str,
}

const IO: Load = Load { swaps: false, bursts: 4, seconds: FLOOD };
const SWAP: Load = Load { swaps: true, ..IO };

/// Floods two ports of a switch; millions of packets a second, of both in sum.
fn flood(folder: &Path, name: &str, how: Load) -> f64 {
    let mut load = Command::new(root().join("scripts/testpmd-load"));
    load.arg(folder.join("a.sock")).arg(folder.join("b.sock")).arg(how.seconds).stdin(Stdio::null());
    load.env("BURSTS", how.bursts.to_string());
    if how.swaps {
        load.env("SWAP", "1");
    }
    let outcome = finish_within(e2e::start(&mut load), Duration::from_secs(60));
    let line = outcome.out.lines().find_map(|l| l.strip_prefix("per second "));
    let rates = line.map(|l| l.split_whitespace().flat_map(str::parse::<f64>).collect::<Vec<_>>());
    match rates {
        Some(rates) if rates.len() == 2 => rates.iter().sum::<f64>() / 1e6,
        _ => stop(&format!("{name}: testpmd: {}{}", outcome.out, outcome.err), 1),
    }
}

/// Cycles of a processor in a second.
fn frequency() -> f64 {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let megahertz =
        text.lines().find_map(|l| l.strip_prefix("cpu MHz")?.split_once(':')?.1.trim().parse().ok());
    megahertz.map_or_else(|| stop("/proc/cpuinfo: no frequency", 1), |m: f64| m * 1e6)
}

/// Cycles that a flooded switch spends for each packet, which it receives, forwards and sends.
fn cycles_per_packet(switch: &Switch) -> f64 {
    let packets = || ["a", "b"].iter().map(|name| switch.port(name).counters.received).sum::<u64>();
    let before = packets();
    e2e::eventually("packets pass", || packets() > before + 100_000);
    std::thread::sleep(Duration::from_millis(500));
    let (time, count) = (spent(switch.pid()), packets());
    std::thread::sleep(COUNTED);
    (spent(switch.pid()) - time) * frequency() / (packets() - count).max(1) as f64
}

/// What a flood of the switch came to.
struct Flooded {
    /// Millions of packets a second.
    rate: f64,
    /// Cycles of a processor for each.
    cycles: f64,
}

/// A segment of the two ports.
#[derive(Clone, Copy)]
enum Segment {
    Wire,
    Learning,
}

/// The switch with two ports to flood, and others that are idle.
fn switch(segment: Segment, idle: usize, namespace: &Namespace) -> Switch {
    let port = |name: &str| {
        format!(
            "[ports.{name}]\ndevice = {{ vhost-user = {{ path = \"@/{name}.sock\", client = true }} }}\nsegment = \"w\"\n"
        )
    };
    let wire = matches!(segment, Segment::Wire);
    let head = format!("[switch]\ncpus = [{FAR}]\n[segments.w]\npoint-to-point = {wire}\n");
    Switch::new(&format!("{head}{}{}{}", port("a"), port("b"), taps(idle, namespace)))
}

/// A flood of the switch, and what a packet costs it.
fn flooded(segment: Segment, idle: usize, how: Load) -> Flooded {
    let namespace = quiet();
    let switch = switch(segment, idle, &namespace);
    std::thread::scope(|scope| {
        let cycles = scope.spawn(|| cycles_per_packet(&switch));
        let rate = flood(&switch.folder, "MicroVisor", how);
        let cycles = cycles.join().unwrap_or_else(|_| stop("the switch's cycles were not counted", 1));
        Flooded { rate, cycles }
    })
}

/// The same of Open vSwitch, which learns by its action NORMAL.
fn flooded_ovs(segment: Segment, how: Load) -> f64 {
    let ovs = OpenVswitch::new(&["a.sock", "b.sock"], FAR.parse().ok());
    if matches!(segment, Segment::Wire) {
        ovs.wire();
    }
    flood(&ovs.folder, "Open vSwitch", how)
}

/// Every start of a switch should be as fast as the others: millions of packets a second of many, with few and with many
/// packets in flight.
fn starts(segment: Segment, name: &str, rounds: usize) -> Vec<Sample> {
    let mut samples = BURSTS
        .map(|bursts| Sample::new(format!("{name}, {bursts} bursts in flight, each start"), Unit::Millions));
    let namespace = quiet();
    for _ in 0..rounds * 2 {
        for (sample, bursts) in samples.iter_mut().zip(BURSTS) {
            let switch = switch(segment, 0, &namespace);
            let load = Load { bursts, seconds: SHORT_FLOOD, ..SWAP };
            sample.push(flood(&switch.folder, "MicroVisor", load));
        }
    }
    let tenths = samples.each_ref().map(|sample| {
        let mut tenth = Sample::new("  the slowest tenth of them over the fastest", Unit::Times);
        tenth.push(sample.quantile(0.1) / sample.quantile(1.0));
        tenth
    });
    samples.into_iter().zip(tenths).flat_map(|(sample, tenth)| [sample, tenth]).collect()
}

/// Part of a processor that a switch with so many ports takes.
fn idle(ports: usize) -> f64 {
    let namespace = quiet();
    let switch = Switch::new(&taps(ports, &namespace));
    std::thread::sleep(Duration::from_secs(2));
    let before = spent(switch.pid());
    std::thread::sleep(IDLE);
    (spent(switch.pid()) - before) / IDLE.as_secs_f64()
}

/// Processor time of a process so far, seconds.
fn spent(pid: u32) -> f64 {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let nanos = tasks.filter_map(|task| {
        let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<f64>().ok()
    });
    nanos.sum::<f64>() / 1e9
}

/// Two ends with a bond of limited links between them, all on one switch.
struct Bonded {
    client: Namespace,
    server: &'static str,
    _server: Running,
    _others: Vec<Namespace>,
    _switch: Switch,
}

impl Bonded {
    fn new(links: usize, is_guest: bool) -> Self {
        let (client, far, wires) = (Namespace::new(), Namespace::new(), quiet());
        let mut config = format!("[switch]\ncpus = [{NEAR}]\n[segments.near]\n[segments.far]\n");
        let mut names = [Vec::new(), Vec::new()];
        for n in 0..links {
            let (a, b) = (format!("a{n}"), format!("b{n}"));
            wires.ip(&["link", "add", &a, "type", "veth", "peer", "name", &b]);
            for (end, names) in [a, b].into_iter().zip(&mut names) {
                wires.ip(&["link", "set", &end, "up"]);
                let limit = [
                    "tc", "qdisc", "add", "dev", &end, "root", "tbf", "rate", LINK, "burst", "512kb",
                    "latency", "20ms",
                ];
                if !wires.command(&limit).status().is_ok_and(|s| s.success()) {
                    stop("tc: a link cannot be limited", 1);
                }
                let device =
                    format!("{{ packet = {{ interface = \"{end}\", netns = \"{}\" }} }}", wires.name);
                let _ = writeln!(config, "[ports.{end}]\ndevice = {device}");
                names.push(format!("\"{end}\""));
            }
        }
        for (segment, names) in ["near", "far"].into_iter().zip(&names) {
            let bond = format!("{{ bond = {{ links = [{}], mode = \"balance-xor\" }} }}", names.join(", "));
            let _ = writeln!(config, "[ports.bond-{segment}]\ndevice = {bond}\nsegment = \"{segment}\"");
        }
        let tap = |namespace: &Namespace| {
            format!("{{ tap = {{ name = \"end\", netns = \"{}\" }} }}", namespace.name)
        };
        let end = if is_guest { "{ vhost-user = { path = \"@/g.sock\" } }".to_owned() } else { tap(&far) };
        let _ = writeln!(config, "[ports.client]\ndevice = {}\nsegment = \"near\"", tap(&client));
        let _ = writeln!(config, "[ports.server]\ndevice = {end}\nsegment = \"far\"");
        let switch = Switch::new(&config);
        let up = |namespace: &Namespace, address: &str| {
            namespace.ip(&["addr", "add", address, "dev", "end"]);
            namespace.ip(&["link", "set", "end", "up"]);
        };
        up(&client, "10.74.0.2/24");
        let running = if is_guest {
            guest("iperf", &switch.here("vhost-user=@/g.sock,ipv4=10.74.0.1/24"), &[])
        } else {
            up(&far, "10.74.0.1/24");
            start(&mut far.command(&["taskset", "-c", FAR, "iperf3", "-s"]))
        };
        std::thread::sleep(Duration::from_millis(500));
        Self { client, server: "10.74.0.1", _server: running, _others: vec![far, wires], _switch: switch }
    }

    fn rate(&self) -> f64 {
        transfer(&self.client, self.server, &["-P", "8"]).0
    }
}

/// All of it.
pub fn measure(rounds: usize) -> Vec<Sample> {
    huge_pages();
    let sum = "64 bytes, two vhost-user ports";
    let contests = [
        (Segment::Wire, IO, "a wire"),
        (Segment::Wire, SWAP, "a wire, sent back"),
        (Segment::Learning, SWAP, "a segment that learns"),
    ];
    let mut floods: Vec<Sample> = Vec::new();
    for (.., name) in contests {
        floods.extend([
            Sample::new(format!("{sum}, {name}: Open vSwitch, DPDK"), Unit::Millions),
            Sample::new(format!("{sum}, {name}: switch"), Unit::Millions),
            Sample::new("  cycles per packet, polling included", Unit::Cycles),
            Sample::new("  over Open vSwitch in the same round", Unit::Times),
        ]);
    }
    floods.extend([
        Sample::new(format!("{sum}, a wire: switch with {MANY} ports"), Unit::Millions),
        Sample::new("  cycles per packet, polling included", Unit::Cycles),
        Sample::new("  over that with 2 ports in the same round", Unit::Times),
    ]);
    for round in 1..=rounds {
        eprintln!("round {round} of {rounds}");
        let mut values = Vec::new();
        for (segment, load, _) in contests {
            let (theirs, ours) = (flooded_ovs(segment, load), flooded(segment, 0, load));
            values.extend([theirs, ours.rate, ours.cycles, ours.rate / theirs]);
        }
        let many = flooded(Segment::Wire, MANY - 2, IO);
        values.extend([many.rate, many.cycles, many.rate / values[1]]);
        for (sample, value) in floods.iter_mut().zip(values) {
            sample.push(value);
        }
    }
    let mut samples = floods;
    for (segment, name) in [(Segment::Wire, "a wire"), (Segment::Learning, "a segment that learns")] {
        samples.extend(starts(segment, name, rounds));
    }
    for is_guest in [false, true] {
        let end = if is_guest { "a guest" } else { "a namespace" };
        let bonds = [Bonded::new(1, is_guest), Bonded::new(2, is_guest)];
        let mut rates = [1, 2].map(|n| {
            let links = if n == 1 { "1 link" } else { "2 bonded links" };
            Sample::new(format!("8 streams to {end}, {links} of {LINK}"), Unit::Gigabits)
        });
        let mut times = Sample::new("  two links over one in the same round", Unit::Times);
        for _ in 0..rounds {
            let [one, two] = bonds.each_ref().map(Bonded::rate);
            rates[0].push(one);
            rates[1].push(two);
            times.push(two / one);
        }
        samples.extend(rates);
        samples.push(times);
    }
    for ports in [16, MANY] {
        let mut sample = Sample::new(format!("Idle switch with {ports} TAP ports"), Unit::Percent);
        sample.push(idle(ports) * 100.0);
        samples.push(sample);
    }
    samples
}
