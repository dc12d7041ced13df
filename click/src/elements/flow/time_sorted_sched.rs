use crate::args::Args;
use crate::element::{Context, Element};
use crate::packet::{Batch, Packet};
use alloc::vec::Vec;
use core::any::Any;

crate::element! {
    /// Pulls from its inputs in the order of packets' timestamps.
    ///
    /// It keeps one packet of each input. Packets of an input without any are not waited for.
    ///
    /// # Arguments
    /// `STOP` (false): stop the router when no input has packets. `BUFFER` is accepted.
    TimeSortedSched "1-/1" "l/l"
    keywords ["STOP", "BUFFER"]
    { heads: Vec<Option<Packet>>, stop: bool }
}

impl TimeSortedSched {
    fn new(args: &mut Args<'_>) -> Self {
        let _one_of_each = args.key::<u32>("BUFFER");
        let heads = (0..args.inputs).map(|_| None).collect();
        Self { heads, stop: args.key("STOP").unwrap_or(false) }
    }
}

impl Element for TimeSortedSched {
    fn owns_pull(&self) -> bool {
        true
    }

    fn pull(&mut self, cx: &mut Context<'_>, _: usize, most: usize) -> Batch {
        let mut batch = Batch::new();
        while batch.len() < most {
            for (input, head) in self.heads.iter_mut().enumerate().filter(|h| h.1.is_none()) {
                *head = cx.pull(input, 1).pop();
            }
            let there = self.heads.iter_mut().filter(|h| h.is_some());
            match there.min_by_key(|h| h.as_ref().map(|p| p.timestamp())).and_then(Option::take) {
                Some(packet) => batch.push(packet),
                None => break,
            }
        }
        if batch.is_empty() && self.stop {
            cx.stop();
        }
        batch
    }

    fn take_over(&mut self, old: &mut dyn Element) {
        if let Some(old) = (old as &mut dyn Any).downcast_mut::<Self>() {
            for (new, old) in self.heads.iter_mut().zip(&mut old.heads) {
                *new = old.take();
            }
        }
    }
}
