use crate::args::Args;
use crate::element::{Context, Element, read_write};
use crate::packet::Batch;
use alloc::string::{String, ToString};

crate::element! {
    /// Pulls from one of its inputs, which can be changed while it runs.
    ///
    /// # Arguments
    /// `INPUT` (0): the input; negative: nothing is pulled.
    ///
    /// # Handlers
    /// `switch`: the input.
    PullSwitch "-/1" "l/l"
    keywords ["INPUT"]
    handlers [read_write("switch")]
    { input: i32 }
}

impl PullSwitch {
    fn new(args: &mut Args<'_>) -> Self {
        Self { input: super::input(args, &["INPUT"]) }
    }
}

impl Element for PullSwitch {
    fn owns_pull(&self) -> bool {
        true
    }

    fn notifies(&self) -> bool {
        true
    }

    fn pull(&mut self, cx: &mut Context<'_>, _: usize, most: usize) -> Batch {
        usize::try_from(self.input).map_or(Batch::new(), |input| cx.pull(input, most))
    }

    fn read(&mut self, _: &mut Context<'_>, _: &str, _: &str) -> Result<String, String> {
        Ok(self.input.to_string())
    }

    fn write(&mut self, cx: &mut Context<'_>, _: &str, value: &str) -> Result<(), String> {
        self.input = super::new_input(cx, value)?;
        // Those downstream sleep on unless there is something for them.
        let queues = cx.find_nearest(false, |e| e.stored().is_some());
        let mut held = queues.iter().filter_map(|&q| cx.element(q)?.stored());
        if self.input >= 0 && (queues.is_empty() || held.any(|n| n > 0)) {
            cx.notify();
        }
        Ok(())
    }
}
