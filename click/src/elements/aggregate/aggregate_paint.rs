use crate::args::Args;
use crate::element::{Context, Element};
use crate::elements::content::AGGREGATE;
use crate::packet::{Batch, PAINT};

crate::element! {
    /// Sets the aggregate annotation to the paint annotation.
    ///
    /// # Arguments
    /// `BITS` (8): how many of the paint's low bits count, 1 to 8. `INCREMENTAL` (false): put them behind the aggregate
    /// annotation, which moves up by as many bits.
    AggregatePaint "1/1" "a/a"
    keywords ["BITS", "INCREMENTAL"]
    { bits: u32, behind: bool }
}

impl AggregatePaint {
    fn new(args: &mut Args<'_>) -> Self {
        let bits = args.next("BITS").unwrap_or(8);
        if !(1..=8).contains(&bits) {
            args.error("bad number of bits");
        }
        Self { bits: bits.clamp(1, 8), behind: args.key("INCREMENTAL").unwrap_or(false) }
    }
}

impl Element for AggregatePaint {
    fn simple_action(&mut self, _: &mut Context<'_>, batch: &mut Batch) {
        batch.each(|packet| {
            let paint = u32::from(packet.paint(PAINT)) & ((1 << self.bits) - 1);
            let before = if self.behind { AGGREGATE.get(packet) << self.bits } else { 0 };
            AGGREGATE.set(packet, before.wrapping_add(paint));
        });
    }
}
