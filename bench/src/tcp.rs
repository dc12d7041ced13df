//! TCP between a namespace and a guest, over a TAP and through the switch, beside the same two programs over a veth
//! pair. Contestants take turns within each round; every thread has its processor.

use crate::sample::{Sample, Unit};
use crate::stop;
use e2e::net::Namespace;
use e2e::switch::Switch;
use e2e::{eventually, program, root, run, unique};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What is said of the placement.
pub const PLACEMENT: &str = "CPU 0: the client, the monitor's I/O thread, the switch unless it says otherwise; CPU 1: the guest, or the server";
/// Seconds of each transfer.
const SECONDS: &str = "1";
/// The client's processor, and the one opposite.
pub const NEAR: &str = "0";
/// The server's.
pub const FAR: &str = "1";

/// The guests: image, arguments, network.
const GUESTS: [(&str, &[&str], &str); 2] =
    [("iperf", &[], "10.71.0"), ("netpipe", &["--set", "args=-l 64 -p 0"], "10.72.0")];
const SERVERS: [&str; 2] = ["10.71.0.1", "10.72.0.1"];

/// A segment of two ends.
pub const WIRE: &str = "point-to-point = true\n";

/// A process, ended with this.
pub struct Running(Child);

impl Running {
    /// Its number.
    pub fn pid(&self) -> u64 {
        self.0.id().into()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts one whose output nobody wants.
pub fn start(command: &mut Command) -> Running {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Running(command.spawn().unwrap_or_else(|e| stop(&format!("{command:?}: {e}"), 1)))
}

fn pin(task: &str, cpu: &str) {
    let outcome = run(Command::new("taskset").args(["-p", "-c", cpu, task]));
    if outcome.status != 0 {
        stop(&format!("taskset: {}", outcome.err), 1);
    }
}

/// Puts each thread of a process where its name says.
fn place(pid: u32, cpu: impl Fn(&str) -> &'static str) {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    for task in tasks {
        let name = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        pin(&task.file_name().to_string_lossy(), cpu(name.trim()));
    }
}

/// A guest on a net device; its threads have their places.
pub fn guest(image: &str, net: &str, options: &[&str]) -> Running {
    let mut command = Command::new(program("microvisor-vmm"));
    command.arg("--image").arg(root().join("target/images").join(image));
    command.args(["--net", net, "--console", "off"]).args(options);
    let guest = start(&mut command);
    std::thread::sleep(Duration::from_millis(500));
    place(guest.0.id(), |name| if name == "io" { NEAR } else { FAR });
    guest
}

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

    /// Each guest and its TAP at the two ends of a wire, or of a segment that learns.
    fn switch(name: &'static str, segment: &str, cpu: &str) -> Self {
        let namespace = Namespace::new();
        let mut config = format!("[switch]\ncpus = [{cpu}]\n");
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
            running.push(guest(image, &switch.here(&net), arguments));
        }
        Self { name, namespace, servers: SERVERS, _running: running, _switch: Some(switch), other: None }
    }

    fn transfer(&self, arguments: &[&str]) -> (f64, f64) {
        transfer(&self.namespace, self.servers[0], arguments)
    }

    /// Microseconds one way for 64 bytes; a native receiver is on a processor of choice.
    fn latency(&self, receiver: &str) -> f64 {
        let size = ["-l", "64", "-u", "64", "-p", "0"];
        let _receiver = self.other.as_ref().map(|other| {
            let receiver =
                start(&mut other.command(&[&["taskset", "-c", receiver, "NPtcp"][..], &size].concat()));
            eventually("NPtcp listens", || run(&mut other.command(&["ss", "-tln"])).out.contains(":5002"));
            receiver
        });
        let client = ["taskset", "-c", NEAR, "NPtcp", "-o", "/dev/null", "-h", self.servers[1]];
        let outcome = run(&mut self.namespace.command(&[&client[..], &size].concat()));
        micros(&outcome.err).unwrap_or_else(|| stop(&format!("{}: NPtcp: {}", self.name, outcome.err), 1))
    }
}

/// Microseconds of a line that NPtcp, or the guest that speaks as it does, prints for 64 bytes.
fn micros(output: &str) -> Option<f64> {
    let line = output.lines().rfind(|l| l.contains("64 bytes"))?;
    line.split_whitespace().rev().nth(1)?.parse().ok()
}

/// Two guests at the ends of a wire: a receiver on CPU 1, and on CPU 0 the switch and, each time, a transmitter.
struct Pair {
    switch: Switch,
    _receiver: Running,
}

impl Pair {
    fn new() -> Self {
        let port = |name: &str| {
            format!(
                "[ports.{name}]\nsegment = \"s\"\ndevice = {{ vhost-user = {{ path = \"@/{name}.sock\" }} }}\n"
            )
        };
        let switch = Switch::new(&format!(
            "[switch]\ncpus = [{NEAR}]\n[segments.s]\n{WIRE}{}{}",
            port("receiver"),
            port("transmitter")
        ));
        let net = switch.here("vhost-user=@/receiver.sock,ipv4=10.75.0.1/24");
        let receiver = guest("netpipe", &net, &["--set", "args=-l 64 -p 0"]);
        Self { switch, _receiver: receiver }
    }

    /// Microseconds one way for 64 bytes.
    fn latency(&self) -> f64 {
        let mut command = Command::new("taskset");
        command.args(["-c", NEAR]).arg(program("microvisor-vmm"));
        command.arg("--image").arg(root().join("target/images/netpipe"));
        command.args(["--net", &self.switch.here("vhost-user=@/transmitter.sock,ipv4=10.75.0.2/24")]);
        command.args(["--set", "args=-h 10.75.0.1 -l 64 -u 64 -p 0"]).stdin(Stdio::null());
        let outcome = run(&mut command);
        let said = format!("{}{}", outcome.out, outcome.err);
        micros(&said).unwrap_or_else(|| stop(&format!("guest to guest: {said}"), 1))
    }
}

/// Processor time of the whole machine so far, seconds.
fn busy() -> f64 {
    let stat = std::fs::read_to_string(Path::new("/proc/stat")).unwrap_or_default();
    let words: Vec<f64> =
        stat.lines().next().unwrap_or_default().split_whitespace().flat_map(str::parse).collect();
    // User, nice, system, then idle and waiting, then interrupts; in hundredths.
    words.iter().enumerate().filter(|(i, _)| ![3, 4].contains(i) && *i < 7).map(|(_, v)| v / 100.0).sum()
}

/// All of it.
pub fn measure(rounds: usize) -> Vec<Sample> {
    let contestants = [
        Contestant::native(),
        Contestant::tap(),
        Contestant::switch("guest, switch, learning", "", NEAR),
        Contestant::switch("guest, switch, wire", WIRE, NEAR),
        Contestant::switch("guest, wire, switch on CPU 1", WIRE, FAR),
    ];
    let transfers: [(&str, &[&str]); 4] = [
        ("1 stream to it", &[]),
        ("8 streams to it", &["-P", "8"]),
        ("1 stream from it", &["-R"]),
        ("8 streams from it", &["-P", "8", "-R"]),
    ];
    let mut samples = Vec::new();
    for (what, _) in transfers {
        for contestant in &contestants {
            samples.push(Sample::new(format!("TCP, {what}: {}", contestant.name), Unit::Gigabits));
            samples.push(Sample::new("  processors busy meanwhile", Unit::Cores));
        }
        for contestant in &contestants[1..] {
            samples
                .push(Sample::new(format!("  {} over veth in the same round", contestant.name), Unit::Times));
        }
    }
    samples.push(Sample::new("NPtcp, 64 bytes one way: veth, both ends on one processor", Unit::Micros));
    for contestant in &contestants {
        samples.push(Sample::new(format!("NPtcp, 64 bytes one way: {}", contestant.name), Unit::Micros));
    }
    samples.push(Sample::new("NPtcp, 64 bytes one way: guest to guest, switch, wire", Unit::Micros));
    let pair = Pair::new();
    for _ in 0..rounds {
        let mut next = samples.iter_mut();
        let mut push = |value| {
            if let Some(sample) = next.next() {
                sample.push(value);
            }
        };
        for (_, arguments) in transfers {
            let results = contestants.each_ref().map(|contestant| contestant.transfer(arguments));
            results.iter().for_each(|(rate, cores)| {
                push(*rate);
                push(*cores);
            });
            results[1..].iter().for_each(|(rate, _)| push(rate / results[0].0));
        }
        push(contestants[0].latency(NEAR));
        contestants.iter().for_each(|contestant| push(contestant.latency(FAR)));
        push(pair.latency());
    }
    samples
}
