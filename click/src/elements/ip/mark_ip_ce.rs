use super::{header, rewrite};
use crate::args::Args;
use crate::element::{Context, Element, read};
use crate::packet::Batch;
use alloc::string::{String, ToString};

crate::element! {
    /// Says in IP packets that they met congestion (RFC 3168), and keeps the checksum right.
    ///
    /// Packets whose sender does not understand that are dropped. The header is found by the IP header annotation.
    ///
    /// # Arguments
    /// `FORCE` (false): say it in all packets.
    ///
    /// # Handlers
    /// `drops`: packets dropped.
    MarkIPCE "1/1" "a/a"
    keywords ["FORCE"]
    handlers [read("drops")]
    { force: bool, drops: u64 }
}

impl MarkIPCE {
    fn new(args: &mut Args<'_>) -> Self {
        Self { force: args.next("FORCE").unwrap_or(false), drops: 0 }
    }
}

impl Element for MarkIPCE {
    fn simple_action(&mut self, _: &mut Context<'_>, batch: &mut Batch) {
        let before = batch.len();
        batch.retain_or_else(
            |packet| {
                let Some((at, _)) = header(packet) else { return false };
                let ip = &mut packet.data_mut()[at..];
                if ip[1] & 3 == 0 && !self.force {
                    return false;
                }
                let word = [ip[0], ip[1] | 3];
                rewrite(ip, 0, &word);
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
