//! Runs of a script for others: for who reads or writes its handlers, for a packet, for a signal.

use super::{Kind, RUN, ReportTo, Script, TURN, Waiting};
use crate::element::Context;
use crate::elements::control::instruction::Verb;
use crate::elements::control::value::Values;
use alloc::format;
use alloc::string::{String, ToString};

impl Script {
    /// The same as the handler of a name.
    pub(super) fn call_handler(
        &mut self,
        cx: &mut Context<'_>,
        (name, writes): (&str, bool),
        argument: &str,
    ) -> Result<String, String> {
        let set = |values: &Values, name: &str, writes| {
            let mut call = values.1.borrow_mut();
            (call.handler, call.writes) = (name.to_string(), writes);
        };
        set(&self.values, name, writes);
        let before = self.report_to.replace(ReportTo::Caller);
        let result = self.run_whole(cx, argument);
        self.report_to.set(if self.waiting == Waiting::Ended { before } else { ReportTo::Named(false) });
        set(&self.values, "", false);
        result
    }

    /// Goes on at once, because a handler was written.
    pub(super) fn run_for_caller(&mut self, cx: &mut Context<'_>) {
        if self.waiting == Waiting::No {
            self.report_to.set(ReportTo::Caller);
            if self.run(cx, TURN) {
                cx.schedule();
            }
            self.report_to.set(ReportTo::Named(false));
            self.finish(cx);
        }
    }

    /// What the end of a script means for others.
    fn finish(&mut self, cx: &mut Context<'_>) {
        if self.waiting == Waiting::Ended && self.kind == Kind::Driver {
            cx.stop_now();
        }
    }

    /// Where a packet goes that came in by an input; `None`: it is lost.
    pub(super) fn route(&mut self, cx: &mut Context<'_>, input: usize) -> Option<usize> {
        self.values.set("input", input.to_string());
        self.report_to.set(ReportTo::Named(false));
        // What went wrong was said.
        let output = self.run_whole(cx, "").ok()?;
        match self.ended_by {
            Verb::End => Some(0),
            Verb::Return => output.trim().parse().ok(),
            _ => None,
        }
    }

    /// A script that was called by a signal and did not come to its end is not called again.
    #[cfg(feature = "host")]
    pub(super) fn release_signals(&mut self, cx: &mut Context<'_>) {
        if self.kind == Kind::Signal && self.waiting == Waiting::Ended && self.ended_by != Verb::End {
            for (number, _) in self.numbers.drain(..) {
                cx.host.outside().into_iter().for_each(|outside| outside.release_signal(number));
            }
        }
    }

    /// A passive script from its beginning to its end, or until it waits.
    fn run_whole(&mut self, cx: &mut Context<'_>, argument: &str) -> Result<String, String> {
        self.values.1.borrow_mut().arguments = argument.to_string();
        (self.at, self.waiting, self.steps, self.jumps, self.ended_by) = (0, Waiting::No, 0, 0, Verb::End);
        self.result.clear();
        cx.wake_never();
        // One that waits goes on later, by itself.
        if self.run(cx, RUN) {
            self.waiting = Waiting::Ended;
            return Err(format!("script ran for {RUN} instructions without an end"));
        }
        if self.waiting == Waiting::Ended && self.ended_by == Verb::Error {
            self.values.1.borrow_mut().arguments.clear();
            // What is wrong was said.
            return Err(String::new());
        }
        Ok(core::mem::take(&mut self.result))
    }
}
