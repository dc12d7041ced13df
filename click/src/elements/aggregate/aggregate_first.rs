use super::notifier;
use crate::args::Args;
use crate::element::{Context, Element};
use crate::elements::content::AGGREGATE;
use crate::packet::Batch;
use alloc::collections::BTreeMap;
use alloc::string::String;

/// Most groups of 64 aggregates that are remembered: 32 MiB, or four million aggregates in a row.
const MOST: usize = 1 << 16;

crate::element! {
    /// Passes the first packet of every aggregate.
    ///
    /// Later ones leave by output 1, or are dropped if it is not there. So is what comes when 65,536 groups of 64 numbers
    /// are known, and begins another.
    ///
    /// # Arguments
    /// `NOTIFIER`: an AggregateIPFlows or AggregateIPAddrPair; an aggregate that it says has ended is forgotten.
    AggregateFirst "1/1-2" "a/ah"
    keywords ["NOTIFIER"]
    { seen: BTreeMap<u32, u64>, notifier: Option<String> }
}

impl AggregateFirst {
    fn new(args: &mut Args<'_>) -> Self {
        Self { seen: BTreeMap::new(), notifier: notifier::argument(args) }
    }

    /// Whether this is the first of its aggregate.
    fn is_first(&mut self, aggregate: u32) -> bool {
        let (group, bit) = (aggregate >> 6, 1u64 << (aggregate & 63));
        if self.seen.len() >= MOST && !self.seen.contains_key(&group) {
            return false;
        }
        let seen = self.seen.entry(group).or_default();
        let first = *seen & bit == 0;
        *seen |= bit;
        first
    }

    /// An aggregate has ended.
    pub(super) fn forget(&mut self, aggregate: u32) {
        let group = aggregate >> 6;
        if let Some(seen) = self.seen.get_mut(&group) {
            *seen &= !(1 << (aggregate & 63));
            if *seen == 0 {
                self.seen.remove(&group);
            }
        }
    }
}

impl Element for AggregateFirst {
    fn initialize(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        self.notifier.as_deref().map_or(Ok(()), |name| notifier::listen(cx, name))
    }

    fn simple_action(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        let others = batch.partition(|packet| self.is_first(AGGREGATE.get(packet)));
        cx.output(1, others);
    }
}
