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
    /// None.
    SetTCPChecksum "1/1" "a/a" {}
}

impl SetTCPChecksum {
    fn new(_: &mut Args<'_>) -> Self {
        Self {}
    }
}

impl Element for SetTCPChecksum {
    fn act(&mut self, _: &mut Context<'_>, batch: &mut Batch) {
        batch.sift(|packet| set_checksum(packet, PROTOCOL_TCP, 16, 20), drop);
    }
}
