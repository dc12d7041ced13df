use super::vlan::{TAG, TAGGED, native, set_annotation};
use crate::args::Args;
use crate::element::{Context, Element};
use crate::headers::{ETHERNET, be16};
use crate::packet::{Batch, Packet};

crate::element! {
    /// Takes off Ethernet headers, with a VLAN tag or without, and keeps what the tag said in the VLAN annotation.
    ///
    /// A frame without a tag belongs to the native VLAN. If there is none, it leaves by output 1, or is dropped if that
    /// is not there; so do packets without a whole header.
    ///
    /// # Arguments
    /// `NATIVE_VLAN` (0): VLAN of frames without a tag, or `none`.
    StripEtherVLANHeader "1/1-2" "a/ah"
    keywords ["NATIVE_VLAN"]
    { native: Option<u16> }
}

impl StripEtherVLANHeader {
    fn new(args: &mut Args<'_>) -> Self {
        let text = args.next("NATIVE_VLAN");
        Self { native: native(args, text) }
    }

    fn strip(&self, packet: &mut Packet) -> bool {
        let (length, tag) = match be16(packet.data(), 12) {
            Some(TAG) if packet.len() >= TAGGED => (TAGGED, [packet.data()[14], packet.data()[15]]),
            Some(kind) if kind != TAG => match self.native {
                Some(id) => (ETHERNET, id.to_be_bytes()),
                None => return false,
            },
            _ => return false,
        };
        packet.set_mac();
        packet.pull(length);
        set_annotation(packet, tag);
        true
    }
}

impl Element for StripEtherVLANHeader {
    fn simple_action(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        let others = batch.partition(|packet| self.strip(packet));
        cx.output(1, others);
    }
}
