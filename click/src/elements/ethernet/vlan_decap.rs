use super::vlan::{TAG, TAGGED, set_annotation};
use crate::args::Args;
use crate::element::{Context, Element};
use crate::headers::be16;
use crate::packet::{Batch, Packet};

crate::element! {
    /// Takes the VLAN tag out of Ethernet frames.
    ///
    /// What it said is kept in the VLAN annotation, which is 0 for frames without a tag; those pass unchanged.
    ///
    /// # Arguments
    /// `ANNO` (true): set the annotation. `ETHERTYPE` (0x8100): that of the tag.
    VLANDecap "1/1" "a/a"
    keywords ["ANNO", "ETHERTYPE"]
    { annotate: bool, kind: u16 }
}

impl VLANDecap {
    fn new(args: &mut Args<'_>) -> Self {
        Self { annotate: args.next("ANNO").unwrap_or(true), kind: args.key("ETHERTYPE").unwrap_or(TAG) }
    }

    fn decapsulate(&self, packet: &mut Packet) {
        let mut tag = [0; 2];
        if packet.len() >= TAGGED && be16(packet.data(), 12) == Some(self.kind) {
            let data = packet.data_mut();
            tag = [data[14], data[15]];
            data.copy_within(..12, 4);
            packet.pull(4);
            packet.set_mac();
        }
        if self.annotate {
            set_annotation(packet, tag);
        }
    }
}

impl Element for VLANDecap {
    fn simple_action(&mut self, _: &mut Context<'_>, batch: &mut Batch) {
        batch.each(|packet| self.decapsulate(packet));
    }
}
