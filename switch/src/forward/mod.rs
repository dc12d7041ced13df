//! Where each packet goes. [`Forwarder::forward`] takes a batch that came in at a port and puts the numbers of its frames
//! on the lists of the ports that they leave by; the worker then sends each list.
//!
//! `binding` is anti-spoofing, `tables` is what the configuration says, `fdb` what was learned, `neighbours` answers for others, `hold` keeps packets
//! for who does not exist yet, `limit` has the token buckets.

mod binding;
pub mod fdb;
pub mod hold;
pub mod limit;
pub mod neighbours;
pub mod tables;

use crate::bond::Spread;
use crate::capture::CaptureSink;
use crate::counters::Reason;
use crate::frame::{Batch, Frame, Outgoing};
use crate::headers::{ETHERNET, ETHERTYPE_SLOW, Mac, is_tag};
use crate::offload::Offload;
use crate::port::PortId;
use fdb::{Fdb, Learned, SegmentId};
use limit::{Nanos, RateLimiter, TokenBucket};
use neighbours::Question;
use std::collections::HashMap;
use std::sync::Arc;
use tables::{Member, PortEntry, Rate, SegmentEntry, TableDelta, Tables};

/// Bytes of an Ethernet header's two addresses.
const ADDRESSES: usize = 12;

/// Work for the control thread, or for another thread, that forwarding a packet has come upon.
#[derive(Debug)]
pub enum SlowPathMessage {
    /// A frame of a link's own protocol (LACP) on a bond's link.
    Slow(PortId, Vec<u8>),
    /// An announced address is wanted: its name, and the packet for it, if there is one.
    Wanted(Arc<str>, Option<(Vec<u8>, Offload)>),
    /// An address was learned.
    Learned(SegmentId, Mac, PortId),
}

/// What a thread keeps for each port to forward its packets.
#[derive(Default)]
pub struct ForwardingState {
    flood: Option<TokenBucket>,
    /// Rate limit on what comes in.
    pub limit_in: RateLimiter,
    /// Rate limit on what goes out.
    pub limit_out: RateLimiter,
    /// Where copies of its packets go while somebody looks.
    pub captures: Vec<CaptureSink>,
    /// The other end of a point-to-point segment, if packets need no inspection at all.
    point_to_point_to: Option<PortId>,
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
    pub ports: Vec<ForwardingState>,
    /// Ports whose lists are not empty.
    touched: Vec<PortId>,
    /// Frames that the switch itself has made.
    pub answers: Option<Box<Batch>>,
    /// Where they go: not through the lists, which name frames of the batch that came in.
    pub answers_out: Vec<(PortId, Outgoing)>,
    /// What is to be told to others.
    pub slow_path: Vec<SlowPathMessage>,
    /// Frames of this batch whose destination does not exist yet: the announced address's name, the frame's place.
    held: Vec<(Arc<str>, u16)>,
    /// Whether there are other workers, who are told what was learned.
    pub shares: bool,
    /// Where alone the frame went that was forwarded last, and its VLAN there, if the next from the same address to the same
    /// goes there as well.
    repeats: Option<(PortId, u16)>,
}

fn limit(rate: Rate) -> RateLimiter {
    let bucket = |rate: u64, burst: u64| (rate > 0).then(|| TokenBucket::new(rate, burst));
    RateLimiter {
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
            slow_path: Vec::new(),
            held: Vec::new(),
            shares: false,
            repeats: None,
        }
    }

    /// Changes over to other tables. What was learned stays where it still holds.
    pub fn change(&mut self, old: &Tables, new: &Tables) {
        if old.addresses != new.addresses {
            self.fdb.resize(new.addresses);
        }
        self.fdb.set_limits(new.ageing, new.learn_limit);
        // Segments are numbered in the order of their names: a new one may move those behind it.
        let numbers: HashMap<&str, u32> =
            (0..).zip(&new.segments).map(|(n, s)| (s.name.as_str(), n)).collect();
        let moved: Vec<Option<SegmentId>> =
            old.segments.iter().map(|s| numbers.get(s.name.as_str()).copied().map(SegmentId)).collect();
        if (0..).zip(&moved).any(|(n, to)| *to != Some(SegmentId(n))) {
            self.fdb.renumber(|segment| moved.get(segment.0 as usize).copied().flatten());
        }
        self.fdb.retain(|segment, port| {
            let same_port = old.port(port).map(|p| &p.name) == new.port(port).map(|p| &p.name);
            let in_it = |s: &SegmentEntry| s.member(port).is_some();
            same_port && new.segment(segment).is_some_and(in_it)
        });
        for (&(segment, mac), &port) in &new.fixed {
            self.fdb.add_static(segment, mac, port);
        }
        self.ports.resize_with(new.ports.len(), ForwardingState::default);
        for index in 0..self.ports.len() {
            let id = PortId(index as u16);
            self.follow(id, old.port(id), new);
        }
    }

    /// A port's state follows the tables. `was` is the port before.
    fn follow(&mut self, id: PortId, was: Option<&PortEntry>, tables: &Tables) {
        let Some(state) = self.ports.get_mut(id.index()) else { return };
        let Some(port) = tables.port(id) else {
            *state = ForwardingState::default();
            return;
        };
        if was.is_none_or(|w| w.name != port.name) {
            *state = ForwardingState::default();
        }
        if was.is_none_or(|w| w.rate_in != port.rate_in) {
            state.limit_in = limit(port.rate_in);
        }
        if was.is_none_or(|w| w.rate_out != port.rate_out) {
            state.limit_out = limit(port.rate_out);
        }
        let segments = port.segments().filter_map(|(s, _)| tables.segment(s));
        let rate = segments.map(|s| s.flood_limit).filter(|&r| r > 0).min();
        // A bucket keeps its level while its rate stays.
        if state.flood.as_ref().map(TokenBucket::rate) != rate {
            state.flood = rate.map(|r| TokenBucket::new(r, (r / 10).max(32)));
        }
        state.point_to_point_to = point_to_point_to(tables, id, port);
    }

    /// Takes a change into the tables, and follows it. What it costs does not grow with what else is there.
    pub fn apply(&mut self, tables: &mut Tables, delta: &TableDelta) {
        match delta {
            TableDelta::PortAdded(id, entry) => {
                tables.apply(delta);
                self.ports.resize_with(tables.ports.len(), ForwardingState::default);
                if let Some(mac) = entry.mac {
                    entry.segments().for_each(|(segment, _)| self.fdb.add_static(segment, mac, *id));
                }
                self.follow(*id, None, tables);
                self.follow_wires(entry, tables);
            }
            TableDelta::PortRemoved(id) => {
                let Some(entry) = tables.port(*id).cloned() else { return };
                tables.apply(delta);
                if let Some(mac) = entry.mac {
                    entry.segments().for_each(|(segment, _)| self.fdb.remove_static(segment, mac));
                }
                self.fdb.forget_port(*id);
                self.follow(*id, None, tables);
                self.follow_wires(&entry, tables);
            }
            TableDelta::Announced(..) | TableDelta::Withdrawn(_) => tables.apply(delta),
        }
    }

    /// The ends of the point-to-point segments that a port is or was in follow.
    fn follow_wires(&mut self, entry: &PortEntry, tables: &Tables) {
        let wires = entry.segments().filter_map(|(s, _)| tables.segment(s)).filter(|s| s.point_to_point);
        for end in wires.flat_map(|s| &s.members) {
            self.follow(end.port, tables.port(end.port), tables);
        }
    }

    /// Queues a packet for a member of its segment: for one or all of the links if that is a bond.
    #[inline]
    fn emit(&mut self, packet: &PacketContext<'_>, to: &Member) {
        let Some(port) = packet.tables.port(to.port) else { return };
        // Without a tag of ours, one of the sender's would name a VLAN of the trunk.
        if to.vlan == 0 && !port.trunk.is_empty() && is_tag(packet.frame.ethertype()) {
            port.shared.count_drops(Reason::Vlan, 1);
            return;
        }
        let out = Outgoing { frame: packet.index, vlan: to.vlan };
        if let Some(bond) = &port.bond {
            match bond.spread() {
                Spread::Broadcast => bond.distributing().for_each(|link| self.push(link, out)),
                _ => match bond.pick(packet.frame.head()) {
                    Some(link) => self.push(link, out),
                    None => port.shared.count_drops(Reason::Down, 1),
                },
            }
        } else {
            self.push(to.port, out);
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

    /// The other end of the point-to-point segment that a port is on.
    #[inline]
    pub fn point_to_point_to(&self, port: PortId) -> Option<PortId> {
        self.ports.get(port.index())?.point_to_point_to
    }

    /// Decides where the frames of a batch go.
    pub fn forward(&mut self, tables: &Tables, from: PortId, batch: &mut Batch, now: Now) {
        let Some(state) = self.ports.get_mut(from.index()) else { return };
        if !state.captures.is_empty() {
            state.captures.retain(|sink| batch.frames().iter().all(|f| sink.capture(batch, f, 0, true)));
        }
        if let (Some(to), true) = (state.point_to_point_to, state.captures.is_empty()) {
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
        // Packets of a burst are often all between the same two: then the first decides for those behind it.
        let is_plain = port.trunk.is_empty()
            && port.mirror.is_none()
            && port.bound_to.is_none()
            && port.master.is_none()
            && port.bond.is_none();
        let mut last: Option<([u8; ADDRESSES], (PortId, u16))> = None;
        for (index, frame) in batch.frames_mut().iter_mut().enumerate() {
            if let Some((addresses, (to, vlan))) = last
                && frame.head().first_chunk() == Some(&addresses)
                && !is_tag(frame.ethertype())
                && frame.head().len() >= ETHERNET
            {
                self.push(to, Outgoing { frame: index as u16, vlan });
                continue;
            }
            let count = |reason| port.shared.count_drops(reason, 1);
            if frame.head().len() < ETHERNET {
                count(Reason::Malformed);
                continue;
            }
            if let Some(bond) = &master.bond {
                if frame.ethertype() == ETHERTYPE_SLOW && frame.destination().is_link_local() {
                    self.slow_path.push(SlowPathMessage::Slow(from, frame.head().to_vec()));
                    continue;
                }
                if !bond.collects(from) {
                    count(Reason::Backup);
                    continue;
                }
            }
            self.repeats = None;
            if let Err(reason) = self.forward_frame(tables, logical, master, index as u16, frame, now) {
                count(reason);
            }
            let repeats = self.repeats.filter(|_| is_plain);
            last = repeats.and_then(|to| Some((*frame.head().first_chunk()?, to)));
        }
        self.copy_held(batch);
    }

    /// Packets that have to wait are copied: their batch goes.
    fn copy_held(&mut self, batch: &Batch) {
        for (announced, index) in self.held.drain(..) {
            if let Some(frame) = batch.frames().get(usize::from(index)) {
                let mut bytes = Vec::with_capacity(frame.length());
                batch.copy_out(frame, 0, &mut bytes);
                self.slow_path.push(SlowPathMessage::Wanted(announced, Some((bytes, frame.offload))));
            }
        }
    }

    /// Forwards one frame of a logical port.
    fn forward_frame(
        &mut self,
        tables: &Tables,
        from: PortId,
        port: &PortEntry,
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
        let packet = PacketContext { tables, from, id, segment, index, frame, now };
        if segment.point_to_point {
            let other = segment.members.iter().find(|m| m.port != from).ok_or(Reason::NoOther)?;
            self.emit(&packet, other);
            return Ok(());
        }
        if destination.is_link_local() {
            return Err(Reason::LinkLocal);
        }
        let source = frame.source();
        if !source.is_group()
            && matches!(self.fdb.learn(id, source, from, now.seconds), Learned::New | Learned::Refreshed)
            && self.shares
        {
            self.slow_path.push(SlowPathMessage::Learned(id, source, from));
        }
        if destination.is_group() { self.group(&packet) } else { self.unicast(&packet) }
    }

    fn unicast(&mut self, packet: &PacketContext<'_>) -> Result<(), Reason> {
        let destination = packet.frame.destination();
        let found = self.fdb.find(packet.id, destination, packet.now.seconds);
        let is_up = found.and_then(|p| packet.tables.port(p)).is_some_and(|p| p.shared.is_up());
        if !is_up && let Some(announced) = packet.tables.announced_at.get(&(packet.id, destination)) {
            self.held.push((announced.clone(), packet.index));
            return Ok(());
        }
        match found {
            Some(to) if to == packet.from => Err(Reason::NoOther),
            Some(to) => {
                let vlan = packet.vlan_at(to);
                self.emit(packet, &Member { port: to, vlan });
                let port = packet.tables.port(to);
                let is_plain = port.is_some_and(|p| {
                    p.bond.is_none() && p.mirror.is_none() && (vlan != 0 || p.trunk.is_empty())
                });
                self.repeats = is_plain.then_some((to, vlan));
                Ok(())
            }
            None => self.flood(packet, Audience::Everyone),
        }
    }

    fn group(&mut self, packet: &PacketContext<'_>) -> Result<(), Reason> {
        if !packet.segment.answers {
            return self.flood(packet, Audience::Everyone);
        }
        let question = Question::parse(packet.frame.head(), packet.frame.ethertype());
        let Some(question) = question else {
            return self.flood(packet, Audience::Everyone);
        };
        let Some(mac) = question.owner(packet.tables, packet.id) else {
            return self.flood(packet, Audience::UnassignedPorts);
        };
        if let Some(announced) = packet.tables.announced_at.get(&(packet.id, mac)) {
            self.slow_path.push(SlowPathMessage::Wanted(announced.clone(), None));
        }
        let vlan = packet.vlan_at(packet.from);
        let answer = question.answer(mac);
        let bond = packet.tables.port(packet.from).and_then(|p| p.bond.as_ref());
        let to = bond.map_or(Some(packet.from), |bond| bond.pick(&answer));
        if let (Some(to), Some(answers)) = (to, &mut self.answers)
            && answers.push_bytes(&answer, Offload::default())
        {
            let frame = answers.len() as u16 - 1;
            self.answers_out.push((to, Outgoing { frame, vlan }));
        }
        Ok(())
    }

    fn flood(&mut self, packet: &PacketContext<'_>, audience: Audience) -> Result<(), Reason> {
        if let Some(bucket) = self.ports.get_mut(packet.from.index()).and_then(|s| s.flood.as_mut())
            && !bucket.take(1, packet.now.nanos)
        {
            return Err(Reason::Storm);
        }
        for member in packet.segment.members.iter().filter(|m| m.port != packet.from) {
            let Some(port) = packet.tables.port(member.port) else { continue };
            // What is down would only count what it does not get.
            if !port.shared.is_up() || (audience == Audience::UnassignedPorts && port.assigned) {
                continue;
            }
            self.emit(packet, member);
        }
        Ok(())
    }
}

/// A frame that is being forwarded, and what its way depends on.
struct PacketContext<'a> {
    tables: &'a Tables,
    /// The logical port where it came in: the bond, if that is one of a bond's links.
    from: PortId,
    /// The segment that it is in.
    id: SegmentId,
    segment: &'a SegmentEntry,
    /// The frame's index in its batch.
    index: u16,
    /// The frame, without its tag.
    frame: &'a Frame,
    now: Now,
}

impl PacketContext<'_> {
    /// The VLAN ID of the packet's segment at a port; 0 if frames have no tag there.
    #[inline]
    fn vlan_at(&self, port: PortId) -> u16 {
        self.segment.member(port).map_or(0, |m| m.vlan)
    }
}

/// Who gets a flooded frame.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Audience {
    /// All other ports of the segment.
    Everyone,
    /// Only ports that may have addresses the configuration does not know: the others do not have the address asked for.
    UnassignedPorts,
}

/// The segment that a frame is in; its tag is taken off.
#[inline]
fn classify(tables: &Tables, port: &PortEntry, frame: &mut Frame) -> Result<SegmentId, Reason> {
    if port.trunk.is_empty() {
        let native = port.native.ok_or(Reason::Vlan)?;
        if tables.segment(native).is_some_and(|s| s.point_to_point) {
            return Ok(native);
        }
        return match frame.take_tag() {
            None if frame.ends_within_tag() => Err(Reason::Malformed),
            // A tag with number 0 is only a priority (IEEE 802.1Q section 6.9).
            Some(0) if is_tag(frame.ethertype()) => Err(Reason::Vlan),
            None | Some(0) => Ok(native),
            Some(_) => Err(Reason::Vlan),
        };
    }
    match frame.take_tag() {
        None if frame.ends_within_tag() => Err(Reason::Malformed),
        // What is behind a priority tag would become the outer tag.
        Some(0) if is_tag(frame.ethertype()) => Err(Reason::Vlan),
        None | Some(0) => port.native.ok_or(Reason::Vlan),
        Some(vlan) => {
            let place = port.trunk.binary_search_by_key(&vlan, |t| t.0).map_err(|_| Reason::Vlan)?;
            Ok(port.trunk[place].1)
        }
    }
}

/// The other end of a point-to-point segment, if the port's packets need no inspection at all.
fn point_to_point_to(tables: &Tables, id: PortId, port: &PortEntry) -> Option<PortId> {
    let segment = port.native.and_then(|s| tables.segment(s))?;
    let plain = port.trunk.is_empty()
        && port.bound_to.is_none()
        && port.bond.is_none()
        && port.master.is_none()
        && port.mirror.is_none();
    if !plain || !segment.point_to_point {
        return None;
    }
    let other = segment.members.iter().find(|m| m.port != id).filter(|m| m.vlan == 0)?.port;
    let far = tables.port(other)?;
    (far.bond.is_none() && far.mirror.is_none() && far.trunk.is_empty()).then_some(other)
}

#[cfg(test)]
mod tests;
