//! One conversation with a front end: what was negotiated, the memory it shares, and its two rings. A ring runs once
//! it has a size, addresses in known memory and a kick, and is enabled; anything that changes one of these stops it
//! first and goes on from the index that it had come to.
#![allow(unsafe_code)]

use super::memory::{FrontEnd, Memory};
use super::{FROM_GUEST, KICK, Settings, TO_GUEST};
use crate::counters::Shared;
use crate::offload::Abilities;
use crate::port::{MESSAGE_TIMEOUT, PortError};
use crate::worker::wake::{Interest, Wake, notify};
use abi::net::{
    FEATURE_CSUM, FEATURE_EVENT_IDX, FEATURE_GUEST_CSUM, FEATURE_GUEST_TSO4, FEATURE_GUEST_TSO6,
    FEATURE_HOST_TSO4, FEATURE_HOST_TSO6, FEATURE_MRG_RXBUF, FEATURE_VERSION_1,
};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Instant;
use vhost_user::message::{Request, RingAddresses, RingEvent, RingState};
use vhost_user::socket::{self, Connection, Message};
use vhost_user::{FEATURE_PROTOCOL, protocol};
use virtqueue::{Addresses, DeviceQueue, Direction, Parts, QueueError};

/// Headers may share a descriptor with data (virtio 1.2 section 6, legacy).
const FEATURE_ANY_LAYOUT: u64 = 1 << 27;
/// Buffers are used in the order in which they were made available.
const FEATURE_IN_ORDER: u64 = 1 << 35;
const OFFLOADS: u64 = FEATURE_CSUM
    | FEATURE_GUEST_CSUM
    | FEATURE_HOST_TSO4
    | FEATURE_HOST_TSO6
    | FEATURE_GUEST_TSO4
    | FEATURE_GUEST_TSO6;
const BASIC: u64 = FEATURE_VERSION_1
    | FEATURE_MRG_RXBUF
    | FEATURE_EVENT_IDX
    | FEATURE_ANY_LAYOUT
    | FEATURE_IN_ORDER
    | FEATURE_PROTOCOL;
const PROTOCOL: u64 =
    protocol::REPLY_ACK | protocol::MTU | protocol::RESET_DEVICE | protocol::CONFIGURE_MEM_SLOTS;
const RINGS: usize = 2;

/// What a front end asked for that is not granted.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Features that were not offered.
    #[error("features {0:#x} were not offered")]
    Features(u64),
    /// A queue that is not there.
    #[error("queue {0} is not there")]
    Queue(u32),
    /// A descriptor that is no eventfd.
    #[error("the descriptor of queue {0} is not an eventfd")]
    NotAnEvent(u32),
    /// A base beyond 16 bits.
    #[error("base {0} is not an index")]
    Base(u32),
    /// Logging of written pages, which was not offered.
    #[error("dirty logging was not offered")]
    Logging,
    /// Its memory.
    #[error(transparent)]
    Memory(#[from] super::MemoryError),
    /// A ring.
    #[error(transparent)]
    Ring(#[from] QueueError),
    /// A request that is known and was not offered.
    #[error("request {0} was not offered")]
    NotOffered(u32),
}

#[derive(Default)]
struct Slot {
    size: u32,
    at: Option<RingAddresses>,
    base: u16,
    kick: Option<OwnedFd>,
    call: Option<OwnedFd>,
    /// A kick was set, with a descriptor or without.
    started: bool,
    enabled: bool,
    ring: Option<DeviceQueue>,
}

/// The conversation.
pub struct Session {
    connection: Connection,
    features: u64,
    protocol: u64,
    memory: Memory,
    slots: [Slot; RINGS],
    /// When the message that is not all there yet has to be.
    pub(super) message_deadline: Option<Instant>,
    /// Packets with an impossible header since they were last counted.
    pub(super) malformed: u64,
}

impl AsFd for Session {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.connection.as_fd()
    }
}

impl Session {
    /// Nothing said yet.
    pub fn new(stream: UnixStream) -> Self {
        Self {
            connection: Connection::new(stream),
            features: 0,
            protocol: 0,
            memory: Memory::default(),
            slots: Default::default(),
            message_deadline: None,
            malformed: 0,
        }
    }

    /// A ring and the memory that it is in, if it runs.
    #[inline]
    pub fn ring(&mut self, index: usize) -> Option<(&mut DeviceQueue, &Memory)> {
        self.slots[index].ring.as_mut().map(|r| (r, &self.memory))
    }

    /// Whether packets can go both ways.
    pub fn is_running(&self) -> bool {
        self.slots.iter().all(|s| s.ring.is_some())
    }

    /// How many chains wait to be filled.
    pub fn room(&self) -> usize {
        let ring = self.slots[TO_GUEST].ring.as_ref();
        ring.and_then(|r| r.waiting().ok()).unwrap_or(0).into()
    }

    /// Whether the peer took memory away that was in use.
    pub fn memory_is_broken(&self) -> bool {
        self.memory.is_broken()
    }

    /// Bytes of the header ahead of each packet (virtio 1.2 section 5.1.6.1).
    #[inline]
    pub fn header_bytes(&self) -> usize {
        if self.features & (FEATURE_VERSION_1 | FEATURE_MRG_RXBUF) != 0 { 12 } else { 10 }
    }

    /// Whether a packet may fill several chains.
    pub fn is_mergeable(&self) -> bool {
        self.features & FEATURE_MRG_RXBUF != 0
    }

    /// What the guest can take.
    #[inline]
    pub fn abilities(&self) -> Abilities {
        let has = |feature| self.features & feature != 0;
        Abilities {
            checksum: has(FEATURE_GUEST_CSUM),
            tcp4: has(FEATURE_GUEST_TSO4),
            tcp6: has(FEATURE_GUEST_TSO6),
        }
    }

    /// Calls the guest for each ring where it wants to know.
    pub fn call_where_wanted(&mut self, settings: &Settings, shared: &Shared) -> Result<(), PortError> {
        for (slot, queue) in self.slots.iter_mut().zip(&shared.queues) {
            let Some(ring) = slot.ring.as_mut() else { continue };
            queue.buffers.add(ring.unannounced().into());
            if ring.wants_call()
                && let Some(call) = slot.call.as_ref()
            {
                queue.calls.add(1);
                notify(call, &settings.notifying).map_err(|e| match e.kind() {
                    // Whoever watches over this thread has interrupted it.
                    io::ErrorKind::Interrupted => PortError::Blocks,
                    _ => PortError::System(e),
                })?;
            }
        }
        Ok(())
    }

    /// Handles one message; whether there was one.
    pub fn converse(&mut self, settings: &Settings, wake: &Wake) -> Result<bool, PortError> {
        let message = match self.connection.receive() {
            Ok(Some(message)) => message,
            Ok(None) if self.connection.is_unfinished() => {
                self.message_deadline.get_or_insert_with(|| Instant::now() + MESSAGE_TIMEOUT);
                return Ok(false);
            }
            Ok(None) => return Ok(false),
            Err(socket::Error::Closed) => return Err(PortError::Closed),
            Err(e) => return Err(PortError::Protocol(e.to_string())),
        };
        self.message_deadline = None;
        let asks = message.needs_reply() && self.protocol & protocol::REPLY_ACK != 0;
        let code = message.code;
        let outcome = self.handle(message, settings, wake);
        let answer = match &outcome {
            Ok(Some(bytes)) => Some(bytes.clone()),
            Ok(None) if asks => Some(0u64.to_ne_bytes().to_vec()),
            Err(_) if asks => Some(1u64.to_ne_bytes().to_vec()),
            _ => None,
        };
        if let Some(bytes) = answer {
            self.connection.reply(code, &bytes, &[]).map_err(|e| PortError::Protocol(e.to_string()))?;
        }
        outcome.map(|_| true).map_err(PortError::Protocol)
    }

    fn handle(
        &mut self,
        message: Message,
        settings: &Settings,
        wake: &Wake,
    ) -> Result<Option<Vec<u8>>, String> {
        let count = message.descriptors.len();
        let request = Request::parse(message.code, &message.payload, count).map_err(|e| e.to_string())?;
        let answer = self.grant(request, message.descriptors, settings, wake).map_err(|e| e.to_string())?;
        self.start_rings(wake).map_err(|e| e.to_string())?;
        Ok(answer)
    }

    fn grant(
        &mut self,
        request: Request,
        mut fds: Vec<OwnedFd>,
        settings: &Settings,
        wake: &Wake,
    ) -> Result<Option<Vec<u8>>, Refused> {
        let word = |w: u64| Ok(Some(w.to_ne_bytes().to_vec()));
        let code = request.code();
        let offered = BASIC | if settings.offload { OFFLOADS } else { 0 };
        match request {
            Request::GetFeatures => return word(offered),
            Request::GetProtocolFeatures => return word(PROTOCOL),
            Request::GetQueueCount => return word(1),
            Request::GetMaximumRegions => return word(super::memory::REGIONS as u64),
            Request::SetFeatures(f) if f & !offered != 0 => return Err(Refused::Features(f & !offered)),
            Request::SetFeatures(f) => {
                self.stop_rings(wake);
                self.features = f;
            }
            Request::SetProtocolFeatures(f) if f & !PROTOCOL != 0 => {
                return Err(Refused::Features(f & !PROTOCOL));
            }
            Request::SetProtocolFeatures(f) => self.protocol = f,
            // What is longer than the port's own MTU is dropped ahead of the ring, whatever the guest takes.
            Request::SetOwner | Request::ResetOwner | Request::SetMtu(_) => {}
            Request::ResetDevice => {
                self.stop_rings(wake);
                for slot in &mut self.slots {
                    forget_kick(slot, wake);
                    *slot = Slot::default();
                }
            }
            Request::SetMemoryTable(regions) => {
                self.stop_rings(wake);
                self.memory = Memory::table(regions, fds)?;
            }
            Request::AddRegion(region) => {
                self.stop_rings(wake);
                if let Some(fd) = fds.pop() {
                    self.memory.add(region, &fd)?;
                }
            }
            Request::RemoveRegion(region) => {
                self.stop_rings(wake);
                self.memory.remove(region)?;
            }
            Request::SetRingSize(RingState { index, value }) => {
                self.stopped(index, wake)?.size = value;
            }
            Request::SetRingAddresses(at) if at.flags & 1 != 0 => return Err(Refused::Logging),
            Request::SetRingAddresses(at) => self.stopped(at.index, wake)?.at = Some(at),
            Request::SetRingBase(RingState { index, value }) => {
                let base = u16::try_from(value).map_err(|_| Refused::Base(value))?;
                self.stopped(index, wake)?.base = base;
            }
            Request::GetRingBase(RingState { index, .. }) => {
                let slot = self.stopped(index, wake)?;
                forget_kick(slot, wake);
                slot.started = false;
                let value = slot.base.into();
                return Ok(Some(RingState { index, value }.emit().to_vec()));
            }
            Request::SetRingKick(event) => {
                let fd = event_fd(event, fds.pop())?;
                let protocol = self.features & FEATURE_PROTOCOL != 0;
                let slot = self.stopped(event.index.into(), wake)?;
                forget_kick(slot, wake);
                slot.kick = fd;
                slot.started = true;
                // Without the protocol's features there is no request to enable a ring.
                slot.enabled |= !protocol;
            }
            Request::SetRingCall(event) => {
                let fd = event_fd(event, fds.pop())?;
                if let Some(fd) = &fd {
                    crate::worker::wake::set_nonblocking(fd);
                }
                self.slot(event.index.into())?.call = fd;
            }
            Request::SetRingError(event) => {
                self.slot(event.index.into())?;
            }
            Request::SetRingEnable(RingState { index, value }) => {
                self.stopped(index, wake)?.enabled = value != 0;
            }
            Request::SendRarp(_)
            | Request::GetInflight(_)
            | Request::SetInflight(_)
            | Request::SetStatus(_)
            | Request::GetStatus => return Err(Refused::NotOffered(code)),
        }
        Ok(None)
    }

    fn slot(&mut self, index: u32) -> Result<&mut Slot, Refused> {
        self.slots.get_mut(index as usize).ok_or(Refused::Queue(index))
    }

    /// A queue whose ring does not run now.
    fn stopped(&mut self, index: u32, wake: &Wake) -> Result<&mut Slot, Refused> {
        let slot = self.slot(index)?;
        stop(slot, wake);
        Ok(slot)
    }

    fn stop_rings(&mut self, wake: &Wake) {
        for slot in &mut self.slots {
            stop(slot, wake);
        }
    }

    /// Starts what has all that it takes.
    fn start_rings(&mut self, wake: &Wake) -> Result<(), Refused> {
        let event_index = self.features & FEATURE_EVENT_IDX != 0;
        for (index, slot) in self.slots.iter_mut().enumerate() {
            let Some(at) = slot.at else { continue };
            if slot.ring.is_some() || !slot.started || !slot.enabled || slot.size == 0 {
                continue;
            }
            let direction = if index == TO_GUEST { Direction::ToDriver } else { Direction::FromDriver };
            let RingAddresses { descriptors, available, used, .. } = at;
            let at = Addresses { descriptors, available, used };
            let parts = Parts::locate(&FrontEnd(&self.memory), slot.size, at)?;
            // SAFETY: rings are stopped before the memory that they lie in goes; the peer has no other device here.
            let mut ring = unsafe { DeviceQueue::new(parts, direction, event_index, slot.base) };
            // Chains are used in order and none is in hand, so the driver's own used index is right, whatever a front end
            // says that has forgotten how far it was. DPDK does the same.
            ring.resume_at_used();
            ring.disarm();
            slot.ring = Some(ring);
            if let (FROM_GUEST, Some(kick)) = (index, &slot.kick) {
                // It was checked to be an eventfd, which epoll takes.
                let _ = wake.add(kick.as_fd(), Interest::Edge, wake.port(), KICK);
            }
        }
        Ok(())
    }

    /// Ends it.
    pub fn close(mut self, wake: &Wake) {
        self.stop_rings(wake);
        for slot in &mut self.slots {
            forget_kick(slot, wake);
        }
        wake.remove(self.connection.as_fd());
        wake.retire(Box::new(self));
    }
}

/// Takes a ring out of use; its slot remembers how far it was.
fn stop(slot: &mut Slot, wake: &Wake) {
    if let Some(ring) = slot.ring.take() {
        slot.base = ring.next_available();
        if let Some(kick) = &slot.kick {
            wake.remove(kick.as_fd());
        }
    }
}

fn forget_kick(slot: &mut Slot, wake: &Wake) {
    if let Some(kick) = slot.kick.take() {
        wake.remove(kick.as_fd());
    }
}

/// The eventfd that came with a request, if it is one: writing to anything else might block.
fn event_fd(event: RingEvent, fd: Option<OwnedFd>) -> Result<Option<OwnedFd>, Refused> {
    let Some(fd) = fd.filter(|_| !event.no_descriptor) else {
        return Ok(None);
    };
    let link = std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()));
    match link {
        Ok(name) if name.as_os_str() == "anon_inode:[eventfd]" => Ok(Some(fd)),
        _ => Err(Refused::NotAnEvent(event.index.into())),
    }
}
