//! Packets a second through the forwarding path, on one core: `cargo run --release -p click --example speed`.
//!
//! Each line is the best of five runs, and their median; give it a core (`taskset -c 1`). `profile` as argument
//! prints cycles per element instead, `forward` measures the first path alone.

use click::{Batch, DeviceFacts, DeviceId, Host, Progress, Router, Source};
use std::time::Instant;

/// A host with one device, whose packets come from a list over and over.
struct Bare {
    began: Instant,
    packets: Vec<Vec<u8>>,
    next: usize,
    left: u64,
}

impl Bare {
    fn new() -> Self {
        Self { began: Instant::now(), packets: Vec::new(), next: 0, left: 0 }
    }
}

impl Host for Bare {
    fn now(&self) -> u64 {
        self.began.elapsed().as_nanos() as u64
    }
    fn wall_clock(&self) -> u64 {
        self.now()
    }
    fn device(&mut self, _: &str) -> Option<DeviceId> {
        (!self.packets.is_empty()).then_some(DeviceId(0))
    }
    fn facts(&self, _: DeviceId) -> DeviceFacts {
        DeviceFacts::default()
    }
    fn receive(&mut self, _: DeviceId, most: usize, batch: &mut Batch) {
        let most = most.min(self.left as usize);
        let mut fresh = Batch::empty_packets(most);
        fresh.each(|packet| {
            packet.put_slice(&self.packets[self.next]).expect("room");
            self.next = (self.next + 1) % self.packets.len();
        });
        self.left -= most as u64;
        batch.append(fresh);
    }
    fn transmit(&mut self, _: DeviceId, _: &mut Batch) {}
    fn print(&mut self, text: &str) {
        print!("{text}");
    }
    fn random_seed(&mut self) -> u64 {
        1
    }
}

/// A UDP packet of 60 bytes in Ethernet, as a quoted string.
fn frame() -> String {
    let mut bytes = vec![0; 60];
    click::headers::write_ethernet(&mut bytes, [2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2], 0x0800);
    click::headers::write_ipv4(&mut bytes[14..], 46, 1, 17, [10, 0, 0, 1], [10, 2, 0, 1]);
    bytes[34..42].copy_from_slice(&[4, 0, 0, 53, 0, 26, 0, 0]);
    let digits: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    format!("\\<{digits}>")
}

/// UDP in IP packets of 46 bytes, of 10,000 flows.
fn flows() -> Vec<Vec<u8>> {
    let packet = |n: u32| {
        let mut bytes = vec![0; 46];
        let source = [10, 0, (n / 250) as u8, (n % 250) as u8];
        click::headers::write_ipv4(&mut bytes, 46, 1, 17, source, [10, 2, 0, 1]);
        bytes[20..28].copy_from_slice(&[4, 0, 0, 53, 0, 26, 0, 0]);
        bytes
    };
    // Neighbours in time are not neighbours in memory.
    (0..10_000).map(|n| packet(n * 7919 % 10_000)).collect()
}

const PACKETS: u64 = 10_000_000;

fn run(name: &str, path: &str, packets: u64, profile: bool) {
    let text = format!("InfiniteSource(DATA {}, LIMIT {packets}, STOP true) -> {path}", frame());
    measure(name, &text, packets, profile, Bare::new);
}

/// Runs a configuration five times until it stops, or its packets are used up.
fn measure(name: &str, text: &str, packets: u64, profile: bool, host: impl Fn() -> Bare) {
    let mut rates = Vec::new();
    for _ in 0..5 {
        let mut host = host();
        let source = Source { name, text };
        let mut router = Router::new(&source, &[], &mut host).unwrap_or_else(|e| panic!("{e}"));
        router.set_profiling(profile);
        let began = Instant::now();
        while router.run(&mut host, 1024) == Progress::Busy {}
        rates.push(packets as f64 / began.elapsed().as_secs_f64() / 1e6);
        if profile {
            print!("{}", router.read(&mut host, "profile").unwrap_or_default());
            return;
        }
    }
    rates.sort_by(f64::total_cmp);
    println!("{name:<28} {:>6.1} Mpps best, {:>6.1} median", rates[4], rates[2]);
}

fn main() {
    let forward = "Strip(14) -> CheckIPHeader -> rt :: StaticIPLookup(10.0.0.0/24 0, 10.2.0.0/16 1, 0/0 2);
        rt [0] -> Idle; rt [2] -> Idle;
        rt [1] -> DecIPTTL -> EtherEncap(0x0800, 2:0:0:0:0:3, 2:0:0:0:0:4) -> Counter -> Discard";
    if std::env::args().any(|a| a == "profile") {
        return run("forward", forward, PACKETS, true);
    }
    run("forward (8 elements)", forward, PACKETS, false);
    if std::env::args().any(|a| a == "forward") {
        return;
    }
    run("source and discard", "Discard", PACKETS, false);
    run("through a queue", "Queue -> Unqueue -> Counter -> Discard", PACKETS, false);
    let rules: String =
        (0..99).map(|i| format!("allow udp && src host 10.9.0.{i} && dst port {i},\n")).collect();
    let filter = format!("Strip(14) -> MarkIPHeader -> IPFilter({rules} allow dst port 53) -> Discard");
    run("IPFilter, 100 rules, last", &filter, PACKETS / 2, false);
    let none = format!("Strip(14) -> MarkIPHeader -> IPFilter({rules} allow dst port 54) -> Discard");
    run("IPFilter, 100 rules, none", &none, PACKETS / 2, false);
    let rewriter = "FromDevice(0) -> CheckIPHeader(CHECKSUM false)
        -> IPRewriter(pattern 1.0.0.1 1024-65535 - - 0 0) -> Discard";
    let host = || Bare { packets: flows(), left: PACKETS / 2, ..Bare::new() };
    measure("IPRewriter, 10,000 flows", rewriter, PACKETS / 2, false, host);
}
