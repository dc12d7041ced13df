use crate::args::Args;
use crate::element::{Context, Element};
use crate::elements::content::annotation;
use crate::packet::{Batch, PAINT};

crate::element! {
    /// Sends each packet out of the output whose number is its paint.
    ///
    /// Packets of a colour without an output are dropped.
    ///
    /// # Arguments
    /// `ANNO` (PAINT): the annotation to look at, a byte of the user area.
    PaintSwitch "1/-" "h/h"
    keywords ["ANNO"]
    { at: usize }
}

impl PaintSwitch {
    fn new(args: &mut Args<'_>) -> Self {
        Self { at: annotation(args).unwrap_or(PAINT) }
    }
}

impl Element for PaintSwitch {
    fn push(&mut self, cx: &mut Context<'_>, _: usize, mut batch: Batch) {
        // Neighbours of one colour leave together.
        let (mut run, mut colour) = (Batch::new(), 0);
        while let Some(packet) = batch.pop() {
            let paint = packet.paint(self.at);
            if paint != colour {
                cx.output(colour.into(), core::mem::take(&mut run));
                colour = paint;
            }
            run.push(packet);
        }
        cx.output(colour.into(), run);
    }
}
