use super::function::call;
use super::instruction::{Instruction, Verb, cut, parse};
#[cfg(feature = "host")]
use super::reach::write_out;
use super::reach::{full_name, read_near, truth, write_near};
use super::value::{Values, evaluate, evaluate_plain, plain};
use crate::args::{Args, parse_time, words};
use crate::element::{Context, Element, read, read_write, write};
use crate::packet::Batch;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Instructions in one turn: others want to work too.
const TURN: usize = 1000;
/// Instructions of one call of a script by its handler `run`.
const RUN: usize = 100_000;
/// Jumps without a wait in between.
const JUMPS: u32 = 1000;
/// What is said of a script that makes more.
const LOOPS: &str = "too many jumps, giving up";

crate::element! {
    /// Runs instructions: reads and writes handlers, waits, prints, stops the router.
    ///
    /// # Arguments
    /// `TYPE` (ACTIVE): `ACTIVE` scripts run from the start, `PASSIVE` ones when `run` is read or written, a `DRIVER`
    /// decides when the router stops, and stops it at its end. `SIGNAL NAME...` runs when a signal comes (on a host);
    /// `PROXY` when any handler of it that it does not have is read, its name in `$0`; `PACKET` (which a script with
    /// ports is) for each packet that is pushed into it, the input in `$input`, and the packet leaves by the output that
    /// is returned (0; `exit` drops it). Then instructions:
    ///
    /// - `set VAR VALUE`, `init VAR VALUE` (set when the script is made), `export VAR VALUE` (the same, and a handler to
    ///   read from then on)
    /// - `print VALUE`, `printn VALUE` (without a new line): the value of a handler if it begins with a letter, `_` or `@`,
    ///   else a text; `>FILE` or `>>FILE` before it; `read HANDLER` (printed under its name)
    /// - `save HANDLER FILE`, `append HANDLER FILE` (`-`: the standard output)
    /// - `write HANDLER VALUE`: `$?` is 0 if that went well
    /// - `wait TIME`, `wait_for TIME`, `wait_time TIME` (also ended by a step), `pause COUNT`, `wait`, `wait_step COUNT`,
    ///   `wait_stop COUNT`: until somebody writes `step`, or asks the router to stop if this is a `DRIVER`
    /// - `label NAME`, `goto NAME [CONDITION]`, `loop`, `end`, `exit`, `return VALUE`, `stop`, `error MESSAGE`; after 1000
    ///   jumps without a wait, a script gives up
    ///
    /// With a `q` behind them (`setq`, `returnq`, `readq`, `writeq`, `errorq`), instructions take the quotes off their
    /// value.
    ///
    /// Values may hold `$VAR`, `$(HANDLER)`, and `$(FUNCTION VALUE ...)`, where a function is `add`, `sub`, `mul`, `div`,
    /// `idiv`, `mod`, `rem`, `min`, `max`, `eq`, `ne`, `lt`, `le`, `gt`, `ge`, `not`, `and`, `or`, `if`, or on a host `neg`,
    /// `abs`, `in`, `first`, `length`, `unquote`, `readable`, `writable`, `now`, `random`, `htons`, `ntohs`, `htonl`,
    /// `ntohl`, `basename`, `sprintf`, `cat`, `kill`. In a guest numbers are whole, and nothing is printed to a file.
    ///
    /// # Handlers
    /// `step`: goes on from a wait, or from so many. `goto`: goes on at a label. `run`: runs a passive script, its
    /// argument in `$args`, `$1` and so on, their number in `$#`; the value is what it returns. `set` (`VAR VALUE`), `get`
    /// (a variable's value), `shift` (takes the first word off it). `*`: the functions, of which `cat` and `kill` are the
    /// script's own, and variables that are exported.
    Script "-/-" "h/h"
    keywords ["TYPE"]
    handlers [
        write("step"), write("goto"), read_write("run"), write("set"), read("get"), read("shift"), read("*"),
    ]
    {
        instructions: Vec<Instruction>,
        kind: Kind,
        at: usize,
        waiting: Waiting,
        values: Values,
        result: String,
        steps: u32,
        jumps: u32,
        /// `exit` ended it.
        exited: bool,
        #[cfg(feature = "host")]
        signals: Vec<String>,
        /// Their numbers, and how often each had come when it was last looked at.
        #[cfg(feature = "host")]
        numbers: Vec<(i32, usize)>,
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
            None if word.is_empty() && args.inputs + args.outputs > 0 => Kind::Packet,
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
            jumps: 0,
            exited: false,
            #[cfg(feature = "host")]
            signals: words.map(ToString::to_string).collect(),
            #[cfg(feature = "host")]
            numbers: Vec::new(),
        }
    }

    fn value(&self, cx: &mut Context<'_>, text: &str) -> Result<String, String> {
        evaluate(text, &self.values, &mut |handler| self.reading(cx, handler))
    }

    /// Value of a handler.
    fn reading(&self, cx: &mut Context<'_>, handler: &str) -> Result<String, String> {
        read_near(cx, &self.values, handler)
    }

    #[inline(never)]
    fn jump(&mut self, label: &str) -> Result<(), String> {
        self.jumps += 1;
        if self.jumps >= JUMPS {
            return self.fail(LOOPS.to_string());
        }
        self.exited |= label == "exit";
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
                match message.as_str() {
                    "" => {}
                    LOOPS => cx.print(&format!("{}: {message}", cx.declaration())),
                    _ => cx.print(&format!("While executing '{}':\n  {message}", cx.declaration())),
                }
                said = Err(message);
            }
        }
        said.map(|()| true)
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
                let mut read = self.reading(cx, &handler)?;
                if !read.ends_with('\n') {
                    read.push('\n');
                }
                write_out(cx, Some(&value), i.verb == Verb::Append, &read)?;
            }
            Verb::Read => {
                let read = self.reading(cx, &value)?;
                cx.print(&format!("{}:\n{}", full_name(cx, &value), read.trim_end_matches('\n')));
            }
            Verb::Write => {
                let (handler, value) = cut(&value);
                let own = handler == "set" || handler.strip_suffix(".set").is_some_and(|e| e == cx.name());
                let done = if own { self.write(cx, "set", value) } else { write_near(cx, handler, value) };
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
            Verb::Goto => match truth(&value) {
                _ if i.rest.is_empty() => return self.jump(operand),
                Some(true) => return self.jump(operand),
                Some(false) => {}
                None => return Err(format!("bad condition '{value}'")),
            },
            Verb::Loop => return self.jump("begin"),
            Verb::End | Verb::Exit => {
                self.at = self.instructions.len();
                self.exited = i.verb == Verb::Exit;
                #[cfg(feature = "host")]
                if i.verb == Verb::Exit && self.kind == Kind::Signal {
                    // It does not run again.
                    for (number, _) in self.numbers.drain(..) {
                        cx.host.outside().into_iter().for_each(|outside| outside.release_signal(number));
                    }
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
        let mut out = if text.starts_with(|c: char| c.is_alphabetic() || c == '_' || c == '@') {
            let handler = self.value(cx, text)?;
            self.reading(cx, &handler)?
        } else {
            evaluate_plain(text, &self.values, &mut |handler| self.reading(cx, handler))?
        };
        if line && !out.ends_with('\n') {
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

    /// A passive script from its beginning to its end, or until it waits.
    fn run_whole(&mut self, cx: &mut Context<'_>, argument: &str) -> Result<String, String> {
        self.values.set("args", argument.to_string());
        let mut count = 0;
        for (n, word) in words(argument).into_iter().enumerate() {
            self.values.set(&(n + 1).to_string(), word.to_string());
            count = n + 1;
        }
        self.values.set("#", count.to_string());
        (self.at, self.waiting, self.steps, self.jumps, self.exited) = (0, Waiting::No, 0, 0, false);
        self.result.clear();
        cx.wake_never();
        // One that waits goes on later, by itself.
        if self.go(cx, RUN)? {
            self.waiting = Waiting::Ended;
            return Err(format!("script ran for {RUN} instructions without an end"));
        }
        Ok(core::mem::take(&mut self.result))
    }
}

impl Element for Script {
    fn phase(&self) -> i32 {
        1
    }

    fn initialize(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        let first = |i: &&Instruction| matches!(i.verb, Verb::Init | Verb::Export);
        for i in self.instructions.iter().filter(first).cloned().collect::<Vec<_>>() {
            if i.verb == Verb::Export {
                self.values.export(&i.operand);
            }
            let value = self.value(cx, &i.rest)?;
            self.values.set(&i.operand, if i.unquotes { plain(&value) } else { value });
        }
        #[cfg(feature = "host")]
        if self.kind == Kind::Signal {
            let outside = cx.host.outside().ok_or("signals need a host, and cannot be used in a guest")?;
            for name in &self.signals {
                let number = outside.watch_signal(name)?;
                self.numbers.push((number, outside.signal_count(number)));
            }
        }
        #[cfg(feature = "host")]
        if let Some(outside) = cx.host.outside() {
            self.values.set("$", outside.process().to_string());
        }
        if self.kind == Kind::Packet {
            cx.move_packets_one_by_one();
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
            let mut came = false;
            for (number, before) in &mut self.numbers {
                let count = outside.signal_count(*number);
                came |= core::mem::replace(before, count) != count;
            }
            if !came {
                return false;
            }
            (self.at, self.waiting, self.jumps) = (0, Waiting::No, 0);
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
            if self.exited {
                continue;
            }
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
        let own = self.values.read(handler, argument).map(Ok);
        if let Some(value) = own.or_else(|| call(cx, handler, argument)) {
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
            "set" => {
                let (name, value) = cut(value);
                self.values.set(name, value.to_string());
                return Ok(());
            }
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
