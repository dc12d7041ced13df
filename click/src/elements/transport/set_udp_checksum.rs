use super::set_checksum;
use crate::args::Args;
use crate::element::{Context, Element};
use crate::headers::PROTOCOL_UDP;
use crate::packet::Batch;

crate::element! {
    /// Computes the checksum of UDP packets.
    ///
    /// The header is found by the IP header annotation. Packets that are not whole UDP packets are dropped.
    ///
    /// # Arguments
    /// None.
    SetUDPChecksum "1/1" "a/a" {}
}

impl SetUDPChecksum {
    fn new(_: &mut Args<'_>) -> Self {
        Self {}
    }
}

impl Element for SetUDPChecksum {
    fn act(&mut self, _: &mut Context<'_>, batch: &mut Batch) {
        batch.sift(|packet| set_checksum(packet, PROTOCOL_UDP, 6, 8), drop);
    }
}
