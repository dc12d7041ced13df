use crate::args::Args;
use crate::element::{Context, Element, argument};
use crate::packet::Batch;

/// Bytes of the header, and the flag that says that it names a network (RFC 7348, section 5).
pub(super) const VXLAN: usize = 8;
pub(super) const NAMED: u8 = 8;

crate::element! {
    /// Puts VXLAN headers in front of Ethernet frames (RFC 7348).
    ///
    /// UDP and IP headers go in front of that: `VXLANEncap(5) -> UDPIPEncap(SRC, 50000, DST, 4789)`.
    ///
    /// # Arguments
    /// `VNI`: the network, 0 to 16777215.
    ///
    /// # Handlers
    /// `vni`: the network.
    VXLANEncap "1/1" "a/a"
    keywords ["VNI"]
    handlers [argument("vni", 0)]
    { network: [u8; 4] }
}

/// The argument `VNI`, as it stands in a header.
pub(super) fn network(args: &mut Args<'_>) -> [u8; 4] {
    let network: u32 = args.required("VNI");
    if network >= 1 << 24 {
        args.error("VNI: a network is a number from 0 to 16777215");
    }
    (network << 8).to_be_bytes()
}

impl VXLANEncap {
    fn new(args: &mut Args<'_>) -> Self {
        Self { network: network(args) }
    }
}

impl Element for VXLANEncap {
    fn simple_action(&mut self, _: &mut Context<'_>, batch: &mut Batch) {
        let [a, b, c, d] = self.network;
        batch.retain_or_else(
            |packet| {
                let room = packet.push(VXLAN);
                room.map(|()| packet.data_mut()[..VXLAN].copy_from_slice(&[NAMED, 0, 0, 0, a, b, c, d]))
                    .is_some()
            },
            drop,
        );
    }
}
