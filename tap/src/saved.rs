//! Settings of a TAP from before this process opened it.

use crate::kernel::{self, Header};
use crate::{Offloads, ethtool};
use netlink_packet_core::{NLM_F_REQUEST, NetlinkMessage, NetlinkPayload, Nla};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{InfoData, InfoTun, LinkAttribute, LinkInfo, LinkMessage};
use netlink_sys::{Socket, protocols::NETLINK_ROUTE};
use rustix::fs::{Mode, OFlags};
use rustix::thread::LinkNameSpaceType;
use std::ffi::c_int;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// Settings of a persistent TAP from before this process opened it. Dropping this restores them; do so after the TAP's
/// descriptors are closed.
#[derive(Debug)]
pub struct SavedSettings {
    name: String,
    namespace: OwnedFd,
    flags: c_int,
    /// The earlier header; `None` until the TAP has been opened, so that a failed attempt restores nothing.
    pub(crate) header: Option<Header>,
    offloads: Offloads,
}

impl SavedSettings {
    /// The settings of the TAP `name` in this thread's network namespace; `None` if there is no persistent TAP of this name, or
    /// if the kernel does not report them.
    pub(crate) fn of(name: &str) -> Option<Self> {
        let link = Link::of(name).ok()??;
        if !link.is_persistent {
            return None;
        }
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        Some(Self {
            name: name.to_owned(),
            namespace: rustix::fs::open(c"/proc/thread-self/ns/net", flags, Mode::empty()).ok()?,
            flags: link.flags,
            header: None,
            offloads: ethtool::offloads(name).ok()?,
        })
    }

    fn restore(&self, header: Header) -> io::Result<()> {
        std::thread::scope(|scope| {
            let there = scope.spawn(|| {
                // Moves only this short-lived thread. A process that may not do this is in the namespace already.
                let _ = rustix::thread::move_into_link_name_space(
                    self.namespace.as_fd(),
                    Some(LinkNameSpaceType::Network),
                );
                // A TAP that was deleted is not created again.
                if Link::of(&self.name)?.is_none_or(|link| !link.is_persistent) {
                    return Ok(());
                }
                let tap = kernel::device()?;
                kernel::attach(tap.as_fd(), &self.name, self.flags)?;
                kernel::set(tap.as_fd(), header, self.offloads)
            });
            there.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

impl Drop for SavedSettings {
    fn drop(&mut self) {
        if let Some(header) = self.header {
            // Another process may have opened it already, with its own settings.
            let _ = self.restore(header);
        }
    }
}

/// A TAP in the kernel's list of interfaces.
struct Link {
    flags: c_int,
    is_persistent: bool,
}

impl Link {
    /// The TAP `name` of this thread's network namespace; `None` if the interface is not a TAP.
    fn of(name: &str) -> io::Result<Option<Self>> {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(name.to_owned()));
        let mut request = NetlinkMessage::from(RouteNetlinkMessage::GetLink(message));
        request.header.flags = NLM_F_REQUEST;
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.send(&bytes, 0)?;
        // The kernel has answered before the call returns.
        let (answer, _) = socket.recv_from_full()?;
        let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer).map_err(io::Error::other)?;
        let NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) = answer.payload else {
            return Ok(None);
        };
        let information = link.attributes.into_iter().filter_map(|attribute| match attribute {
            LinkAttribute::LinkInfo(information) => Some(information),
            _ => None,
        });
        Ok(information.flatten().find_map(|information| match information {
            LinkInfo::Data(InfoData::Tun(facts)) => Some(Self::from_attributes(&facts)),
            _ => None,
        }))
    }

    fn from_attributes(facts: &[InfoTun]) -> Self {
        /// `IFLA_TUN_PI`, `IFLA_TUN_VNET_HDR`, `IFLA_TUN_PERSIST` of `linux/if_link.h`: a byte each.
        const PACKET_INFORMATION: u16 = 4;
        const HEADER: u16 = 5;
        const PERSIST: u16 = 6;
        let is_set = |kind| {
            facts.iter().filter(|fact| fact.kind() == kind && fact.value_len() >= 1).any(|fact| {
                let mut value = vec![0; fact.value_len()];
                fact.emit_value(&mut value);
                value[0] != 0
            })
        };
        let flag = |is_set: bool, flag: c_int| if is_set { flag } else { 0 };
        Self {
            flags: libc::IFF_TAP
                | flag(!is_set(PACKET_INFORMATION), libc::IFF_NO_PI)
                | flag(is_set(HEADER), libc::IFF_VNET_HDR),
            is_persistent: is_set(PERSIST),
        }
    }
}
