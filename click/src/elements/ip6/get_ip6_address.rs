use crate::args::Args;
use crate::element::{Context, Element};
use crate::packet::Batch;

crate::element! {
    /// Sets the IPv6 destination annotation from the packet.
    ///
    /// Packets without the address keep the annotation that they have.
    ///
    /// # Arguments
    /// `OFFSET`: where the address begins (24 in an IPv6 header: the destination).
    GetIP6Address "1/1" "a/a"
    keywords ["OFFSET"]
    { offset: usize }
}

impl GetIP6Address {
    fn new(args: &mut Args<'_>) -> Self {
        Self { offset: args.required("OFFSET") }
    }
}

impl Element for GetIP6Address {
    fn simple_action(&mut self, _: &mut Context<'_>, batch: &mut Batch) {
        batch.each(|packet| {
            let address = packet.data().get(self.offset..).and_then(|d| d.first_chunk::<16>()).copied();
            address.into_iter().for_each(|address| packet.set_destination6(address));
        });
    }
}
