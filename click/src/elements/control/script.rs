use super::function::call;
use super::instruction::{Instruction, Verb, parse};
use super::reach::{print, read_near, truth, write_near};
use super::value::{Values, evaluate, plain};
use crate::args::{Args, parse_time};
use crate::element::{Context, Element, read, read_write, write};
use crate::packet::Batch;
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
    /// decides when the router stops, and stops it at its end. `SIGNAL NAME...` runs when a signal comes (on a host);
    /// `PROXY` when any handler of it that it does not have is read, its name in `$0`; `PACKET` for each packet that is
    /// pushed into it, the input in `$input`, and the packet leaves by the output that is returned (0). Then
    /// instructions:
    ///
    /// - `set VAR VALUE`, `init VAR VALUE` (set when the script is made); `save HANDLER VAR`, `append VAR VALUE`
    /// - `print VALUE`, `printn VALUE` (without a new line): a handler's value or a text, `>FILE` or `>>FILE` before it;
    ///   `read HANDLER` (printed under its name)
    /// - `write HANDLER VALUE`: `$?` is 0 if that went well
    /// - `wait TIME`, `wait_for TIME`, `wait_time TIME` (also ended by a step), `pause COUNT`, `wait`, `wait_step COUNT`,
    ///   `wait_stop COUNT`: until somebody writes `step`, or asks the router to stop if this is a `DRIVER`
    /// - `label NAME`, `goto NAME [CONDITION]`, `loop`, `end`, `exit`, `return VALUE`, `stop`, `error MESSAGE`
    ///
    /// With a `q` behind them (`setq`, `printq`, `returnq`, `writeq`, `errorq`), instructions take the quotes off their
    /// value.
    ///
    /// Values may hold `$VAR`, `$(HANDLER)`, and `$(FUNCTION VALUE ...)`, where a function is `add`, `sub`, `mul`, `div`,
    /// `idiv`, `mod`, `rem`, `min`, `max`, `eq`, `ne`, `lt`, `le`, `gt`, `ge`, `not`, `and`, `or`, `if`, or on a host `neg`,
    /// `abs`, `in`, `first`, `length`, `unquote`, `readable`, `writable`, `now`, `random`, `htons`, `ntohs`, `htonl`,
    /// `ntohl`, `basename`, `sprintf`, `cat`, `kill`. In a guest numbers are whole, and nothing is printed to a file.
    ///
    /// # Handlers
    /// `step`: goes on from a wait, or from so many. `goto`: goes on at a label. `run`: runs a passive script, its
    /// argument in `$args`, `$1` and so on, their number in `$#`; the value is what it returns. `*`: the functions.
    Script "-/-" "h/h"
    keywords ["TYPE"]
    handlers [write("step"), write("goto"), read_write("run"), read("*")]
    {
        instructions: Vec<Instruction>,
        kind: Kind,
        at: usize,
        waiting: Waiting,
        values: Values,
        result: String,
        steps: u32,
        #[cfg(feature = "host")]
        signals: Vec<String>,
        #[cfg(feature = "host")]
        numbers: Vec<i32>,
    }
}

/// A script that drives the router.
pub struct DriverManager;

impl crate::element::Described for DriverManager {
    const CLASS: crate::element::Class = crate::element::Class {
        name: "DriverManager",
        make: |args| alloc::boxed::Box::new(Script::made(args, Kind::Driver)),
        ..<Script as crate::element::Described>::CLASS
    };
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Active,
    Passive,
    Driver,
    Proxy,
    Packet,
    #[cfg(feature = "host")]
    Signal,
}

/// Words for kinds.
const KINDS: &[(&str, Kind)] = &[
    ("ACTIVE", Kind::Active),
    ("PASSIVE", Kind::Passive),
    ("DRIVER", Kind::Driver),
    ("PROXY", Kind::Proxy),
    ("PACKET", Kind::Packet),
    #[cfg(feature = "host")]
    ("SIGNAL", Kind::Signal),
];

/// Why nothing is done.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waiting {
    No,
    Time,
    Steps(u32),
    Ended,
}

impl Script {
    fn new(args: &mut Args<'_>) -> Self {
        Self::made(args, Kind::Active)
    }

    fn made(args: &mut Args<'_>, usual: Kind) -> Self {
        let given = args.key::<String>("TYPE").unwrap_or_default();
        let mut words = given.split_whitespace();
        let word = words.next().unwrap_or("");
        let kind = match KINDS.iter().find(|k| k.0 == word) {
            Some((_, kind)) => *kind,
            None if word.is_empty() => usual,
            None => {
                args.error(format!("TYPE: bad script type '{word}'"));
                Kind::Passive
            }
        };
        if kind != Kind::Packet && args.inputs + args.outputs > 0 {
            args.error("only scripts of the type PACKET have ports");
        }
        let mut instructions = Vec::new();
        for word in args.rest() {
            match parse(&word.text) {
                Ok(instruction) => instructions.push(instruction),
                Err(message) => args.error_in(&word, message),
            }
        }
        let label = |name: &str| {
            let is = |i: &Instruction| i.verb == Verb::Label && i.operand == name;
            ["begin", "end", "exit", "error"].contains(&name) || instructions.iter().any(is)
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
            steps: 0,
            #[cfg(feature = "host")]
            signals: words.map(ToString::to_string).collect(),
            #[cfg(feature = "host")]
            numbers: Vec::new(),
        }
    }

    fn value(&self, cx: &mut Context<'_>, text: &str) -> Result<String, String> {
        evaluate(text, &self.values, &mut |handler| read_near(cx, handler))
    }

    #[inline(never)]
    fn jump(&mut self, label: &str) -> Result<(), String> {
        self.at = match label {
            "begin" => 0,
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
        Err(message)
    }

    /// Runs until there is something to wait for; whether it could go on. `Err`: what is to be said about it.
    fn go(&mut self, cx: &mut Context<'_>, most: usize) -> Result<bool, String> {
        let mut said = Ok(());
        for _ in 0..most {
            if self.waiting != Waiting::No {
                return said.map(|()| false);
            }
            let Some(instruction) = self.instructions.get(self.at).cloned() else {
                self.waiting = Waiting::Ended;
                return said.map(|()| false);
            };
            self.at += 1;
            if let Err(message) = self.step(cx, &instruction) {
                if !message.is_empty() {
                    cx.print(&format!("{}: {message}", cx.name()));
                }
                said = Err(message);
            }
        }
        said.map(|()| true)
    }

    fn step(&mut self, cx: &mut Context<'_>, i: &Instruction) -> Result<(), String> {
        let operand = i.operand.as_str();
        let mut value = match i.verb {
            Verb::Init | Verb::Label | Verb::Loop | Verb::End | Verb::Exit | Verb::Stop => String::new(),
            Verb::Save => i.rest.clone(),
            _ => self.value(cx, &i.rest)?,
        };
        if i.unquotes && !matches!(i.verb, Verb::Print | Verb::PrintN) {
            value = plain(&value);
        }
        match i.verb {
            // Done when the script was made.
            Verb::Init | Verb::Label => {}
            Verb::Set => self.values.set(operand, value),
            Verb::Append => {
                let value = self.values.get(operand).unwrap_or_default() + &value;
                self.values.set(operand, value);
            }
            Verb::Save => {
                let read = read_near(cx, operand)?;
                self.values.set(&value, read);
            }
            Verb::Print | Verb::PrintN => return print(cx, &value, i.verb == Verb::Print),
            Verb::Read => {
                let read = read_near(cx, &value)?;
                cx.print(&format!("{value}:\n{}", read.trim_end_matches('\n')));
            }
            Verb::Write => {
                let done = write_near(cx, operand, &value);
                self.values.set("?", if done.is_ok() { "0" } else { "1" }.to_string());
                done?;
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
            Verb::Goto => {
                if value.is_empty() || truth(&value) {
                    return self.jump(operand);
                }
            }
            Verb::Loop => self.at = 0,
            Verb::End | Verb::Exit => {
                self.at = self.instructions.len();
                #[cfg(feature = "host")]
                if i.verb == Verb::Exit && self.kind == Kind::Signal {
                    // It does not run again.
                    self.numbers.clear();
                }
            }
            Verb::Return => {
                self.result = value;
                self.at = self.instructions.len();
            }
            Verb::Stop => {
                self.at = self.instructions.len();
                if self.kind == Kind::Driver { cx.stop_now() } else { cx.stop() }
            }
            Verb::Error => return self.fail(plain(&value)),
        }
        Ok(())
    }

    /// Waits, unless steps were made before.
    fn wait(&mut self, cx: &mut Context<'_>, why: Waiting) {
        self.waiting = why;
        if self.steps > 0 {
            let steps = core::mem::take(&mut self.steps);
            self.advance(cx, steps);
        }
    }

    /// Somebody makes steps. Those that are too many are kept for what waits later.
    #[inline(never)]
    fn advance(&mut self, cx: &mut Context<'_>, steps: u32) {
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

    /// A passive script from its beginning to its end.
    fn run_whole(&mut self, cx: &mut Context<'_>, argument: &str) -> Result<String, String> {
        self.values.set("args", argument.to_string());
        let mut count = 0;
        for (n, word) in argument.split_whitespace().enumerate() {
            self.values.set(&(n + 1).to_string(), word.to_string());
            count = n + 1;
        }
        self.values.set("#", count.to_string());
        (self.at, self.waiting, self.steps) = (0, Waiting::No, 0);
        self.result.clear();
        let ran = self.go(cx, RUN);
        let waits = self.waiting != Waiting::Ended;
        self.waiting = Waiting::Ended;
        cx.wake_never();
        match (ran, waits) {
            (Err(message), _) => Err(message),
            (Ok(true), _) => Err(format!("script ran for {RUN} instructions without an end")),
            (_, true) => Err("a script that is run by its handler cannot wait".to_string()),
            _ => Ok(core::mem::take(&mut self.result)),
        }
    }
}

impl Element for Script {
    fn phase(&self) -> i32 {
        1
    }

    fn initialize(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        for i in self.instructions.iter().filter(|i| i.verb == Verb::Init).cloned().collect::<Vec<_>>() {
            let value = self.value(cx, &i.rest)?;
            self.values.set(&i.operand, if i.unquotes { plain(&value) } else { value });
        }
        #[cfg(feature = "host")]
        if self.kind == Kind::Signal {
            let outside = cx.host.outside().ok_or("signals need a host, and cannot be used in a guest")?;
            for name in &self.signals {
                self.numbers.push(outside.watch_signal(name)?);
            }
        }
        if matches!(self.kind, Kind::Active | Kind::Driver) {
            self.waiting = Waiting::No;
            cx.schedule();
        }
        Ok(())
    }

    #[cfg(feature = "host")]
    fn is_poller(&self) -> bool {
        self.kind == Kind::Signal
    }

    fn work(&mut self, cx: &mut Context<'_>) -> bool {
        #[cfg(feature = "host")]
        if self.kind == Kind::Signal && self.waiting == Waiting::Ended {
            let Some(outside) = cx.host.outside() else { return false };
            if self.numbers.iter().filter(|n| outside.take_signal(**n)).count() == 0 {
                return false;
            }
            (self.at, self.waiting) = (0, Waiting::No);
        }
        let ended = self.waiting == Waiting::Ended;
        // What went wrong was said.
        let again = self.go(cx, TURN).unwrap_or(self.waiting == Waiting::No);
        if !ended && self.waiting == Waiting::Ended && self.kind == Kind::Driver {
            cx.stop_now();
        }
        again
    }

    fn push(&mut self, cx: &mut Context<'_>, port: usize, mut batch: Batch) {
        for packet in batch.drain() {
            self.values.set("input", port.to_string());
            // What went wrong was said; the packet is lost.
            let Ok(output) = self.run_whole(cx, "") else { continue };
            let output = if output.is_empty() { Some(0) } else { output.trim().parse().ok() };
            if let Some(output) = output {
                cx.output_one(output, packet);
            }
        }
    }

    fn timer(&mut self, cx: &mut Context<'_>) {
        if self.waiting == Waiting::Time {
            self.waiting = Waiting::No;
            cx.schedule();
        }
    }

    fn driver_stop(&mut self, cx: &mut Context<'_>) -> bool {
        let goes_on = self.kind == Kind::Driver && self.waiting != Waiting::Ended;
        if goes_on {
            self.advance(cx, 1);
        }
        goes_on
    }

    fn read(&mut self, cx: &mut Context<'_>, handler: &str, argument: &str) -> Result<String, String> {
        if handler == "run" {
            return self.run_whole(cx, argument);
        }
        if let Some(value) = call(cx, handler, argument) {
            return value;
        }
        if self.kind == Kind::Proxy {
            self.values.set("0", handler.to_string());
            return self.run_whole(cx, argument);
        }
        Err(format!("no handler named '{handler}'"))
    }

    fn write(&mut self, cx: &mut Context<'_>, handler: &str, value: &str) -> Result<(), String> {
        match handler {
            "run" => return self.run_whole(cx, value).map(drop),
            "goto" => {
                self.jump(value.trim())?;
                self.waiting = Waiting::No;
                cx.wake_never();
                cx.schedule();
            }
            _ => self.advance(cx, value.trim().parse().unwrap_or(1)),
        }
        Ok(())
    }
}
