use crate::args::Args;
use crate::element::{Context, Element, read, read_write};
use crate::handlers::parse;
use crate::headers::{IPV4, update};
use crate::packet::{Batch, Packet};
use alloc::string::{String, ToString};

crate::element! {
    /// Lowers the IP time to live by one, and keeps the checksum right.
    ///
    /// Packets that may not go further leave by output 1, or are dropped if it is not there.
    ///
    /// # Arguments
    /// `ACTIVE` (true). `MULTICAST` (true): lower it for multicast packets too.
    ///
    /// # Handlers
    /// `drops`: packets that may not go further. `active`: the argument.
    DecIPTTL "1/1-2" "a/ah"
    keywords ["ACTIVE", "MULTICAST"]
    handlers [read("drops"), read_write("active")]
    { active: bool, multicast: bool, drops: u64 }
}

impl DecIPTTL {
    fn new(args: &mut Args<'_>) -> Self {
        let active = args.key("ACTIVE").unwrap_or(true);
        Self { active, multicast: args.key("MULTICAST").unwrap_or(true), drops: 0 }
    }

    #[inline]
    fn lower(&self, packet: &mut Packet) -> bool {
        let multicast = || packet.network().and_then(|at| packet.data().get(at + 16));
        if !self.multicast && multicast().is_some_and(|first| first & 0xf0 == 0xe0) {
            return true;
        }
        lower(packet)
    }
}

/// Lowers a packet's time to live; `false`: it may not go further.
#[inline]
pub(super) fn lower(packet: &mut Packet) -> bool {
    let Some(at) = packet.network() else { return false };
    let Some(h) = packet.data_mut().get_mut(at..).and_then(|d| d.first_chunk_mut::<IPV4>()) else {
        return false;
    };
    if h[8] <= 1 {
        return false;
    }
    let old = [h[8], h[9]];
    h[8] -= 1;
    let sum = update([h[10], h[11]], old, [h[8], h[9]]);
    (h[10], h[11]) = (sum[0], sum[1]);
    true
}

impl Element for DecIPTTL {
    #[inline]
    fn simple_action(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        if !self.active {
            return;
        }
        let mut expired = Batch::new();
        batch.retain_or_else(|packet| self.lower(packet), |packet| expired.push(packet));
        self.drops += expired.len() as u64;
        cx.output(1, expired);
    }

    fn read(&mut self, _: &mut Context<'_>, handler: &str, _: &str) -> Result<String, String> {
        Ok(if handler == "drops" { self.drops.to_string() } else { self.active.to_string() })
    }

    fn write(&mut self, cx: &mut Context<'_>, _: &str, value: &str) -> Result<(), String> {
        self.active = parse(cx, value)?;
        Ok(())
    }
}
