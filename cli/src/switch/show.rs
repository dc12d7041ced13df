//! Tables for people.

use crate::output::table;
use switch_control::control::{Address, PortStatus, Status};
use switch_control::counters::QueueCounters;
use switch_control::lacp::{Side, state};

fn dash(text: Option<&str>) -> String {
    text.unwrap_or("-").to_owned()
}

fn link(up: bool) -> String {
    if up { "up" } else { "down" }.to_owned()
}

/// The segments that a port is in.
fn segments(p: &PortStatus) -> String {
    let mut all: Vec<String> = p.segment.iter().cloned().collect();
    all.extend(p.trunk.iter().map(|(vlan, segment)| format!("{vlan}={segment}")));
    if let Some(bond) = &p.link_of {
        all.push(format!("(link of {bond})"));
    }
    if all.is_empty() { "-".to_owned() } else { all.join(" ") }
}

fn dropped(p: &PortStatus) -> u64 {
    p.counters.drops.values().sum()
}

/// All ports.
pub fn ports(status: &Status) -> String {
    let row = |p: &PortStatus| {
        vec![
            p.name.clone(),
            p.kind.clone(),
            link(p.up),
            segments(p),
            p.counters.received.to_string(),
            p.counters.sent.to_string(),
            dropped(p).to_string(),
            p.device.clone(),
        ]
    };
    let rows: Vec<Vec<String>> = status.ports.iter().map(row).collect();
    let mut text = table(&["PORT", "KIND", "LINK", "SEGMENTS", "IN", "OUT", "DROPPED", "DEVICE"], &rows);
    for p in &status.ports {
        if let Some(error) = &p.last_error {
            text.push_str(&format!("{}: its last peer was dropped: {error}\n", p.name));
        }
    }
    for h in &status.held {
        text.push_str(&format!("{} packets wait for {}\n", h.packets, h.announced));
    }
    text
}

/// One port.
pub fn port(p: &PortStatus) -> String {
    let mut lines = vec![
        ("port", p.name.clone()),
        ("kind", p.kind.clone()),
        ("device", p.device.clone()),
        ("link", link(p.up)),
        ("segments", segments(p)),
        ("thread", dash(p.thread.map(|t| t.to_string()).as_deref())),
        ("received", format!("{} packets, {} bytes", p.counters.received, p.counters.received_bytes)),
        ("sent", format!("{} packets, {} bytes", p.counters.sent, p.counters.sent_bytes)),
    ];
    if let Some(q) = &p.counters.queues {
        let row = |q: &QueueCounters| {
            let waited = "times packets waited for buffers";
            format!(
                "{} buffers, called {} times, kicked {} times, {} {waited}",
                q.buffers, q.calls, q.kicks, q.starved
            )
        };
        lines.extend([("to peer", row(&q.to_peer)), ("from peer", row(&q.from_peer))]);
    }
    lines.extend(p.last_error.iter().map(|e| ("last error", e.clone())));
    let mut text: String = lines.iter().map(|(key, value)| format!("{key:<12}{value}\n")).collect();
    for (reason, count) in &p.counters.drops {
        let reason = serde_json::to_value(reason).unwrap_or_default();
        text.push_str(&format!("{:<12}{count} {}\n", "dropped", reason.as_str().unwrap_or_default()));
    }
    text
}

/// Counters of all ports.
pub fn counters(ports: &[PortStatus]) -> String {
    ports.iter().map(port).collect::<Vec<_>>().join("\n")
}

fn side(s: &Side) -> String {
    let names = [
        (state::ACTIVITY, "active"),
        (state::SHORT_TIMEOUT, "fast"),
        (state::AGGREGATION, "aggregating"),
        (state::SYNCHRONIZATION, "in-sync"),
        (state::COLLECTING, "collecting"),
        (state::DISTRIBUTING, "distributing"),
        (state::DEFAULTED, "defaulted"),
        (state::EXPIRED, "expired"),
    ];
    let set: Vec<&str> = names.iter().filter(|(bit, _)| s.has(*bit)).map(|(_, name)| *name).collect();
    format!("{} key {} port {}: {}", s.system, s.key, s.port, set.join(" "))
}

fn word(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

/// A bond.
pub fn bond(p: &PortStatus) -> String {
    let Some(b) = &p.bond else { return String::new() };
    let mut text = format!("{} ({}), {}\n", p.name, word(&b.mode), link(p.up));
    for l in &b.links {
        let active = if l.active { ", carries packets" } else { "" };
        text.push_str(&format!("  {}: {}{active}\n", l.port, link(l.up)));
        if let Some(lacp) = &l.lacp {
            let machines = format!(
                "receive {}, periodic {}, mux {}, {}",
                word(&lacp.receive),
                word(&lacp.periodic),
                word(&lacp.mux),
                word(&lacp.selection)
            );
            text.push_str(&format!("    {machines}\n"));
            text.push_str(&format!(
                "    actor   {}\n    partner {}\n",
                side(&lacp.actor),
                side(&lacp.partner)
            ));
        }
    }
    text
}

/// Addresses.
pub fn addresses(all: &[Address]) -> String {
    let row = |a: &Address| {
        let age = a.age_s.map_or("fixed".to_owned(), |s| format!("{s} s"));
        vec![a.segment.clone(), a.mac.to_string(), a.port.clone(), age]
    };
    table(&["SEGMENT", "ADDRESS", "PORT", "SEEN"], &all.iter().map(row).collect::<Vec<_>>())
}
