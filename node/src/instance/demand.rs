//! Instances on demand: the first packet for one starts it, and one that has sent nothing for a while is retired.

use super::{Handle, RequestTrace};
use crate::node::Node;
use api::instance::{OnDemand, State};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Instant;
use uuid::Uuid;

/// How often idle instances are looked for.
const IDLE_CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// Starts what is wanted: names of ports that packets wait for.
pub async fn wake(node: Arc<Node>, mut wanted: UnboundedReceiver<String>) {
    while let Some(port) = wanted.recv().await {
        let trace = RequestTrace::now("packet");
        let of_port = |h: &Handle| {
            // Its task knows best whether it waits: its state may be a step behind the announcement.
            let instance = h.view.borrow();
            instance.on_demand.is_some() && instance.devices.iter().any(|d| d.port == port)
        };
        if let Some(handle) = node.handles().into_iter().find(of_port) {
            handle.wake(trace).await;
        }
    }
}

/// Packets that an instance had sent, and since when it has sent no more.
struct Activity {
    packets: u64,
    since: Instant,
}

/// Retires what is idle, for ever.
pub async fn stop_idle(node: Arc<Node>) {
    let mut activity: HashMap<Uuid, Activity> = HashMap::new();
    loop {
        tokio::time::sleep(IDLE_CHECK_INTERVAL).await;
        let ready = node.handles().into_iter().filter_map(|h| {
            let instance = h.view.borrow();
            let OnDemand { idle_s } = instance.on_demand.filter(|_| instance.state == State::Ready)?;
            let ports: Vec<String> = instance.devices.iter().map(|d| d.port.clone()).collect();
            drop(instance);
            Some((h, Duration::from_secs(idle_s.into()), ports))
        });
        let ready: Vec<(Handle, Duration, Vec<String>)> = ready.collect();
        activity.retain(|id, _| ready.iter().any(|(h, ..)| h.id == *id));
        if ready.is_empty() {
            continue;
        }
        let Ok(status) = node.switch.status() else { continue };
        let sent: HashMap<&str, u64> =
            status.ports.iter().map(|p| (p.name.as_str(), p.counters.received)).collect();
        for (handle, idle, ports) in ready {
            let packets = ports.iter().filter_map(|p| sent.get(p.as_str())).sum();
            let now = Instant::now();
            let last = activity.entry(handle.id).or_insert(Activity { packets, since: now });
            if last.packets != packets {
                *last = Activity { packets, since: now };
            } else if last.since.elapsed() >= idle {
                handle.retire().await;
            }
        }
    }
}
