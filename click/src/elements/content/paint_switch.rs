use super::classifier::distribute;
use super::paint::annotation;
use crate::args::Args;
use crate::batch::Batch;
use crate::element::{Class, Context, Element};
use crate::elements::boxed;
use alloc::boxed::Box;

/// Sends each packet to the output that its paint annotation names; drops it if there is none.
///
/// Arguments: `ANNO` (default PAINT). Input 0, any number of outputs (push).
#[derive(Debug)]
pub struct PaintSwitch {
    at: usize,
}

/// The class.
pub const CLASS: Class =
    Class { name: "PaintSwitch", ports: "1/-", processing: "h/h", keywords: &["ANNO"], make };

fn make(args: &mut Args<'_>) -> Box<dyn Element> {
    boxed(PaintSwitch { at: annotation(args) })
}

impl Element for PaintSwitch {
    fn push(&mut self, cx: &mut Context<'_>, _: usize, batch: Batch) {
        let outputs = cx.outputs();
        distribute(cx, batch, |p| Some(p.paint(self.at).into()).filter(|&o: &usize| o < outputs));
    }
}
