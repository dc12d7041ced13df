use super::notifier;
use crate::args::Args;
use crate::element::{Context, Element, write};
use crate::elements::content::{AGGREGATE, EXTRA_LENGTH, EXTRA_PACKETS, FIRST_TIMESTAMP};
use crate::packet::{Batch, Packet};
use alloc::collections::BTreeMap;
use alloc::string::String;

/// Most aggregates whose last packet is kept. That of the smallest number gives way to another.
const MOST: usize = 1 << 16;

crate::element! {
    /// Keeps the last packet of every aggregate, and passes it when the aggregate ends.
    ///
    /// Those before it leave by output 1, or are dropped if it is not there. The annotations of what is passed say how many
    /// packets and bytes came before it, and when the first did. 65,536 packets are kept at the most; one that has to give
    /// way to another is passed.
    ///
    /// # Arguments
    /// `NOTIFIER`: an AggregateIPFlows or AggregateIPAddrPair, which says when an aggregate has ended. `STOP_AFTER_CLEAR`
    /// (false): the router stops after `clear`.
    ///
    /// # Handlers
    /// `clear`: passes all packets that are kept.
    AggregateLast "1/1-2" "h/h"
    keywords ["NOTIFIER", "STOP_AFTER_CLEAR"]
    handlers [write("clear")]
    { kept: BTreeMap<u32, Packet>, ended: Batch, notifier: Option<String>, stop: bool }
}

impl AggregateLast {
    fn new(args: &mut Args<'_>) -> Self {
        Self {
            kept: BTreeMap::new(),
            ended: Batch::new(),
            notifier: notifier::argument(args),
            stop: args.key("STOP_AFTER_CLEAR").unwrap_or(false),
        }
    }

    /// An aggregate has ended: its packet is to be passed.
    pub(super) fn let_go(&mut self, aggregate: u32) {
        if let Some(packet) = self.kept.remove(&aggregate) {
            self.ended.push(packet);
        }
    }

    fn pass(&mut self, cx: &mut Context<'_>) {
        cx.output(0, core::mem::take(&mut self.ended));
    }
}

/// The annotations of a packet say of those before it what those of the last one do, and count that.
fn add(packet: &mut Packet, before: &mut Packet) {
    let packets = EXTRA_PACKETS.get(packet).wrapping_add(EXTRA_PACKETS.get(before)).wrapping_add(1);
    EXTRA_PACKETS.set(packet, packets);
    let bytes = (before.len() as u32).wrapping_add(EXTRA_LENGTH.get(before));
    let bytes = EXTRA_LENGTH.get(packet).wrapping_add(bytes);
    EXTRA_LENGTH.set(packet, bytes);
    let first = FIRST_TIMESTAMP..FIRST_TIMESTAMP + 8;
    packet.user()[first.clone()].copy_from_slice(&before.user()[first]);
}

impl Element for AggregateLast {
    fn initialize(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        self.notifier.as_deref().map_or(Ok(()), |name| notifier::listen(cx, name))
    }

    fn push(&mut self, cx: &mut Context<'_>, _: usize, mut batch: Batch) {
        self.pass(cx);
        let mut others = Batch::new();
        while let Some(mut packet) = batch.pop() {
            let aggregate = AGGREGATE.get(&mut packet);
            match self.kept.get_mut(&aggregate) {
                Some(before) => {
                    add(&mut packet, before);
                    others.push(core::mem::replace(before, packet));
                }
                None => {
                    let now = packet.timestamp().to_ne_bytes();
                    packet.user()[FIRST_TIMESTAMP..FIRST_TIMESTAMP + 8].copy_from_slice(&now);
                    if self.kept.len() >= MOST
                        && let Some((_, oldest)) = self.kept.pop_first()
                    {
                        self.ended.push(oldest);
                    }
                    self.kept.insert(aggregate, packet);
                }
            }
        }
        self.pass(cx);
        cx.output(1, others);
    }

    fn run_task(&mut self, cx: &mut Context<'_>) -> bool {
        self.pass(cx);
        false
    }

    fn write(&mut self, cx: &mut Context<'_>, _: &str, _: &str) -> Result<(), String> {
        for packet in core::mem::take(&mut self.kept).into_values() {
            self.ended.push(packet);
        }
        self.pass(cx);
        if self.stop {
            cx.stop();
        }
        Ok(())
    }
}
