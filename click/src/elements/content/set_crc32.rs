use crate::args::Args;
use crate::element::{Context, Element};
use crate::headers::crc32;
use crate::packet::Batch;

crate::element! {
    /// Puts the CRC-32 of Ethernet (IEEE 802.3, section 3.2.9) behind packets.
    ///
    /// # Arguments
    /// None.
    SetCRC32 "1/1" "a/a" {}
}

impl SetCRC32 {
    fn new(_: &mut Args<'_>) -> Self {
        Self {}
    }
}

impl Element for SetCRC32 {
    fn act(&mut self, _: &mut Context<'_>, batch: &mut Batch) {
        batch.sift(
            |packet| {
                let sum = crc32(packet.data());
                packet.put_slice(&sum).is_some()
            },
            drop,
        );
    }
}
