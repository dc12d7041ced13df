//! Opens what stands behind a port.

use super::Error;
use super::peers::Peer;
use crate::config::{DeviceConfig, PortConfig};
use crate::port::vhost::{Settings, Vhost};
use crate::port::{Device, PortId, packet, pcap, tap, xdp};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// What stands behind a port, ready to be given to its thread; nothing for a bond.
pub struct Opened {
    /// The device.
    pub device: Option<Box<dyn Device>>,
    /// How its peer is found.
    pub peer: Peer,
    /// The number of the interface that the device is bound to, if it does not notice that it goes.
    pub interface: Option<u32>,
}

/// Opens it.
pub fn open(name: &str, port: &PortConfig, id: PortId, notifying: Arc<AtomicU64>) -> Result<Opened, Error> {
    let failed = |doing: String| {
        let port = name.to_owned();
        move |source| Error::Port { port, doing, source }
    };
    let (mut peer, mut bound) = (Peer::None, None);
    let device: Option<Box<dyn Device>> = match &port.device {
        DeviceConfig::Bond(_) => None,
        DeviceConfig::VhostUser { path, client } => {
            peer = if *client {
                Peer::client(path.clone())
            } else {
                Peer::listen(path).map_err(failed(format!("listen on {}", path.display())))?
            };
            let settings = Settings { offload: port.offload, notifying, port: id };
            Some(Box::new(Vhost::new(settings)))
        }
        DeviceConfig::Tap { name, netns } => {
            let tap = tap::open(name, netns.as_deref(), port.mtu, port.offload)
                .map_err(failed(format!("open TAP {name}")))?;
            Some(Box::new(tap::Tap::new(tap, id, port.offload)))
        }
        DeviceConfig::Packet { interface, netns } => {
            let device = packet::open(interface, netns.as_deref(), id, port.offload)
                .map_err(failed(format!("open interface {interface}")))?;
            bound = Some(device.interface);
            Some(Box::new(device))
        }
        DeviceConfig::Xdp { interface, netns, queue } => {
            let device = xdp::open(interface, netns.as_deref(), *queue, id)
                .map_err(failed(format!("open interface {interface}, queue {queue}, by AF_XDP")))?;
            bound = Some(device.interface);
            Some(Box::new(device))
        }
        DeviceConfig::Pcap { read, write } => {
            let device =
                pcap::open(read.as_deref(), write.as_deref()).map_err(failed("open its files".to_owned()))?;
            Some(Box::new(device))
        }
    };
    Ok(Opened { device, peer, interface: bound })
}
