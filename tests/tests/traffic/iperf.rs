//! The guest `iperf` and Debian's iperf3 at either end, over a TAP: TCP and UDP, both directions, many streams, and
//! peers that do not keep to the protocol.

use e2e::net::Namespace;
use e2e::{Outcome, RunFolder, eventually, finish, run, start, turns, unique};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::RwLockWriteGuard;
use std::time::Duration;

const GUEST: &str = "10.9.1.1";
const HOST: &str = "10.9.1.2";
const PORT: u16 = 5201;

struct Bench {
    namespace: Namespace,
    folder: RunFolder,
    _alone: Option<RwLockWriteGuard<'static, ()>>,
}

impl Bench {
    fn option(&self) -> String {
        format!("{},netns={},address={HOST}/24,guest={GUEST}/24", unique("t"), self.namespace.name)
    }

    /// A quiet link needs a quiet machine.
    fn new() -> Self {
        let alone = turns::alone();
        Self { _alone: Some(alone), ..Self::beside_others() }
    }

    /// For a test that mostly waits.
    fn beside_others() -> Self {
        Self { namespace: Namespace::new(), folder: RunFolder::new(), _alone: None }
    }

    /// With a server in a guest.
    fn server() -> Self {
        Self::new().serving()
    }

    fn serving(self) -> Self {
        let tap = self.option();
        let image = "target/test-images/iperf";
        let outcome = self.folder.run(&["run", image, "--tap", &tap, "--detach", "--name", "iperf"]);
        assert_eq!(outcome.status, 0, "{outcome:?}");
        self
    }

    fn iperf3(&self, arguments: &str) -> Outcome {
        let words = ["iperf3", "-c", GUEST];
        run(&mut self
            .namespace
            .command(&words.iter().copied().chain(arguments.split(' ')).collect::<Vec<_>>()))
    }

    /// One test; its JSON.
    #[track_caller]
    fn measure(&self, arguments: &str) -> Value {
        let outcome = self.iperf3(&format!("{arguments} -J"));
        assert_eq!(outcome.status, 0, "{arguments}: {outcome:?}");
        serde_json::from_str(&outcome.out).expect("iperf3 prints JSON")
    }

    /// A raw connection to the server.
    fn connect(&self) -> TcpStream {
        let address: SocketAddr = format!("{GUEST}:{PORT}").parse().expect("an address");
        let stream = self.namespace.inside(|| TcpStream::connect_timeout(&address, Duration::from_secs(5)));
        let stream = stream.expect("the server listens");
        stream.set_read_timeout(Some(Duration::from_secs(15))).expect("a timeout can be set");
        stream
    }

    #[track_caller]
    fn stop(self) {
        self.folder.run(&["stop", "iperf"]).ends(0, "");
        self.folder.is_empty_soon();
    }
}

#[track_caller]
fn bytes(json: &Value, which: &str) -> f64 {
    json["end"][which]["bytes"].as_f64().unwrap_or_else(|| panic!("no bytes: {json}"))
}

/// Bytes of the time that the client was told to leave out.
fn omitted(json: &Value) -> f64 {
    let sums = json["intervals"].as_array().into_iter().flatten().map(|interval| &interval["sum"]);
    sums.filter(|sum| sum["omitted"] == true).filter_map(|sum| sum["bytes"].as_f64()).sum()
}

#[test]
fn memory_of_streams_goes_back_to_the_host() {
    let bench = Bench::server();
    let before = bench.folder.guest_memory();
    for arguments in ["-t 1 -P 32", "-t 1 -P 32 -R"] {
        bench.measure(arguments);
        let full = bench.folder.guest_memory();
        eventually("the host has it back", || bench.folder.guest_memory() < before + (8 << 20));
        eprintln!(
            "{arguments}: {before} bytes before, {full} at its end, {} after",
            bench.folder.guest_memory()
        );
    }
    bench.stop();
}

#[test]
fn a_server_takes_tcp_both_ways() {
    let bench = Bench::server();
    for arguments in ["-t 1", "-t 1 -R", "-t 1 -P 8", "-t 1 -P 8 -R", "-n 20M -P 3 -R", "-t 1 -O 1 -P 32"] {
        let json = bench.measure(arguments);
        let (sent, received) = (bytes(&json, "sum_sent"), bytes(&json, "sum_received"));
        // What was on its way when the time to leave out ended counts where it arrives.
        let most = 1.05 * (sent + omitted(&json));
        assert!(sent > 10e6 && received > 0.5 * sent && received <= most, "{arguments}: {json}");
    }
    // A test that is over at once: all that was asked for has arrived. The client may have sent a part of another block.
    for _ in 0..10 {
        let json = bench.measure("-n 200K");
        assert!(bytes(&json, "sum_received") >= 200.0 * 1024.0, "{json}");
    }
    // The client counts a block for each read, also for one that found only a part of it, and stops at a hundred.
    let json = bench.measure("-k 100 -l 1000 -R");
    let (sent, received) = (bytes(&json, "sum_sent"), bytes(&json, "sum_received"));
    assert!(received > 0.0 && received <= 100_000.0 && received <= sent, "{json}");
    let json = bench.measure("-t 1 -b 40M -R");
    let rate = json["end"]["sum_received"]["bits_per_second"].as_f64().unwrap_or_default();
    assert!((36e6..44e6).contains(&rate), "{rate}");
    bench.stop();
}

#[test]
fn a_server_takes_udp_and_loses_nothing_on_a_quiet_link() {
    let bench = Bench::server();
    for arguments in
        ["-u -t 1 -b 20M", "-u -t 1 -b 20M -R", "-u -t 1 -b 5M -P 4 --udp-counters-64bit", "-u -n 1M"]
    {
        let json = bench.measure(arguments);
        let sum = &json["end"]["sum"];
        assert_eq!(sum["lost_packets"], 0, "{arguments}: {sum}");
        assert!(sum["packets"].as_f64().unwrap_or_default() > 500.0, "{arguments}: {sum}");
        let jitter = sum["jitter_ms"].as_f64().unwrap_or(f64::NAN);
        assert!((0.0..20.0).contains(&jitter), "{arguments}: {sum}");
    }
    bench.stop();
}

#[test]
fn a_server_refuses_what_it_cannot_do_in_iperf3_s_words() {
    let bench = Bench::server();
    for (arguments, says) in [
        ("-t 1 --bidir", "not implemented"),
        ("-t 1 -P 33", "number of parallel streams"),
        ("-t 1 -C bbr", "TCP_CONGESTION"),
        ("-t 1 -M 1000", "TCP/SCTP MSS"),
        ("-t 1 -u -l 4000", "block size"),
    ] {
        let outcome = bench.iperf3(arguments);
        let said = format!("{}{}", outcome.out, outcome.err);
        assert!(outcome.status != 0 && said.contains(says), "{arguments}: {outcome:?}");
    }
    bench.measure("-n 1M");
    bench.stop();
}

#[test]
fn a_client_in_a_guest_measures_against_iperf3() {
    let bench = Bench::new();
    let tap = bench.option();
    let mut server = None;
    for (arguments, least) in [
        ("-t 1", 10e6),
        ("-t 1 -R -P 4", 10e6),
        ("-n 5M", 5e6),
        ("-n 200K", 200e3),
        ("-n 200K -P 4", 200e3),
        ("-u -t 1 -b 20M", 2e6),
        ("-u -t 1 -b 20M -R", 2e6),
    ] {
        // The host's side of the TAP is there once the guest is, and the guest tries for seconds.
        let (word, namespace) = (format!("args=-c {HOST} {arguments} -J"), &bench.namespace);
        server.get_or_insert_with(|| start(&mut namespace.command(&["iperf3", "-s"])));
        std::thread::sleep(Duration::from_millis(100));
        let outcome = bench.folder.run(&["run", "target/test-images/iperf", "--tap", &tap, "--set", &word]);
        assert_eq!(outcome.status, 0, "{arguments}: {outcome:?}");
        let line = outcome.out.lines().find(|l| l.starts_with('{')).unwrap_or_else(|| panic!("{outcome:?}"));
        let json: Value = serde_json::from_str(line).expect("the guest prints JSON");
        let (sent, received) = (bytes(&json, "sum_sent"), bytes(&json, "sum_received"));
        assert!(sent >= least && received >= 0.5 * least, "{arguments}: {json}");
        if arguments.starts_with("-n") {
            assert_eq!(received, sent, "{arguments}: {json}");
        }
        if arguments.contains("-u") {
            assert_eq!(json["end"]["sum_received"]["lost_packets"], 0, "{arguments}: {json}");
        }
    }
    let mut server = server.expect("it was started");
    server.kill().expect("it runs");
    finish(server);
    bench.folder.is_empty_soon();
}

#[test]
fn hostile_peers_end_their_own_test_and_no_other() {
    let bench = Bench::beside_others().serving();
    let cookie = [b'x'; 37];
    let parameters = |json: &str| [&(json.len() as u32).to_be_bytes()[..], json.as_bytes()].concat();
    let good = r#"{"tcp":true,"time":1,"parallel":2,"len":1000}"#;
    let hostile: Vec<Vec<u8>> = vec![
        vec![],
        b"short".to_vec(),
        [&cookie[..], &u32::MAX.to_be_bytes()].concat(),
        [&cookie[..], &parameters("")].concat(),
        [&cookie[..], &parameters("{\"tcp\":")].concat(),
        [&cookie[..], &parameters(&"[".repeat(60_000))].concat(),
        [&cookie[..], &parameters(r#"{"tcp":true,"parallel":4294967295,"len":1}"#)].concat(),
        [&cookie[..], &parameters(r#"{"udp":true,"parallel":1,"len":12}"#)].concat(),
        [&cookie[..], &parameters(good)].concat(),
        [&cookie[..], &parameters(good), &[4, 13, 13, 255]].concat(),
        (0..100_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect(),
    ];
    for bytes in &hostile {
        let mut stream = bench.connect();
        // The server may have hung up before it has all.
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(std::net::Shutdown::Both);
        drop(stream);
        eventually("the server goes on", || bench.iperf3("-n 100K").status == 0);
    }
    // A peer that stalls keeps the others waiting, not for ever.
    let mut stalled = bench.connect();
    stalled.write_all(&cookie).expect("taken");
    assert_ne!(bench.iperf3("-n 100K").status, 0, "one test at a time");
    let mut rest = Vec::new();
    let _ = stalled.read_to_end(&mut rest);
    assert_eq!(rest, [9], "the server has asked for parameters, then given up");
    bench.measure("-n 100K");
    bench.stop();
}

#[test]
fn who_comes_during_a_test_is_told_so() {
    let bench = Bench::server();
    let long = start(&mut bench.namespace.command(&["iperf3", "-c", GUEST, "-t", "2"]));
    std::thread::sleep(Duration::from_millis(500));
    let outcome = bench.iperf3("-n 1M");
    let said = format!("{}{}", outcome.out, outcome.err);
    assert!(outcome.status != 0 && said.contains("busy"), "{outcome:?}");
    assert_eq!(finish(long).status, 0);
    bench.measure("-n 1M");
    bench.stop();
}
