use crate::args::Args;
use crate::element::{Context, Element};
use crate::packet::Batch;

crate::element! {
    /// Swaps the Ethernet source and destination addresses.
    ///
    /// Packets that are too short pass unchanged.
    ///
    /// # Arguments
    /// None.
    EtherMirror "1/1" "a/a" {}
}

impl EtherMirror {
    fn new(_: &mut Args<'_>) -> Self {
        Self {}
    }
}

impl Element for EtherMirror {
    fn simple_action(&mut self, _: &mut Context<'_>, batch: &mut Batch) {
        batch.each(|packet| {
            if let Some(addresses) = packet.data_mut().get_mut(..12) {
                let (destination, source) = addresses.split_at_mut(6);
                destination.swap_with_slice(source);
            }
        });
    }
}
