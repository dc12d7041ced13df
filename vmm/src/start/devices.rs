//! Net devices on their way: the other end as it was opened, then what it and the image agree on.
#![allow(unsafe_code)]

use crate::options::NetOptions;
use abi::boot::NetDevice;
use machine::error::Error;
use machine::net::{FEATURES, agree, mac_from, tap};
use machine::vhost::connector::Connector;
use machine::vhost::endpoint::Endpoint;
use machine::vhost::negotiation::{Greeting, Session};
use machine::vhost::{self, VhostError};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The other end of a net device, opened.
pub enum End {
    /// A TAP.
    Tap(OwnedFd),
    /// Where vhost-user back ends come from, and the first one, asked already, if it was there.
    Vhost(Endpoint, Option<Result<Greeting, VhostError>>),
    /// Our own switch, which is met when the guest is assigned.
    Later,
}

/// A net device whose features are settled.
pub struct OpenNet {
    /// What carries packets.
    pub carrier: Carrier,
    /// What the guest is told, apart from the queues.
    pub device: NetDevice,
    /// Entries of each queue.
    pub queue: u32,
    /// How long a back end is waited for.
    pub wait: Duration,
}

/// What carries packets.
pub enum Carrier {
    /// A TAP.
    Tap(OwnedFd),
    /// A back end that has said what it can do, and where its successors come from.
    Vhost(Endpoint, Session),
    /// Our own switch, when the guest is assigned.
    Later,
}

impl End {
    /// Opens the ends of all devices, in their order.
    pub fn open_all(nets: &[NetOptions], connector: Option<&Arc<Connector>>) -> Result<Vec<Self>, Error> {
        let mut clients = 0..;
        let mut open = |net: &NetOptions| {
            let Some(path) = &net.vhost_user else { return open_tap(net).map(End::Tap) };
            let endpoint = match (net.server, net.listener, connector) {
                (true, Some(fd), _) => Endpoint::handed_over(descriptor("listener", fd)?, path)?,
                (true, None, _) => Endpoint::listen(path)?,
                (false, _, Some(connector)) => {
                    Endpoint::Client(connector.clone(), clients.next().expect("endless"))
                }
                (false, ..) => {
                    return Err(Error::Configuration("--net vhost-user: nothing connects to it".into()));
                }
            };
            let greeting = endpoint.first(path).map(Greeting::new);
            Ok(End::Vhost(endpoint, greeting))
        };
        nets.iter().map(&mut open).collect()
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
            End::Later => {
                (Carrier::Later, agree(vhost::usable(vhost::SWITCH), wanted, net.offload), String::new())
            }
            End::Vhost(endpoint, greeting) => {
                let session = meet(&endpoint, greeting, Duration::from_secs(net.wait), stop);
                let session = session.map_err(|e| vhost_error(number, &e))?;
                let features = agree(vhost::usable(session.offered), wanted, net.offload);
                let name = net.vhost_user.as_ref().map(|path| path.display().to_string());
                (Carrier::Vhost(endpoint, session), features, name.unwrap_or_default())
            }
        };
        let (device, wait) = (net_device(net, &name, features), Duration::from_secs(net.wait));
        Ok(OpenNet { carrier, device, queue: net.queue, wait })
    }
}

/// Hears what a back end offers: the one that was asked already, if one was there, or the next, for so long.
pub fn meet(
    endpoint: &Endpoint,
    greeting: Option<Result<Greeting, VhostError>>,
    wait: Duration,
    stop: &dyn Fn() -> Option<u8>,
) -> Result<Session, VhostError> {
    let deadline = Instant::now() + wait;
    let mut session = greeting.map(|greeting| greeting.and_then(Greeting::session));
    loop {
        match session {
            // It has ended since it connected, and its successor will connect.
            Some(Err(e)) if e.is_gone() && endpoint.is_server() && Instant::now() < deadline => {}
            Some(outcome) => return outcome,
            None => {}
        }
        let left = deadline.saturating_duration_since(Instant::now());
        session = Some(endpoint.connect(left, stop).and_then(Greeting::new).and_then(Greeting::session));
    }
}

fn open_tap(net: &NetOptions) -> Result<OwnedFd, Error> {
    match (&net.tap, net.fd) {
        // A monitor that is confined restores nothing.
        (Some(name), _) => tap::open(name).map(|tap| tap.into_fd()),
        (None, fd) => {
            let fd = descriptor("fd", fd.unwrap_or_default())?;
            tap::never_block(&fd)?;
            Ok(fd)
        }
    }
}

/// A descriptor that the starter handed over.
fn descriptor(key: &str, fd: RawFd) -> Result<OwnedFd, Error> {
    if fd < 3 {
        let problem = format!("--net {key}: not a descriptor that can be handed over");
        return Err(Error::Configuration(problem));
    }
    // SAFETY: the starter handed this descriptor over; nothing else in this process uses it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
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
pub fn net_device(net: &NetOptions, name: &str, features: u64) -> NetDevice {
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
