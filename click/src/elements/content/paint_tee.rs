use super::annotation;
use crate::args::Args;
use crate::element::{Context, Element, read_write};
use crate::handlers::parse;
use crate::packet::{Batch, PAINT, Packet};
use alloc::string::{String, ToString};

crate::element! {
    /// Passes all packets, and sends copies of those of one paint out of output 1.
    ///
    /// # Arguments
    /// `COLOR`: the paint, 0 to 255. `ANNO` (PAINT): the annotation to look at, a byte of the user area.
    ///
    /// # Handlers
    /// `color`: the paint.
    PaintTee "1/1-2" "a/ah"
    keywords ["COLOR", "ANNO"]
    handlers [read_write("color")]
    { color: u8, at: usize }
}

impl PaintTee {
    fn new(args: &mut Args<'_>) -> Self {
        Self { color: args.required("COLOR"), at: annotation(args).unwrap_or(PAINT) }
    }
}

impl Element for PaintTee {
    fn simple_action(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        let painted = batch.iter().filter(|packet| packet.paint(self.at) == self.color);
        let copies = painted.filter_map(Packet::duplicate).collect();
        cx.output(1, copies);
    }

    fn read(&mut self, _: &mut Context<'_>, _: &str, _: &str) -> Result<String, String> {
        Ok(self.color.to_string())
    }

    fn write(&mut self, cx: &mut Context<'_>, _: &str, value: &str) -> Result<(), String> {
        self.color = parse(cx, value)?;
        Ok(())
    }
}
