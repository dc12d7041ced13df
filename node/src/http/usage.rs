//! `/v1/usage`: counters of the host, the switch and all instances in one answer, so that a list of thousands costs one
//! request.

use crate::host;
use crate::node::Node;
use crate::process::usage;
use api::Problem;
use api::instance::Instance;
use api::usage::{InstanceUsage, Traffic, Usage};
use axum::Json;
use axum::extract::State;
use machine::timeline::unix_ns;
use std::collections::HashMap;
use std::sync::Arc;
use switch::control::PortStatus;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The paths of this resource.
pub fn router() -> OpenApiRouter<Arc<Node>> {
    OpenApiRouter::new().routes(routes!(show))
}

fn plus(sum: Traffic, port: &PortStatus, both: bool) -> Traffic {
    let c = &port.counters;
    let (sent, sent_bytes) = if both { (c.sent, c.sent_bytes) } else { (0, 0) };
    Traffic {
        packets: sum.packets + c.received + sent,
        bytes: sum.bytes + c.received_bytes + sent_bytes,
        dropped: sum.dropped + c.drops.values().sum::<u64>(),
    }
}

fn of(instance: &Instance, ports: &HashMap<&str, &PortStatus>) -> Option<InstanceUsage> {
    let used = usage::of(instance.pid?);
    let own = instance.devices.iter().filter_map(|device| ports.get(device.port.as_str()));
    Some(InstanceUsage {
        name: instance.name.clone(),
        cpu_ns: used.user_ns + used.system_ns,
        memory: used.resident,
        traffic: own.fold(Traffic::default(), |sum, port| plus(sum, port, true)),
    })
}

/// What the host, the switch and all instances that run have used so far.
#[utoipa::path(get, path = "/v1/usage", tag = "node", responses((status = 200, body = Usage)))]
async fn show(State(node): State<Arc<Node>>) -> Result<Json<Usage>, Problem> {
    let all: Vec<Instance> = node.handles().into_iter().map(|h| h.view.borrow().clone()).collect();
    let starts =
        node.starts.all().iter().filter(|(start, _)| start.phase.is_none()).map(|(_, h)| h.count).sum();
    // Two files of each monitor are read.
    let usage = tokio::task::block_in_place(|| {
        let ports = node.switch.status().map(|status| status.ports);
        let known = ports.as_deref().unwrap_or_default();
        let named = known.iter().map(|port| (port.name.as_str(), port)).collect();
        let outer = known.iter().filter(|port| port.link_of.is_none());
        let switch = outer.fold(Traffic::default(), |sum, port| plus(sum, port, false));
        let host = host::host();
        Usage {
            at_unix_ns: unix_ns(),
            cpus: host.cpus,
            cpu_busy_ns: host::busy_ns(),
            memory_mib: host.memory_mib,
            available_mib: host.available_mib,
            starts,
            switch: ports.is_ok().then_some(switch),
            instances: all.iter().filter_map(|instance| of(instance, &named)).collect(),
        }
    });
    Ok(Json(usage))
}
