use crate::args::Args;
use crate::element::{Context, Element, read_write};
use crate::elements::content::{FORWARD_RATE, distribute};
use crate::handlers::parse;
use crate::packet::Batch;
use alloc::string::{String, ToString};

crate::element! {
    /// Sends packets of senders above a rate out of output 1.
    ///
    /// The rate is an annotation, as `IPRateMonitor` sets it.
    ///
    /// # Arguments
    /// `THRESH`: packets whose annotation is greater leave by output 1, others by output 0; 0: all by output 0.
    ///
    /// # Handlers
    /// `thresh`: the argument.
    Block "1/2" "h/h"
    keywords ["THRESH"]
    handlers [read_write("thresh")]
    { most: u32 }
}

impl Block {
    fn new(args: &mut Args<'_>) -> Self {
        Self { most: args.required("THRESH") }
    }
}

impl Element for Block {
    fn push(&mut self, cx: &mut Context<'_>, _: usize, batch: Batch) {
        distribute(cx, batch, |packet| usize::from(self.most > 0 && FORWARD_RATE.get(packet) > self.most));
    }

    fn read(&mut self, _: &mut Context<'_>, _: &str, _: &str) -> Result<String, String> {
        Ok(self.most.to_string())
    }

    fn write(&mut self, cx: &mut Context<'_>, _: &str, value: &str) -> Result<(), String> {
        self.most = parse(cx, value)?;
        Ok(())
    }
}
