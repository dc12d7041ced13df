use super::header;
use crate::args::Args;
use crate::element::{Context, Element, read};
use crate::headers::checksum;
use crate::packet::Batch;
use alloc::string::{String, ToString};

crate::element! {
    /// Computes the IP header's checksum.
    ///
    /// Packets without a whole IP header are dropped.
    ///
    /// # Arguments
    /// None.
    ///
    /// # Handlers
    /// `drops`: packets dropped.
    SetIPChecksum "1/1" "a/a"
    handlers [read("drops")]
    { drops: u64 }
}

impl SetIPChecksum {
    fn new(_: &mut Args<'_>) -> Self {
        Self { drops: 0 }
    }
}

impl Element for SetIPChecksum {
    fn simple_action(&mut self, _: &mut Context<'_>, batch: &mut Batch) {
        let before = batch.len();
        batch.retain_or_else(
            |packet| {
                let Some((at, h)) = header(packet) else { return false };
                let bytes = &mut packet.data_mut()[at..at + h.header];
                bytes[10..12].fill(0);
                let sum = checksum(bytes);
                bytes[10..12].copy_from_slice(&sum);
                true
            },
            drop,
        );
        self.drops += (before - batch.len()) as u64;
    }

    fn read(&mut self, _: &mut Context<'_>, _: &str, _: &str) -> Result<String, String> {
        Ok(self.drops.to_string())
    }
}
