use crate::args::{Args, Data};
use crate::element::{Context, Element};
use crate::packet::Batch;
use alloc::vec::Vec;

crate::element! {
    /// Writes bytes into packets.
    ///
    /// Bytes beyond a packet's end are not written, unless it may grow.
    ///
    /// # Arguments
    /// `OFFSET`: where. `DATA`: the bytes. `MASK`: bits of each byte to write, all where it ends. `GROW` (false): make
    /// packets longer where needed.
    StoreData "1/1" "a/a"
    keywords ["OFFSET", "DATA", "MASK", "GROW"]
    { offset: usize, data: Vec<u8>, mask: Vec<u8>, grow: bool }
}

impl StoreData {
    fn new(args: &mut Args<'_>) -> Self {
        let (offset, data) = (args.required("OFFSET"), args.required::<Data>("DATA").0);
        let mask = args.next::<Data>("MASK").unwrap_or_default().0;
        let grow = args.key("GROW").unwrap_or(false);
        if mask.len() > data.len() {
            args.error("MASK is longer than DATA");
        }
        Self { offset, data, mask, grow }
    }
}

impl Element for StoreData {
    fn simple_action(&mut self, _: &mut Context<'_>, batch: &mut Batch) {
        batch.retain_or_else(
            |packet| {
                let end = self.offset.saturating_add(self.data.len());
                if self.grow && packet.len() < end && packet.put(end - packet.len()).is_none() {
                    return false;
                }
                let there = packet.data_mut().get_mut(self.offset..).unwrap_or(&mut []);
                let masks = self.mask.iter().copied().chain(core::iter::repeat(255));
                for ((byte, new), mask) in there.iter_mut().zip(&self.data).zip(masks) {
                    *byte = *byte & !mask | new & mask;
                }
                true
            },
            drop,
        );
    }
}
