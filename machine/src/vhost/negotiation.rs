//! The order of the messages: what a back end can do, then all that it needs to begin, or to go on. A back end is asked ahead
//! and its answers are taken when they are needed; what it is told then is acknowledged once, at the end.

use super::requests::Requester;
use super::watchdog::Watchdog;
use super::{MONITOR_FEATURES, VhostError, usable};
use crate::memory::{GuestPhys, Region};
use crate::net::feature_names;
use abi::boot::Queue;
use abi::net::FEATURE_VERSION_1;
use abi::virtqueue::USED_INDEX;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use vhost_user::message::{Inflight, MemoryRegion, Request, RingAddresses, RingEvent, RingState};
use vhost_user::{FEATURE_PROTOCOL, protocol};

/// How long a back end may take for each of the two parts.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Rings of a device: receive and transmit.
const RINGS: u32 = 2;
/// Parts of the protocol that are of use here. One region of memory needs no slots (`CONFIGURE_MEM_SLOTS`).
const PROTOCOL: u64 = protocol::REPLY_ACK | protocol::MTU | protocol::INFLIGHT_SHMFD;

/// A conversation whose back end has been asked what it can do; nothing of it has been read.
pub struct PendingSession(Requester);

impl PendingSession {
    /// Asks a new back end.
    pub fn new(stream: UnixStream) -> Result<Self, VhostError> {
        let mut requester = Requester::new(stream, TIMEOUT)?;
        requester.send(&Request::SetOwner, &[])?;
        requester.send(&Request::GetFeatures, &[])?;
        Ok(Self(requester))
    }

    /// Its answer. Which parts of the protocol it has is asked next.
    pub fn session(self) -> Result<Session, VhostError> {
        let Self(mut requester) = self;
        requester.extend(TIMEOUT);
        let offered = requester.answer_u64("which features it offers", &Request::GetFeatures)?;
        if offered & FEATURE_VERSION_1 == 0 {
            return Err(VhostError::NoVersion1);
        }
        if offered & FEATURE_PROTOCOL != 0 {
            requester.send(&Request::GetProtocolFeatures, &[])?;
        }
        Ok(Session { requester, offered, protocol: None })
    }
}

/// A conversation whose back end has said what it can do.
pub struct Session {
    requester: Requester,
    /// Feature bits of virtio that it offers. With those of the protocol, the answer to which parts is still to come at first.
    pub offered: u64,
    /// Parts of the protocol that both sides have, once they are settled.
    protocol: Option<u64>,
}

impl Session {
    /// Settles the parts of the protocol that both sides have.
    fn protocol(&mut self) -> Result<u64, VhostError> {
        if let Some(protocol) = self.protocol {
            return Ok(protocol);
        }
        if self.offered & FEATURE_PROTOCOL == 0 {
            return Ok(*self.protocol.insert(0));
        }
        let asked =
            self.requester.answer_u64("which parts of the protocol it has", &Request::GetProtocolFeatures)?;
        let protocol = asked & PROTOCOL;
        self.requester.send(&Request::SetProtocolFeatures(protocol), &[])?;
        Ok(*self.protocol.insert(protocol))
    }

    /// Waits until it is gone, or until one of these can be read or so much time is over: `Ok`.
    pub fn wait_closed_or(
        &mut self,
        told: &[BorrowedFd<'_>],
        most: Option<Duration>,
    ) -> Result<(), VhostError> {
        // Its first answer is part of the conversation.
        self.requester.extend(TIMEOUT);
        self.protocol()?;
        self.requester.wait_closed(told, most)
    }
}

/// What a back end works on, the same for each that comes.
pub struct Device {
    /// Guest memory, as this process has it.
    pub memory: Arc<Region>,
    /// The file behind it.
    pub file: Arc<OwnedFd>,
    /// Receive and transmit queue.
    pub queues: [Queue; 2],
    /// Features that the guest was given.
    pub features: u64,
    /// Largest layer-3 packet, bytes.
    pub mtu: u16,
    /// Eventfds that the doorbells of the two queues signal.
    pub kicks: [File; 2],
    /// Wakes the guest: an eventfd.
    pub call: File,
    /// The area in which a back end notes what it works on, kept for the next.
    pub inflight: Option<(Inflight, OwnedFd)>,
}

impl Device {
    /// Has a back end begin, or go on from where the last one had come to. Whether it does is said by [`Attaching::finish`].
    pub fn attach(&mut self, mut session: Session) -> Result<Attaching, VhostError> {
        session.requester.extend(TIMEOUT);
        let protocol = session.protocol()?;
        let Session { mut requester, offered, .. } = session;
        let missing = self.features & !usable(offered);
        if missing != 0 {
            return Err(VhostError::MissingFeatures(feature_names(missing).join(", ")));
        }
        if protocol & protocol::INFLIGHT_SHMFD != 0 {
            self.share_inflight(&mut requester)?;
        }
        let features = (self.features & !MONITOR_FEATURES) | (offered & FEATURE_PROTOCOL);
        requester.send(&Request::SetFeatures(features), &[])?;
        if protocol & protocol::MTU != 0 {
            requester.send(&Request::SetMtu(self.mtu.into()), &[])?;
        }
        let start = self.memory.start().0;
        // Rings are named by the guest's addresses: where memory lies in this process is nobody's business.
        let region = MemoryRegion {
            guest_address: start,
            length: self.memory.length(),
            user_address: start,
            offset: 0,
        };
        requester.send(&Request::SetMemoryTable(vec![region]), &[self.file.as_fd()])?;
        for index in 0..self.queues.len() {
            self.set_up_ring(&mut requester, index)?;
        }
        let mut last = None;
        if offered & FEATURE_PROTOCOL != 0 {
            let enable = |index: usize| Request::SetRingEnable(RingState { index: index as u32, value: 1 });
            let end = self.queues.len() - 1;
            for index in 0..end {
                requester.send(&enable(index), &[])?;
            }
            if protocol & protocol::REPLY_ACK != 0 {
                requester.send_acknowledged(&enable(end))?;
                last = Some(enable(end));
            } else {
                requester.send(&enable(end), &[])?;
            }
        }
        Ok(Attaching { session: Session { requester, offered, protocol: Some(protocol) }, last })
    }

    /// Signals kicks and call ahead of a back end: for what the guest rang while nobody listened, and what the last
    /// back end did not call for. A back end that was there before has these eventfds, too, and may have made them
    /// blocking and filled them.
    pub fn signal(&self, watchdog: &Watchdog) {
        for mut event in self.kicks.iter().chain([&self.call]) {
            // An eventfd that is full has been signalled.
            let _ = watchdog.bound(|| event.write(&1u64.to_ne_bytes()));
        }
    }

    fn share_inflight(&mut self, requester: &mut Requester) -> Result<(), VhostError> {
        if self.inflight.is_none() {
            let queues = self.queues.len() as u16;
            let queue_size = self.queues[0].size as u16;
            let wanted = Inflight { size: 0, offset: 0, queues, queue_size };
            let name = "for the inflight area";
            let mut message = requester.request(name, &Request::GetInflight(wanted))?;
            let area = Inflight::parse(&message.payload)?;
            let Some(file) = message.descriptors.pop().filter(|_| message.descriptors.is_empty()) else {
                return Err(VhostError::UnexpectedAnswer(name));
            };
            // This side never looks into it: whatever the file is, it is the back end's own.
            self.inflight = Some((Inflight { queues, queue_size, ..area }, file));
        }
        match &self.inflight {
            Some((area, file)) => requester.send(&Request::SetInflight(*area), &[file.as_fd()]),
            None => Ok(()),
        }
    }

    fn set_up_ring(&self, requester: &mut Requester, index: usize) -> Result<(), VhostError> {
        let queue = &self.queues[index];
        let used = GuestPhys(queue.used + USED_INDEX);
        // Where an in-order back end had come to; 0 for a guest that has not run yet.
        let base = self.memory.word16(used).map_err(|_| VhostError::Ring(used))?.load(Ordering::Acquire);
        let (ring, event) = (index as u32, RingEvent { index: index as u8, no_descriptor: false });
        let state = |value| RingState { index: ring, value };
        requester.send(&Request::SetRingSize(state(queue.size)), &[])?;
        requester.send(&Request::SetRingBase(state(base.into())), &[])?;
        let addresses = RingAddresses {
            index: ring,
            flags: 0,
            descriptors: queue.descriptors,
            used: queue.used,
            available: queue.available,
            log: 0,
        };
        requester.send(&Request::SetRingAddresses(addresses), &[])?;
        requester.send(&Request::SetRingCall(event), &[self.call.as_fd()])?;
        requester.send(&Request::SetRingKick(event), &[self.kicks[index].as_fd()])
    }
}

/// A back end that has been told all that it needs.
pub struct Attaching {
    session: Session,
    /// The request that it acknowledges, if it can.
    last: Option<Request>,
}

impl Attaching {
    /// Waits until it has done everything that it was told.
    pub fn finish(mut self) -> Result<Attached, VhostError> {
        if let Some(last) = &self.last {
            self.session.requester.acknowledgement("what it was told", last)?;
        }
        Ok(Attached(self.session))
    }
}

/// A back end at work.
pub struct Attached(Session);

impl Attached {
    /// Waits until it is gone.
    pub fn wait_closed(mut self) -> VhostError {
        match self.0.requester.wait_closed(&[], None) {
            Ok(()) => VhostError::Closed,
            Err(e) => e,
        }
    }

    /// Waits until it is gone, or until this can be read or so much time is over: `Ok`.
    pub fn wait_closed_or(&mut self, told: BorrowedFd<'_>, most: Option<Duration>) -> Result<(), VhostError> {
        self.0.requester.wait_closed(&[told], most)
    }

    /// Has it leave the rings alone: it touches them no more when this returns, and can be told to begin anew.
    pub fn stop(self) -> Result<Session, VhostError> {
        let Self(mut session) = self;
        session.requester.extend(TIMEOUT);
        for index in 0..RINGS {
            // Where it had come to is in the guest's used ring, and no longer matters.
            session
                .requester
                .request("where a ring had come to", &Request::GetRingBase(RingState { index, value: 0 }))?;
        }
        Ok(session)
    }
}
