//! Packets a second through the forwarding path, on one core: `cargo run --release -p click --example speed`.
//!
//! Each line is the best of five runs, and their median. `profile` as argument prints cycles per element too.

use click::{Batch, DeviceFacts, DeviceId, Host, Progress, Router, Source};
use std::time::Instant;

/// A host without devices.
struct Bare(Instant);

impl Host for Bare {
    fn now(&self) -> u64 {
        self.0.elapsed().as_nanos() as u64
    }
    fn wall_clock(&self) -> u64 {
        self.now()
    }
    fn device(&mut self, _: &str) -> Option<DeviceId> {
        None
    }
    fn facts(&self, _: DeviceId) -> DeviceFacts {
        DeviceFacts::default()
    }
    fn receive(&mut self, _: DeviceId, _: usize, _: &mut Batch) {}
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

const PACKETS: u64 = 10_000_000;

fn run(name: &str, path: &str, packets: u64, profile: bool) {
    let text = format!("InfiniteSource(DATA {}, LIMIT {packets}, STOP true) -> {path}", frame());
    let mut rates = Vec::new();
    for _ in 0..5 {
        let mut host = Bare(Instant::now());
        let source = Source { name, text: &text };
        let mut router = Router::new(&source, &[], &mut host).unwrap_or_else(|e| panic!("{e}"));
        router.set_profiling(profile);
        let began = Instant::now();
        while router.run(&mut host, 1024) != Progress::Stopped {}
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
    run("source and discard", "Discard", PACKETS, false);
    run("through a queue", "Queue -> Unqueue -> Counter -> Discard", PACKETS, false);
    let rules: String =
        (0..99).map(|i| format!("allow udp && src host 10.9.0.{i} && dst port {i},\n")).collect();
    let filter = format!("Strip(14) -> MarkIPHeader -> IPFilter({rules} allow dst port 53) -> Discard");
    run("IPFilter, 100 rules, last", &filter, PACKETS / 10, false);
}
