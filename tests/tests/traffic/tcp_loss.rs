//! TCP between a guest and Linux's iperf3 over a router that loses packets, both ways, beside Linux's own over the same
//! router: transfers come to their end without a long silence. The numbers are printed (`--nocapture`).

use e2e::net::Namespace;
use e2e::{RunFolder, eventually, run, start, turns, unique};
use serde_json::Value;
use std::net::TcpStream;
use std::process::Child;

const GUEST: &str = "10.9.7.1";
const PEER: &str = "10.9.6.2";
/// Length of an interval that iperf3 reports on, seconds.
const INTERVAL: f64 = 0.1;

/// A client and a peer, each behind a veth pair, and a guest behind a TAP, with a router between them.
struct Network {
    client: Namespace,
    router: Namespace,
    peer: Namespace,
    /// iperf3's server on the peer.
    server: Child,
}

impl Drop for Network {
    fn drop(&mut self) {
        // Whatever became of it, it is over then.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl Network {
    fn new() -> Self {
        let peer = Namespace::new();
        let server = start(&mut peer.command(&["iperf3", "-s"]));
        let new = Self { client: Namespace::new(), router: Namespace::new(), peer, server };
        for (host, subnet) in [(&new.client, "10.9.5"), (&new.peer, "10.9.6")] {
            let (inner, outer) = (unique("v"), unique("v"));
            host.ip(&["link", "add", &inner, "type", "veth", "peer", &outer, "netns", &new.router.name]);
            host.address(&inner, &format!("{subnet}.2/24"));
            new.router.address(&outer, &format!("{subnet}.1/24"));
            // The router loses packets of a wire, not of 64 KiB.
            host.ip(&["link", "set", &inner, "gso_max_segs", "1", "up"]);
            new.router.ip(&["link", "set", &outer, "gso_max_segs", "1", "up"]);
            host.ip(&["route", "add", "default", "via", &format!("{subnet}.1")]);
        }
        let forwards = new.router.inside(|| std::fs::write("/proc/sys/net/ipv4/ip_forward", "1"));
        forwards.expect("it can forward");
        eventually("iperf3 listens", || new.client.inside(|| TcpStream::connect((PEER, 5201)).is_ok()));
        new
    }

    /// Loses packets of established connections by a rule of iptables.
    fn lose(&self, rule: &str) {
        let rules = format!("-F FORWARD|-A FORWARD -p tcp ! --syn -m statistic {rule} -j DROP");
        for rule in rules.split('|') {
            let words: Vec<&str> = ["iptables", "-w"].into_iter().chain(rule.split(' ')).collect();
            let outcome = run(&mut self.router.command(&words));
            assert_eq!(outcome.status, 0, "{rule}: {outcome:?}");
        }
    }

    /// Moves bytes between the client and a server; Mb/s, and the longest time without any, seconds.
    fn transfer(&self, server: &str, bytes: u32, reverse: bool) -> (f64, f64) {
        let (limit, interval) = (bytes.to_string(), INTERVAL.to_string());
        let mut words = vec!["iperf3", "-c", server, "-n", &limit, "-i", &interval, "-l", "16K", "-J"];
        // The guest's congestion control. Its own is not to be chosen.
        words.extend(["-C", "cubic"].into_iter().filter(|_| server != GUEST));
        words.extend(reverse.then_some("-R"));
        let outcome = run(&mut self.client.command(&words));
        assert_eq!(outcome.status, 0, "{words:?}: {outcome:?}");
        let json: Value = serde_json::from_str(&outcome.out).expect("iperf3 prints JSON");
        let received = json["end"]["sum_received"]["bytes"].as_f64().unwrap_or_default();
        // iperf3's server leaves out what comes after its client's word that all was sent.
        let least = if server == GUEST { bytes } else { bytes / 2 };
        assert!(received >= f64::from(least), "{words:?}: {json}");
        let (mut longest, mut silent) = (0, 0);
        for interval in json["intervals"].as_array().into_iter().flatten() {
            silent = if interval["sum"]["bytes"] == 0 { silent + 1 } else { 0 };
            longest = longest.max(silent);
        }
        let rate = json["end"]["sum_received"]["bits_per_second"].as_f64().unwrap_or_default();
        (rate / 1e6, f64::from(longest) * INTERVAL)
    }
}

#[test]
fn transfers_over_a_link_that_loses_packets_end_without_a_long_silence() {
    let _turn = turns::alone();
    let (network, folder, tap) = (Network::new(), RunFolder::new(), unique("t"));
    // Without offloads the guest's packets are those of a wire as well.
    let option = format!(
        "{tap},netns={},address=10.9.7.2/24,guest={GUEST}/24,gateway=10.9.7.2,offload=off",
        network.router.name
    );
    let outcome =
        folder.run(&["run", "target/test-images/iperf", "--tap", &option, "--detach", "--name", "iperf"]);
    assert_eq!(outcome.status, 0, "{outcome:?}");
    // With 10 % in both directions a segment and all that is sent for it within 2 s are lost once in a hundred times.
    for (name, rule, kilobytes, most) in [
        ("0.1 %", "--mode random --probability 0.001", 16 << 10, 2.0),
        ("2 %", "--mode random --probability 0.02", 4 << 10, 2.0),
        ("10 %", "--mode random --probability 0.1", 512, 5.0),
        ("every 50th", "--mode nth --every 50 --packet 0", 4 << 10, 2.0),
    ] {
        network.lose(rule);
        for reverse in [false, true] {
            let (rate, silence) = network.transfer(GUEST, kilobytes << 10, reverse);
            let (linux, linux_silence) = network.transfer(PEER, kilobytes << 8, reverse);
            let way = if reverse { "from" } else { "to" };
            println!(
                "{name}, {way} the guest: {rate:.0} Mb/s, silent for {silence:.1} s at the most; Linux \
                 {linux:.0} Mb/s, {linux_silence:.1} s"
            );
            assert!(silence < most, "{name}, {way} the guest: silent for {silence} s");
        }
    }
    folder.run(&["stop", "iperf"]).ends(0, "");
    folder.is_empty_soon();
}
