use super::set_checksum;
use crate::args::Args;
use crate::element::{Context, Element};
use crate::headers::PROTOCOL_UDP;
use crate::packet::Batch;

crate::element! {
    /// Computes the checksum of UDP packets.
    ///
    /// The header is found by the IP header annotation. Packets that are not whole UDP packets leave by
    /// output 1, or are dropped if it is not there.
    ///
    /// # Arguments
    /// None.
    SetUDPChecksum "1/1-2" "a/ah" {}
}

impl SetUDPChecksum {
    fn new(_: &mut Args<'_>) -> Self {
        Self {}
    }
}

impl Element for SetUDPChecksum {
    fn simple_action(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        let others = batch.partition(|packet| set_checksum(packet, PROTOCOL_UDP, 6, 8));
        cx.output(1, others);
    }
}
