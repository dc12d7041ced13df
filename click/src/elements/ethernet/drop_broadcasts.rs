use crate::args::Args;
use crate::element::{Context, Element, read};
use crate::packet::{Batch, Kind};
use alloc::string::{String, ToString};

crate::element! {
    /// Drops packets that came as link-level broadcasts or multicasts.
    ///
    /// Devices and `HostEtherFilter` set the annotation that says so.
    ///
    /// # Arguments
    /// None.
    ///
    /// # Handlers
    /// `drops`: packets dropped.
    DropBroadcasts "1/1" "a/a"
    handlers [read("drops")]
    { drops: u64 }
}

impl DropBroadcasts {
    fn new(_: &mut Args<'_>) -> Self {
        Self { drops: 0 }
    }
}

impl Element for DropBroadcasts {
    fn act(&mut self, _: &mut Context<'_>, batch: &mut Batch) {
        let before = batch.len();
        batch.sift(|packet| !matches!(packet.kind(), Kind::Broadcast | Kind::Multicast), drop);
        self.drops += (before - batch.len()) as u64;
    }

    fn read(&mut self, _: &mut Context<'_>, _: &str, _: &str) -> Result<String, String> {
        Ok(self.drops.to_string())
    }
}
