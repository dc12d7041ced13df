use super::annotation;
use crate::args::Args;
use crate::element::{Context, Element, read_write};
use crate::handlers::parse;
use crate::packet::{Batch, PAINT};
use alloc::string::{String, ToString};

crate::element! {
    /// Passes packets of one paint.
    ///
    /// Others leave by output 1, or are dropped if it is not there.
    ///
    /// # Arguments
    /// `COLOR`: the paint, 0 to 255. `ANNO` (PAINT): the annotation to look at, a byte of the user area.
    ///
    /// # Handlers
    /// `color`: the paint.
    CheckPaint "1/1-2" "a/ah"
    keywords ["COLOR", "ANNO"]
    handlers [read_write("color")]
    { color: u8, at: usize }
}

impl CheckPaint {
    fn new(args: &mut Args<'_>) -> Self {
        Self { color: args.required("COLOR"), at: annotation(args).unwrap_or(PAINT) }
    }
}

impl Element for CheckPaint {
    fn simple_action(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        let others = batch.partition(|packet| packet.paint(self.at) == self.color);
        cx.output(1, others);
    }

    fn read(&mut self, _: &mut Context<'_>, _: &str, _: &str) -> Result<String, String> {
        Ok(self.color.to_string())
    }

    fn write(&mut self, cx: &mut Context<'_>, _: &str, value: &str) -> Result<(), String> {
        self.color = parse(cx, value)?;
        Ok(())
    }
}
