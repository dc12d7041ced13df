use super::annotation;
use crate::args::Args;
use crate::element::{Context, Element};
use crate::packet::Batch;

crate::element! {
    /// Passes packets by a byte of their user annotations.
    ///
    /// Others leave by output 1, or are dropped if it is not there.
    ///
    /// # Arguments
    /// `ANNO`: which one, a number or a name such as PAINT. `VALUE`: the value of packets that pass. `MASK` (255): bits
    /// that are compared.
    CheckAnno "1/1-2" "a/ah"
    keywords ["ANNO", "VALUE", "MASK"]
    { at: usize, value: u8, mask: u8 }
}

impl CheckAnno {
    fn new(args: &mut Args<'_>) -> Self {
        let at = annotation(args);
        if at.is_none() {
            args.error("missing mandatory ANNO argument");
        }
        Self { at: at.unwrap_or(0), value: args.required("VALUE"), mask: args.next("MASK").unwrap_or(255) }
    }
}

impl Element for CheckAnno {
    fn simple_action(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        let is_right = |value: u8| (value ^ self.value) & self.mask == 0;
        let others = batch.partition(|packet| is_right(packet.user()[self.at]));
        cx.output(1, others);
    }
}
