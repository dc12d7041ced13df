use crate::args::{Args, Time, seconds};
use crate::element::{Context, Element, Nanos, read_write};
use crate::handlers::parse;
use crate::packet::Batch;
use alloc::string::String;
use core::any::Any;

crate::element! {
    /// Lets packets be pulled through it some time after their timestamp.
    ///
    /// A packet without a timestamp waits from when it was pulled. Packets do not overtake each other.
    ///
    /// # Arguments
    /// `DELAY`: how long.
    ///
    /// # Handlers
    /// `delay`: the argument, in seconds.
    DelayShaper "1/1" "l/l"
    keywords ["DELAY"]
    handlers [read_write("delay")]
    { delay: Nanos, held: Batch }
}

impl DelayShaper {
    fn new(args: &mut Args<'_>) -> Self {
        Self { delay: args.required::<Time>("DELAY").0, held: Batch::new() }
    }
}

impl Element for DelayShaper {
    fn owns_pull(&self) -> bool {
        true
    }

    fn notifies(&self) -> bool {
        true
    }

    fn pull(&mut self, cx: &mut Context<'_>, _: usize, most: usize) -> Batch {
        super::pull_late(cx, &mut self.held, self.delay, most)
    }

    fn timer(&mut self, cx: &mut Context<'_>) {
        cx.notify();
    }

    fn read(&mut self, _: &mut Context<'_>, _: &str, _: &str) -> Result<String, String> {
        Ok(seconds(self.delay))
    }

    fn write(&mut self, cx: &mut Context<'_>, _: &str, value: &str) -> Result<(), String> {
        self.delay = parse::<Time>(cx, value)?.0;
        cx.notify();
        Ok(())
    }

    fn take_over(&mut self, old: &mut dyn Element) {
        if let Some(old) = (old as &mut dyn Any).downcast_mut::<Self>() {
            self.held = core::mem::take(&mut old.held);
        }
    }
}
