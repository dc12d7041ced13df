use super::EXTRA_LENGTH;
use crate::args::Args;
use crate::element::{Context, Element, read_write};
use crate::handlers::parse;
use crate::packet::Batch;
use alloc::string::{String, ToString};

crate::element! {
    /// Passes packets up to a length.
    ///
    /// Longer ones leave by output 1, or are dropped if it is not there.
    ///
    /// # Arguments
    /// `LENGTH`: most bytes. `EXTRA_LENGTH` (false): count those of the extra length annotation too.
    ///
    /// # Handlers
    /// `length`: the argument.
    CheckLength "1/1-2" "a/ah"
    keywords ["LENGTH", "EXTRA_LENGTH"]
    handlers [read_write("length")]
    { length: usize, extra: bool }
}

impl CheckLength {
    fn new(args: &mut Args<'_>) -> Self {
        Self { length: args.required("LENGTH"), extra: args.key("EXTRA_LENGTH").unwrap_or(false) }
    }
}

impl Element for CheckLength {
    fn simple_action(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        let mut long = Batch::new();
        batch.retain_or_else(
            |packet| {
                let extra = if self.extra { EXTRA_LENGTH.get(packet) as usize } else { 0 };
                packet.len() + extra <= self.length
            },
            |packet| long.push(packet),
        );
        cx.output(1, long);
    }

    fn read(&mut self, _: &mut Context<'_>, _: &str, _: &str) -> Result<String, String> {
        Ok(self.length.to_string())
    }

    fn write(&mut self, cx: &mut Context<'_>, _: &str, value: &str) -> Result<(), String> {
        self.length = parse(cx, value)?;
        Ok(())
    }
}
