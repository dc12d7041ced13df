use crate::args::Args;
use crate::element::{Context, Element};
use crate::packet::Batch;

crate::element! {
    /// Takes off everything in front of the network header, as its annotation says where that is.
    ///
    /// Packets without the annotation pass unchanged.
    ///
    /// # Arguments
    /// None.
    StripToNetworkHeader "1/1" "a/a" {}
}

impl StripToNetworkHeader {
    fn new(_: &mut Args<'_>) -> Self {
        Self {}
    }
}

impl Element for StripToNetworkHeader {
    fn simple_action(&mut self, _: &mut Context<'_>, batch: &mut Batch) {
        batch.each(|packet| {
            if let Some(network) = packet.network() {
                packet.pull(network);
            }
        });
    }
}
