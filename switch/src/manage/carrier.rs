//! Carrier of network interfaces: changes as the kernel tells of them (rtnetlink's link group), one socket for each
//! namespace with such ports. The kernel may tell up to a second late, so links of bonds are looked at besides.

use super::{PortRecord, Switch, devices, key};
use crate::config::DeviceConfig;
use crate::netns;
use crate::worker::Command;
use polling::{Event as Ready, PollMode, Poller};
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType};
use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// How often links of bonds are looked at, as a bond of Linux does with `miimon`.
const LINK_INTERVAL: Duration = Duration::from_millis(25);

/// Sockets by namespace.
#[derive(Default)]
pub struct Carriers {
    sockets: Vec<(Option<String>, OwnedFd)>,
    /// Whether an interface may have changed since the last check of all.
    changed: bool,
    /// Names of the ports that are links of bonds.
    links: Vec<String>,
    /// When these are looked at again; none without such links.
    next_look: Option<Instant>,
}

/// A netlink socket that is told of every change of an interface.
fn listen() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    // Protocol 0 is NETLINK_ROUTE.
    let socket = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
    rustix::net::bind(&socket, &SocketAddrNetlink::new(0, libc::RTMGRP_LINK as u32))?;
    Ok(socket)
}

impl Carriers {
    /// Hears from these namespaces, and no others.
    pub fn follow(&mut self, wanted: &BTreeSet<Option<String>>, poller: &Poller) -> io::Result<()> {
        // The place of a socket is its name: those that are no longer needed stay until the switch ends.
        for netns in wanted {
            if self.sockets.iter().any(|(n, _)| n == netns) {
                continue;
            }
            let socket = netns::inside(netns.as_deref(), listen)?;
            let ready = Ready::readable(key::CARRIER + self.sockets.len());
            devices::watch(poller, socket.as_raw_fd(), ready, PollMode::Level)?;
            self.sockets.push((netns.clone(), socket));
        }
        self.changed = true;
        Ok(())
    }

    /// An interface has changed: all are checked soon.
    pub fn hear(&mut self, socket: usize) {
        let Some((_, fd)) = self.sockets.get(socket) else { return };
        let mut bytes = [0u8; 8192];
        while rustix::net::recv(fd, &mut bytes[..], RecvFlags::empty()).is_ok_and(|(n, _)| n > 0) {}
        self.changed = true;
    }
}

/// The interface behind a port and its namespace, if it is one that the kernel knows.
pub fn interface(device: &DeviceConfig) -> Option<(&str, Option<&str>)> {
    match device {
        DeviceConfig::Tap { name, netns } => Some((name, netns.as_deref())),
        DeviceConfig::Packet { interface, netns } | DeviceConfig::Xdp { interface, netns, .. } => {
            Some((interface, netns.as_deref()))
        }
        _ => None,
    }
}

impl Carriers {
    /// Whether a port's interface is up and has carrier; one that is gone has none.
    fn of(&self, device: &DeviceConfig) -> Option<bool> {
        let (name, netns) = interface(device)?;
        let socket = self.sockets.iter().find(|(n, _)| n.as_deref() == netns);
        let up = socket.and_then(|(_, socket)| netns::has_carrier_at(socket.as_fd(), name).ok());
        // The namespace may be another one of the same name.
        let up = up.or_else(|| netns::inside(netns, || netns::has_carrier(name)).ok());
        Some(up.unwrap_or(false))
    }

    /// Whether a port's interface is not the one that it was opened for: that one was deleted.
    fn is_gone(&self, managed: &PortRecord) -> bool {
        let Some((name, netns)) = interface(&managed.config.device) else { return false };
        let Some(opened) = managed.interface else { return false };
        let socket = self.sockets.iter().find(|(n, _)| n.as_deref() == netns);
        match socket.map(|(_, socket)| netns::index_at(socket.as_fd(), name)) {
            Some(Ok(now)) => now != opened,
            // The namespace may be another one of the same name.
            _ => netns::inside(netns, || netns::index(name)).ok() != Some(opened),
        }
    }

    /// When links of bonds are looked at again.
    pub fn next_look(&self) -> Option<Instant> {
        self.next_look
    }

    /// These ports are links of bonds, and are looked at from now on.
    pub fn look_at(&mut self, links: Vec<String>) {
        self.next_look = (!links.is_empty()).then(Instant::now);
        self.links = links;
    }
}

impl Switch {
    /// Checks the carrier of every port's interface if one may have changed, and of links of bonds when it is time.
    pub(super) fn take_carriers(&mut self) {
        let all = std::mem::take(&mut self.carriers.changed);
        let look = self.carriers.next_look.is_some_and(|at| Instant::now() >= at);
        if look {
            self.carriers.next_look = Some(Instant::now() + LINK_INTERVAL);
        }
        if all {
            self.ports.values().for_each(|managed| self.take_carrier(managed));
        } else if look {
            let links = self.carriers.links.iter().filter_map(|link| self.ports.get(link));
            links.for_each(|managed| self.take_carrier(managed));
        }
    }

    fn take_carrier(&self, managed: &PortRecord) {
        if self.carriers.is_gone(managed) {
            return self.threads.tell(managed.thread, Command::Gone(managed.id));
        }
        let Some(up) = self.carriers.of(&managed.config.device) else { return };
        if up != managed.shared.is_up() {
            self.threads.tell(managed.thread, Command::Carrier(managed.id, up));
        }
    }
}
