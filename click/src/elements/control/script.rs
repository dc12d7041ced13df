use super::function::call;
use super::instruction::{Instruction, Verb, cut, parse};
#[cfg(feature = "host")]
use super::reach::write_out;
use super::reach::{full_name, read_near, truth, write_near};
use super::value::{Values, evaluate, evaluate_plain, plain};
use crate::args::{Args, parse_time};
use crate::element::{Context, Element, read, read_write, write};
use crate::packet::Batch;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::Cell;

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
    /// decides when the router stops, runs to its first wait before any packet, and stops the router at its end. `SIGNAL NAME...` runs when a signal comes (on a host);
    /// `PROXY` when any handler of it that it does not have is read, its name in `$0`; `PACKET` or `PUSH` (which a script
    /// with ports is) for each packet that comes in, the input in `$input`, and the packet leaves by the output that is
    /// returned (0; `exit`, an error and what is no number drop it). Then instructions:
    ///
    /// - `set VAR VALUE`, `init VAR VALUE` (set when the script is made), `export VAR VALUE` (the same, and a handler to
    ///   read from then on)
    /// - `print VALUE`, `printn VALUE` (without a new line): the value of a handler if it begins with a letter, `_` or `@`,
    ///   else a text; `>FILE` or `>>FILE` before it; `read HANDLER` (printed under its name)
    /// - `save HANDLER [FILE]`, `append HANDLER [FILE]` (`-`: the standard output)
    /// - `write HANDLER VALUE`: `$?` is 0 if that went well
    /// - `wait TIME`, `wait_for TIME`, `wait_time TIME` (also ended by a step), `pause COUNT`, `wait`, `wait_step COUNT`,
    ///   `wait_stop COUNT`: until somebody writes `step`, or asks the router to stop if this is a `DRIVER`
    /// - `label NAME`, `goto NAME [CONDITION]`, `loop`, `end`, `exit`, `return VALUE`, `stop`, `error MESSAGE`; after 1000
    ///   jumps without a wait, a script gives up
    ///
    /// With a `q` behind them (`setq`, `initq`, `exportq`, `returnq`, `readq`, `writeq`, `printq`, `printnq`, `errorq`),
    /// instructions take the quotes off their value.
    ///
    /// Values may hold `$VAR`, `$(HANDLER)`, and `$(FUNCTION VALUE ...)`, where a function is `add`, `sub`, `mul`, `div`,
    /// `idiv`, `mod`, `rem`, `min`, `max`, `eq`, `ne`, `lt`, `le`, `gt`, `ge`, `not`, `and`, `or`, `nand`, `nor`, `if`, or
    /// on a host `neg`, `abs`, `in`, `first`, `length`, `unquote`, `readable`, `writable`, `now`, `random`, `htons`,
    /// `ntohs`, `htonl`, `ntohl`, `basename`, `sprintf`, `cat`, `catq`, `kill`. In a guest numbers are whole, and nothing is
    /// printed to a file.
    ///
    /// # Handlers
    /// `step`: goes on from a wait, or from so many. `goto`: goes on at a label. `run`: runs a passive script, its
    /// argument in `$args`, `$1` and so on, their number in `$#`, the handler's name in `$0`, whether it was written in
    /// `$write`; the value is what it returns. `set` (`VAR VALUE`), `get`
    /// (a variable's value), `shift` (takes the first word off it). `*`: the functions, of which `cat` and `kill` are the
    /// script's own, and variables that are exported.
    Script "-/-" "ah/ah"
    keywords ["TYPE"]
    handlers [
        write("step"), write("goto"), read_write("run"), write("set"), read("get"), read("shift"), read("add"),
        read("sub"), read("min"), read("max"), read("mul"), read("div"), read("idiv"), read("mod"), read("rem"),
        read("eq"), read("ne"), read("gt"), read("ge"), read("lt"), read("le"), read("not"), read("and"), read("or"),
        read("nand"), read("nor"), read("if"), read("neg"), read("abs"), read("in"), read("first"), read("length"),
        read("unquote"), read("readable"), read("writable"), read("now"), read("random"), read("htons"), read("htonl"),
        read("ntohs"), read("ntohl"), read("basename"), read("sprintf"), read_write("*"),
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
        says: Cell<Says>,
        /// How often something went wrong.
        faults: Cell<u64>,
        /// What ended it; `end` or the last instruction unless it is said.
        ended_by: Verb,
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
    ("PUSH", Kind::Packet),
    #[cfg(feature = "host")]
    ("SIGNAL", Kind::Signal),
];

/// To whom it is said what goes wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Says {
    /// To all, as it is.
    Plainly,
    /// To all, under the script's name, which was said already or was not.
    UnderName(bool),
    /// To whoever called.
    ToCaller,
}

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
                args.error("bad TYPE");
                Kind::Passive
            }
        };
        if kind == Kind::Packet && args.inputs == 0 {
            args.error("PACKET script must have inputs");
        } else if kind != Kind::Packet && args.inputs + args.outputs > 0 {
            args.error("ports allowed only on PACKET scripts");
        }
        let mut instructions = Vec::new();
        for word in args.rest().into_iter().filter(|word| !word.text.is_empty()) {
            match parse(&word.text) {
                Ok(instruction) => instructions.push(instruction),
                Err(message) => args.error_in(&word, message),
            }
        }
        let label = |name: &str| {
            let is = |i: &Instruction| i.verb == Verb::Label && i.operand == name;
            ["begin", "loop", "end", "exit", "error", "stop"].contains(&name) || instructions.iter().any(is)
        };
        if let Some(bad) = instructions.iter().find(|i| i.verb == Verb::Goto && !label(&i.operand)) {
            args.error(format!("no such label '{}'", bad.operand));
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
            ended_by: Verb::End,
            says: Cell::new(Says::UnderName(false)),
            faults: Cell::new(0),
            #[cfg(feature = "host")]
            signals: words.map(ToString::to_string).collect(),
            #[cfg(feature = "host")]
            numbers: Vec::new(),
        }
    }

    fn value(&self, cx: &mut Context<'_>, text: &str) -> Result<String, String> {
        evaluate(text, &self.values, &mut |handler| self.expanded(cx, handler))
    }

    /// Value of a handler within a text.
    fn expanded(&self, cx: &mut Context<'_>, handler: &str) -> Option<String> {
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
    fn reading(&self, cx: &mut Context<'_>, handler: &str) -> Option<String> {
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
    fn say(&self, cx: &mut Context<'_>, message: &str) {
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
    fn say_of_call(&self, cx: &mut Context<'_>, call: &str, complaints: &[String], message: &str) {
        let lines = complaints.iter().map(String::as_str).chain(Some(message)).flat_map(str::lines);
        let lines: String = lines.map(|line| format!("\n  {line}")).collect();
        if !lines.is_empty() {
            self.say(cx, &format!("While calling '{}':{lines}", call.trim()));
        }
    }

    #[inline(never)]
    fn jump(&mut self, label: &str) -> Result<(), String> {
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
            match self.step(cx, &instruction) {
                Err(message) if message == LOOPS => cx.print(&format!("{}: {message}", cx.name())),
                Err(message) => self.say(cx, &message),
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
                let mut read = self.reading(cx, &handler).unwrap_or_default();
                if !read.ends_with('\n') && faults == self.faults.get() {
                    read.push('\n');
                }
                let file = if value.is_empty() { "-" } else { &value };
                write_out(cx, Some(file), i.verb == Verb::Append, &read)?;
            }
            Verb::Read => {
                if let Some(read) = self.reading(cx, &value) {
                    cx.print(&format!("{}:\n{}", full_name(cx, &value), read.trim_end_matches('\n')));
                }
            }
            Verb::Write => {
                let (handler, value) = cut(&value);
                let own = handler == "set" || handler.strip_suffix(".set").is_some_and(|e| e == cx.name());
                if own {
                    return self.write(cx, "set", value);
                }
                let (done, complaints) = write_near(cx, handler, value);
                let call = format!("{handler} {value}");
                match done {
                    Err(failure) if !failure.called => return Err(failure.message),
                    Err(failure) => {
                        // What ended a script by an error has said so; others have a reason.
                        let status = if failure.message.is_empty() { "-1" } else { "-22" };
                        self.values.set("?", status.to_string());
                        self.say_of_call(cx, &call, &complaints, &failure.message);
                    }
                    Ok(()) => {
                        self.values.set("?", "0".to_string());
                        self.say_of_call(cx, &call, &complaints, "");
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
            self.reading(cx, &handler).unwrap_or_default()
        } else {
            evaluate_plain(text, &self.values, &mut |handler| self.expanded(cx, handler))?
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

    /// The same as the handler of a name.
    fn serve(
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
        let before = self.says.replace(Says::ToCaller);
        let result = self.run_whole(cx, argument);
        self.says.set(if self.waiting == Waiting::Ended { before } else { Says::UnderName(false) });
        set(&self.values, "", false);
        result
    }

    /// Goes on at once, because a handler was written.
    fn go_for_caller(&mut self, cx: &mut Context<'_>) {
        if self.waiting == Waiting::No {
            self.says.set(Says::ToCaller);
            if self.go(cx, TURN) {
                cx.schedule();
            }
            self.says.set(Says::UnderName(false));
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
    fn route(&mut self, cx: &mut Context<'_>, input: usize) -> Option<usize> {
        self.values.set("input", input.to_string());
        self.says.set(Says::UnderName(false));
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
    fn give_back(&mut self, cx: &mut Context<'_>) {
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
        if self.go(cx, RUN) {
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
        self.values.set("?", "0".to_string());
        if self.kind == Kind::Packet {
            cx.move_packets_one_by_one(true);
        }
        match self.kind {
            Kind::Active => {
                self.waiting = Waiting::No;
                cx.schedule();
            }
            // It is the first to be asked what is to happen.
            Kind::Driver => {
                self.waiting = Waiting::Steps(1);
                cx.stop();
            }
            _ => {}
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
            (self.at, self.waiting, self.jumps, self.ended_by) = (0, Waiting::No, 0, Verb::End);
        }
        let ended = self.waiting == Waiting::Ended;
        let again = self.go(cx, TURN);
        #[cfg(feature = "host")]
        self.give_back(cx);
        if !ended && self.waiting == Waiting::Ended && self.kind == Kind::Driver {
            cx.stop_now();
        }
        again
    }

    fn act(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        let mut stay = Batch::new();
        for packet in batch.drain() {
            match self.route(cx, 0) {
                Some(0) => stay.push(packet),
                Some(output) => cx.output_one(output, packet),
                None => {}
            }
        }
        *batch = stay;
    }

    fn push(&mut self, cx: &mut Context<'_>, port: usize, mut batch: Batch) {
        for packet in batch.drain() {
            if let Some(output) = self.route(cx, port) {
                cx.output_one(output, packet);
            }
        }
    }

    fn timer(&mut self, cx: &mut Context<'_>) {
        if self.waiting == Waiting::Time {
            self.waiting = Waiting::No;
            self.says.set(Says::UnderName(false));
            cx.schedule();
        }
    }

    // It may take signals.
    fn needs_first_thread(&self) -> bool {
        true
    }

    fn drives(&self) -> bool {
        self.kind == Kind::Driver
    }

    fn driver_stop(&mut self, cx: &mut Context<'_>) -> bool {
        let goes_on = self.kind == Kind::Driver && self.waiting != Waiting::Ended;
        if goes_on {
            self.advance(cx, 1);
            // At once, before any packet moves.
            self.says.set(Says::Plainly);
            if self.waiting == Waiting::No && self.work(cx) {
                cx.schedule();
            } else {
                self.says.set(Says::UnderName(false));
            }
        }
        goes_on
    }

    fn read(&mut self, cx: &mut Context<'_>, handler: &str, argument: &str) -> Result<String, String> {
        if handler == "run" {
            return self.serve(cx, ("run", false), argument);
        }
        let own = self.values.read(handler, argument).map(Ok);
        if let Some(value) = own.or_else(|| call(cx, handler, argument)) {
            return value;
        }
        if self.kind == Kind::Proxy {
            return self.serve(cx, (handler, false), argument);
        }
        Err(format!("no handler named '{handler}'"))
    }

    fn write(&mut self, cx: &mut Context<'_>, handler: &str, value: &str) -> Result<(), String> {
        match handler {
            "run" => return self.serve(cx, ("run", true), value).map(drop),
            "set" => {
                let (name, value) = cut(value);
                self.values.set(name, value.to_string());
                return Ok(());
            }
            "step" => {
                let steps =
                    if matches!(value.trim(), "" | "router") { Some(1) } else { value.trim().parse().ok() };
                self.advance(cx, steps.ok_or("syntax error")?);
                self.go_for_caller(cx);
            }
            "goto" => {
                self.jump(value.trim())?;
                self.waiting = Waiting::No;
                cx.wake_never();
                self.go_for_caller(cx);
            }
            _ if self.kind == Kind::Proxy => return self.serve(cx, (handler, true), value).map(drop),
            _ => return Err(format!("no handler named '{handler}'")),
        }
        Ok(())
    }
}
