use crate::args::Args;
use crate::element::{Context, Element, read_write};
use crate::handlers::parse;
use crate::packet::Batch;
use alloc::format;
use alloc::string::{String, ToString};

crate::element! {
    /// Sends all packets out of one output, which can be changed while it runs.
    ///
    /// # Arguments
    /// `OUTPUT` (0): the output; negative: packets are dropped.
    ///
    /// # Handlers
    /// `switch`: the output.
    Switch "1/-" "h/h"
    keywords ["OUTPUT"]
    handlers [read_write("switch")]
    { output: i32 }
}

impl Switch {
    fn new(args: &mut Args<'_>) -> Self {
        let output = args.next("OUTPUT").unwrap_or(0);
        if output >= args.outputs as i32 {
            args.error(format!("OUTPUT: output {output} does not exist ({} are connected)", args.outputs));
        }
        Self { output }
    }
}

impl Element for Switch {
    fn push(&mut self, cx: &mut Context<'_>, _: usize, batch: Batch) {
        if let Ok(port) = usize::try_from(self.output) {
            cx.output(port, batch);
        }
    }

    fn read(&mut self, _: &mut Context<'_>, _: &str, _: &str) -> Result<String, String> {
        Ok(self.output.to_string())
    }

    fn write(&mut self, cx: &mut Context<'_>, _: &str, value: &str) -> Result<(), String> {
        let output: i32 = parse(cx, value)?;
        if output >= cx.outputs() as i32 {
            return Err(format!("output {output} does not exist"));
        }
        self.output = output;
        Ok(())
    }
}
