use crate::args::Args;
use crate::element::{Context, Element, read_write};
use crate::packet::Batch;
use alloc::string::{String, ToString};

crate::element! {
    /// Passes packets on from one input, which can be changed while it runs, and drops those from others.
    ///
    /// # Arguments
    /// `INPUT` or `OUTPUT` (0): the input; negative: all packets are dropped.
    ///
    /// # Handlers
    /// `switch`: the input.
    InputSwitch "-/1" "h/h"
    keywords ["INPUT", "OUTPUT"]
    handlers [read_write("switch")]
    { input: i32 }
}

impl InputSwitch {
    fn new(args: &mut Args<'_>) -> Self {
        Self { input: super::input(args, &["INPUT", "OUTPUT"]) }
    }
}

impl Element for InputSwitch {
    fn push(&mut self, cx: &mut Context<'_>, port: usize, batch: Batch) {
        if usize::try_from(self.input) == Ok(port) {
            cx.output(0, batch);
        }
    }

    fn read(&mut self, _: &mut Context<'_>, _: &str, _: &str) -> Result<String, String> {
        Ok(self.input.to_string())
    }

    fn write(&mut self, cx: &mut Context<'_>, _: &str, value: &str) -> Result<(), String> {
        self.input = super::new_input(cx, value)?;
        Ok(())
    }
}
