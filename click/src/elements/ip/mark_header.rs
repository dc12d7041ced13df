use crate::args::Args;
use crate::batch::Batch;
use crate::element::{Class, Context, Element};
use crate::elements::boxed;
use crate::headers::IPV4;
use alloc::boxed::Box;

/// Sets the network header annotation without checking anything. Use it where packets are known to be IP.
///
/// Arguments: `OFFSET` (default 0). One input, one output.
#[derive(Debug)]
pub struct MarkIPHeader {
    offset: usize,
}

/// The class.
pub const CLASS: Class =
    Class { name: "MarkIPHeader", ports: "1/1", processing: "a/a", keywords: &["OFFSET"], make };

fn make(args: &mut Args<'_>) -> Box<dyn Element> {
    boxed(MarkIPHeader { offset: args.next("OFFSET").unwrap_or(0) })
}

impl Element for MarkIPHeader {
    fn act(&mut self, _: &mut Context<'_>, batch: &mut Batch) {
        for p in batch.iter_mut() {
            let header = p.data().get(self.offset).map_or(IPV4, |b| usize::from(b & 15) * 4);
            p.set_headers(self.offset, self.offset.saturating_add(header));
        }
    }
}
