use crate::args::Args;
use crate::element::{Context, Element};
use crate::packet::Batch;

crate::element! {
    /// Sets the link-layer header annotation.
    ///
    /// # Arguments
    /// `OFFSET` (0): where the header begins. `LENGTH` or `DELTA` (0): its length, with which the network header annotation is set
    /// too.
    MarkMACHeader "1/1" "a/a"
    keywords ["OFFSET", "LENGTH", "DELTA"]
    { offset: usize, length: usize }
}

impl MarkMACHeader {
    fn new(args: &mut Args<'_>) -> Self {
        Self {
            offset: args.next("OFFSET").unwrap_or(0),
            length: args.either(&["LENGTH", "DELTA"]).unwrap_or(0),
        }
    }
}

impl Element for MarkMACHeader {
    fn simple_action(&mut self, _: &mut Context<'_>, batch: &mut Batch) {
        batch.each(|packet| {
            packet.set_mac_at(self.offset);
            if self.length > 0 {
                let network = self.offset.saturating_add(self.length);
                packet.set_headers(network, network);
            }
        });
    }
}
