//! Net devices on their way: what the other end, as it was opened, and the image agree on.

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

/// A net device whose features are settled.
pub struct OpenNet {
    /// What carries packets.
    pub back_end: BackEnd,
    /// What the guest is told, apart from the queues.
    pub device: NetDevice,
    /// Entries of each queue.
    pub queue: u32,
    /// How long a back end is waited for.
    pub wait: Duration,
}

/// What carries packets.
pub enum BackEnd {
    /// A TAP.
    Tap(OwnedFd),
    /// A back end that has said what it can do, and where its successors come from.
    Vhost(Endpoint, Session),
    /// Our own switch, when the guest is assigned.
    Unassigned,
}

/// Negotiates what the guest can have. `wanted` are the image's features. A back end is met here, for the first time,
/// and waited for until `stop` says that a signal has come. Without an end, our own switch is met when the guest is assigned.
pub fn negotiate(
    end: Option<NetBackEnd>,
    number: usize,
    net: &NetOptions,
    wanted: u64,
    stop: &dyn Fn() -> Option<u8>,
) -> Result<OpenNet, Error> {
    let (offload, wait) = (net.device.offload, Duration::from_secs(net.device.wait));
    let (carrier, features) = match end {
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
    Ok(OpenNet { back_end: carrier, device: net_device(net, features), queue: net.queue, wait })
}

/// What the guest is told of a device, apart from its queues.
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
