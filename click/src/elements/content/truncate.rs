use super::EXTRA_LENGTH;
use crate::args::Args;
use crate::element::{Context, Element, read_write};
use crate::handlers::parse;
use crate::packet::Batch;
use alloc::string::{String, ToString};

crate::element! {
    /// Cuts packets to a length.
    ///
    /// # Arguments
    /// `LENGTH` or `NBYTES`: most bytes. `EXTRA_ANNO` or `EXTRA_LENGTH` (true): add what was cut off to the extra length annotation.
    ///
    /// # Handlers
    /// `nbytes`: the argument.
    Truncate "1/1" "a/a"
    keywords ["LENGTH", "NBYTES", "EXTRA_ANNO", "EXTRA_LENGTH"]
    handlers [read_write("nbytes")]
    { length: usize, annotate: bool }
}

impl Truncate {
    fn new(args: &mut Args<'_>) -> Self {
        let length = args.required(if args.has("NBYTES") { "NBYTES" } else { "LENGTH" });
        let annotate = args.key("EXTRA_ANNO").or_else(|| args.key("EXTRA_LENGTH")).unwrap_or(true);
        Self { length, annotate }
    }
}

impl Element for Truncate {
    fn simple_action(&mut self, _: &mut Context<'_>, batch: &mut Batch) {
        batch.each(|packet| {
            let cut = packet.len().saturating_sub(self.length);
            packet.truncate(self.length);
            if self.annotate && cut > 0 {
                let extra = EXTRA_LENGTH.get(packet).saturating_add(cut as u32);
                EXTRA_LENGTH.set(packet, extra);
            }
        });
    }

    fn read(&mut self, _: &mut Context<'_>, _: &str, _: &str) -> Result<String, String> {
        Ok(self.length.to_string())
    }

    fn write(&mut self, cx: &mut Context<'_>, _: &str, value: &str) -> Result<(), String> {
        self.length = parse(cx, value)?;
        Ok(())
    }
}
