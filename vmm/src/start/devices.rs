//! Net devices: negotiation of features between the back end and the image.

use crate::options::NetOptions;
use abi::boot::NetDevice;
use machine::error::Error;
use machine::net::back_end::{NetBackEnd, await_session, vhost_error};
use machine::net::{FEATURES, negotiate_features, tap};
use machine::vhost;
use machine::vhost::endpoint::Endpoint;
use machine::vhost::negotiation::Session;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// A net device with negotiated features.
pub struct OpenNet {
    /// The back end.
    pub back_end: BackEnd,
    /// The device's entry in the boot page, without the queues.
    pub device: NetDevice,
    /// Entries of each queue.
    pub queue: u32,
    /// How long to wait for a back end.
    pub wait: Duration,
}

/// The back end of a device.
pub enum BackEnd {
    /// A TAP.
    Tap(OwnedFd),
    /// A vhost-user back end that has reported its features, and the endpoint at which later ones connect.
    Vhost(Endpoint, Session),
    /// MicroVisor's switch, which connects when the guest is assigned.
    Unassigned,
}

/// Negotiates the features of a device. `wanted` are the image's features. Waits for the back end until `stop` returns a signal.
/// Without a back end, MicroVisor's switch connects when the guest is assigned.
pub fn negotiate(
    end: Option<NetBackEnd>,
    number: usize,
    net: &NetOptions,
    wanted: u64,
    stop: &dyn Fn() -> Option<u8>,
) -> Result<OpenNet, Error> {
    let (offload, wait) = (net.device.offload, Duration::from_secs(net.device.wait));
    let (back_end, features) = match end {
        Some(NetBackEnd::Tap(tap)) => {
            let features = negotiate_features(FEATURES, wanted, offload);
            tap::set_offloads(&tap, features)?;
            (BackEnd::Tap(tap), features)
        }
        Some(NetBackEnd::Vhost(endpoint, pending)) => {
            let session =
                await_session(&endpoint, pending, wait, stop).map_err(|e| vhost_error(number, &e))?;
            let features = negotiate_features(vhost::usable(session.offered), wanted, offload);
            (BackEnd::Vhost(endpoint, session), features)
        }
        None => {
            (BackEnd::Unassigned, negotiate_features(vhost::usable(vhost::SWITCH_FEATURES), wanted, offload))
        }
    };
    Ok(OpenNet { back_end, device: net_device(net, features), queue: net.queue, wait })
}

/// The boot page's entry of a device, without its queues.
pub fn net_device(net: &NetOptions, features: u64) -> NetDevice {
    let (ipv4, ipv4_prefix) = net.ipv4.map_or(([0; 4], 0), |(a, p)| (a.octets(), p));
    let (ipv6, ipv6_prefix) = net.ipv6.map_or(([0; 16], 0), |(a, p)| (a.octets(), p));
    NetDevice {
        features,
        mac: net.device.mac(),
        mtu: net.device.mtu,
        ipv4_prefix,
        ipv6_prefix,
        reserved: [0; 6],
        ipv4,
        ipv4_gateway: net.ipv4_gateway.map_or([0; 4], |a| a.octets()),
        ipv6,
        ipv6_gateway: net.ipv6_gateway.map_or([0; 16], |a| a.octets()),
        receive: Default::default(),
        transmit: Default::default(),
    }
}
