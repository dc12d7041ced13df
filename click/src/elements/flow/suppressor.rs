use crate::args::Args;
use crate::element::{Context, Element, read_write, write};
use crate::handlers::parse;
use crate::packet::Batch;
use alloc::string::{String, ToString};

crate::element! {
    /// Passes packets from each input to the output of its number, unless that input is suppressed.
    ///
    /// Packets that are pushed into a suppressed input are dropped; nothing is pulled from one.
    ///
    /// # Arguments
    /// None.
    ///
    /// # Handlers
    /// `active0`, `active1`, `active2`, `active3`, `active4`, `active5`, `active6`, `active7`: whether an input passes
    /// packets. `reset`: all do again.
    Suppressor "1-8/=" "a/a/#"
    handlers [
        read_write("active0"), read_write("active1"), read_write("active2"), read_write("active3"),
        read_write("active4"), read_write("active5"), read_write("active6"), read_write("active7"), write("reset"),
    ]
    { suppressed: [bool; 8] }
}

impl Suppressor {
    fn new(_: &mut Args<'_>) -> Self {
        Self { suppressed: [false; 8] }
    }
}

/// The input of a handler.
fn input(cx: &Context<'_>, handler: &str) -> Result<usize, String> {
    let number = handler.strip_prefix("active").and_then(|n| n.parse().ok());
    number.filter(|&n: &usize| n < cx.inputs()).ok_or_else(|| "there is no such input".to_string())
}

impl Element for Suppressor {
    fn push(&mut self, cx: &mut Context<'_>, port: usize, batch: Batch) {
        if !self.suppressed[port] {
            cx.output(port, batch);
        }
    }

    fn owns_pull(&self) -> bool {
        true
    }

    fn notifies(&self) -> bool {
        true
    }

    fn pull(&mut self, cx: &mut Context<'_>, port: usize, most: usize) -> Batch {
        if self.suppressed[port] { Batch::new() } else { cx.pull(port, most) }
    }

    fn read(&mut self, cx: &mut Context<'_>, handler: &str, _: &str) -> Result<String, String> {
        Ok((!self.suppressed[input(cx, handler)?]).to_string())
    }

    fn write(&mut self, cx: &mut Context<'_>, handler: &str, value: &str) -> Result<(), String> {
        match handler {
            "reset" => self.suppressed = [false; 8],
            _ => self.suppressed[input(cx, handler)?] = !parse::<bool>(cx, value)?,
        }
        cx.notify();
        Ok(())
    }
}
