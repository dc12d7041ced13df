use super::set_checksum;
use crate::args::Args;
use crate::element::{Context, Element};
use crate::headers::PROTOCOL_TCP;
use crate::packet::Batch;

crate::element! {
    /// Computes the checksum of TCP packets.
    ///
    /// The header is found by the IP header annotation. Packets that are not whole TCP packets are dropped.
    ///
    /// # Arguments
    /// `FIXOFF` is accepted.
    SetTCPChecksum "1/1" "a/a"
    keywords ["FIXOFF"]
    {}
}

impl SetTCPChecksum {
    fn new(args: &mut Args<'_>) -> Self {
        let _ = args.next::<bool>("FIXOFF");
        Self {}
    }
}

impl Element for SetTCPChecksum {
    fn simple_action(&mut self, _: &mut Context<'_>, batch: &mut Batch) {
        batch.retain_or_else(|packet| set_checksum(packet, PROTOCOL_TCP, 16, 20), drop);
    }
}
