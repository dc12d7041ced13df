//! Carrier of network interfaces: changes as the kernel tells of them (rtnetlink's link group), one socket for each
//! namespace with such ports. The kernel may tell up to a second late, so links of bonds are looked at besides.

use super::{PortRecord, Switch, key, poll};
use crate::config::DeviceConfig;
use crate::netns;
use crate::worker::Command;
use polling::{Event as Ready, PollMode, Poller};
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

/// How often links of bonds are looked at, as a bond of Linux does with `miimon`.
const LINK_INTERVAL: Duration = Duration::from_millis(25);
/// How often it is looked whether a namespace is still the one of its name.
const NAMESPACE_INTERVAL: Duration = Duration::from_millis(200);
/// Namespaces at once: there are fewer ports.
const NAMESPACES_MAXIMUM: usize = 1 << 20;

/// A namespace with ports in it.
struct Namespace {
    /// Its name; none for the switch's own.
    name: Option<String>,
    /// The file that its name stood for when it was entered; none if it is the switch's own.
    file: Option<FileId>,
    /// Hears of its interfaces.
    socket: OwnedFd,
}

/// Device and inode of a file.
type FileId = (u64, u64);

/// The file that a namespace's name stands for now.
fn file_of(name: &str) -> Option<FileId> {
    let file = std::fs::metadata(netns::path(name)).ok()?;
    Some((file.dev(), file.ino()))
}

/// Sockets by namespace.
#[derive(Default)]
pub struct Carriers {
    namespaces: BTreeMap<usize, Namespace>,
    /// Key of the next one.
    next: usize,
    /// When namespaces were last looked at.
    checked_at: Option<Instant>,
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
        self.leave(poller, |namespace| wanted.contains(&namespace.name));
        for name in wanted {
            if self.namespaces.values().any(|n| n.name == *name) {
                continue;
            }
            let file = name.as_deref().and_then(file_of);
            let socket = netns::inside(name.as_deref(), listen)?;
            let key = self.next;
            self.next = (key + 1) % NAMESPACES_MAXIMUM;
            poll::watch(poller, socket.as_raw_fd(), Ready::readable(key::CARRIER + key), PollMode::Level)?;
            self.namespaces.insert(key, Namespace { name: name.clone(), file, socket });
        }
        self.changed = true;
        Ok(())
    }

    /// Lets go of all namespaces but those that `stays` says; their names.
    fn leave(&mut self, poller: &Poller, stays: impl Fn(&Namespace) -> bool) -> BTreeSet<Option<String>> {
        let left: Vec<Namespace> = self.namespaces.extract_if(.., |_, n| !stays(n)).map(|(_, n)| n).collect();
        for namespace in &left {
            // The kernel forgets it with its last descriptor in any case.
            let _ = poller.delete(&namespace.socket);
        }
        left.into_iter().map(|n| n.name).collect()
    }

    /// Lets go of the namespaces that were deleted, or whose name now stands for another one; their names. A namespace
    /// lives on while anything in it is held, unseen.
    fn leave_deleted(&mut self, poller: &Poller) -> BTreeSet<Option<String>> {
        if self.checked_at.is_some_and(|at| at.elapsed() < NAMESPACE_INTERVAL) {
            return BTreeSet::new();
        }
        self.checked_at = Some(Instant::now());
        self.leave(poller, |n| n.name.as_deref().is_none_or(|name| file_of(name) == n.file))
    }

    /// An interface has changed: all are checked soon.
    pub fn receive_changes(&mut self, key: usize) {
        let Some(namespace) = self.namespaces.get(&key) else { return };
        let mut bytes = [0u8; 8192];
        while rustix::net::recv(&namespace.socket, &mut bytes[..], RecvFlags::empty())
            .is_ok_and(|(n, _)| n > 0)
        {}
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
    fn socket(&self, netns: Option<&str>) -> Option<BorrowedFd<'_>> {
        self.namespaces.values().find(|n| n.name.as_deref() == netns).map(|n| n.socket.as_fd())
    }

    /// Whether a port's interface is up and has carrier; one that is gone has none.
    fn of(&self, device: &DeviceConfig) -> Option<bool> {
        let (name, netns) = interface(device)?;
        let up = self.socket(netns).and_then(|socket| netns::has_carrier_at(socket, name).ok());
        // The namespace may be another one of the same name.
        let up = up.or_else(|| netns::inside(netns, || netns::has_carrier(name)).ok());
        Some(up.unwrap_or(false))
    }

    /// Whether a port's interface is not the one that it was opened for: that one was deleted.
    fn is_gone(&self, managed: &PortRecord) -> bool {
        let Some((name, netns)) = interface(&managed.config.device) else { return false };
        let Some(opened) = managed.interface else { return false };
        match self.socket(netns).map(|socket| netns::index_at(socket, name)) {
            Some(Ok(now)) => now != opened,
            // The namespace may be another one of the same name.
            _ => netns::inside(netns, || netns::index(name)).ok() != Some(opened),
        }
    }

    /// When links of bonds are looked at again.
    pub fn next_check(&self) -> Option<Instant> {
        self.next_look
    }

    /// These ports are links of bonds, and are looked at from now on.
    pub fn check_links(&mut self, links: Vec<String>) {
        self.next_look = (!links.is_empty()).then(Instant::now);
        self.links = links;
    }
}

impl Switch {
    /// Checks the carrier of every port's interface if one may have changed, and of links of bonds when it is time.
    pub(super) fn update_carriers(&mut self) {
        let deleted = self.carriers.leave_deleted(&self.poller);
        // Nearly always there is none, and nothing to look through.
        if !deleted.is_empty() {
            self.leave_ports(&deleted);
        }
        let all = std::mem::take(&mut self.carriers.changed);
        let look = self.carriers.next_look.is_some_and(|at| Instant::now() >= at);
        if look {
            self.carriers.next_look = Some(Instant::now() + LINK_INTERVAL);
        }
        if all {
            self.ports.values().for_each(|managed| self.update_carrier(managed));
        } else if look {
            let links = self.carriers.links.iter().filter_map(|link| self.ports.get(link));
            links.for_each(|managed| self.update_carrier(managed));
        }
    }

    /// The interfaces of these namespaces are gone.
    fn leave_ports(&self, deleted: &BTreeSet<Option<String>>) {
        for managed in self.ports.values() {
            let netns = interface(&managed.config.device).map(|(_, netns)| netns.map(str::to_owned));
            if netns.is_some_and(|netns| deleted.contains(&netns)) {
                self.threads.tell(managed.thread, Command::Gone(managed.id));
            }
        }
    }

    fn update_carrier(&self, managed: &PortRecord) {
        if self.carriers.is_gone(managed) {
            return self.threads.tell(managed.thread, Command::Gone(managed.id));
        }
        let Some(up) = self.carriers.of(&managed.config.device) else { return };
        if up != managed.shared.is_up() {
            self.threads.tell(managed.thread, Command::Carrier(managed.id, up));
        }
    }
}
