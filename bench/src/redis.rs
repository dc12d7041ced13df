//! Redis as a guest against `redis-server` on the same host: `redis-benchmark` over a TAP and over a veth pair, taking
//! turns, and the memory of a million small keys.

use crate::sample::{Sample, Unit};
use crate::{busy, pss, stop};
use e2e::net::Namespace;
use e2e::{RunFolder, eventually, finish_within, root, start, unique};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const TESTS: [&str; 4] = ["SET", "GET", "INCR", "LPUSH"];
const PIPELINES: [&str; 2] = ["1", "16"];
/// Requests of a test, by pipeline.
const REQUESTS: [&str; 2] = ["100000", "500000"];
const KEYS: usize = 1_000_000;

/// One of the two.
struct Contestant {
    name: &'static str,
    address: &'static str,
    pid: u64,
}

/// Both, and where the load comes from.
struct Arena {
    client: Namespace,
    _server: Namespace,
    folder: RunFolder,
    native: Child,
    contestants: [Contestant; 2],
}

impl Arena {
    fn new() -> Self {
        let (client, server, folder) = (Namespace::new(), Namespace::new(), RunFolder::new());
        let (near, far, tap) = (unique("v"), unique("w"), unique("t"));
        client.ip(&["link", "add", &near, "type", "veth", "peer", "name", &far, "netns", &server.name]);
        client.ip(&["addr", "add", "10.78.0.2/24", "dev", &near]);
        client.ip(&["link", "set", &near, "up"]);
        server.ip(&["addr", "add", "10.78.0.1/24", "dev", &far]);
        server.ip(&["link", "set", &far, "up"]);
        let words = ["redis-server", "--bind", "10.78.0.1", "--protected-mode", "no", "--save", ""];
        let mut command: Command = server.command(&words);
        let native = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let native = native.unwrap_or_else(|e| stop(&format!("redis-server: {e}"), 1));

        let option = format!("{tap},netns={},address=10.77.0.2/24,guest=10.77.0.1/24", client.name);
        let image = root().join("target/images/redis");
        let image = image.to_str().unwrap_or_default();
        let words = ["run", image, "--memory", "512", "--tap", &option, "--detach", "--name", "redis"];
        let outcome = folder.run(&words);
        if outcome.status != 0 {
            stop(&format!("the guest did not start: {}", outcome.err), 1);
        }
        let records: serde_json::Value =
            serde_json::from_str(&folder.run(&["ps", "--json"]).out).unwrap_or_default();
        let pid = records[0]["pid"].as_u64().unwrap_or_else(|| stop("the guest is not listed", 1));
        let contestants = [
            Contestant { name: "native, veth", address: "10.78.0.1", pid: native.id().into() },
            Contestant { name: "guest, TAP", address: "10.77.0.1", pid },
        ];
        let arena = Self { client, _server: server, folder, native, contestants };
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
        let words = ["redis-benchmark", "-h", on.address, "-t", &tests, "-c", "50", "--csv"];
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

impl Drop for Arena {
    fn drop(&mut self) {
        let _ = self.native.kill();
        let _ = self.native.wait();
        self.folder.run(&["stop", "redis"]);
        self.folder.is_empty_soon();
    }
}

/// All of it.
pub fn measure(rounds: usize) -> Vec<Sample> {
    let arena = Arena::new();
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
        let mut rates = [0, 1].map(|i| rows(arena.contestants[i].name, Unit::Rate));
        let mut ratios = rows("guest to native", Unit::Times);
        let mut costs = [0, 1].map(|i| {
            let name = arena.contestants[i].name;
            Sample::new(format!("server's processor time a request, -P {depth}: {name}"), Unit::Micros)
        });
        for round in 0..rounds {
            let mut got = [[0.0; 4]; 2];
            for turn in 0..2 {
                let which = (round + turn) % 2;
                let (values, cost) = arena.load(&arena.contestants[which], pipeline);
                got[which] = values;
                costs[which].push(cost);
            }
            for test in 0..TESTS.len() {
                for (rates, got) in rates.iter_mut().zip(&got) {
                    rates[test].push(got[test]);
                }
                ratios[test].push(got[1][test] / got[0][test]);
            }
        }
        let [native, guest] = rates;
        for ((native, guest), ratio) in native.into_iter().zip(guest).zip(ratios) {
            samples.extend([native, guest, ratio]);
        }
        samples.extend(costs);
    }
    samples
}
