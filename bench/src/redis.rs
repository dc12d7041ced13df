//! Redis as a guest against `redis-server` on the same host: `redis-benchmark` over a TAP, through the switch and over a
//! veth pair, taking turns, every thread in its place; and the memory of a million small keys.

use crate::guests::{FAR, NEAR, Running, WIRE, guest};
use crate::sample::{Sample, Unit};
use crate::{busy, pss, stop};
use e2e::net::Namespace;
use e2e::switch::Switch;
use e2e::{eventually, finish_within, start, unique};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Stdio;
use std::time::Duration;

const TESTS: [&str; 4] = ["SET", "GET", "INCR", "LPUSH"];
const PIPELINES: [&str; 2] = ["1", "16"];
/// Requests of a test, by pipeline.
const REQUESTS: [&str; 2] = ["100000", "500000"];
const KEYS: usize = 1_000_000;
/// Of the guests, MiB.
const MEMORY: &[&str] = &["--memory", "512"];

/// What is said of the placement.
pub const PLACEMENT: &str = "CPU 0: redis-benchmark, the I/O thread of the guest on a TAP; CPU 1: redis-server, the guests, the switch";

/// One of those that are measured.
struct Contestant {
    name: &'static str,
    address: &'static str,
    pid: u64,
}

/// All of them, and where the load comes from.
struct RedisTestbed {
    client: Namespace,
    contestants: [Contestant; 3],
    _running: Vec<Running>,
    _switch: Switch,
    _server: Namespace,
}

impl RedisTestbed {
    fn new() -> Self {
        let (client, server) = (Namespace::new(), Namespace::new());
        let (near, far, tap) = (unique("v"), unique("w"), unique("t"));
        client.ip(&["link", "add", &near, "type", "veth", "peer", "name", &far, "netns", &server.name]);
        server.ip(&["addr", "add", "10.78.0.1/24", "dev", &far]);
        server.ip(&["link", "set", &far, "up"]);
        let words = ["taskset", "-c", FAR, "redis-server", "--bind", "10.78.0.1", "--protected-mode", "no"];
        let native = crate::guests::start(&mut server.command(&[&words[..], &["--save", ""]].concat()));

        client.ip(&["tuntap", "add", "mode", "tap", "vnet_hdr", "name", &tap]);
        let on_tap = client.inside(|| guest("redis", &format!("tap={tap},ipv4=10.77.0.1/24"), MEMORY));
        let switch = Switch::new(&format!(
            "[switch]\ncpus = [{FAR}]\n[segments.s]\n{WIRE}[ports.redis]\nsegment = \"s\"\n\
             device = {{ vhost-user = {{ path = \"@/redis.sock\" }} }}\n[ports.tap]\nsegment = \"s\"\n\
             device = {{ tap = {{ name = \"wired\", netns = \"{}\" }} }}\n",
            client.name
        ));
        let on_switch = guest("redis", &switch.here("vhost-user=@/redis.sock,ipv4=10.79.0.1/24"), MEMORY);
        for (device, net) in [(near.as_str(), 78), (&tap, 77), ("wired", 79)] {
            client.ip(&["addr", "add", &format!("10.{net}.0.2/24"), "dev", device]);
            client.ip(&["link", "set", device, "up"]);
        }
        let contestants = [
            Contestant { name: "native, veth", address: "10.78.0.1", pid: native.pid() },
            Contestant { name: "guest, TAP", address: "10.77.0.1", pid: on_tap.pid() },
            Contestant { name: "guest, switch, wire", address: "10.79.0.1", pid: on_switch.pid() },
        ];
        let running = vec![native, on_tap, on_switch];
        let arena = Self { client, contestants, _running: running, _switch: switch, _server: server };
        for contestant in &arena.contestants {
            eventually("the server answers", || arena.connect(contestant).is_some());
        }
        arena
    }

    fn connect(&self, to: &Contestant) -> Option<TcpStream> {
        let address: SocketAddr = format!("{}:6379", to.address).parse().ok()?;
        self.client.inside(|| TcpStream::connect_timeout(&address, Duration::from_secs(1))).ok()
    }

    /// Sends commands, each a line, and waits for as many lines.
    fn ask(&self, to: &Contestant, lines: &[u8], count: usize) {
        let Some(stream) = self.connect(to) else { stop("the server does not answer", 1) };
        let Ok(mut writer) = stream.try_clone() else { stop("no descriptor is left", 1) };
        let replies = std::thread::scope(|scope| {
            scope.spawn(move || writer.write_all(lines));
            BufReader::new(stream).lines().take(count).filter(Result::is_ok).count()
        });
        if replies != count {
            stop(&format!("{} answered {replies} of {count} commands", to.name), 1);
        }
    }

    /// Requests a second of each test, and processor time of the server for a request, in microseconds.
    fn load(&self, on: &Contestant, pipeline: usize) -> ([f64; 4], f64) {
        self.ask(on, b"FLUSHALL\r\n", 1);
        let tests = TESTS.join(",").to_lowercase();
        let words =
            ["taskset", "-c", NEAR, "redis-benchmark", "-h", on.address, "-t", &tests, "-c", "50", "--csv"];
        let more = ["-n", REQUESTS[pipeline], "-P", PIPELINES[pipeline]];
        let mut command = self.client.command(&[&words[..], &more].concat());
        let before = busy(on.pid);
        let outcome = finish_within(start(command.stdin(Stdio::null())), Duration::from_secs(120));
        let used = busy(on.pid).saturating_sub(before);
        let rate = |test: &str| {
            let line = outcome.out.lines().find(|l| l.starts_with(&format!("\"{test}\"")));
            let field = line.and_then(|l| l.split(',').nth(1)?.trim_matches('"').parse().ok());
            field.unwrap_or_else(|| stop(&format!("redis-benchmark: {outcome:?}"), 1))
        };
        let requests: f64 = REQUESTS[pipeline].parse().unwrap_or(1.0);
        (TESTS.map(rate), used.as_secs_f64() * 1e6 / (4.0 * requests))
    }

    /// Bytes that each of a million small keys takes: growth of what the process has in memory.
    fn bytes_per_key(&self, on: &Contestant) -> f64 {
        self.ask(on, b"FLUSHALL\r\n", 1);
        let before = pss(on.pid);
        let lines: Vec<u8> =
            (0..KEYS).flat_map(|i| format!("SET key:{i:012} xxx\r\n").into_bytes()).collect();
        self.ask(on, &lines, KEYS);
        (pss(on.pid) - before) * 1024.0 / KEYS as f64
    }
}

/// All of it.
pub fn measure(rounds: usize) -> Vec<Sample> {
    let arena = RedisTestbed::new();
    let mut samples = Vec::new();
    // Memory first: later there would be holes to fill.
    for contestant in &arena.contestants {
        let mut sample = Sample::new(format!("a small key of a million: {}", contestant.name), Unit::Bytes);
        sample.push(arena.bytes_per_key(contestant));
        arena.ask(contestant, b"FLUSHALL\r\n", 1);
        samples.push(sample);
    }
    for (pipeline, depth) in PIPELINES.iter().enumerate() {
        let rows = |what: &str, unit: Unit| {
            TESTS.map(|test| Sample::new(format!("{test}, 50 clients, -P {depth}: {what}"), unit))
        };
        let names = arena.contestants.each_ref().map(|c| c.name);
        let mut rates = names.map(|name| rows(name, Unit::Rate));
        let mut ratios = names.map(|name| rows(&format!("{name}, to native"), Unit::Times));
        let mut costs = names.map(|name| {
            Sample::new(format!("server's processor time a request, -P {depth}: {name}"), Unit::Micros)
        });
        for round in 0..rounds {
            let mut got = [[0.0; 4]; 3];
            for turn in 0..3 {
                let which = (round + turn) % 3;
                let (values, cost) = arena.load(&arena.contestants[which], pipeline);
                got[which] = values;
                costs[which].push(cost);
            }
            for which in 0..3 {
                for test in 0..TESTS.len() {
                    rates[which][test].push(got[which][test]);
                    ratios[which][test].push(got[which][test] / got[0][test]);
                }
            }
        }
        let [_, tap, wire] = ratios;
        samples.extend(rates.into_iter().flatten().chain(tap).chain(wire).chain(costs));
    }
    samples
}
