use crate::args::Args;
use crate::element::{Context, Element};
use crate::elements::content::distribute;
use crate::packet::Batch;

crate::element! {
    /// Sends each packet out of an output that some of its bytes choose: packets with the same bytes go together.
    ///
    /// # Arguments
    /// `OFFSET`, `LENGTH`: which bytes; those that a packet lacks do not count.
    HashSwitch "1/1-" "h/h"
    keywords ["OFFSET", "LENGTH"]
    { offset: usize, length: usize }
}

impl HashSwitch {
    fn new(args: &mut Args<'_>) -> Self {
        let (offset, length) = (args.required("OFFSET"), args.required("LENGTH"));
        if length == 0 {
            args.error("LENGTH: must be greater than 0");
        }
        Self { offset, length }
    }
}

impl Element for HashSwitch {
    fn push(&mut self, cx: &mut Context<'_>, _: usize, batch: Batch) {
        let outputs = cx.outputs() as u64;
        distribute(cx, batch, |packet| {
            let bytes = packet.data().get(self.offset..).unwrap_or(&[]);
            let bytes = &bytes[..self.length.min(bytes.len())];
            // FNV-1a, its upper half: the lower bits follow those of the last byte.
            let hash = bytes
                .iter()
                .fold(0xcbf2_9ce4_8422_2325u64, |h, &b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
            (((hash >> 32) * outputs) >> 32) as usize
        });
    }
}
