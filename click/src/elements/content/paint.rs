use super::annotation;
use crate::args::Args;
use crate::element::{Context, Element, read_write};
use crate::handlers::parse;
use crate::packet::{Batch, PAINT};
use alloc::string::{String, ToString};

crate::element! {
    /// Sets packets' paint annotation.
    ///
    /// # Arguments
    /// `COLOR`: the paint, 0 to 255. `ANNO` (PAINT): the annotation to set, a byte of the user area.
    ///
    /// # Handlers
    /// `color`: the paint.
    Paint "1/1" "a/a"
    keywords ["COLOR", "ANNO"]
    handlers [read_write("color")]
    { color: u8, at: usize }
}

impl Paint {
    fn new(args: &mut Args<'_>) -> Self {
        Self { color: args.required("COLOR"), at: annotation(args).unwrap_or(PAINT) }
    }
}

impl Element for Paint {
    fn simple_action(&mut self, _: &mut Context<'_>, batch: &mut Batch) {
        batch.each(|packet| packet.user()[self.at] = self.color);
    }

    fn read(&mut self, _: &mut Context<'_>, _: &str, _: &str) -> Result<String, String> {
        Ok(self.color.to_string())
    }

    fn write(&mut self, cx: &mut Context<'_>, _: &str, value: &str) -> Result<(), String> {
        self.color = parse(cx, value)?;
        Ok(())
    }
}
