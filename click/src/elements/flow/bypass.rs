use crate::args::Args;
use crate::element::{Context, Element, read_write};
use crate::handlers::parse;
use crate::packet::Batch;
use alloc::string::{String, ToString};

crate::element! {
    /// Leads packets through other elements, or past them.
    ///
    /// Packets from input 0 go out of output 1, to the elements that can be passed by, and come back by input 1; what
    /// comes in there goes out of output 0. When it is active, packets from input 0 go out of output 0 at once.
    ///
    /// # Arguments
    /// `ACTIVE` (false): lead packets past.
    ///
    /// # Handlers
    /// `active`: the argument.
    Bypass "1-2/1-2" "h/h"
    keywords ["ACTIVE"]
    handlers [read_write("active")]
    { active: bool }
}

impl Bypass {
    fn new(args: &mut Args<'_>) -> Self {
        Self { active: args.next("ACTIVE").unwrap_or(false) }
    }
}

impl Element for Bypass {
    fn push(&mut self, cx: &mut Context<'_>, port: usize, batch: Batch) {
        cx.output(usize::from(port == 0 && !self.active), batch);
    }

    fn read(&mut self, _: &mut Context<'_>, _: &str, _: &str) -> Result<String, String> {
        Ok(self.active.to_string())
    }

    fn write(&mut self, cx: &mut Context<'_>, _: &str, value: &str) -> Result<(), String> {
        self.active = parse(cx, value)?;
        Ok(())
    }
}
