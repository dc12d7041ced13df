use crate::args::Args;
use crate::element::{Context, Element};
use crate::elements::content::{AGGREGATE, EXTRA_LENGTH};
use crate::packet::Batch;

crate::element! {
    /// Sets the aggregate annotation to the packet's length, with what a trace says that it lacks.
    ///
    /// # Arguments
    /// `IP` (false): the length from the IP header on. Packets without one leave by output 1, or are dropped if it is not
    /// there.
    AggregateLength "1/1-2" "a/ah"
    keywords ["IP"]
    { from_ip: bool }
}

impl AggregateLength {
    fn new(args: &mut Args<'_>) -> Self {
        Self { from_ip: args.key("IP").unwrap_or(false) }
    }
}

impl Element for AggregateLength {
    fn simple_action(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        let others = batch.partition(|packet| {
            let front = if self.from_ip { packet.network() } else { Some(0) };
            let Some(front) = front else { return false };
            let length = (packet.len() - front) as u32;
            let length = length.wrapping_add(EXTRA_LENGTH.get(packet));
            AGGREGATE.set(packet, length);
            true
        });
        cx.output(1, others);
    }
}
