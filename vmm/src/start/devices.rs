//! Net devices on their way: the other end as it was opened, then what it and the image agree on.
#![allow(unsafe_code)]

use crate::options::NetOptions;
use abi::boot::NetDevice;
use machine::error::Error;
use machine::net::{FEATURES, agree, mac_from, tap};
use machine::vhost::connector::Connector;
use machine::vhost::endpoint::Endpoint;
use machine::vhost::negotiation::{Session, open_session};
use machine::vhost::{self, VhostError};
use std::os::fd::{FromRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

/// The other end of a net device, opened.
pub enum End {
    /// A TAP.
    Tap(OwnedFd),
    /// Where vhost-user back ends come from.
    Vhost(Endpoint),
}

/// A net device whose features are settled.
pub struct OpenNet {
    /// What carries packets.
    pub carrier: Carrier,
    /// What the guest is told, apart from the queues.
    pub device: NetDevice,
    /// Entries of each queue.
    pub queue: u32,
}

/// What carries packets.
pub enum Carrier {
    /// A TAP.
    Tap(OwnedFd),
    /// A back end that has said what it can do, and where its successors come from.
    Vhost(Endpoint, Session),
}

impl End {
    /// Opens the ends of all devices, in their order.
    pub fn open_all(nets: &[NetOptions], connector: Option<&Arc<Connector>>) -> Result<Vec<Self>, Error> {
        let mut clients = 0..;
        let open = |net: &NetOptions| match (&net.vhost_user, connector) {
            (Some(path), _) if net.server => Endpoint::listen(path).map(End::Vhost),
            (Some(_), Some(connector)) => {
                let path = clients.next().expect("endless");
                Ok(End::Vhost(Endpoint::Client(connector.clone(), path)))
            }
            _ => open_tap(net).map(End::Tap),
        };
        nets.iter().map(open).collect()
    }

    /// Negotiates what the guest can have. `wanted` are the image's features. A back end is met here, for the first time,
    /// and waited for until `stop` says that a signal has come.
    pub fn negotiate(
        self,
        number: usize,
        net: &NetOptions,
        wanted: u64,
        stop: &dyn Fn() -> Option<u8>,
    ) -> Result<OpenNet, Error> {
        let (carrier, features, name) = match self {
            End::Tap(tap) => {
                let features = agree(FEATURES, wanted, net.offload);
                tap::set_offloads(&tap, features)?;
                let name = net.tap.clone().unwrap_or_else(|| format!("fd{}", net.fd.unwrap_or_default()));
                (Carrier::Tap(tap), features, name)
            }
            End::Vhost(endpoint) => {
                let session = endpoint.connect(Duration::from_secs(net.wait), stop).and_then(open_session);
                let session = session.map_err(|e| vhost_error(number, &e))?;
                let features = agree(vhost::usable(session.offered), wanted, net.offload);
                let name = net.vhost_user.as_ref().map(|path| path.display().to_string());
                (Carrier::Vhost(endpoint, session), features, name.unwrap_or_default())
            }
        };
        Ok(OpenNet { carrier, device: net_device(net, &name, features), queue: net.queue })
    }
}

fn open_tap(net: &NetOptions) -> Result<OwnedFd, Error> {
    match (&net.tap, net.fd) {
        // A monitor that is confined restores nothing.
        (Some(name), _) => tap::open(name).map(|tap| tap.into_fd()),
        (None, Some(fd)) if fd > 2 => {
            // SAFETY: the starter handed this descriptor over; nothing else in this process uses it.
            let fd = unsafe { OwnedFd::from_raw_fd(fd) };
            tap::never_block(&fd)?;
            Ok(fd)
        }
        _ => Err(Error::Configuration("--net fd: not a descriptor that can be handed over".into())),
    }
}

/// What to do about a back end that cannot be used.
pub fn vhost_error(number: usize, e: &VhostError) -> Error {
    let hint = match e {
        VhostError::Stopped(signal) => return Error::Stopped { signal: *signal },
        VhostError::Unreachable { .. } => "start the switch, or check the path and who may write to it",
        VhostError::Unvisited { .. } => "have the switch connect to this path, or wait longer: wait=SECONDS",
        _ => "look at what the switch says of this port",
    };
    Error::Host { problem: format!("net device {number}: {e}"), hint: hint.into() }
}

/// What the guest is told of a device, apart from its queues.
fn net_device(net: &NetOptions, name: &str, features: u64) -> NetDevice {
    let (ipv4, ipv4_prefix) = net.ipv4.map_or(([0; 4], 0), |(a, p)| (a.octets(), p));
    let (ipv6, ipv6_prefix) = net.ipv6.map_or(([0; 16], 0), |(a, p)| (a.octets(), p));
    NetDevice {
        features,
        mac: net.mac.unwrap_or_else(|| mac_from(name)),
        mtu: net.mtu,
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
