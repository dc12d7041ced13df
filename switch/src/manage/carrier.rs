//! Changes of network interfaces from the kernel (rtnetlink's link group), one socket for each namespace with such ports.

use super::{Switch, devices, key};
use crate::config::DeviceConfig;
use crate::netns;
use crate::worker::Command;
use polling::{Event as Ready, PollMode, Poller};
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType};
use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

/// Sockets by namespace.
#[derive(Default)]
pub struct Carriers {
    sockets: Vec<(Option<String>, OwnedFd)>,
    /// Whether an interface may have changed since the last check of all.
    changed: bool,
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

impl Switch {
    /// Checks the carrier of every port's interface if one may have changed.
    pub(super) fn take_carriers(&mut self) {
        if !std::mem::take(&mut self.carriers.changed) {
            return;
        }
        for managed in self.ports.values() {
            let Some((name, netns)) = interface(&managed.config.device) else { continue };
            // An interface that is gone is down.
            let up = netns::inside(netns, || netns::has_carrier(name)).unwrap_or(false);
            if up != managed.shared.is_up() {
                self.threads.tell(managed.thread, Command::Carrier(managed.id, up));
            }
        }
    }
}
