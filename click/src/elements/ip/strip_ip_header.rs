use super::header;
use crate::args::Args;
use crate::element::{Context, Element};
use crate::packet::Batch;

crate::element! {
    /// Takes IP headers, options included, off packets' fronts.
    ///
    /// Packets that do not begin with a whole header, by the IP header annotation, pass unchanged.
    ///
    /// # Arguments
    /// None.
    StripIPHeader "1/1" "a/a" {}
}

impl StripIPHeader {
    fn new(_: &mut Args<'_>) -> Self {
        Self {}
    }
}

impl Element for StripIPHeader {
    fn simple_action(&mut self, _: &mut Context<'_>, batch: &mut Batch) {
        batch.each(|packet| {
            if let Some((0, h)) = header(packet) {
                packet.pull(h.header);
            }
        });
    }
}
