//! `microvisor top`: a table of the node's instances, updated again and again.

use super::labels::{Selector, select};
use super::{context, instances};
use crate::output::{self, Failure};
use api::instance::Instance;
use std::collections::HashMap;
use std::io::IsTerminal;
use std::time::{Duration, Instant};
use switch_control::control::{PortStatus, Status};

/// Ticks of a process's CPU time in a second, as Linux shows them to programs (USER_HZ).
const TICKS: f64 = 100.0;

/// What an instance has used so far.
#[derive(Clone, Copy, Default)]
struct Used {
    /// CPU time, ticks.
    ticks: u64,
    /// Packets to the guest.
    received: u64,
    /// Packets from the guest.
    sent: u64,
}

const HEADINGS: [&str; 8] = ["NAME", "STATE", "CPU %", "MEMORY KIB", "RX P/S", "TX P/S", "DROPS", "RESTARTS"];

/// CPU time of a process, ticks (proc_pid_stat(5), fields 14 and 15).
fn ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    rest.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum()
}

/// Memory of a process, KiB: its own, and its share of what it shares (PSS, proc_pid_smaps(5)).
fn memory(pid: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    text.lines().find_map(|l| l.strip_prefix("Pss:"))?.split_whitespace().next()?.parse().ok()
}

/// Prints the table every `interval`, `count` times or until it is interrupted.
pub fn top(interval: Duration, count: Option<u64>, selectors: &[Selector]) -> Result<(), Failure> {
    let client = context::required()?;
    let clears = std::io::stdout().is_terminal();
    let mut before: HashMap<String, Used> = HashMap::new();
    let mut sampled = Instant::now();
    for sample in 0..count.unwrap_or(u64::MAX) {
        if sample > 0 {
            std::thread::sleep(interval);
        }
        let ports = client.get::<Status>("/v1/switch")?.ports;
        let passed = sampled.elapsed().as_secs_f64().max(1e-3);
        sampled = Instant::now();
        let mut instances = instances::all(&client)?;
        instances.retain(|i| select(selectors, &i.labels));
        let rows: Vec<Vec<String>> =
            instances.iter().map(|i| row(i, &ports, &mut before, passed, sample == 0)).collect();
        before.retain(|name, _| instances.iter().any(|i| i.name == *name));
        let table = output::table(&HEADINGS, &rows);
        output::print(if clears { format!("\x1b[H\x1b[2J{table}") } else { format!("{table}\n") })?;
    }
    Ok(())
}

fn row(
    i: &Instance,
    ports: &[PortStatus],
    before: &mut HashMap<String, Used>,
    passed: f64,
    first: bool,
) -> Vec<String> {
    let own = || ports.iter().filter(|p| i.devices.iter().any(|d| d.port == p.name));
    let used = Used {
        ticks: i.pid.map_or(0, ticks),
        received: own().map(|p| p.counters.sent).sum(),
        sent: own().map(|p| p.counters.received).sum(),
    };
    let drops: u64 = own().flat_map(|p| p.counters.drops.values()).sum();
    let last = before.insert(i.name.clone(), used).unwrap_or(used);
    let rate = |now: u64, then: u64| match first {
        true => "-".to_owned(),
        false => format!("{:.0}", now.saturating_sub(then) as f64 / passed),
    };
    let cpu = match (first, i.pid) {
        (false, Some(_)) => {
            format!("{:.1}", used.ticks.saturating_sub(last.ticks) as f64 / TICKS / passed * 100.0)
        }
        _ => "-".into(),
    };
    vec![
        i.name.clone(),
        i.state.name().into(),
        cpu,
        i.pid.and_then(memory).map_or("-".into(), |kib| kib.to_string()),
        rate(used.received, last.received),
        rate(used.sent, last.sent),
        drops.to_string(),
        i.restarts.to_string(),
    ]
}
