//! Back ends of net devices: opened before the process drops its privileges, and asked for their features before the guest runs.
#![allow(unsafe_code)]

use super::options::DeviceOptions;
use super::tap;
use crate::error::Error;
use crate::vhost::VhostError;
use crate::vhost::connector::Connector;
use crate::vhost::endpoint::Endpoint;
use crate::vhost::negotiation::{PendingSession, Session};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The back end of a net device, opened.
pub enum NetBackEnd {
    /// A TAP.
    Tap(OwnedFd),
    /// The endpoint of vhost-user back ends, and the first connection if there was one. Its features were requested already.
    Vhost(Endpoint, Option<Result<PendingSession, VhostError>>),
}

impl NetBackEnd {
    /// The process that connects to listening back ends; `None` if no device needs it. Must be called while this process has one
    /// thread, because it forks.
    pub fn connector<'a>(
        devices: impl IntoIterator<Item = &'a DeviceOptions>,
    ) -> Result<Option<Arc<Connector>>, Error> {
        let listening = devices.into_iter().filter(|device| !device.server);
        let sockets: Vec<_> = listening.filter_map(|device| device.vhost_user.clone()).collect();
        if sockets.is_empty() { Ok(None) } else { Ok(Some(Arc::new(Connector::start(sockets)?))) }
    }

    /// Opens the back ends of all devices, in their order, with the connector of the same devices.
    pub fn open_all<'a>(
        devices: impl IntoIterator<Item = &'a DeviceOptions>,
        connector: Option<&Arc<Connector>>,
    ) -> Result<Vec<Self>, Error> {
        let mut clients = 0..;
        let mut open = |device: &DeviceOptions| {
            let Some(path) = &device.vhost_user else { return open_tap(device).map(NetBackEnd::Tap) };
            let endpoint = match (device.server, device.listener, connector) {
                (true, Some(fd), _) => Endpoint::handed_over(descriptor("listener", fd)?, path)?,
                (true, None, _) => Endpoint::listen(path)?,
                (false, _, Some(connector)) => {
                    Endpoint::Client(connector.clone(), clients.next().expect("endless"))
                }
                (false, ..) => {
                    return Err(Error::Configuration("--net vhost-user: nothing connects to it".into()));
                }
            };
            let pending = endpoint.first(path).map(PendingSession::new);
            Ok(NetBackEnd::Vhost(endpoint, pending))
        };
        devices.into_iter().map(&mut open).collect()
    }
}

/// Waits up to `wait` for the features of a back end: those of the pending connection, or of the next one. `stop` returns a signal
/// that ends the wait.
pub fn await_session(
    endpoint: &Endpoint,
    pending: Option<Result<PendingSession, VhostError>>,
    wait: Duration,
    stop: &dyn Fn() -> Option<u8>,
) -> Result<Session, VhostError> {
    let deadline = Instant::now() + wait;
    let mut session = pending.map(|pending| pending.and_then(PendingSession::session));
    loop {
        match session {
            // It has ended since it connected, and its successor will connect.
            Some(Err(e)) if e.is_disconnected() && endpoint.is_server() && Instant::now() < deadline => {}
            Some(outcome) => return outcome,
            None => {}
        }
        let left = deadline.saturating_duration_since(Instant::now());
        session = Some(
            endpoint.connect(left, stop).and_then(PendingSession::new).and_then(PendingSession::session),
        );
    }
}

fn open_tap(device: &DeviceOptions) -> Result<OwnedFd, Error> {
    match (&device.tap, device.fd) {
        // A monitor that is confined restores nothing.
        (Some(name), _) => tap::open(name).map(|tap| tap.into_fd()),
        (None, fd) => {
            let fd = descriptor("fd", fd.unwrap_or_default())?;
            tap::set_nonblocking(&fd)?;
            Ok(fd)
        }
    }
}

/// A descriptor that the starter passed to this process.
fn descriptor(key: &str, fd: RawFd) -> Result<OwnedFd, Error> {
    if fd < 3 {
        let problem = format!("--net {key}: not a descriptor that can be handed over");
        return Err(Error::Configuration(problem));
    }
    // SAFETY: the starter handed this descriptor over; nothing else in this process uses it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The error for a back end that cannot be used, with the next step.
pub fn vhost_error(number: usize, e: &VhostError) -> Error {
    let hint = match e {
        VhostError::Stopped(signal) => return Error::Stopped { signal: *signal },
        VhostError::Unreachable { .. } => "start the switch, or check the path and who may write to it",
        VhostError::NoConnection { .. } => {
            "have the switch connect to this path, or wait longer: wait=SECONDS"
        }
        _ => "look at what the switch says of this port",
    };
    Error::Host { problem: format!("net device {number}: {e}"), hint: hint.into() }
}
