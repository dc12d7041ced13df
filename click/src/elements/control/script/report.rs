//! Values that a script reads, and to whom it reports what goes wrong.

use super::{Says, Script};
use crate::element::Context;
use crate::elements::control::reach::read_near;
use crate::elements::control::value::evaluate;
use alloc::format;
use alloc::string::String;

impl Script {
    pub(super) fn value(&self, cx: &mut Context<'_>, text: &str) -> Result<String, String> {
        evaluate(text, &self.values, &mut |handler| self.expanded(cx, handler))
    }

    /// Value of a handler within a text.
    pub(super) fn expanded(&self, cx: &mut Context<'_>, handler: &str) -> Option<String> {
        let (value, complaints) = read_near(cx, &self.values, handler);
        complaints.iter().for_each(|c| self.say(cx, c));
        value.map_or_else(
            |failure| {
                self.say(cx, &failure.message);
                failure.called.then(String::new)
            },
            Some,
        )
    }

    /// Value of a handler that an instruction names. `None`: there is none, which was said.
    pub(super) fn reading(&self, cx: &mut Context<'_>, handler: &str) -> Option<String> {
        let (value, complaints) = read_near(cx, &self.values, handler);
        match value {
            Ok(value) => {
                self.say_of_call(cx, handler, &complaints, "");
                Some(value)
            }
            Err(failure) if failure.called => {
                self.say_of_call(cx, handler, &complaints, &failure.message);
                Some(String::new())
            }
            Err(failure) => {
                self.say(cx, &failure.message);
                None
            }
        }
    }

    /// Says what went wrong: to whoever called, or under this script's name.
    pub(super) fn say(&self, cx: &mut Context<'_>, message: &str) {
        if message.is_empty() {
            return;
        }
        self.faults.set(self.faults.get() + 1);
        match self.says.get() {
            Says::Plainly => cx.print(message),
            Says::ToCaller => cx.complain(message),
            Says::UnderName(named) => {
                if !named {
                    cx.print(&format!("While executing '{}':", cx.declaration()));
                    self.says.set(Says::UnderName(true));
                }
                message.lines().for_each(|line| cx.print(&format!("  {line}")));
            }
        }
    }

    /// Says what went wrong in a call of a handler.
    pub(super) fn say_of_call(&self, cx: &mut Context<'_>, call: &str, complaints: &[String], message: &str) {
        let lines = complaints.iter().map(String::as_str).chain(Some(message)).flat_map(str::lines);
        let lines: String = lines.map(|line| format!("\n  {line}")).collect();
        if !lines.is_empty() {
            self.say(cx, &format!("While calling '{}':{lines}", call.trim()));
        }
    }
}
