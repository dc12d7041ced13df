use crate::args::Args;
use crate::element::{Context, Element, read};
use crate::headers::crc32;
use crate::packet::{Batch, Packet};
use alloc::string::{String, ToString};

crate::element! {
    /// Checks the CRC-32 behind packets, and takes it off.
    ///
    /// Packets whose checksum is wrong leave by output 1 as they are, or are dropped if it is not there.
    ///
    /// # Arguments
    /// None.
    ///
    /// # Handlers
    /// `drops`: packets whose checksum was wrong.
    CheckCRC32 "1/1-2" "a/ah"
    handlers [read("drops")]
    { drops: u64 }
}

impl CheckCRC32 {
    fn new(_: &mut Args<'_>) -> Self {
        Self { drops: 0 }
    }
}

fn check(packet: &mut Packet) -> bool {
    let Some((data, sum)) = packet.data().split_last_chunk::<4>() else { return false };
    let (length, right) = (data.len(), crc32(data) == *sum);
    if right {
        packet.truncate(length);
    }
    right
}

impl Element for CheckCRC32 {
    fn simple_action(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        let mut bad = Batch::new();
        batch.retain_or_else(check, |packet| bad.push(packet));
        self.drops += bad.len() as u64;
        cx.output(1, bad);
    }

    fn read(&mut self, _: &mut Context<'_>, _: &str, _: &str) -> Result<String, String> {
        Ok(self.drops.to_string())
    }
}
