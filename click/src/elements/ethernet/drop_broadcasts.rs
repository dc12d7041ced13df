use crate::args::Args;
use crate::element::{Context, Element, read};
use crate::packet::{Batch, Kind, Packet};
use alloc::string::{String, ToString};

crate::element! {
    /// Drops packets that came as link-level broadcasts or multicasts.
    ///
    /// They leave by output 1, if it is there. Devices and `HostEtherFilter` set the annotation that says so.
    ///
    /// # Arguments
    /// None.
    ///
    /// # Handlers
    /// `drops`: packets dropped.
    DropBroadcasts "1/1-2" "a/ah"
    handlers [read("drops")]
    { drops: u64 }
}

impl DropBroadcasts {
    fn new(_: &mut Args<'_>) -> Self {
        Self { drops: 0 }
    }
}

impl Element for DropBroadcasts {
    fn simple_action(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        let alone = |packet: &mut Packet| !matches!(packet.kind(), Kind::Broadcast | Kind::Multicast);
        let others = batch.partition(alone);
        if self.drops == 0 && !others.is_empty() {
            cx.print("DropBroadcasts: dropped a packet");
        }
        self.drops += others.len() as u64;
        cx.output(1, others);
    }

    fn read(&mut self, _: &mut Context<'_>, _: &str, _: &str) -> Result<String, String> {
        Ok(self.drops.to_string())
    }
}
