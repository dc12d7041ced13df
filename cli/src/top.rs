//! `microvisor top`: a table of the node's instances that is drawn anew.

use crate::node;
use crate::output;
use ::node::client::Client;
use ::node::model::Instance;
use machine::status;
use std::collections::HashMap;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};
use switch::control::{PortStatus, Status};

/// Ticks of a process's CPU time in a second, as Linux shows them to programs (USER_HZ).
const TICKS: f64 = 100.0;

/// What a monitor has used so far.
#[derive(Clone, Copy, Default)]
struct Used {
    ticks: u64,
    received: u64,
    sent: u64,
}

/// Columns, as wide as their words.
const HEADINGS: [&str; 8] = ["NAME", "STATE", "CPU %", "MEMORY KIB", "RX P/S", "TX P/S", "DROPS", "RESTARTS"];

/// CPU time of a process, ticks (proc_pid_stat(5), fields 14 and 15).
fn ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    rest.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum()
}

/// A process's own and shared memory, its share of the latter, KiB (proc_pid_smaps_rollup(5)).
fn memory(pid: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    text.lines().find_map(|l| l.strip_prefix("Pss:"))?.split_whitespace().next()?.parse().ok()
}

/// Draws the table every `interval`, `count` times or until it is interrupted.
pub fn top(interval: Duration, count: Option<u64>) -> u8 {
    let client = match Client::required() {
        Ok(client) => client,
        Err(e) => return node::refuse(&e),
    };
    let clears = std::io::stdout().is_terminal();
    let mut before: HashMap<String, Used> = HashMap::new();
    let mut looked = Instant::now();
    for look in 0.. {
        if count.is_some_and(|count| look >= count) {
            break;
        }
        if look > 0 {
            std::thread::sleep(interval);
        }
        let ports = match client.get::<Status>("/v1/switch") {
            Ok(status) => status.ports,
            Err(e) => return node::refuse(&e),
        };
        let passed = looked.elapsed().as_secs_f64().max(1e-3);
        looked = Instant::now();
        let instances = node::instances();
        let rows: Vec<Vec<String>> =
            instances.iter().map(|i| row(i, &ports, &mut before, passed, look == 0)).collect();
        before.retain(|name, _| instances.iter().any(|i| i.name == *name));
        let table = output::table(&HEADINGS, &rows);
        let text = if clears { format!("\x1b[H\x1b[2J{table}") } else { format!("{table}\n") };
        // A reader that is gone wants no more.
        if std::io::stdout().lock().write_all(text.as_bytes()).is_err() {
            return status::HOST;
        }
    }
    0
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
