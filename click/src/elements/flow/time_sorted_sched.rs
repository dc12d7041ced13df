use crate::args::Args;
use crate::element::{Context, Element, read};
use crate::packet::{Batch, Packet};
use alloc::collections::VecDeque;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::any::Any;

/// Most packets of an input that can be looked at.
const MOST: usize = 1 << 16;

crate::element! {
    /// Pulls from its inputs in the order of packets' timestamps.
    ///
    /// Packets of an input without any are not waited for.
    ///
    /// # Arguments
    /// `STOP` (false): stop the router when no input has packets. `BUFFER` (1): packets of each input to look at, so that
    /// those that come a little out of order are put in order.
    ///
    /// # Handlers
    /// `well_ordered`: whether all packets left in order so far.
    TimeSortedSched "-/1" "l/l"
    keywords ["STOP", "BUFFER"]
    handlers [read("well_ordered")]
    {
        /// By input: earliest first.
        held: Vec<VecDeque<Packet>>,
        most: usize,
        stop: bool,
        last: u64,
        well_ordered: bool,
    }
}

impl TimeSortedSched {
    fn new(args: &mut Args<'_>) -> Self {
        Self {
            held: (0..args.inputs).map(|_| VecDeque::new()).collect(),
            most: args.key::<usize>("BUFFER").unwrap_or(1).clamp(1, MOST),
            stop: args.key("STOP").unwrap_or(false),
            last: 0,
            well_ordered: true,
        }
    }
}

impl Element for TimeSortedSched {
    fn owns_pull(&self) -> bool {
        true
    }

    fn pull(&mut self, cx: &mut Context<'_>, _: usize, most: usize) -> Batch {
        let mut batch = Batch::new();
        while batch.len() < most {
            for (input, held) in self.held.iter_mut().enumerate() {
                while held.len() < self.most
                    && let Some(packet) = cx.pull(input, 1).pop()
                {
                    let place = held.partition_point(|p| p.timestamp() <= packet.timestamp());
                    held.insert(place, packet);
                }
            }
            let there = self.held.iter_mut().filter(|h| !h.is_empty());
            let earliest = there.min_by_key(|h| h.front().map(Packet::timestamp));
            let Some(packet) = earliest.and_then(VecDeque::pop_front) else { break };
            self.well_ordered &= packet.timestamp() >= self.last;
            self.last = packet.timestamp();
            batch.push(packet);
        }
        if batch.is_empty() && self.stop {
            cx.stop();
        }
        batch
    }

    fn take_over(&mut self, old: &mut dyn Element) {
        if let Some(old) = (old as &mut dyn Any).downcast_mut::<Self>() {
            for (new, old) in self.held.iter_mut().zip(&mut old.held) {
                *new = core::mem::take(old);
            }
            (self.last, self.well_ordered) = (old.last, old.well_ordered);
        }
    }

    fn read(&mut self, _: &mut Context<'_>, _: &str, _: &str) -> Result<String, String> {
        Ok(self.well_ordered.to_string())
    }
}
