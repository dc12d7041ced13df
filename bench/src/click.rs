//! Click's paths, on the host by the program `click` and in a guest: packets a second of one thread; and two sources of packets
//! on one thread and on two.

use crate::sample::{Sample, Unit};
use crate::stop;
use e2e::{RunFolder, program, root, run, unique};
use std::fmt::Write as _;
use std::process::Command;
use std::time::{Duration, Instant};

pub const PLACEMENT: &str = "every program runs where the scheduler puts it";

/// How long each contestant forwards.
const SECONDS: u64 = 2;

/// A frame of 60 bytes with a UDP packet from 10.0.0.1 to 192.168.7.9, as Click writes data.
fn frame() -> String {
    let mut frame = [0u8; 60];
    frame[..14].copy_from_slice(&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0]);
    frame[14..34].copy_from_slice(&[0x45, 0, 0, 46, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 192, 168, 7, 9]);
    let words = frame[14..34].chunks(2).map(|w| u32::from(w[0]) << 8 | u32::from(w[1]));
    let sum = words.sum::<u32>();
    let checksum = !((sum & 0xffff) + (sum >> 16)) as u16;
    frame[24..26].copy_from_slice(&checksum.to_be_bytes());
    frame[34..42].copy_from_slice(&[0x13, 0x88, 0, 53, 0, 26, 0, 0]);
    frame.iter().fold(String::from("\\<"), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }) + ">"
}

/// What is measured: its name, and what lies between the source and the counter.
fn paths() -> [(&'static str, String); 3] {
    let rules: Vec<String> =
        (1..100).map(|n| format!("deny src host 172.16.0.{n} and udp dst port {n}")).collect();
    [
        (
            "forwarding: check, look up, decrement, encapsulate",
            "Strip(14) -> CheckIPHeader
                -> r :: StaticIPLookup(10.0.0.0/8 0, 192.168.0.0/16 0, 0.0.0.0/0 0) -> DecIPTTL
                -> EtherEncap(0x0800, 02:00:00:00:00:03, 02:00:00:00:00:04)"
                .into(),
        ),
        (
            "IPRewriter, one pattern, 10,000 flows",
            "Strip(14) -> MarkIPHeader -> SetRandIPAddress(10.0.0.0/16, 10000) -> StoreIPAddress(12)
                -> IPRewriter(pattern 198.51.100.1 1024-65535# - - 0 0)"
                .into(),
        ),
        (
            "IPFilter, 100 rules, the last of which matches",
            format!("Strip(14) -> MarkIPHeader -> IPFilter({}, allow all)", rules.join(", ")),
        ),
    ]
}

fn graph(path: &str) -> String {
    format!("InfiniteSource(DATA {}, BURST 32) -> {path} -> c :: Counter -> Discard;", frame())
}

/// By `click`, millions a second.
fn on_the_host(path: &str) -> f64 {
    count(&graph(path), "c.count", 1)
}

/// What a handler counts in a second, in millions.
fn count(graph: &str, handler: &str, threads: u32) -> f64 {
    let text = format!("{graph} DriverManager(wait {SECONDS}s, print {handler}, stop)");
    let outcome = run(Command::new(program("click")).args(["-j", &threads.to_string(), "-e", &text]));
    let count = outcome.out.trim().parse::<f64>();
    count.unwrap_or_else(|_| stop(&format!("click: {}{}", outcome.out, outcome.err), 1))
        / SECONDS as f64
        / 1e6
}

/// Two graphs beside each other, which share nothing but a script that adds up what they count.
fn two(path: &str) -> String {
    let second = graph(path).replace("c :: Counter", "d :: Counter").replace("r :: ", "s :: ");
    format!("{}\n{second}", graph(path))
}

/// In a guest, likewise.
fn in_a_guest(folder: &RunFolder, path: &str) -> f64 {
    let file = std::env::temp_dir().join(unique("path") + ".click");
    std::fs::write(&file, graph(path)).unwrap_or_else(|e| stop(&format!("{}: {e}", file.display()), 1));
    let started =
        folder.run(&["run", &file.display().to_string(), "--detach", "--name", "path", "--memory", "64"]);
    if started.status != 0 {
        stop(&started.err, 1);
    }
    let count = || {
        let read = folder.run(&["click", "path", "read", "c.count"]);
        (Instant::now(), read.out.trim().parse::<f64>().unwrap_or_else(|_| stop(&format!("{read:?}"), 1)))
    };
    let (from, before) = count();
    std::thread::sleep(Duration::from_secs(SECONDS));
    let (to, after) = count();
    folder.run(&["stop", "path"]);
    folder.is_empty_soon();
    let _ = std::fs::remove_file(file);
    (after - before) / to.duration_since(from).as_secs_f64() / 1e6
}

pub fn measure(rounds: usize) -> Vec<Sample> {
    let folder = RunFolder::new();
    let mut samples = Vec::new();
    let image = root().join("target/images/clickos");
    if !image.exists() {
        stop("the guest images are not there: make images", 1);
    }
    for (name, path) in paths() {
        let mut host = Sample::new(name, Unit::Millions);
        let mut guest = Sample::new("  in a guest", Unit::Millions);
        let mut share = Sample::new("  in a guest over on the host, same round", Unit::Times);
        for _ in 0..rounds {
            let (outside, inside) = (on_the_host(&path), in_a_guest(&folder, &path));
            host.push(outside);
            guest.push(inside);
            share.push(inside / outside);
        }
        samples.extend([host, guest, share]);
    }
    let [(_, path), ..] = paths();
    let mut two_threads = Sample::new("forwarding twice, on two threads", Unit::Millions);
    let mut more = Sample::new("  on two threads over on one, same round", Unit::Times);
    for _ in 0..rounds {
        let both = "$(add $(c.count) $(d.count))";
        let (one, on_two) = (count(&two(&path), both, 1), count(&two(&path), both, 2));
        two_threads.push(on_two);
        more.push(on_two / one);
    }
    samples.extend([two_threads, more]);
    samples
}
