use crate::args::Args;
use crate::element::{Context, Element, read_write};
use crate::handlers::parse;
use crate::packet::Batch;
use alloc::string::{String, ToString};

crate::element! {
    /// Passes packets on, or leads them through other elements first.
    ///
    /// Packets from input 0 go to output 0. When it is active, they go to output 1, if that is connected, to elements
    /// that send them back to input 1, from where they go to output 0.
    ///
    /// # Arguments
    /// `ACTIVE` (false): lead packets out of output 1. `INLINE` is accepted: either way costs the same.
    ///
    /// # Handlers
    /// `active`: the argument.
    Bypass "1-2/1-2" "a/a"
    keywords ["ACTIVE", "INLINE"]
    handlers [read_write("active")]
    {
        active: bool,
        /// Input 1 is connected.
        back: bool,
    }
}

impl Bypass {
    fn new(args: &mut Args<'_>) -> Self {
        let _either_way = args.key::<bool>("INLINE");
        Self { active: args.next("ACTIVE").unwrap_or(false), back: args.inputs > 1 }
    }
}

impl Element for Bypass {
    fn push(&mut self, cx: &mut Context<'_>, port: usize, batch: Batch) {
        cx.output(usize::from(self.active && port == 0 && cx.outputs() > 1), batch);
    }

    fn notifies(&self) -> bool {
        true
    }

    fn source_of(&self, output: usize) -> usize {
        usize::from(self.active && output == 0 && self.back)
    }

    fn read(&mut self, _: &mut Context<'_>, _: &str, _: &str) -> Result<String, String> {
        Ok(self.active.to_string())
    }

    fn write(&mut self, cx: &mut Context<'_>, _: &str, value: &str) -> Result<(), String> {
        self.active = parse(cx, value)?;
        cx.notify();
        Ok(())
    }
}
