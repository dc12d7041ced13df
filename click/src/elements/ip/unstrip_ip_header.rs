use crate::args::Args;
use crate::element::{Context, Element};
use crate::packet::Batch;

crate::element! {
    /// Puts back IP headers that `StripIPHeader` took off.
    ///
    /// Packets without an IP header annotation in front of their data pass unchanged.
    ///
    /// # Arguments
    /// None.
    UnstripIPHeader "1/1" "a/a" {}
}

impl UnstripIPHeader {
    fn new(_: &mut Args<'_>) -> Self {
        Self {}
    }
}

impl Element for UnstripIPHeader {
    fn simple_action(&mut self, _: &mut Context<'_>, batch: &mut Batch) {
        batch.retain_or_else(
            |packet| match packet.network_in_front() {
                Some(length) => packet.push(length).is_some(),
                None => true,
            },
            drop,
        );
    }
}
