//! `spec` measures what SPECIFICATION.md promises, with configurations in turns, and prints medians with their spread;
//! everything else is about the figures.

mod click;
mod faults;
mod figures;
mod guests;
mod node;
mod pair;
mod ping;
mod plane;
mod redis;
mod sample;
mod tcp;

use e2e::net::Namespace;
use e2e::{RunFolder, program, root, run, unique};
use sample::{Sample, Unit};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

const HELP: &str = "\
Measures what SPECIFICATION.md promises.

Usage: microvisor-bench spec [redis | tcp | switch | node | click] [--rounds N] [--json] [--beside PROGRAM] [--only TEXT]

Without a word: starts and sizes.
  redis       Redis as a guest against redis-server
  tcp         TCP between a namespace and a guest beside veth
  switch      small packets beside Open vSwitch with DPDK, bonds, an idle switch
  click       Click's paths, on the host and in a guest, and by the C++ router
  node        requests to the first ping, a thousand instances, fifty at once
  --rounds N  runs of each configuration (default 100; redis, tcp and switch: 10)
  --json      print JSON
  --beside PROGRAM
              the C++ router's program `click`, to be measured in turns with ours
  --only TEXT of Click's rows, those whose name holds this
";

/// What is measured.
enum Measurement {
    Starts,
    Redis,
    Tcp,
    Switch,
    Node,
    Click,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("spec") => spec(&arguments[1..]),
        Some("faults") => faults::main(),
        _ => return figures::main(&arguments),
    }
    ExitCode::SUCCESS
}

/// Measures what SPECIFICATION.md promises.
fn spec(arguments: &[String]) {
    let mut rounds = None;
    let mut json = false;
    let mut what = Measurement::Starts;
    let (mut beside, mut only) = (None, None);
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "redis" => what = Measurement::Redis,
            "tcp" => what = Measurement::Tcp,
            "switch" => what = Measurement::Switch,
            "node" => what = Measurement::Node,
            "click" => what = Measurement::Click,
            "--json" => json = true,
            "--beside" => match arguments.next().map(PathBuf::from).filter(|program| program.is_file()) {
                Some(program) => beside = Some(program),
                None => stop("--beside takes a program", 2),
            },
            "--only" => match arguments.next() {
                Some(text) => only = Some(text.as_str()),
                None => stop("--only takes a part of a name", 2),
            },
            "--rounds" => match arguments.next().and_then(|n| n.parse().ok()).filter(|&n| n > 0) {
                Some(n) => rounds = Some(n),
                None => stop("--rounds takes a number", 2),
            },
            "--help" | "-h" => return print!("{HELP}"),
            other => stop(&format!("unknown argument {other}\n\n{HELP}"), 2),
        }
    }
    let (samples, placement) = match what {
        Measurement::Starts => (measure(rounds.unwrap_or(100)), FREE),
        Measurement::Redis => (redis::measure(rounds.unwrap_or(10)), redis::PLACEMENT),
        Measurement::Tcp => (tcp::measure(rounds.unwrap_or(10)), tcp::PLACEMENT),
        Measurement::Switch => (plane::measure(rounds.unwrap_or(10)), plane::PLACEMENT),
        Measurement::Click => {
            (click::measure(rounds.unwrap_or(10), beside.as_deref(), only), click::PLACEMENT)
        }
        Measurement::Node => (node::measure(rounds.unwrap_or(100)), node::PLACEMENT),
    };
    if json {
        println!("{}", serde_json::to_string_pretty(&samples).unwrap_or_default());
        return;
    }
    println!("{}\n", host(placement));
    println!("{:<58} {:>10} {:>10} {:>10}  {:<4}{:>7}", "", "median", "p10", "p90", "", "runs");
    for s in &samples {
        println!("{s}");
    }
}

fn stop(message: &str, status: i32) -> ! {
    eprintln!("bench: {message}");
    std::process::exit(status)
}

const FREE: &str = "every program runs where the scheduler puts it";

/// What the numbers were measured on.
fn host(placement: &str) -> String {
    let file = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = file("/proc/cpuinfo");
    let model = cpu
        .lines()
        .find_map(|l| l.strip_prefix("model name").map(|m| m.trim_start_matches(['\t', ':', ' '])));
    let cpus = file("/sys/devices/system/cpu/online");
    format!(
        "{}, CPUs {}, Linux {}; {placement}",
        model.unwrap_or("unknown processor").to_owned(),
        cpus.trim(),
        file("/proc/sys/kernel/osrelease").trim()
    )
}

/// The yardstick, compiled here.
fn bare_program() -> PathBuf {
    let to = root().join("target/bare");
    let from = root().join("bench/bare.c");
    let outcome = run(Command::new("cc").args(["-O2", "-o"]).arg(&to).arg(&from));
    if outcome.status != 0 {
        stop(&format!("cc: {}", outcome.err), 1);
    }
    to
}

/// From the start of a program to its first byte, and to its end.
fn start_and_end(mut command: Command) -> (Duration, Duration) {
    let begun = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|e| stop(&format!("{command:?}: {e}"), 1));
    let mut byte = [0];
    let _ = child.stdout.as_mut().map(|pipe| pipe.read(&mut byte));
    let first = begun.elapsed();
    let _ = child.wait();
    (first, begun.elapsed())
}

fn monitor(guest: &Path) -> Command {
    let mut command = Command::new(program("microvisor-vmm"));
    command.arg("--image").arg(guest);
    command
}

fn measure(rounds: usize) -> Vec<Sample> {
    let shipped = |name: &str| root().join("target/images").join(name);
    let (hello, clickos) = (shipped("hello"), shipped("clickos"));
    let bare = bare_program();
    let mut spawn = Sample::new("spawn of `true`, to its end", Unit::Millis);
    let mut bare_all = Sample::new("bare C program with one VM and one run: exec to exit", Unit::Millis);
    let mut first_line = Sample::new("microvisor-vmm hello: exec to first line", Unit::Millis);
    let mut whole = Sample::new("microvisor-vmm hello: exec to exit", Unit::Millis);
    let mut ratio = Sample::new("the same, over the bare C program's in the same round", Unit::Times);
    for _ in 0..rounds {
        spawn.push_time(start_and_end(Command::new("true")).1);
        let (_, b) = start_and_end(Command::new(&bare));
        let (first, all) = start_and_end(monitor(&hello));
        bare_all.push_time(b);
        first_line.push_time(first);
        whole.push_time(all);
        ratio.push(all.as_secs_f64() / b.as_secs_f64());
    }
    let mut first_ping =
        Sample::new("microvisor-vmm clickos firewall: exec to first ping answered", Unit::Millis);
    for _ in 0..rounds.div_ceil(4) {
        first_ping.push_time(ping::first_answer(&clickos));
    }
    let mut samples = vec![spawn, bare_all, first_line, whole, ratio, first_ping];
    samples.extend(at_rest());
    let mut size = Sample::new("ClickOS image", Unit::KiB);
    size.push(std::fs::metadata(&clickos).map_or(0.0, |m| m.len() as f64 / 1024.0));
    samples.push(size);
    samples
}

/// Memory and processor time of a firewall that has answered and idles.
fn at_rest() -> [Sample; 3] {
    let mut memory = Sample::new("running ClickOS firewall: PSS of monitor and guest", Unit::KiB);
    let mut supervisor = Sample::new("  beside it, detached: PSS of its supervisor", Unit::KiB);
    let mut cpu = Sample::new("the same, idle: processor time in 10 s", Unit::Millis);
    let (folder, namespace, tap) = (RunFolder::new(), Namespace::new(), unique("t"));
    let option = format!("{tap},netns={},address=10.77.0.2/24,guest=10.77.0.1/24", namespace.name);
    folder.run(&["run", "examples/firewall.click", "--tap", &option, "--detach", "--name", "rest"]);
    namespace.pings("10.77.0.1", 10);
    // Neighbour discovery of the namespace's own kernel would wake the guest.
    run(&mut namespace.command(&["sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1"]));
    let records: serde_json::Value =
        serde_json::from_str(&folder.run(&["ps", "--json"]).out).unwrap_or_default();
    let pid = records[0]["pid"].as_u64().unwrap_or_else(|| stop("the firewall did not start", 1));
    std::thread::sleep(Duration::from_secs(1));
    memory.push(pss(pid));
    supervisor.push(parent(pid).map_or(0.0, pss));
    let before = busy(pid);
    std::thread::sleep(Duration::from_secs(10));
    cpu.push_time(busy(pid).saturating_sub(before));
    folder.run(&["stop", "rest"]);
    folder.is_empty_soon();
    [memory, supervisor, cpu]
}

/// Proportional set size, KiB.
fn pss(pid: u64) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find_map(|l| l.strip_prefix("Pss:"));
    line.and_then(|l| l.split_whitespace().next()?.parse().ok()).unwrap_or(0.0)
}

fn parent(pid: u64) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    text.lines().find_map(|l| l.strip_prefix("PPid:"))?.trim().parse().ok()
}

/// Processor time of all threads.
fn busy(pid: u64) -> Duration {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let of = |task: std::fs::DirEntry| {
        let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    };
    Duration::from_nanos(tasks.filter_map(of).sum())
}
