use crate::args::Args;
use crate::element::{Context, Element};
use crate::headers::IPV6;
use crate::packet::Batch;

crate::element! {
    /// Sets the network header annotation of IPv6 packets, without looking whether the header is right.
    ///
    /// # Arguments
    /// `OFFSET` (0): where the header begins.
    MarkIP6Header "1/1" "a/a"
    keywords ["OFFSET"]
    { offset: usize }
}

impl MarkIP6Header {
    fn new(args: &mut Args<'_>) -> Self {
        Self { offset: args.next("OFFSET").unwrap_or(0) }
    }
}

impl Element for MarkIP6Header {
    fn simple_action(&mut self, _: &mut Context<'_>, batch: &mut Batch) {
        batch.each(|packet| packet.set_headers(self.offset, self.offset.saturating_add(IPV6)));
    }
}
