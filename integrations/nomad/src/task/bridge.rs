//! Bridge mode: Nomad has made a network namespace with an interface that has the allocation's address; ports that are published
//! lead there. The node takes the interface over, address and all, and the guest has them: what is sent to the allocation
//! reaches the guest, of every protocol, with its sender's address.

use crate::node::{Fault, Node};
use crate::proto::drivers::TaskConfig;
use api::instance::DeviceSpec;
use api::network::{FLOOD_LIMIT, Network, Uplink};
use std::path::Path;

/// Nomad's interface in the namespace.
const INTERFACE: &str = "eth0";

/// The node's network that is an allocation's.
pub fn name(config: &TaskConfig) -> String {
    format!("nomad-{}", config.alloc_id)
}

/// Takes the allocation's interface over; the device that has its address. There is none in a namespace without a network
/// (mode `none`).
pub async fn take(
    node: &Node,
    name: &str,
    namespace: &Path,
    anti_spoofing: Option<bool>,
) -> Result<Option<DeviceSpec>, Fault> {
    let network = Network {
        name: name.into(),
        subnet: None,
        gateway: None,
        subnet6: None,
        gateway6: None,
        host: None,
        uplink: Some(Uplink {
            interfaces: vec![INTERFACE.into()],
            netns: Some(namespace.display().to_string()),
            mode: None,
            vlan: None,
            take_over: true,
            taken: None,
        }),
        point_to_point: false,
        mtu: 1500,
        flood_limit: FLOOD_LIMIT,
    };
    match node.make_network(&network).await {
        // An earlier start of this task has made it.
        Err(e) if e.is("absent") => return Ok(None),
        Err(e) if !e.is("taken") => return Err(e),
        _ => {}
    }
    Ok(Some(DeviceSpec { network: name.into(), anti_spoofing, ..DeviceSpec::default() }))
}

/// Gives it back. Another task of the allocation may still be on it.
pub async fn release(node: &Node, name: &str) -> Result<(), Fault> {
    match node.remove_network(name).await {
        Err(e) if !e.is("absent") && !e.is("conflict") => Err(e),
        _ => Ok(()),
    }
}
