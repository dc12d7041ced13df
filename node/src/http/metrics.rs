//! `/metrics`, as Prometheus reads it (text format 0.0.4). An instance is the label `name`: `instance` is the target's own.

use crate::node::Node;
use crate::process::usage;
use crate::starts::{Histogram, Start};
use api::health::HealthState;
use api::instance::Instance;
use api::status::PreparedGuests;
use axum::extract::State;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::sync::Arc;
use switch::control::PortStatus;
use switch::counters::{Counters, Reason};

/// Families of numbers, one after the other.
#[derive(Default)]
struct Text(String);

/// Labels in braces, or nothing if there are none.
fn labels(pairs: &[(&str, &str)]) -> String {
    let escaped = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let pairs: Vec<String> =
        pairs.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
    if pairs.is_empty() { String::new() } else { format!("{{{}}}", pairs.join(",")) }
}

impl Text {
    /// Adds a family; each row is its labels and a value.
    fn family(&mut self, name: &str, kind: &str, help: &str, rows: impl IntoIterator<Item = (String, f64)>) {
        // Writing to a string does not fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in rows {
            let _ = writeln!(self.0, "{name}{labels} {value}");
        }
    }

    /// Adds a family of histograms: for each its labels.
    fn histograms<'a>(
        &mut self,
        name: &str,
        help: &str,
        rows: impl IntoIterator<Item = (Vec<(&'a str, &'a str)>, &'a Histogram)>,
    ) {
        self.family(name, "histogram", help, []);
        for (pairs, histogram) in rows {
            let mut add = |suffix: &str, more: Option<(&str, &str)>, value: f64| {
                let labels = labels(&pairs.iter().copied().chain(more).collect::<Vec<_>>());
                let _ = writeln!(self.0, "{name}_{suffix}{labels} {value}");
            };
            for (bound, count) in histogram.cumulative() {
                add("bucket", Some(("le", &bound.to_string())), count as f64);
            }
            add("bucket", Some(("le", "+Inf")), histogram.count as f64);
            add("sum", None, histogram.sum_ns as f64 / 1e9);
            add("count", None, histogram.count as f64);
        }
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: f64) {
        self.family(name, kind, help, [(String::new(), value)]);
    }
}

/// A user's label as a label of Prometheus: `app.kubernetes.io/name` is `label_app_kubernetes_io_name`.
fn label_name(name: &str) -> String {
    let fits = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    format!("label_{}", name.chars().map(fits).collect::<String>())
}

/// Guests that are prepared, by their shapes.
fn prepared(text: &mut Text, guests: &[PreparedGuests]) {
    /// Name, kind, help, which number.
    type GuestFamily = (&'static str, &'static str, &'static str, fn(&PreparedGuests) -> u64);
    let families: [GuestFamily; 6] = [
        ("microvisor_prepared_guests", "gauge", "Guests prepared for starts.", |g| g.ready as u64),
        ("microvisor_prepared_guests_wanted", "gauge", "Guests that the node tries to have prepared.", |g| {
            g.target as u64
        }),
        (
            "microvisor_prepared_resident_bytes",
            "gauge",
            "Memory of prepared guests, with what they share.",
            |g| g.resident,
        ),
        ("microvisor_prepared_hits_total", "counter", "Starts that took one.", |g| g.hits),
        ("microvisor_prepared_misses_total", "counter", "Starts that found none.", |g| g.misses),
        ("microvisor_prepared_refills_total", "counter", "Guests prepared.", |g| g.refills),
    ];
    for (family, kind, help, value) in families {
        let row = |g: &PreparedGuests| {
            let (memory, devices) = (g.memory_mib.to_string(), g.devices.to_string());
            let pairs = [("image", g.image.as_str()), ("memory_mib", &memory), ("devices", &devices)];
            (labels(&pairs), value(g) as f64)
        };
        text.family(family, kind, help, guests.iter().map(row));
    }
}

/// How long starts took, from the request to ready and by phase.
fn starts(text: &mut Text, all: &BTreeMap<Start, Histogram>) {
    let rows = |of_phases: bool| {
        all.iter().filter(move |(start, _)| start.phase.is_some() == of_phases).map(|(start, histogram)| {
            let prepared = if start.prepared { "true" } else { "false" };
            let phase = start.phase.map(|phase| ("phase", phase.name()));
            (phase.into_iter().chain([("prepared", prepared)]).collect(), histogram)
        })
    };
    text.histograms("microvisor_start_seconds", "Starts, from the request to ready.", rows(false));
    text.histograms("microvisor_start_phase_seconds", "The phases of starts.", rows(true));
}

/// What each instance is: its image, its state, its user's labels.
fn info(i: &Instance) -> String {
    let mut own: Vec<(String, &str)> = Vec::new();
    for (name, value) in &i.labels {
        let name = label_name(name);
        // Of two that become one, the first stays.
        if !own.iter().any(|(other, _)| *other == name) {
            own.push((name, value));
        }
    }
    let own = own.iter().map(|(name, value)| (name.as_str(), *value));
    let pairs = [("name", i.name.as_str()), ("image", i.image.as_str()), ("state", i.state.name())];
    labels(&pairs.into_iter().chain(own).collect::<Vec<_>>())
}

fn instances(text: &mut Text, all: &[Instance]) {
    let name = |i: &Instance| labels(&[("name", &i.name)]);
    text.family(
        "microvisor_instance_info",
        "gauge",
        "Always 1: image, state and labels of each instance.",
        all.iter().map(|i| (info(i), 1.0)),
    );
    text.family(
        "microvisor_instance_ready_seconds",
        "gauge",
        "From the request to ready, the last start.",
        all.iter().filter_map(|i| Some((name(i), i.ready_ns? as f64 / 1e9))),
    );
    text.family(
        "microvisor_instance_restarts_total",
        "counter",
        "How often the restart policy has started it.",
        all.iter().map(|i| (name(i), f64::from(i.restarts))),
    );
    text.family(
        "microvisor_instance_healthy",
        "gauge",
        "Whether its health checks pass: 1 or 0; nothing as long as that is not known.",
        all.iter().filter_map(|i| match i.health.as_ref()?.state {
            HealthState::Unknown => None,
            state => Some((name(i), f64::from(u8::from(state == HealthState::Healthy)))),
        }),
    );
    let used: Vec<(String, usage::Usage)> =
        all.iter().filter_map(|i| Some((name(i), usage::of(i.pid?)))).collect();
    text.family(
        "microvisor_instance_cpu_seconds_total",
        "counter",
        "Processor time of the monitor and its guest, this run.",
        used.iter().map(|(name, used)| (name.clone(), (used.user_ns + used.system_ns) as f64 / 1e9)),
    );
    text.family(
        "microvisor_instance_memory_bytes",
        "gauge",
        "Memory that is there, guest memory among it.",
        used.iter().map(|(name, used)| (name.clone(), used.resident as f64)),
    );
}

fn ports(text: &mut Text, all: &[Instance], ports: &[PortStatus]) {
    let mut owners = HashMap::new();
    for instance in all {
        for device in &instance.devices {
            owners.insert(device.port.as_str(), (instance.name.as_str(), device.network.as_str()));
        }
    }
    // A port of the host or an uplink is no instance's.
    let named = |p: &PortStatus, more: Option<(&str, &str)>| {
        let mut pairs = vec![("port", p.name.as_str())];
        if let Some((name, network)) = owners.get(p.name.as_str()) {
            pairs.extend([("name", *name), ("network", *network)]);
        }
        pairs.extend(more);
        labels(&pairs)
    };
    /// Name, help, which counter of a port.
    type PortFamily = (&'static str, &'static str, fn(&Counters) -> u64);
    let counters: [PortFamily; 4] = [
        ("microvisor_port_received_packets_total", "Packets from a port's peer.", |c| c.received),
        ("microvisor_port_received_bytes_total", "Bytes from a port's peer.", |c| c.received_bytes),
        ("microvisor_port_sent_packets_total", "Packets to a port's peer.", |c| c.sent),
        ("microvisor_port_sent_bytes_total", "Bytes to a port's peer.", |c| c.sent_bytes),
    ];
    for (family, help, value) in counters {
        let rows = ports.iter().map(|p| (named(p, None), value(&p.counters) as f64));
        text.family(family, "counter", help, rows);
    }
    let drops = ports.iter().flat_map(|p| {
        let named = &named;
        let row = move |(reason, &n): (&Reason, &u64)| {
            (named(p, Some(("reason", &format!("{reason:?}")))), n as f64)
        };
        p.counters.drops.iter().map(row)
    });
    let family = "microvisor_port_dropped_packets_total";
    text.family(family, "counter", "Packets dropped, by reason.", drops);
}

/// Numbers for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "node", responses((status = 200, body = String, content_type = "text/plain")))]
pub async fn metrics(State(node): State<Arc<Node>>) -> String {
    let mut text = Text::default();
    let status = node.status();
    let version = labels(&[("version", &status.version)]);
    text.family("microvisor_build_info", "gauge", "Always 1: the version of the daemon.", [(version, 1.0)]);
    let started = status.started_unix_ns as f64 / 1e9;
    text.one("microvisor_start_time_seconds", "gauge", "When the daemon was started, since 1970.", started);
    let states = status.instances.iter().map(|(state, &n)| (labels(&[("state", state)]), n as f64));
    text.family("microvisor_instances", "gauge", "Instances by state.", states);
    starts(&mut text, &node.starts.all());
    if let Some((sent, lost)) = node.exporter.as_ref().map(|exporter| exporter.counts()) {
        let rows = [("sent", sent), ("lost", lost)];
        let rows = rows.map(|(outcome, count)| (labels(&[("outcome", outcome)]), count as f64));
        text.family("microvisor_traces_total", "counter", "Traces of starts for the collector.", rows);
    }
    prepared(&mut text, &status.prepared_guests);
    let restarts = f64::from(status.switch_restarts);
    let help = "How often the switch was started again.";
    text.one("microvisor_switch_restarts_total", "counter", help, restarts);
    let memory = (status.host.available_mib << 20) as f64;
    text.one("microvisor_host_available_memory_bytes", "gauge", "Memory that the host has left.", memory);
    let switch = node.switch.status();
    let up = f64::from(u8::from(switch.is_ok()));
    text.one("microvisor_switch_up", "gauge", "Whether the switch answers.", up);
    let all: Vec<Instance> = node.handles().into_iter().map(|h| h.view.borrow().clone()).collect();
    // Two files of each monitor are read.
    tokio::task::block_in_place(|| instances(&mut text, &all));
    ports(&mut text, &all, &switch.map(|s| s.ports).unwrap_or_default());
    text.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_users_stay_within_their_quotes() {
        assert_eq!(labels(&[("name", "a\"b\\c\nd")]), "{name=\"a\\\"b\\\\c\\nd\"}");
        assert_eq!(label_name("app.io/na-me"), "label_app_io_na_me");
    }
}
