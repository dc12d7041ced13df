use crate::args::Args;
use crate::element::{Context, Element, read};
use crate::packet::{Batch, Packet};
use alloc::string::{String, ToString};

crate::element! {
    /// Lowers the hop limit of IPv6 packets by one.
    ///
    /// Packets that may not go further leave by output 1, or are dropped if it is not there. The header is found by the
    /// network header annotation.
    ///
    /// # Arguments
    /// None.
    ///
    /// # Handlers
    /// `drops`: packets that may not go further.
    DecIP6HLIM "1/1-2" "a/ah"
    handlers [read("drops")]
    { drops: u64 }
}

impl DecIP6HLIM {
    fn new(_: &mut Args<'_>) -> Self {
        Self { drops: 0 }
    }
}

fn lower(packet: &mut Packet) -> bool {
    let Some(at) = super::header(packet).filter(|(_, h)| h.hops > 1).map(|(at, _)| at) else { return false };
    packet.data_mut()[at + 7] -= 1;
    true
}

impl Element for DecIP6HLIM {
    fn simple_action(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        let mut expired = Batch::new();
        batch.retain_or_else(lower, |packet| expired.push(packet));
        self.drops += expired.len() as u64;
        cx.output(1, expired);
    }

    fn read(&mut self, _: &mut Context<'_>, _: &str, _: &str) -> Result<String, String> {
        Ok(self.drops.to_string())
    }
}
