use crate::args::Args;
use crate::element::{Context, Element};
use crate::headers::crc32;
use crate::packet::Batch;

crate::element! {
    /// Puts a CRC-32 behind packets, lowest byte first.
    ///
    /// It is that of MPEG-2 (ISO 13818-1, annex A), as in Click, and not the frame check sequence of Ethernet.
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
    fn simple_action(&mut self, _: &mut Context<'_>, batch: &mut Batch) {
        batch.retain_or_else(
            |packet| {
                let sum = crc32(packet.data());
                packet.put_slice(&sum).is_some()
            },
            drop,
        );
    }
}
