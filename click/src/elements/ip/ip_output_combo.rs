use super::fix_ip_src::fix;
use super::ip_gw_options::{Options, milliseconds};
use crate::args::{Args, Ipv4};
use crate::element::{Context, Element};
use crate::packet::{Batch, Kind, PAINT, Packet};

crate::element! {
    /// Does what an IP router does last, before it sends a packet to a network.
    ///
    /// The same as `DropBroadcasts -> PaintTee(COLOR) -> IPGWOptions(IPADDR) -> FixIPSrc(IPADDR) -> DecIPTTL ->
    /// CheckLength(MTU)`. Good packets leave by output 0. Copies of those with the paint leave by output 1; those with a
    /// wrong option by output 2, that may not go further by output 3, that are too long by output 4.
    ///
    /// # Arguments
    /// `COLOR`: the paint of the network. `IPADDR`: the router's address there. `MTU`: most bytes of a packet.
    IPOutputCombo "1/5" "h/h"
    keywords ["COLOR", "IPADDR", "MTU"]
    { color: u8, own: Ipv4, options: Options, most: usize }
}

impl IPOutputCombo {
    fn new(args: &mut Args<'_>) -> Self {
        let (color, own) = (args.required("COLOR"), args.required::<Ipv4>("IPADDR"));
        Self { color, own, options: Options::new(own.0), most: args.required("MTU") }
    }
}

impl Element for IPOutputCombo {
    fn push(&mut self, cx: &mut Context<'_>, _: usize, mut batch: Batch) {
        let now = milliseconds(cx);
        batch.retain_or_else(|packet| !matches!(packet.kind(), Kind::Broadcast | Kind::Multicast), drop);
        let painted = batch.iter().filter(|packet| packet.paint(PAINT) == self.color);
        let copies = painted.filter_map(Packet::duplicate).collect();
        let [mut wrong, mut old, mut long] = [const { Batch::new() }; 3];
        batch.retain_or_else(|packet| self.options.process(packet, now), |packet| wrong.push(packet));
        batch.each(|packet| fix(packet, self.own.0));
        batch.retain_or_else(super::dec_ip_ttl::lower, |packet| old.push(packet));
        batch.retain_or_else(|packet| packet.len() <= self.most, |packet| long.push(packet));
        cx.output(0, batch);
        for (output, batch) in [copies, wrong, old, long].into_iter().enumerate() {
            cx.output(output + 1, batch);
        }
    }
}
