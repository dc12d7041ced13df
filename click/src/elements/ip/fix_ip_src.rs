use super::{header, rewrite};
use crate::args::{Args, Ipv4};
use crate::element::{Context, Element};
use crate::packet::{Batch, Packet};

/// User annotation that asks for it.
pub(crate) const FIX: usize = 19;

crate::element! {
    /// Gives packets that ask for it the address of the network that they leave to as their source.
    ///
    /// `ICMPError` sets the annotation that asks.
    ///
    /// # Arguments
    /// `IPADDR`: the address.
    FixIPSrc "1/1" "a/a"
    keywords ["IPADDR"]
    { address: Ipv4 }
}

impl FixIPSrc {
    fn new(args: &mut Args<'_>) -> Self {
        Self { address: args.required("IPADDR") }
    }
}

pub(super) fn fix(packet: &mut Packet, address: [u8; 4]) {
    if core::mem::replace(&mut packet.user()[FIX], 0) == 0 {
        return;
    }
    if let Some((at, _)) = header(packet) {
        rewrite(&mut packet.data_mut()[at..], 12, &address);
    }
}

impl Element for FixIPSrc {
    fn simple_action(&mut self, _: &mut Context<'_>, batch: &mut Batch) {
        batch.each(|packet| fix(packet, self.address.0));
    }
}
