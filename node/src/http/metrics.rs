//! `/metrics`, as Prometheus reads it (text format 0.0.4).

use crate::node::Node;
use api::status::PreparedGuests;
use axum::extract::State;
use std::fmt::Write as _;
use std::sync::Arc;

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// Numbers for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "node", responses((status = 200, body = String, content_type = "text/plain")))]
pub async fn metrics(State(node): State<Arc<Node>>) -> String {
    let mut text = String::new();
    let mut family = |name: &str, kind: &str, help: &str, rows: Vec<(String, f64)>| {
        // Writing to a string does not fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in rows {
            let _ = writeln!(text, "{name}{labels} {value}");
        }
    };
    let status = node.status();
    let states = status.instances.iter().map(|(state, &n)| (format!("{{state=\"{state}\"}}"), n as f64));
    family("microvisor_instances", "gauge", "Instances by state.", states.collect());
    let restarts = vec![(String::new(), f64::from(status.switch_restarts))];
    family(
        "microvisor_switch_restarts_total",
        "counter",
        "How often the switch was started again.",
        restarts,
    );
    let guests = |value: fn(&PreparedGuests) -> u64| {
        let row = |g: &PreparedGuests| {
            let (image, memory, devices) = (escaped(&g.image), g.memory_mib, g.devices);
            let labels = format!("{{image=\"{image}\",memory_mib=\"{memory}\",devices=\"{devices}\"}}");
            (labels, value(g) as f64)
        };
        status.prepared_guests.iter().map(row).collect::<Vec<_>>()
    };
    family("microvisor_prepared_guests", "gauge", "Guests prepared for starts.", guests(|g| g.ready as u64));
    family(
        "microvisor_prepared_resident_bytes",
        "gauge",
        "Memory of prepared guests, with what they share.",
        guests(|g| g.resident),
    );
    family("microvisor_prepared_hits_total", "counter", "Starts that took one.", guests(|g| g.hits));
    family("microvisor_prepared_misses_total", "counter", "Starts that found none.", guests(|g| g.misses));
    family("microvisor_prepared_refills_total", "counter", "Guests prepared.", guests(|g| g.refills));
    let named = node.handles().into_iter().map(|h| h.view.borrow().clone());
    let ready: Vec<(String, f64)> = named
        .filter_map(|i| Some((format!("{{instance=\"{}\"}}", escaped(&i.name)), i.ready_ns? as f64 / 1e9)))
        .collect();
    family("microvisor_instance_ready_seconds", "gauge", "From the request to ready, the last start.", ready);
    let status = node.switch.status();
    let up = vec![(String::new(), f64::from(u8::from(status.is_ok())))];
    family("microvisor_switch_up", "gauge", "Whether the switch answers.", up);
    let ports = status.map(|s| s.ports).unwrap_or_default();
    let count = |value: fn(&switch::counters::Counters) -> u64| {
        let row = |p: &switch::control::PortStatus| {
            (format!("{{port=\"{}\"}}", escaped(&p.name)), value(&p.counters) as f64)
        };
        ports.iter().map(row).collect::<Vec<_>>()
    };
    family(
        "microvisor_port_received_packets_total",
        "counter",
        "Packets from a port's peer.",
        count(|c| c.received),
    );
    family("microvisor_port_received_bytes_total", "counter", "Their bytes.", count(|c| c.received_bytes));
    family("microvisor_port_sent_packets_total", "counter", "Packets to a port's peer.", count(|c| c.sent));
    family("microvisor_port_sent_bytes_total", "counter", "Their bytes.", count(|c| c.sent_bytes));
    let drops = ports.iter().flat_map(|p| {
        let row = |(reason, &n): (&switch::counters::Reason, &u64)| {
            (format!("{{port=\"{}\",reason=\"{reason:?}\"}}", escaped(&p.name)), n as f64)
        };
        p.counters.drops.iter().map(row)
    });
    family(
        "microvisor_port_dropped_packets_total",
        "counter",
        "Packets dropped, by reason.",
        drops.collect(),
    );
    text
}
