use super::notifier::Listeners;
use crate::args::{Args, Time};
use crate::element::{Context, Element, Nanos, write};
use crate::elements::content::AGGREGATE;
use crate::packet::{Batch, PAINT, Packet};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

/// Most pairs that are known: the rest leaves by output 1.
const MOST: usize = 1 << 16;

/// Nanoseconds.
const SECOND: Nanos = 1_000_000_000;

crate::element! {
    /// Numbers pairs of IP addresses in the aggregate annotation.
    ///
    /// Both directions of a pair have one number, from 1 on. The paint annotation is 0 in the direction of the pair's first
    /// packet and 1 in the other. Packets without an IP header leave by output 1, or are dropped if it is not there; so do
    /// those of a new pair when 65,536 are known.
    ///
    /// # Arguments
    /// `TIMEOUT` (0): a pair without packets for so many seconds gets a new number; 0: never. `REAP` (20 min): how often those
    /// that are over are forgotten. Both are times of packets, not of the clock.
    ///
    /// # Handlers
    /// `clear`: forgets all pairs.
    AggregateIPAddrPair "1/1-2" "a/ah"
    keywords ["TIMEOUT", "REAP"]
    handlers [write("clear")]
    {
        timeout: Nanos,
        reap: Nanos,
        reaps_at: Nanos,
        pairs: BTreeMap<([u8; 4], [u8; 4]), Pair>,
        next: u32,
        pub(super) listeners: Listeners,
    }
}

struct Pair {
    aggregate: u32,
    /// The first packet went from the larger address to the smaller.
    reverse: bool,
    last: Nanos,
}

impl AggregateIPAddrPair {
    fn new(args: &mut Args<'_>) -> Self {
        let time = |args: &mut Args<'_>, name: &str, otherwise: Nanos| {
            args.key(name).map_or(otherwise, |t: Time| t.0)
        };
        Self {
            timeout: time(args, "TIMEOUT", 0),
            reap: time(args, "REAP", 1200 * SECOND),
            reaps_at: 0,
            pairs: BTreeMap::new(),
            next: 1,
            listeners: Listeners::default(),
        }
    }

    /// Numbers a packet. What has ended by that is put into `ended`.
    fn number(&mut self, packet: &mut Packet, ended: &mut Vec<u32>) -> bool {
        let Some((_, ip)) = super::super::ip::header(packet) else { return false };
        let (from, to) = (ip.source, ip.destination);
        let (key, turned) = if from > to { ((to, from), true) } else { ((from, to), false) };
        let now = packet.timestamp() / SECOND * SECOND;
        if self.timeout > 0 && now > self.reaps_at {
            if self.reaps_at > 0 {
                self.forget(now.saturating_sub(self.timeout), ended);
            }
            self.reaps_at = now + self.reap;
        }
        if self.pairs.len() >= MOST && !self.pairs.contains_key(&key) {
            return false;
        }
        let next = &mut self.next;
        let mut number = || {
            let number = *next;
            *next = next.checked_add(1).unwrap_or(1);
            number
        };
        let timeout = self.timeout;
        let pair = self
            .pairs
            .entry(key)
            .and_modify(|pair| {
                if timeout > 0 && pair.last + timeout < now {
                    ended.push(pair.aggregate);
                    *pair = Pair { aggregate: number(), reverse: turned, last: now };
                }
            })
            .or_insert_with(|| Pair { aggregate: number(), reverse: turned, last: now });
        pair.last = now;
        AGGREGATE.set(packet, pair.aggregate);
        packet.user()[PAINT] = u8::from(pair.reverse != turned);
        true
    }

    /// Forgets pairs whose last packet came before a time.
    fn forget(&mut self, before: Nanos, ended: &mut Vec<u32>) {
        self.pairs.retain(|_, pair| {
            let stays = pair.last >= before;
            if !stays {
                ended.push(pair.aggregate);
            }
            stays
        });
    }
}

impl Element for AggregateIPAddrPair {
    fn simple_action(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        let mut ended = Vec::new();
        let others = batch.partition(|packet| self.number(packet, &mut ended));
        ended.into_iter().for_each(|aggregate| self.listeners.flow_ended(cx, aggregate));
        cx.output(1, others);
    }

    fn write(&mut self, cx: &mut Context<'_>, _: &str, _: &str) -> Result<(), String> {
        let mut ended = Vec::new();
        self.forget(Nanos::MAX, &mut ended);
        ended.into_iter().for_each(|aggregate| self.listeners.flow_ended(cx, aggregate));
        Ok(())
    }
}
