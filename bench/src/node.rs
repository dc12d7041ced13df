//! The node: from a request to the first answered ping, cold, prepared and on demand; a thousand instances; fifty at once; a
//! port of the switch beside few others and beside many.

use crate::ping::{answer, ping_socket};
use crate::sample::{Sample, Unit, quantile};
use crate::{bare_program, pss, start_and_end, stop};
use api::client::Client;
use e2e::net::Namespace;
use e2e::node::Node;
use e2e::switch::Switch;
use e2e::{eventually, run};
use serde_json::{Value, json};
use std::io::Read;
use std::net::UdpSocket;
use std::ops::RangeInclusive;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use switch::config::Config;
use switch::control;

pub const PLACEMENT: &str = "every program runs where the scheduler puts it";

const ADDRESS: &str = "10.78.0.9";
const MAC: &str = "02:00:00:00:00:78";
/// Between two pings of a client that waits for an instance.
const INTERVAL: Duration = Duration::from_micros(200);
/// How many instances there are in the end, and how many of them are compared.
const MANY: usize = 1000;
const SOME: usize = 100;
/// How many a large node has.
const LARGE: usize = 2000;
/// What the switch's ports are in.
const SEGMENT: &str = "[segments.s]\nanswer-neighbours = true\n";
/// How long the host is watched while they idle.
const WATCH: Duration = Duration::from_secs(20);

/// A node with a network that a namespace is on.
struct NodeTestbed {
    // Before the namespace, which its TAP is in.
    client: Client,
    node: Node,
    host: Namespace,
    socket: UdpSocket,
}

impl NodeTestbed {
    fn new(options: &[&str]) -> Self {
        let (node, host) = (Node::with(options), Namespace::new());
        let network = json!({ "name": "blue", "subnet": "10.78.0.0/16", "gateway": "10.78.0.1",
            "host": { "tap": "blue", "netns": host.name, "address": "10.78.0.1/16" } });
        node.post("/v1/networks", &network).is(201);
        run(&mut host.command(&["sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1"]));
        let client = client(&node);
        let socket = host.inside(ping_socket);
        Self { client, node, host, socket }
    }

    fn create(&self, spec: &Value) -> Value {
        self.client.post("/v1/instances", spec).unwrap_or_else(|e| stop(&format!("create: {e}"), 1))
    }

    fn delete(&self, name: &str) {
        self.client
            .delete(&format!("/v1/instances/{name}?force=true"))
            .unwrap_or_else(|e| stop(&format!("delete: {e}"), 1));
    }

    /// From a request to the first answer, to a client that pings already and knows the Ethernet address.
    fn first_answer(&self) -> Duration {
        self.host.ip(&["neigh", "replace", ADDRESS, "lladdr", MAC, "dev", "blue"]);
        let spec = spec(
            &json!({ "name": "fw", "devices": [{ "network": "blue", "address": ADDRESS, "mac": MAC }] }),
        );
        let (begun, answered) = std::thread::scope(|threads| {
            let answered = threads.spawn(|| self.host.inside(|| answer(&self.socket, ADDRESS, INTERVAL)));
            std::thread::sleep(Duration::from_millis(2));
            let begun = Instant::now();
            self.create(&spec);
            (begun, answered.join().unwrap_or(begun))
        });
        self.delete("fw");
        answered.duration_since(begun)
    }

    /// From the one ping that there is to its answer: nobody runs at the address, nor is its Ethernet address known.
    fn on_demand(&self) -> Duration {
        let spec = spec(&json!({ "name": "fw", "on_demand": { "idle_s": 3600 },
            "devices": [{ "network": "blue", "address": ADDRESS, "mac": MAC }] }));
        self.create(&spec);
        run(&mut self.host.command(&["ip", "neigh", "flush", "dev", "blue"]));
        let begun = Instant::now();
        let took =
            self.host.inside(|| answer(&self.socket, ADDRESS, Duration::from_secs(2))).duration_since(begun);
        self.delete("fw");
        took
    }
}

fn client(node: &Node) -> Client {
    Client::on_socket(node.folder.join("run/api.sock")).unwrap_or_else(|| stop("the node does not answer", 1))
}

fn spec(more: &Value) -> Value {
    e2e::node::spec("firewall.click", more)
}

pub fn measure(rounds: usize) -> Vec<Sample> {
    let mut samples = starts(rounds);
    samples.extend(many());
    samples.push(at_once());
    samples.extend(large());
    samples.extend(ports());
    samples
}

fn starts(rounds: usize) -> Vec<Sample> {
    let row = |what: &str| Sample::new(format!("firewall, {what}, to the first ping"), Unit::Millis);
    let [mut cold, mut warm, mut demand, mut warm_demand] =
        ["request, cold", "request, prepared", "its first packet, cold", "its first packet, prepared"]
            .map(row);
    let mut yardstick = Sample::new("bare C program with one VM and one run: exec to exit", Unit::Millis);
    let mut ratio =
        Sample::new("firewall, request, cold, over the bare C program's in the same round", Unit::Times);
    let bare = bare_program();
    let (plain, prepared) = (NodeTestbed::new(&[]), NodeTestbed::new(&["--prepared", "4"]));
    for _ in 0..rounds {
        let (_, bare) = start_and_end(Command::new(&bare));
        yardstick.push_time(bare);
        let first = plain.first_answer();
        cold.push_time(first);
        ratio.push(first.as_secs_f64() / bare.as_secs_f64());
        demand.push_time(plain.on_demand());
        // A guest that is just being prepared would be in the way.
        let are_prepared = || {
            eventually("guests are prepared", || {
                prepared.client.get::<Value>("/v1/status").is_ok_and(|status| status["prepared"] == 4)
            });
            std::thread::sleep(Duration::from_millis(20));
        };
        are_prepared();
        warm.push_time(prepared.first_answer());
        are_prepared();
        warm_demand.push_time(prepared.on_demand());
    }
    let all = [cold, warm, demand, warm_demand];
    let tails = all.each_ref().map(|row| [row.percentile(90), row.tail()]);
    let rows = all.into_iter().zip(tails).flat_map(|(row, [p90, p99])| [row, p90, p99]);
    [yardstick, ratio].into_iter().chain(rows).collect()
}

/// How long each of many starts takes.
fn each(mut start: impl FnMut(usize)) -> Vec<f64> {
    let timed = |index| {
        let begun = Instant::now();
        start(index);
        begun.elapsed().as_secs_f64() * 1e3
    };
    (0..MANY).map(timed).collect()
}

/// The last ones' median over the first ones'.
fn slowdown(times: &[f64]) -> f64 {
    quantile(&times[times.len() - SOME..], 0.5) / quantile(&times[..SOME], 0.5)
}

fn many() -> [Sample; 6] {
    let mut yardstick = Sample::new("bare C programs with one VM: last 100 of 1,000 over first", Unit::Times);
    let mut ratio = Sample::new("instances, likewise", Unit::Times);
    let mut first = Sample::new("the first 100, request to ready", Unit::Millis);
    let mut memory = Sample::new("memory of each of 1,000: PSS of everything", Unit::KiB);
    let mut fall = Sample::new("  the fall of MemAvailable", Unit::KiB);
    let mut busy =
        Sample::new("CPU, 1,000 idle, an ARP broadcast each second, more than without", Unit::Percent);
    yardstick.push(bare_programs());
    let site = NodeTestbed::new(&[]);
    // What the host does by itself, beside a node without instances.
    std::thread::sleep(Duration::from_secs(2));
    let without = busy_share();
    let before = available();
    let times = each(|index| drop(site.create(&spec(&json!({ "name": format!("n{index}") })))));
    ratio.push(slowdown(&times));
    times[..SOME].iter().for_each(|&t| first.push(t));
    std::thread::sleep(Duration::from_secs(2));
    fall.push((before - available()) / MANY as f64);
    let all = processes(&site.node.folder.to_string_lossy());
    memory.push(all.iter().map(|&pid| pss(pid)).sum::<f64>() / MANY as f64);
    let mut asks = start_in(&site.host, &["ping", "-q", "-n", "-i", "1", "10.78.255.254"]);
    std::thread::sleep(Duration::from_secs(2));
    busy.push(busy_share() - without);
    let _ = asks.kill();
    let _ = asks.wait();
    [yardstick, ratio, first, memory, fall, busy]
}

fn start_in(host: &Namespace, words: &[&str]) -> Child {
    let mut command = host.command(words);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap_or_else(|e| stop(&format!("{command:?}: {e}"), 1))
}

/// A port that comes, and that goes, beside so many others: from the request to the switch to its answer.
fn ports() -> Vec<Sample> {
    let mut samples = Vec::new();
    for others in [10, 500, 10_000] {
        let mut put = Sample::new(format!("a port of the switch more, beside {others}"), Unit::Micros);
        let mut delete = Sample::new(format!("  one less, beside {others}"), Unit::Micros);
        let switch = Switch::new(SEGMENT);
        let with = |numbers: RangeInclusive<usize>| {
            let port = |number: usize| {
                let (high, low) = (number / 256, number % 256);
                format!(
                    "[ports.p{number}]\ndevice = {{ vhost-user = {{ path = \"@/{number}\" }} }}\nsegment = \"s\"\n\
                     mac = \"02:00:00:00:{high:02x}:{low:02x}\"\naddresses = [\"10.78.{high}.{low}\"]\nanti-spoofing = true\n"
                )
            };
            let text = numbers.map(port).collect::<String>() + SEGMENT;
            Config::from_toml(&switch.here(&text)).unwrap_or_else(|e| stop(&format!("ports: {e}"), 1))
        };
        switch.apply_config(&with(1..=others));
        let new = with(others + 1..=others + 1).ports.into_iter().next();
        let Some((name, new)) = new else { continue };
        let mut client = control::Client::connect(&switch.control())
            .unwrap_or_else(|e| stop(&format!("the switch: {e}"), 1));
        let mut timed = |request: &control::Request| {
            std::thread::sleep(Duration::from_millis(2));
            let begun = Instant::now();
            let answer = client.call(request, Duration::from_secs(10));
            answer.unwrap_or_else(|e| stop(&format!("{request:?}: {e}"), 1));
            begun.elapsed().as_secs_f64() * 1e6
        };
        for _ in 0..100 {
            put.push(timed(&control::Request::PutPort { name: name.clone(), port: Box::new(new.clone()) }));
            delete.push(timed(&control::Request::DeletePort { name: name.clone() }));
        }
        samples.extend([put, delete]);
    }
    samples
}

/// As many bare programs, all of which stay; how the last ones' starts compare with the first ones'.
fn bare_programs() -> f64 {
    let bare = bare_program();
    let mut all: Vec<Child> = Vec::new();
    let times = each(|_| {
        let mut child = Command::new(&bare)
            .arg("stay")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| stop(&format!("{}: {e}", bare.display()), 1));
        let mut line = [0; 5];
        let _ = child.stdout.as_mut().map(|pipe| pipe.read(&mut line));
        all.push(child);
    });
    for child in &mut all {
        let _ = child.kill();
        let _ = child.wait();
    }
    slowdown(&times)
}

/// Processes with a text in their command lines, the node's switch and monitors, and what monitors have forked.
fn processes(text: &str) -> Vec<u64> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|e| e.file_name().to_str()?.parse().ok());
    let is_one = |pid: &u64| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.windows(text.len()).any(|window| window == text.as_bytes())
    };
    pids.filter(is_one).collect()
}

/// What could be given to programs, KiB.
fn available() -> f64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|l| l.strip_prefix("MemAvailable:"));
    line.and_then(|l| l.split_whitespace().next()?.parse().ok()).unwrap_or(f64::NAN)
}

/// What all processors of the host have worked, seconds (proc_stat(5): all but idle and iowait).
fn host_busy() -> f64 {
    let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields = text.lines().next().unwrap_or_default().split_whitespace().skip(1);
    let ticks: Vec<f64> = fields.filter_map(|f| f.parse().ok()).collect();
    let working = ticks.iter().take(8).enumerate().filter(|(i, _)| !matches!(i, 3 | 4)).map(|(_, t)| t);
    // USER_HZ is 100 wherever Linux runs.
    working.sum::<f64>() / 100.0
}

/// How busy the host is, watched for a while, percent of a processor.
fn busy_share() -> f64 {
    let (begun, from) = (Instant::now(), host_busy());
    std::thread::sleep(WATCH);
    (host_busy() - from) / begun.elapsed().as_secs_f64() * 100.0
}

/// Has so many clients at once do something with each number below a limit; what was refused first ends the measurement.
fn share(
    node: &Node,
    clients: usize,
    limit: usize,
    work: impl Fn(&Client, usize) -> Result<(), String> + Sync,
) {
    let failed = Mutex::new(None);
    std::thread::scope(|threads| {
        for number in 0..clients {
            let (failed, work) = (&failed, &work);
            threads.spawn(move || {
                let client = client(node);
                for index in (number..limit).step_by(clients) {
                    if let Err(e) = work(&client, index) {
                        failed.lock().map(|mut first| *first = Some(e)).unwrap_or_default();
                    }
                }
            });
        }
    });
    if let Some(e) = failed.into_inner().unwrap_or_default() {
        stop(&e, 1);
    }
}

fn create_ready(client: &Client, index: usize) -> Result<(), String> {
    let made = client.post::<Value>("/v1/instances", &spec(&json!({ "name": format!("n{index}") })));
    let made = made.map_err(|e| e.to_string())?;
    if made["state"] == "ready" { Ok(()) } else { Err(format!("it did not become ready: {made}")) }
}

/// Fifty clients, each of which has ten instances made, one after another.
fn at_once() -> Sample {
    let (clients, all) = (50, 500);
    let mut rate = Sample::new("50 creations at once, 500 in all, to ready", Unit::Rate);
    let site = NodeTestbed::new(&[]);
    let begun = Instant::now();
    share(&site.node, clients, all, create_ready);
    rate.push(all as f64 / begun.elapsed().as_secs_f64());
    rate
}

/// A node with many instances: made, found again by another daemon after the first was killed, and deleted.
fn large() -> [Sample; 4] {
    let row = |what: &str, unit| Sample::new(format!("{LARGE} instances, 8 requests at once: {what}"), unit);
    let mut created = row("created", Unit::Millis);
    let mut back = row("daemon killed, until the next one has them all", Unit::Millis);
    let mut deleted = row("deleted", Unit::Millis);
    let mut kept = row("what the daemon keeps after that, PSS", Unit::KiB);
    let NodeTestbed { node, host: _host, .. } = &mut NodeTestbed::new(&[]);
    let begun = Instant::now();
    share(node, 8, LARGE, create_ready);
    created.push_time(begun.elapsed());
    node.kill();
    let begun = Instant::now();
    node.start();
    eventually("all are there", || node.get("/v1/status").json["instances"]["ready"] == LARGE);
    back.push_time(begun.elapsed());
    let begun = Instant::now();
    share(node, 8, LARGE, |client, index| {
        client.delete(&format!("/v1/instances/n{index}?force=true")).map_err(|e| e.to_string())
    });
    deleted.push_time(begun.elapsed());
    std::thread::sleep(Duration::from_secs(2));
    kept.push(pss(node.pid().into()));
    [created, back, deleted, kept]
}
