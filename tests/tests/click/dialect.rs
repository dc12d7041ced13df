//! Configurations as ClickOS has them, in guests with real packets: devices by number or without a name, frames pushed into
//! devices or pulled.

use e2e::net::Namespace;
use e2e::{RunFolder, unique};
use std::path::PathBuf;

/// A running configuration with a namespace at each of its devices: device *i* has 10.(i+1).0.1, its namespace .2.
struct Guest {
    folder: RunFolder,
    sides: Vec<Namespace>,
    file: PathBuf,
}

impl Guest {
    fn new(text: &str, sides: usize) -> Self {
        let folder = RunFolder::new();
        let file = std::env::temp_dir().join(format!("{}.click", unique("dialect")));
        std::fs::write(&file, text).expect("written");
        let sides: Vec<Namespace> = (0..sides).map(|_| Namespace::new()).collect();
        let mut arguments = vec!["run".to_owned(), file.display().to_string()];
        arguments.extend(["--name", "nf", "--detach"].map(str::to_owned));
        for (i, side) in sides.iter().enumerate() {
            let (n, tap) = (i + 1, unique("t"));
            arguments.push("--tap".into());
            arguments.push(format!("{tap},netns={},address=10.{n}.0.2/24,guest=10.{n}.0.1/24", side.name));
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let outcome = folder.run(&arguments);
        assert_eq!(outcome.status, 0, "{outcome:?}");
        for (i, side) in sides.iter().enumerate() {
            side.ip(&["route", "add", "default", "via", &format!("10.{}.0.1", i + 1)]);
        }
        Self { folder, sides, file }
    }

    #[track_caller]
    fn read(&self, handler: &str) -> u64 {
        let outcome = self.folder.run(&["click", "nf", "read", handler]);
        outcome.out.trim().parse().unwrap_or_else(|_| panic!("{handler}: {outcome:?}"))
    }

    /// Whether a datagram from the first side arrives at a port of the second.
    fn carries(&self, port: u16) -> bool {
        let server = self.sides[1].udp(&format!("10.2.0.2:{port}"));
        let client = self.sides[0].udp("10.1.0.2:0");
        let mut buffer = [0; 100];
        client.send_to(b"a text", format!("10.2.0.2:{port}")).expect("sent");
        server.recv(&mut buffer).is_ok_and(|n| &buffer[..n] == b"a text")
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.folder.run(&["stop", "nf"]);
        let _ = std::fs::remove_file(&self.file);
        if !std::thread::panicking() {
            self.folder.is_empty_soon();
        }
    }
}

#[test]
fn a_responder_names_no_device() {
    let guest = Guest::new(
        "define($IP 10.1.0.1, $MAC 02:00:00:00:01:01);
        source :: FromDevice;
        sink   :: ToDevice;
        c :: Classifier(12/0806 20/0001, 12/0800, -);
        source -> c;
        c[0] -> ARPResponder($IP $MAC) -> sink;
        c[1] -> CheckIPHeader(14) -> ICMPPingResponder() -> EtherMirror() -> sink;
        c[2] -> Discard;",
        1,
    );
    assert!(guest.sides[0].pings("10.1.0.1", 5));
    assert!(guest.read("sink.count") >= 2, "an answer of ARP and one of a ping");
}

/// Two sides, and between them what becomes of IP packets on the way there.
fn between(way: &str) -> String {
    format!(
        "define($A 02:00:00:00:01:01, $B 02:00:00:00:02:01);
        a, b :: Classifier(12/0806 20/0001, 12/0806 20/0002, 12/0800, -);
        qa :: ARPQuerier(10.1.0.1, $A); qb :: ARPQuerier(10.2.0.1, $B);
        FromDevice(0) -> a; FromDevice(1) -> b;
        toa :: Queue(200) -> ToDevice(0);   // pulled
        tob :: ToDevice(1, 8);              // pushed
        a[0] -> ARPResponder(10.1.0.1 $A) -> toa; b[0] -> ARPResponder(10.2.0.1 $B) -> tob;
        a[1] -> [1] qa; b[1] -> [1] qb; a[3] -> Discard; b[3] -> Discard;
        a[2] -> Strip(14) -> CheckIPHeader -> {way} -> GetIPAddress(16) -> qb -> tob;
        b[2] -> Strip(14) -> CheckIPHeader -> GetIPAddress(16) -> qa -> toa;"
    )
}

#[test]
fn a_firewall_lets_some_through() {
    let guest = Guest::new(&between("IPFilter(allow icmp, allow udp dst port 53, drop all)"), 2);
    assert!(guest.sides[0].pings("10.2.0.2", 5));
    assert!(guest.carries(53) && !guest.carries(54));
    assert!(guest.read("tob.count") >= 3);
}

#[test]
fn a_tunnel_has_two_ends() {
    let way = "IPEncap(4, 192.0.2.1, 192.0.2.2) -> inside :: Counter -> CheckIPHeader -> StripIPHeader -> CheckIPHeader";
    let guest = Guest::new(&between(way), 2);
    assert!(guest.sides[0].pings("10.2.0.2", 5) && guest.carries(53));
    assert!(guest.read("inside.count") >= 2);
}

#[test]
fn devices_of_dpdk_are_those_of_the_guest() {
    let text = between("Null").replace("FromDevice(0)", "FromDPDKDevice(0, 0, MAXTHREADS 1)");
    let text = text.replace("ToDevice(1, 8)", "ToDPDKDevice(1, 0, N_QUEUES 1, BLOCKING false)");
    let guest = Guest::new(&text, 2);
    assert!(guest.sides[0].pings("10.2.0.2", 5) && guest.carries(53));
}
