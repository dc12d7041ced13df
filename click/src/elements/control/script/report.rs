//! Values that a script reads, and to whom it reports what goes wrong.

use super::{ReportTo, Script};
use crate::element::Context;
use crate::elements::control::reach::read_near;
use crate::elements::control::value::evaluate;
use alloc::format;
use alloc::string::String;

impl Script {
    pub(super) fn value(&self, cx: &mut Context<'_>, text: &str) -> Result<String, String> {
        evaluate(text, &self.values, &mut |handler| self.expand_handler(cx, handler))
    }

    /// Value of a handler within a text.
    pub(super) fn expand_handler(&self, cx: &mut Context<'_>, handler: &str) -> Option<String> {
        let (value, reports) = read_near(cx, &self.values, handler);
        reports.iter().for_each(|c| self.report(cx, c));
        value.map_or_else(
            |failure| {
                self.report(cx, &failure.message);
                failure.called.then(String::new)
            },
            Some,
        )
    }

    /// Value of a handler that an instruction names. `None`: there is none, which was said.
    pub(super) fn read_handler(&self, cx: &mut Context<'_>, handler: &str) -> Option<String> {
        let (value, reports) = read_near(cx, &self.values, handler);
        match value {
            Ok(value) => {
                self.report_call(cx, handler, &reports, "");
                Some(value)
            }
            Err(failure) if failure.called => {
                self.report_call(cx, handler, &reports, &failure.message);
                Some(String::new())
            }
            Err(failure) => {
                self.report(cx, &failure.message);
                None
            }
        }
    }

    /// Says what went wrong: to whoever called, or under this script's name.
    pub(super) fn report(&self, cx: &mut Context<'_>, message: &str) {
        if message.is_empty() {
            return;
        }
        self.faults.set(self.faults.get() + 1);
        match self.report_to.get() {
            ReportTo::Console => cx.print(message),
            ReportTo::Caller => cx.report_to_caller(message),
            ReportTo::Named(named) => {
                if !named {
                    cx.print(&format!("While executing '{}':", cx.declaration()));
                    self.report_to.set(ReportTo::Named(true));
                }
                message.lines().for_each(|line| cx.print(&format!("  {line}")));
            }
        }
    }

    /// Says what went wrong in a call of a handler.
    pub(super) fn report_call(&self, cx: &mut Context<'_>, call: &str, reports: &[String], message: &str) {
        let lines = reports.iter().map(String::as_str).chain(Some(message)).flat_map(str::lines);
        let lines: String = lines.map(|line| format!("\n  {line}")).collect();
        if !lines.is_empty() {
            self.report(cx, &format!("While calling '{}':{lines}", call.trim()));
        }
    }
}
