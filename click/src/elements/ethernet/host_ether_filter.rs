use crate::args::{Args, Ethernet};
use crate::element::{Context, Element, argument};
use crate::headers::ETHERNET;
use crate::packet::{Batch, Kind, Packet};

crate::element! {
    /// Passes Ethernet frames that are for a host, and says so in the packet type annotation.
    ///
    /// Frames for its address and for groups pass; others, and those too short to have an address, leave by output 1 or
    /// are dropped if it is not there.
    ///
    /// # Arguments
    /// `ETHER`: the host's address. `DROP_OWN` (false): frames from the host itself are not for it. `DROP_OTHER` (true):
    /// when false, frames for others pass too. `OFFSET` (0): where the Ethernet header begins.
    ///
    /// # Handlers
    /// `ether`: the host's address.
    HostEtherFilter "1/1-2" "a/ah"
    keywords ["ETHER", "DROP_OWN", "DROP_OTHER", "OFFSET"]
    handlers [argument("ether", 0)]
    { own: Ethernet, drop_own: bool, drop_other: bool, offset: usize }
}

impl HostEtherFilter {
    fn new(args: &mut Args<'_>) -> Self {
        Self {
            own: args.required("ETHER"),
            drop_own: args.next("DROP_OWN").unwrap_or(false),
            drop_other: args.next("DROP_OTHER").unwrap_or(true),
            offset: args.key("OFFSET").unwrap_or(0),
        }
    }

    fn passes(&self, packet: &mut Packet) -> bool {
        let header = packet.data().get(self.offset..).and_then(|d| d.first_chunk::<ETHERNET>());
        let Some(header) = header.copied() else { return false };
        let kind = super::kind(&header, self.own.0);
        packet.set_kind(kind);
        let own = self.drop_own && header[6..12] == self.own.0;
        let other = self.drop_other && kind == Kind::Other;
        !own && !other
    }
}

impl Element for HostEtherFilter {
    fn simple_action(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        let others = batch.partition(|packet| self.passes(packet));
        cx.output(1, others);
    }
}
