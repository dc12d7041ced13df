//! Where each packet goes. [`Forwarder::forward`] takes a batch that came in at a port and puts the numbers of its frames
//! on the lists of the ports that they leave by; the worker then sends each list.
//!
//! `tables` is what the configuration says, `fdb` what was learned, `neighbours` answers for others, `hold` keeps packets
//! for who does not exist yet, `limit` has the token buckets.

pub mod fdb;
pub mod hold;
pub mod limit;
pub mod neighbours;
pub mod tables;

use crate::bond::Spread;
use crate::capture::Tap;
use crate::counters::Reason;
use crate::frame::{Batch, Frame, Outgoing};
use crate::offload::Offload;
use crate::port::PortId;
use crate::wire::{ETHERNET, ETHERTYPE_ARP, ETHERTYPE_IPV6, ETHERTYPE_SLOW, Mac, arp, ip, ndp};
use fdb::{Fdb, Learned, SegmentId};
use limit::{Bucket, Limit, Nanos};
use neighbours::Question;
use std::net::IpAddr;
use tables::{Binding, Port, Rate, Segment, Tables};

/// What a packet comes to beside being sent.
#[derive(Debug)]
pub enum Aside {
    /// A frame of a link's own protocol (LACP) on a bond's link.
    Slow(PortId, Vec<u8>),
    /// An announced address is wanted: its place in the list, and the packet for it, if there is one.
    Wanted(usize, Option<(Vec<u8>, Offload)>),
    /// An address was learned.
    Learned(SegmentId, Mac, PortId),
}

/// What is kept for a port beside its tables.
#[derive(Default)]
pub struct PortState {
    flood: Option<Bucket>,
    /// Limit on what comes in.
    pub limit_in: Limit,
    /// Limit on what goes out.
    pub limit_out: Limit,
    /// Where copies of its packets go while somebody looks.
    pub tap: Option<Tap>,
    /// The other end of a wire, if packets need no look at all.
    wire_to: Option<PortId>,
    out: Vec<Outgoing>,
}

/// The time, as a worker has it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Now {
    /// Nanoseconds since the worker began.
    pub nanos: Nanos,
    /// The same in seconds.
    pub seconds: u32,
}

/// One worker's forwarding.
pub struct Forwarder {
    /// What was learned.
    pub fdb: Fdb,
    /// By port number.
    pub ports: Vec<PortState>,
    /// Ports whose lists are not empty.
    touched: Vec<PortId>,
    /// Frames that the switch itself has made.
    pub answers: Option<Box<Batch>>,
    /// Where they go: not through the lists, which name frames of the batch that came in.
    pub answers_out: Vec<(PortId, Outgoing)>,
    /// What is to be told to others.
    pub asides: Vec<Aside>,
    /// Frames of this batch whose destination does not exist yet: the announced address's place, the frame's.
    held: Vec<(usize, u16)>,
    /// Whether there are other workers, who are told what was learned.
    pub shares: bool,
}

fn limit(rate: Rate) -> Limit {
    let bucket = |rate: u64, burst: u64| (rate > 0).then(|| Bucket::new(rate, burst));
    Limit {
        bytes: bucket(rate.bytes, rate.burst),
        packets: bucket(rate.packets, (rate.packets / 100).max(64)),
    }
}

impl Forwarder {
    /// Nothing learned, no tables.
    pub fn new(keys: [u64; 2]) -> Self {
        Self {
            fdb: Fdb::new(64, 300, 1024, keys),
            ports: Vec::new(),
            touched: Vec::new(),
            answers: Some(Box::default()),
            answers_out: Vec::new(),
            asides: Vec::new(),
            held: Vec::new(),
            shares: false,
        }
    }

    /// Changes over to other tables. What was learned stays where it still holds.
    pub fn change(&mut self, old: &Tables, new: &Tables) {
        if old.addresses != new.addresses {
            self.fdb.resize(new.addresses);
        }
        self.fdb.set_limits(new.ageing, new.learn_limit);
        self.fdb.keep(|segment, port| {
            let name = |t: &Tables| t.segment(segment).map(|s| s.name.clone());
            let same_port = old.port(port).map(|p| &p.name) == new.port(port).map(|p| &p.name);
            let in_it = |s: &Segment| s.members.iter().any(|m| m.port == port);
            name(old) == name(new) && same_port && new.segment(segment).is_some_and(in_it)
        });
        for &(segment, mac, port) in &new.fixed {
            self.fdb.fix(segment, mac, port);
        }
        self.ports.resize_with(new.ports.len(), PortState::default);
        for (index, state) in self.ports.iter_mut().enumerate() {
            let id = PortId(index as u16);
            let (was, is) = (old.port(id), new.port(id));
            let Some(port) = is else {
                *state = PortState::default();
                continue;
            };
            if was.is_none_or(|w| w.name != port.name) {
                *state = PortState::default();
            }
            if was.is_none_or(|w| w.rate_in != port.rate_in) {
                state.limit_in = limit(port.rate_in);
            }
            if was.is_none_or(|w| w.rate_out != port.rate_out) {
                state.limit_out = limit(port.rate_out);
            }
            let segments = port.native.iter().chain(port.trunk.iter().map(|(_, s)| s));
            let rate =
                segments.filter_map(|&s| new.segment(s)).map(|s| s.flood_limit).filter(|&r| r > 0).min();
            state.flood = rate.map(|r| Bucket::new(r, (r / 10).max(32)));
            state.wire_to = wire_to(new, id, port);
        }
    }

    /// Puts a frame on a port's list; on those of its links if it is a bond.
    #[inline]
    fn emit(&mut self, tables: &Tables, to: PortId, head: &[u8], out: Outgoing) {
        let Some(port) = tables.port(to) else { return };
        if let Some(bond) = &port.bond {
            match bond.spread() {
                Spread::Broadcast => bond.distributing().for_each(|link| self.push(link, out)),
                _ => match bond.pick(head) {
                    Some(link) => self.push(link, out),
                    None => port.shared.lost(Reason::Down, 1),
                },
            }
        } else {
            self.push(to, out);
        }
        if let Some(mirror) = port.mirror {
            self.push(mirror, out);
        }
    }

    #[inline]
    fn push(&mut self, to: PortId, out: Outgoing) {
        if let Some(state) = self.ports.get_mut(to.index()) {
            if state.out.is_empty() {
                self.touched.push(to);
            }
            state.out.push(out);
        }
    }

    /// The next port whose list is not empty, and the list, to be returned by [`Forwarder::recycle`].
    #[inline]
    pub fn next_out(&mut self) -> Option<(PortId, Vec<Outgoing>)> {
        let port = self.touched.pop()?;
        Some((port, std::mem::take(&mut self.ports[port.index()].out)))
    }

    /// Takes a list back, to be filled again.
    #[inline]
    pub fn recycle(&mut self, port: PortId, mut list: Vec<Outgoing>) {
        list.clear();
        self.ports[port.index()].out = list;
    }

    /// The port at the other end of the wire that a port is on.
    #[inline]
    pub fn wire_to(&self, port: PortId) -> Option<PortId> {
        self.ports.get(port.index())?.wire_to
    }

    /// Decides where the frames of a batch go.
    pub fn forward(&mut self, tables: &Tables, from: PortId, batch: &mut Batch, now: Now) {
        let Some(state) = self.ports.get_mut(from.index()) else { return };
        if let Some(tap) = &state.tap
            && !batch.frames().iter().all(|f| tap.see(batch, f, 0, true))
        {
            state.tap = None;
        }
        if let (Some(to), None) = (state.wire_to, &state.tap) {
            for frame in 0..batch.len() as u16 {
                self.push(to, Outgoing { frame, vlan: 0 });
            }
            return;
        }
        let Some(port) = tables.port(from) else { return };
        let (logical, master) = match port.master.and_then(|m| Some((m, tables.port(m)?))) {
            Some((id, master)) => (id, master),
            None => (from, port),
        };
        for (index, frame) in batch.frames_mut().iter_mut().enumerate() {
            let count = |reason| port.shared.lost(reason, 1);
            if frame.head().len() < ETHERNET {
                count(Reason::Malformed);
                continue;
            }
            if let Some(bond) = &master.bond {
                if frame.ethertype() == ETHERTYPE_SLOW && frame.destination().is_link_local() {
                    self.asides.push(Aside::Slow(from, frame.head().to_vec()));
                    continue;
                }
                if !bond.collects(from) {
                    count(Reason::Backup);
                    continue;
                }
            }
            if let Err(reason) = self.place(tables, logical, master, index as u16, frame, now) {
                count(reason);
            }
        }
        self.copy_held(batch);
    }

    /// Packets that have to wait are copied: their batch goes.
    fn copy_held(&mut self, batch: &Batch) {
        for (announced, index) in self.held.drain(..) {
            if let Some(frame) = batch.frames().get(usize::from(index)) {
                let mut bytes = Vec::with_capacity(frame.length());
                batch.copy_out(frame, 0, &mut bytes);
                self.asides.push(Aside::Wanted(announced, Some((bytes, frame.offload))));
            }
        }
    }

    /// One frame of a logical port.
    fn place(
        &mut self,
        tables: &Tables,
        from: PortId,
        port: &Port,
        index: u16,
        frame: &mut Frame,
        now: Now,
    ) -> Result<(), Reason> {
        let id = classify(tables, port, frame)?;
        let segment = tables.segment(id).ok_or(Reason::Vlan)?;
        if let Some(mirror) = port.mirror {
            self.push(mirror, Outgoing { frame: index, vlan: frame.tag & 0xfff });
        }
        if let Some(binding) = &port.bound_to
            && !binding.allows(frame)
        {
            return Err(Reason::Spoofed);
        }
        let destination = frame.destination();
        if segment.wire {
            let others = segment.members.iter().filter(|m| m.port != from);
            let other = others.copied().next().ok_or(Reason::NoOther)?;
            self.emit(tables, other.port, frame.head(), Outgoing { frame: index, vlan: other.vlan });
            return Ok(());
        }
        if destination.is_link_local() {
            return Err(Reason::LinkLocal);
        }
        let source = frame.source();
        if !source.is_group() && self.fdb.learn(id, source, from, now.seconds) == Learned::New && self.shares
        {
            self.asides.push(Aside::Learned(id, source, from));
        }
        if destination.is_group() {
            return self.group(tables, from, id, segment, index, frame, now);
        }
        self.unicast(tables, from, id, segment, index, frame, now)
    }

    #[expect(clippy::too_many_arguments, reason = "a packet's place is known by all of these")]
    fn unicast(
        &mut self,
        tables: &Tables,
        from: PortId,
        id: SegmentId,
        segment: &Segment,
        index: u16,
        frame: &Frame,
        now: Now,
    ) -> Result<(), Reason> {
        let destination = frame.destination();
        let found = self.fdb.find(id, destination, now.seconds);
        let is_up = found.and_then(|p| tables.port(p)).is_some_and(|p| p.shared.is_up());
        if !is_up && let Some(&announced) = tables.announced_at.get(&(id, destination)) {
            self.held.push((announced, index));
            return Ok(());
        }
        match found {
            Some(to) if to == from => Err(Reason::NoOther),
            Some(to) => {
                let member = segment.members.iter().find(|m| m.port == to);
                let vlan = member.map_or(0, |m| m.vlan);
                self.emit(tables, to, frame.head(), Outgoing { frame: index, vlan });
                Ok(())
            }
            None => self.flood(tables, from, segment, index, frame, now, false),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "a packet's place is known by all of these")]
    fn group(
        &mut self,
        tables: &Tables,
        from: PortId,
        id: SegmentId,
        segment: &Segment,
        index: u16,
        frame: &Frame,
        now: Now,
    ) -> Result<(), Reason> {
        if !segment.answers {
            return self.flood(tables, from, segment, index, frame, now, false);
        }
        let question = Question::parse(frame.head(), frame.ethertype());
        let Some(question) = question else {
            return self.flood(tables, from, segment, index, frame, now, false);
        };
        let Some(mac) = question.owner(tables, id) else {
            // Ports whose addresses are all assigned do not have it.
            return self.flood(tables, from, segment, index, frame, now, true);
        };
        if let Some(&announced) = tables.announced_at.get(&(id, mac)) {
            self.asides.push(Aside::Wanted(announced, None));
        }
        let vlan = segment.members.iter().find(|m| m.port == from).map_or(0, |m| m.vlan);
        let answer = question.answer(mac);
        let link = tables.port(from).and_then(|p| p.bond.as_ref());
        let to = link.map_or(Some(from), |bond| bond.pick(&answer));
        if let (Some(to), Some(answers)) = (to, &mut self.answers)
            && answers.push_bytes(&answer, Offload::default())
        {
            let frame = answers.len() as u16 - 1;
            self.answers_out.push((to, Outgoing { frame, vlan }));
        }
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "a packet's place is known by all of these")]
    fn flood(
        &mut self,
        tables: &Tables,
        from: PortId,
        segment: &Segment,
        index: u16,
        frame: &Frame,
        now: Now,
        not_assigned: bool,
    ) -> Result<(), Reason> {
        if let Some(bucket) = self.ports.get_mut(from.index()).and_then(|s| s.flood.as_mut())
            && !bucket.take(1, now.nanos)
        {
            return Err(Reason::Storm);
        }
        for member in &segment.members {
            if member.port == from {
                continue;
            }
            let Some(port) = tables.port(member.port) else { continue };
            // What is down would only count what it does not get.
            if !port.shared.is_up() || (not_assigned && port.assigned) {
                continue;
            }
            self.emit(tables, member.port, frame.head(), Outgoing { frame: index, vlan: member.vlan });
        }
        Ok(())
    }
}

/// The segment that a frame is in; its tag is taken off.
#[inline]
fn classify(tables: &Tables, port: &Port, frame: &mut Frame) -> Result<SegmentId, Reason> {
    if port.trunk.is_empty() {
        let native = port.native.ok_or(Reason::Vlan)?;
        if tables.segment(native).is_some_and(|s| s.wire) {
            return Ok(native);
        }
        return match frame.take_tag() {
            // A tag with number 0 is only a priority (IEEE 802.1Q section 6.9).
            None | Some(0) => Ok(native),
            Some(_) => Err(Reason::Vlan),
        };
    }
    match frame.take_tag() {
        None | Some(0) => port.native.ok_or(Reason::Vlan),
        Some(vlan) => {
            let place = port.trunk.binary_search_by_key(&vlan, |t| t.0).map_err(|_| Reason::Vlan)?;
            Ok(port.trunk[place].1)
        }
    }
}

/// The other end, if a port is on a wire and nothing is asked of its packets.
fn wire_to(tables: &Tables, id: PortId, port: &Port) -> Option<PortId> {
    let segment = port.native.and_then(|s| tables.segment(s))?;
    let plain = port.trunk.is_empty()
        && port.bound_to.is_none()
        && port.bond.is_none()
        && port.master.is_none()
        && port.mirror.is_none();
    if !plain || !segment.wire {
        return None;
    }
    let other = segment.members.iter().find(|m| m.port != id).filter(|m| m.vlan == 0)?.port;
    let far = tables.port(other)?;
    (far.bond.is_none() && far.mirror.is_none()).then_some(other)
}

impl Binding {
    /// Whether a frame comes from the addresses that it may come from.
    fn allows(&self, frame: &Frame) -> bool {
        if frame.source() != self.mac {
            return false;
        }
        let head = frame.head();
        let mine = |a: IpAddr| self.addresses.is_empty() || self.addresses.contains(&a);
        match frame.ethertype() {
            ETHERTYPE_ARP => arp::Arp::parse(head).is_some_and(|a| {
                // A probe (RFC 5227) has no sender yet.
                a.sender.0 == self.mac && (a.sender.1.is_unspecified() || mine(a.sender.1.into()))
            }),
            ETHERTYPE_IPV6 if ndp::advertised(head).is_some_and(|a| !mine(a.into())) => false,
            _ => match ip::source(head) {
                None => true,
                Some(IpAddr::V4(a)) => a.is_unspecified() || mine(a.into()),
                Some(IpAddr::V6(a)) => a.is_unspecified() || a == link_local(self.mac) || mine(a.into()),
            },
        }
    }
}

/// The link-local address that a station makes from its MAC (RFC 4291 appendix A).
fn link_local(mac: Mac) -> std::net::Ipv6Addr {
    let [a, b, c, d, e, f] = mac.0;
    std::net::Ipv6Addr::from([0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f])
}
