//! The interpreter: one instruction after the other, until the script waits or ends.

use super::{JUMPS, Kind, LOOPS, Script, Waiting};
use crate::args::parse_time;
use crate::element::{Context, Element};
use crate::elements::control::instruction::{Instruction, Verb, cut};
use crate::elements::control::names::{full_name, truth};
use crate::elements::control::reach::write_near;
#[cfg(feature = "host")]
use crate::elements::control::reach::write_out;
use crate::elements::control::value::{evaluate_plain, plain};
use alloc::format;
use alloc::string::{String, ToString};

impl Script {
    #[inline(never)]
    pub(super) fn jump(&mut self, label: &str) -> Result<(), String> {
        self.jumps += 1;
        if self.jumps >= JUMPS {
            return self.fail(LOOPS.to_string());
        }
        self.at = match label {
            "begin" | "loop" => 0,
            "exit" | "stop" => {
                self.ended_by = if label == "exit" { Verb::Exit } else { Verb::Stop };
                self.instructions.len()
            }
            "error" => return self.fail(String::new()),
            _ => {
                let is = |i: &Instruction| i.verb == Verb::Label && i.operand == label;
                self.instructions.iter().position(is).unwrap_or(self.instructions.len())
            }
        };
        Ok(())
    }

    fn fail(&mut self, message: String) -> Result<(), String> {
        self.at = self.instructions.len();
        self.ended_by = Verb::Error;
        Err(message)
    }

    /// Runs until there is something to wait for; whether it could go on.
    pub(super) fn run(&mut self, cx: &mut Context<'_>, most: usize) -> bool {
        for _ in 0..most {
            if self.waiting != Waiting::No {
                return false;
            }
            let Some(instruction) = self.instructions.get(self.at).cloned() else {
                self.waiting = Waiting::Ended;
                return false;
            };
            self.at += 1;
            match self.step(cx, &instruction) {
                Err(message) if message == LOOPS => cx.print(&format!("{}: {message}", cx.name())),
                Err(message) => self.report(cx, &message),
                Ok(()) => {}
            }
        }
        true
    }

    fn step(&mut self, cx: &mut Context<'_>, i: &Instruction) -> Result<(), String> {
        let operand = i.operand.as_str();
        let mut value = match i.verb {
            Verb::Init | Verb::Export | Verb::Label | Verb::Loop | Verb::End | Verb::Exit | Verb::Stop => {
                String::new()
            }
            Verb::Print | Verb::PrintN => return self.print(cx, &i.rest, i.verb == Verb::Print),
            Verb::Read | Verb::Write if i.unquotes => self.value(cx, &plain(&i.rest))?,
            _ => self.value(cx, &i.rest)?,
        };
        if i.unquotes && !matches!(i.verb, Verb::Read | Verb::Write) {
            value = plain(&value);
        }
        match i.verb {
            // Done when the script was made, or above.
            Verb::Init | Verb::Export | Verb::Label | Verb::Print | Verb::PrintN => {}
            Verb::Set => self.values.set(operand, value),
            #[cfg(feature = "host")]
            Verb::Save | Verb::Append => {
                let handler = self.value(cx, operand)?;
                let faults = self.faults.get();
                let mut read = self.read_handler(cx, &handler).unwrap_or_default();
                if !read.ends_with('\n') && faults == self.faults.get() {
                    read.push('\n');
                }
                let file = if value.is_empty() { "-" } else { &value };
                write_out(cx, Some(file), i.verb == Verb::Append, &read)?;
            }
            Verb::Read => {
                if let Some(read) = self.read_handler(cx, &value) {
                    cx.print(&format!("{}:\n{}", full_name(cx, &value), read.trim_end_matches('\n')));
                }
            }
            Verb::Write => {
                let (handler, value) = cut(&value);
                let own = handler == "set" || handler.strip_suffix(".set").is_some_and(|e| e == cx.name());
                if own {
                    return self.write(cx, "set", value);
                }
                let (done, reports) = write_near(cx, handler, value);
                let call = format!("{handler} {value}");
                match done {
                    Err(failure) if !failure.called => return Err(failure.message),
                    Err(failure) => {
                        // What ended a script by an error has said so; others have a reason.
                        let status = if failure.message.is_empty() { "-1" } else { "-22" };
                        self.values.set("?", status.to_string());
                        self.report_call(cx, &call, &reports, &failure.message);
                    }
                    Ok(()) => {
                        self.values.set("?", "0".to_string());
                        self.report_call(cx, &call, &reports, "");
                    }
                }
            }
            Verb::WaitTime => {
                let time = parse_time(value.trim())
                    .ok_or_else(|| format!("wait: expected a time, not '{value}'"))?;
                self.wait(cx, Waiting::Time);
                if self.waiting == Waiting::Time {
                    cx.wake_at(cx.now().saturating_add(time));
                }
            }
            Verb::WaitStep => {
                let count = if value.is_empty() { 1 } else { value.trim().parse().unwrap_or(1) };
                self.wait(cx, Waiting::Steps(count));
            }
            Verb::Goto => match truth(&value) {
                _ if i.rest.is_empty() => return self.jump(operand),
                Some(true) => return self.jump(operand),
                Some(false) => {}
                None => return Err(format!("bad condition '{value}'")),
            },
            Verb::Loop => return self.jump("begin"),
            Verb::End | Verb::Exit => {
                self.at = self.instructions.len();
                self.ended_by = i.verb;
            }
            Verb::Return => {
                self.result = value;
                self.at = self.instructions.len();
                self.ended_by = Verb::Return;
            }
            Verb::Stop => {
                self.at = self.instructions.len();
                self.ended_by = Verb::Stop;
                if self.kind == Kind::Driver { cx.stop_now() } else { cx.stop() }
            }
            Verb::Error => return self.fail(value),
        }
        Ok(())
    }

    /// Prints a handler's value, or a text, here or to a file.
    fn print(&mut self, cx: &mut Context<'_>, text: &str, line: bool) -> Result<(), String> {
        #[cfg(feature = "host")]
        let (file, append, text) = match text.strip_prefix('>') {
            None => (None, false, text),
            Some(rest) => {
                let append = rest.starts_with('>');
                let (file, text) = cut(rest.trim_start_matches('>'));
                (Some(plain(&self.value(cx, file)?)), append, text)
            }
        };
        let faults = self.faults.get();
        let mut out = if text.starts_with(|c: char| c.is_alphabetic() || c == '_' || c == '@') {
            let handler = self.value(cx, text)?;
            self.read_handler(cx, &handler).unwrap_or_default()
        } else {
            evaluate_plain(text, &self.values, &mut |handler| self.expand_handler(cx, handler))?
        };
        if line && !out.ends_with('\n') && faults == self.faults.get() {
            out.push('\n');
        }
        #[cfg(feature = "host")]
        return write_out(cx, file.as_deref(), append, &out);
        #[cfg(not(feature = "host"))]
        {
            cx.host.print(&out);
            Ok(())
        }
    }

    /// Waits, unless steps were made before.
    fn wait(&mut self, cx: &mut Context<'_>, why: Waiting) {
        self.waiting = why;
        self.jumps = 0;
        if self.steps > 0 {
            let steps = core::mem::take(&mut self.steps);
            self.advance(cx, steps);
        }
    }

    /// Somebody makes steps. Those that are too many are kept for what waits later.
    #[inline(never)]
    pub(super) fn advance(&mut self, cx: &mut Context<'_>, steps: u32) {
        let (needed, time) = match self.waiting {
            Waiting::Steps(needed) => (needed, false),
            Waiting::Time => (1, true),
            Waiting::No => (u32::MAX, false),
            Waiting::Ended => return,
        };
        match steps.checked_sub(needed) {
            Some(left) => {
                (self.waiting, self.steps) = (Waiting::No, left);
                if time {
                    cx.wake_never();
                }
                cx.schedule();
            }
            None if self.waiting == Waiting::No => self.steps = self.steps.saturating_add(steps),
            None => self.waiting = Waiting::Steps(needed - steps),
        }
    }
}
