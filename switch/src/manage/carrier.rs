//! PortEvent of network interfaces from the kernel (rtnetlink's link group), one socket for each namespace with such ports.
#![allow(unsafe_code)]

use super::{Switch, devices, key};
use crate::config::DeviceConfig;
use crate::netns;
use crate::worker::Command;
use polling::{Event as Ready, PollMode, Poller};
use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Sockets by namespace.
#[derive(Default)]
pub struct Carriers {
    sockets: Vec<(Option<String>, OwnedFd)>,
    /// Whether there was news since it was last looked at.
    port_events: bool,
}

/// A socket that hears of links.
fn listen() -> io::Result<OwnedFd> {
    // SAFETY: plain system calls; an all-zero `sockaddr_nl` is valid, and `bind` reads it.
    unsafe {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        let fd = libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_ROUTE);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        let fd = OwnedFd::from_raw_fd(fd);
        let mut address: libc::sockaddr_nl = std::mem::zeroed();
        address.nl_family = libc::AF_NETLINK as libc::sa_family_t;
        address.nl_groups = libc::RTMGRP_LINK as u32;
        let length = size_of::<libc::sockaddr_nl>() as libc::socklen_t;
        if libc::bind(fd.as_raw_fd(), (&raw const address).cast(), length) < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(fd)
    }
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
        self.port_events = true;
        Ok(())
    }

    /// Something was said: what exactly is found out by requests_sender.
    pub fn hear(&mut self, socket: usize) {
        let Some((_, fd)) = self.sockets.get(socket) else { return };
        let mut bytes = [0u8; 8192];
        // SAFETY: reads into a buffer of the length given.
        while unsafe { libc::recv(fd.as_raw_fd(), bytes.as_mut_ptr().cast(), bytes.len(), 0) } > 0 {}
        self.port_events = true;
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
    /// After news: asks for each interface whether it is up.
    pub(super) fn take_carriers(&mut self) {
        if !std::mem::take(&mut self.carriers.port_events) {
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
