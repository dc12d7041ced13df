use super::instruction::{Instruction, Verb, parse};
use super::value::{Values, evaluate};
use crate::args::{Args, parse_time};
use crate::element::{Context, Element, Nanos, read, write};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Instructions in one turn: others want to work too.
const TURN: usize = 1000;
/// Instructions of one call of a script by its handler `run`.
const RUN: usize = 100_000;

crate::element! {
    /// Runs instructions: reads and writes handlers, waits, prints, stops the router.
    ///
    /// # Arguments
    /// `TYPE` (ACTIVE): `ACTIVE` scripts run from the start, `PASSIVE` ones when `run` is read or written, a `DRIVER`
    /// decides when the router stops, and stops it at its end. Then instructions:
    ///
    /// - `set VAR VALUE`, `init VAR VALUE` (set when the script is made); `save HANDLER VAR`, `append VAR VALUE`
    /// - `print VALUE`, `printn VALUE` (without a new line), `read HANDLER`, `readq HANDLER` (printed without its name)
    /// - `write HANDLER VALUE`, `writeq HANDLER VALUE` (errors are not printed)
    /// - `wait TIME`, `wait_stop`, `pause` (until somebody asks the router to stop)
    /// - `label NAME`, `goto NAME [CONDITION]`, `loop`, `end`, `exit`, `return VALUE`, `stop`, `error MESSAGE`
    ///
    /// Values may hold `$VAR`, `$(HANDLER)`, and `$(FUNCTION VALUE ...)`, where a function is `add`, `sub`, `mul`, `div`,
    /// `mod`, `min`, `max`, `eq`, `ne`, `lt`, `le`, `gt`, `ge`, `not`, `and`, `or` or `if`.
    ///
    /// # Handlers
    /// `step`: goes on from a wait. `goto`: goes on at a label. `run`: runs a passive script, its argument in `$args`, `$1`
    /// and so on; the value is what it returns.
    Script "0/0" "a/a"
    keywords ["TYPE"]
    handlers [write("step"), write("goto"), read("run"), write("run")]
    { instructions: Vec<Instruction>, kind: Kind, at: usize, waiting: Waiting, values: Values, result: String, stops: u32 }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Active,
    Passive,
    Driver,
}

/// Why nothing is done.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waiting {
    No,
    Until(Nanos),
    ForStop,
    Ended,
}

impl Script {
    fn new(args: &mut Args<'_>) -> Self {
        let kind = match args.key::<String>("TYPE").as_deref() {
            None | Some("ACTIVE") => Kind::Active,
            Some("PASSIVE") => Kind::Passive,
            Some("DRIVER") => Kind::Driver,
            Some(other) => {
                args.error(format!(
                    "TYPE: script type {other} is not supported (ACTIVE, PASSIVE and DRIVER are)"
                ));
                Kind::Passive
            }
        };
        let mut instructions = Vec::new();
        for word in args.rest() {
            match parse(&word.text) {
                Ok(instruction) => instructions.push(instruction),
                Err(message) => args.error_in(&word, message),
            }
        }
        let label = |name: &str| {
            let is = |i: &Instruction| i.verb == Verb::Label && i.operand == name;
            ["begin", "end", "exit"].contains(&name) || instructions.iter().any(is)
        };
        if let Some(bad) = instructions.iter().find(|i| i.verb == Verb::Goto && !label(&i.operand)) {
            args.error(format!("no label '{}'", bad.operand));
        }
        Self {
            instructions,
            kind,
            at: 0,
            waiting: Waiting::Ended,
            values: Values::default(),
            result: String::new(),
            stops: 0,
        }
    }

    fn value(&self, cx: &mut Context<'_>, text: &str) -> Result<String, String> {
        evaluate(text, &self.values, &mut |handler| read_near(cx, handler))
    }

    fn jump(&mut self, label: &str) {
        self.at = match label {
            "begin" => 0,
            "end" | "exit" => self.instructions.len(),
            _ => {
                let is = |i: &Instruction| i.verb == Verb::Label && i.operand == label;
                self.instructions.iter().position(is).unwrap_or(self.instructions.len())
            }
        };
    }

    /// Runs until there is something to wait for; whether it could go on.
    fn go(&mut self, cx: &mut Context<'_>, most: usize) -> bool {
        for _ in 0..most {
            if self.waiting != Waiting::No {
                return false;
            }
            let Some(instruction) = self.instructions.get(self.at).cloned() else {
                self.waiting = Waiting::Ended;
                return false;
            };
            self.at += 1;
            if let Err(message) = self.step(cx, &instruction) {
                cx.print(&format!("{}: {message}", cx.name()));
            }
        }
        true
    }

    fn step(&mut self, cx: &mut Context<'_>, i: &Instruction) -> Result<(), String> {
        let operand = i.operand.as_str();
        match i.verb {
            // Done when the script was made.
            Verb::Init | Verb::Label => {}
            Verb::Set => {
                let value = self.value(cx, &i.rest)?;
                self.values.set(operand, value);
            }
            Verb::Append => {
                let value = self.values.get(operand).unwrap_or_default() + &self.value(cx, &i.rest)?;
                self.values.set(operand, value);
            }
            Verb::Save => {
                let value = read_near(cx, operand)?;
                self.values.set(&i.rest, value);
            }
            Verb::Print | Verb::PrintN => {
                let mut value = self.value(cx, &i.rest)?;
                if i.verb == Verb::Print && !value.ends_with('\n') {
                    value.push('\n');
                }
                cx.host.print(&value);
            }
            Verb::Read | Verb::ReadQ => {
                let handler = self.value(cx, &i.rest)?;
                let value = read_near(cx, &handler)?;
                let name = if i.verb == Verb::Read { format!("{handler}:\n") } else { String::new() };
                cx.print(&(name + value.trim_end_matches('\n')));
            }
            Verb::Write | Verb::WriteQ => {
                let value = self.value(cx, &i.rest)?;
                let done = write_near(cx, operand, &value);
                if i.verb == Verb::Write {
                    done?;
                }
            }
            Verb::Wait => {
                let text = self.value(cx, &i.rest)?;
                let time =
                    parse_time(text.trim()).ok_or_else(|| format!("wait: expected a time, not '{text}'"))?;
                self.waiting = Waiting::Until(cx.now().saturating_add(time));
                cx.wake_at(cx.now().saturating_add(time));
            }
            // Somebody may have asked before.
            Verb::WaitStop if self.stops > 0 => self.stops -= 1,
            Verb::WaitStop => self.waiting = Waiting::ForStop,
            Verb::Goto => {
                let go = i.rest.is_empty() || truth(&self.value(cx, &i.rest)?);
                if go {
                    self.jump(operand);
                }
            }
            Verb::Loop => self.at = 0,
            Verb::End => self.at = self.instructions.len(),
            Verb::Return => {
                self.result = self.value(cx, &i.rest)?;
                self.at = self.instructions.len();
            }
            Verb::Stop => {
                self.at = self.instructions.len();
                if self.kind == Kind::Driver { cx.stop_now() } else { cx.stop() }
            }
            Verb::Error => return Err(self.value(cx, &i.rest)?),
        }
        Ok(())
    }

    /// A passive script from its beginning to its end.
    fn run_whole(&mut self, cx: &mut Context<'_>, argument: &str) -> Result<String, String> {
        self.values.set("args", argument.to_string());
        for (n, word) in argument.split_whitespace().enumerate() {
            self.values.set(&(n + 1).to_string(), word.to_string());
        }
        (self.at, self.waiting) = (0, Waiting::No);
        self.result.clear();
        let unfinished = self.go(cx, RUN);
        let waits = self.waiting != Waiting::Ended;
        self.waiting = Waiting::Ended;
        cx.wake_never();
        match (unfinished, waits) {
            (true, _) => Err(format!("script ran for {RUN} instructions without an end")),
            (_, true) => Err("a script that is run by its handler cannot wait".to_string()),
            _ => Ok(core::mem::take(&mut self.result)),
        }
    }
}

pub(super) fn truth(text: &str) -> bool {
    !matches!(text.trim(), "" | "0" | "false" | "no")
}

/// A handler named from where the script stands: inside of a compound element first.
fn near(cx: &Context<'_>, handler: &str) -> String {
    let element = handler.split(['.', ' ']).next().unwrap_or("");
    let mut prefix = cx.name();
    while let Some((outer, _)) = prefix.rsplit_once('/') {
        if cx.has_element(&format!("{outer}/{element}")) {
            return format!("{outer}/{handler}");
        }
        prefix = outer;
    }
    handler.to_string()
}

fn read_near(cx: &mut Context<'_>, handler: &str) -> Result<String, String> {
    let handler = near(cx, handler.trim());
    cx.read_handler(&handler).map_err(|e| e.to_string())
}

fn write_near(cx: &mut Context<'_>, handler: &str, value: &str) -> Result<(), String> {
    let handler = near(cx, handler.trim());
    cx.write_handler(&handler, value).map_err(|e| e.to_string())
}

impl Element for Script {
    fn phase(&self) -> i32 {
        1
    }

    fn initialize(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        for i in self.instructions.iter().filter(|i| i.verb == Verb::Init).cloned().collect::<Vec<_>>() {
            let value = self.value(cx, &i.rest)?;
            self.values.set(&i.operand, value);
        }
        if self.kind != Kind::Passive {
            self.waiting = Waiting::No;
            cx.schedule();
        }
        Ok(())
    }

    fn work(&mut self, cx: &mut Context<'_>) -> bool {
        let ended = self.waiting == Waiting::Ended;
        let again = self.go(cx, TURN);
        if !ended && self.waiting == Waiting::Ended && self.kind == Kind::Driver {
            cx.stop_now();
        }
        again
    }

    fn timer(&mut self, cx: &mut Context<'_>) {
        if let Waiting::Until(_) = self.waiting {
            self.waiting = Waiting::No;
            cx.schedule();
        }
    }

    fn driver_stop(&mut self, cx: &mut Context<'_>) -> bool {
        if self.waiting == Waiting::ForStop {
            self.waiting = Waiting::No;
            cx.schedule();
            return true;
        }
        let goes_on = self.kind == Kind::Driver && self.waiting != Waiting::Ended;
        self.stops += u32::from(goes_on);
        goes_on
    }

    fn read(&mut self, cx: &mut Context<'_>, _: &str, argument: &str) -> Result<String, String> {
        self.run_whole(cx, argument)
    }

    fn write(&mut self, cx: &mut Context<'_>, handler: &str, value: &str) -> Result<(), String> {
        match handler {
            "run" => return self.run_whole(cx, value).map(drop),
            "goto" => self.jump(value.trim()),
            _ => {}
        }
        self.waiting = Waiting::No;
        cx.wake_never();
        cx.schedule();
        Ok(())
    }
}
