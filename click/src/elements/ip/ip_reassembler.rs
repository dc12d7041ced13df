use super::header;
use crate::args::Args;
use crate::element::{Context, Element, Nanos, read};
use crate::headers::checksum;
use crate::packet::{Batch, Packet};
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::any::Any;

/// How long fragments wait for the others (RFC 1122, section 3.3.2).
const REASSEMBLY_TIMEOUT: Nanos = 30_000_000_000;
/// Fragments of one packet.
const PIECES: usize = 1024;

crate::element! {
    /// Puts fragments of IP packets together again.
    ///
    /// The header is found by the IP header annotation. Packets that are whole pass at once; others wait, up to 30
    /// seconds. A packet whose fragments overlap is given up. Fragments given up leave by output 1, or are dropped if it
    /// is not there.
    ///
    /// # Arguments
    /// `MAX_MEM` or `HIMEM` (4 MB): bytes of fragments that may wait; beyond, the oldest are given up.
    ///
    /// # Handlers
    /// `waiting`: packets of which fragments wait. `reassembled`: packets put together. `drops`: fragments given up.
    IPReassembler "1/1-2" "h/h"
    keywords ["MAX_MEM", "HIMEM"]
    handlers [read("waiting"), read("reassembled"), read("drops")]
    { most: usize, held: usize, waiting: BTreeMap<Key, Pieces>, reassembled: u64, drops: u64 }
}

/// Source, destination, identification, protocol.
type Key = ([u8; 4], [u8; 4], u16, u8);

/// Fragments of one packet, in order of their place.
struct Pieces {
    since: Nanos,
    pieces: Vec<Piece>,
    /// Bytes of payload, once the last fragment is there.
    total: Option<usize>,
}

struct Piece {
    from: usize,
    to: usize,
    packet: Packet,
}

/// Memory that a packet takes.
fn cost(packet: &Packet) -> usize {
    packet.room() + 512
}

impl IPReassembler {
    fn new(args: &mut Args<'_>) -> Self {
        let most = args.next("MAX_MEM").or_else(|| args.key("HIMEM")).unwrap_or(4 << 20);
        Self { most, held: 0, waiting: BTreeMap::new(), reassembled: 0, drops: 0 }
    }

    fn give_up(&mut self, key: &Key, lost: &mut Batch) {
        if let Some(entry) = self.waiting.remove(key) {
            for piece in entry.pieces {
                self.held -= cost(&piece.packet);
                self.drops += 1;
                lost.push(piece.packet);
            }
        }
    }

    /// The packet, if it is whole now.
    fn add(&mut self, packet: Packet, now: Nanos, lost: &mut Batch) -> Option<Packet> {
        let Some((at, h)) = header(&packet).filter(|(at, h)| packet.len() >= at + h.total) else {
            return Some(packet);
        };
        if h.fragment_offset == 0 && !h.more_fragments {
            return Some(packet);
        }
        let id = u16::from_be_bytes([packet.data()[at + 4], packet.data()[at + 5]]);
        let key = (h.source, h.destination, id, h.protocol);
        let from = usize::from(h.fragment_offset) * 8;
        let to = from + h.total.saturating_sub(h.header);
        let entry =
            self.waiting.entry(key).or_insert_with(|| Pieces { since: now, pieces: Vec::new(), total: None });
        let place = entry.pieces.partition_point(|p| p.from < from);
        let same = entry.pieces.get(place).is_some_and(|p| (p.from, p.to) == (from, to));
        let overlaps = entry.pieces.get(place).is_some_and(|p| p.from < to)
            || place.checked_sub(1).is_some_and(|before| entry.pieces[before].to > from);
        let wrong = (h.more_fragments && to % 8 != 0)
            || to <= from
            || to + h.header > 65535
            || entry.total.is_some_and(|total| to > total || (!h.more_fragments && to != total))
            || (!h.more_fragments && entry.pieces.last().is_some_and(|p| p.to > to));
        if same && !wrong {
            // It came twice.
            self.drops += 1;
            lost.push(packet);
            return None;
        }
        let full = entry.pieces.len() >= PIECES || entry.pieces.try_reserve(1).is_err();
        if wrong || overlaps || full {
            self.drops += 1;
            lost.push(packet);
            self.give_up(&key, lost);
            return None;
        }
        if !h.more_fragments {
            entry.total = Some(to);
        }
        self.held += cost(&packet);
        entry.pieces.insert(place, Piece { from, to, packet });
        let whole = entry
            .total
            .is_some_and(|total| entry.pieces.iter().map(|p| p.to - p.from).sum::<usize>() == total);
        if whole {
            return self.join(&key, lost);
        }
        while self.held > self.most
            && let Some(oldest) = self.waiting.iter().min_by_key(|e| e.1.since).map(|e| *e.0)
        {
            self.give_up(&oldest, lost);
        }
        None
    }

    /// Puts all fragments behind the first one's header.
    fn join(&mut self, key: &Key, lost: &mut Batch) -> Option<Packet> {
        let total = self.waiting.get(key)?.total?;
        let joined = join(&self.waiting.get(key)?.pieces, total);
        if joined.is_none() {
            self.give_up(key, lost);
            return None;
        }
        for piece in self.waiting.remove(key)?.pieces {
            self.held -= cost(&piece.packet);
        }
        self.reassembled += 1;
        joined
    }
}

fn join(pieces: &[Piece], total: usize) -> Option<Packet> {
    let first = &pieces.first()?.packet;
    let (at, h) = header(first)?;
    let length = u16::try_from(h.header + total).ok()?;
    let mut joined = Packet::new(at + usize::from(length))?;
    joined.annotate_as(first);
    joined.put_slice(first.data().get(..at + h.header)?)?;
    for piece in pieces {
        let (at, h) = header(&piece.packet)?;
        joined.put_slice(piece.packet.data().get(at + h.header..at + h.total)?)?;
    }
    let ip = &mut joined.data_mut()[at..at + h.header];
    ip[2..4].copy_from_slice(&length.to_be_bytes());
    ip[6..8].fill(0);
    ip[10..12].fill(0);
    let sum = checksum(ip);
    ip[10..12].copy_from_slice(&sum);
    joined.set_headers(at, at + h.header);
    Some(joined)
}

impl Element for IPReassembler {
    fn push(&mut self, cx: &mut Context<'_>, _: usize, mut batch: Batch) {
        let now = cx.now();
        let (mut out, mut lost) = (Batch::new(), Batch::new());
        while let Some(packet) = batch.pop() {
            if let Some(whole) = self.add(packet, now, &mut lost) {
                out.push(whole);
            }
        }
        if !self.waiting.is_empty() {
            cx.wake_by(now.saturating_add(REASSEMBLY_TIMEOUT));
        }
        cx.output(0, out);
        cx.output(1, lost);
    }

    fn timer(&mut self, cx: &mut Context<'_>) {
        let (now, mut lost) = (cx.now(), Batch::new());
        let old = |e: &(&Key, &Pieces)| now.saturating_sub(e.1.since) >= REASSEMBLY_TIMEOUT;
        let keys: Vec<Key> = self.waiting.iter().filter(old).map(|e| *e.0).collect();
        keys.iter().for_each(|key| self.give_up(key, &mut lost));
        if let Some(oldest) = self.waiting.values().map(|e| e.since).min() {
            cx.wake_at(oldest.saturating_add(REASSEMBLY_TIMEOUT));
        }
        cx.output(1, lost);
    }

    fn take_over(&mut self, old: &mut dyn Element) {
        if let Some(old) = (old as &mut dyn Any).downcast_mut::<Self>() {
            self.waiting = core::mem::take(&mut old.waiting);
            self.held = core::mem::take(&mut old.held);
        }
    }

    fn read(&mut self, _: &mut Context<'_>, handler: &str, _: &str) -> Result<String, String> {
        Ok(match handler {
            "waiting" => self.waiting.len().to_string(),
            "reassembled" => self.reassembled.to_string(),
            _ => self.drops.to_string(),
        })
    }
}
