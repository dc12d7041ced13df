use crate::args::Args;
use crate::element::{Context, Element};
use crate::headers::Ipv4Header;
use crate::packet::Batch;

crate::element! {
    /// Sets the IP header annotation, without looking whether the header is right.
    ///
    /// # Arguments
    /// `OFFSET` (0): where the header begins.
    MarkIPHeader "1/1" "a/a"
    keywords ["OFFSET"]
    { offset: usize }
}

impl MarkIPHeader {
    fn new(args: &mut Args<'_>) -> Self {
        Self { offset: args.next("OFFSET").unwrap_or(0) }
    }
}

impl Element for MarkIPHeader {
    fn simple_action(&mut self, _: &mut Context<'_>, batch: &mut Batch) {
        batch.each(|packet| {
            let length = packet.data().get(self.offset..).and_then(Ipv4Header::read).map_or(0, |h| h.header);
            packet.set_headers(self.offset, self.offset + length);
        });
    }
}
