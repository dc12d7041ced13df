use crate::args::{Args, Time, seconds};
use crate::element::{Context, Element, Nanos, read_write};
use crate::handlers::parse;
use crate::packet::{BURST, Batch};
use alloc::string::String;
use core::any::Any;

crate::element! {
    /// Pulls packets, and pushes them some time after their timestamp.
    ///
    /// A packet without a timestamp waits from when it was pulled. Packets do not overtake each other.
    ///
    /// # Arguments
    /// `DELAY`: how long.
    ///
    /// # Handlers
    /// `delay`: the argument, in seconds.
    DelayUnqueue "1/1" "l/h"
    keywords ["DELAY"]
    handlers [read_write("delay")]
    { delay: Nanos, held: Batch }
}

impl DelayUnqueue {
    fn new(args: &mut Args<'_>) -> Self {
        Self { delay: args.required::<Time>("DELAY").0, held: Batch::new() }
    }
}

impl Element for DelayUnqueue {
    fn initialize(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        cx.schedule();
        Ok(())
    }

    fn is_puller(&self) -> bool {
        true
    }

    fn run_task(&mut self, cx: &mut Context<'_>) -> bool {
        let batch = super::pull_late(cx, &mut self.held, self.delay, BURST);
        let more = !batch.is_empty();
        cx.output(0, batch);
        more
    }

    fn read(&mut self, _: &mut Context<'_>, _: &str, _: &str) -> Result<String, String> {
        Ok(seconds(self.delay))
    }

    fn write(&mut self, cx: &mut Context<'_>, _: &str, value: &str) -> Result<(), String> {
        self.delay = parse::<Time>(cx, value)?.0;
        cx.schedule();
        Ok(())
    }

    fn take_over(&mut self, old: &mut dyn Element) {
        if let Some(old) = (old as &mut dyn Any).downcast_mut::<Self>() {
            self.held = core::mem::take(&mut old.held);
        }
    }
}
