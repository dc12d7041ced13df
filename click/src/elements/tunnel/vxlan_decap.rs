use super::vxlan_encap::{NAMED, VXLAN, network};
use crate::args::Args;
use crate::element::{Context, Element, argument};
use crate::packet::Batch;

crate::element! {
    /// Takes VXLAN headers off (RFC 7348), which begin at the packet's front.
    ///
    /// Packets of other networks, and those without such a header, leave by output 1, or are dropped if it is not there.
    ///
    /// # Arguments
    /// `VNI`: the network.
    ///
    /// # Handlers
    /// `vni`: the network.
    VXLANDecap "1/1-2" "a/ah"
    keywords ["VNI"]
    handlers [argument("vni", 0)]
    { network: [u8; 4] }
}

impl VXLANDecap {
    fn new(args: &mut Args<'_>) -> Self {
        Self { network: network(args) }
    }
}

impl Element for VXLANDecap {
    fn simple_action(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        let others = batch.partition(|packet| {
            let header = packet.data().first_chunk::<VXLAN>();
            let ours = header.is_some_and(|h| h[0] & NAMED != 0 && h[4..7] == self.network[..3]);
            if ours && packet.pull(VXLAN) {
                packet.set_mac();
            }
            ours
        });
        cx.output(1, others);
    }
}
