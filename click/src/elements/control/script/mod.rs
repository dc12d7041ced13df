//! The element `Script`: [`run`] interprets its instructions, [`call`] runs it for others, [`report`] says what goes wrong.

mod call;
mod report;
mod run;

use super::function::call;
use super::instruction::{Instruction, Verb, cut, parse};
use super::value::{Values, plain};
use crate::args::Args;
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
        report_to: Cell<ReportTo>,
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
enum ReportTo {
    /// To all, as it is.
    Console,
    /// To all, under the script's name, which was said already or was not.
    Named(bool),
    /// To whoever called.
    Caller,
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
            report_to: Cell::new(ReportTo::Named(false)),
            faults: Cell::new(0),
            #[cfg(feature = "host")]
            signals: words.map(ToString::to_string).collect(),
            #[cfg(feature = "host")]
            numbers: Vec::new(),
        }
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

    fn run_task(&mut self, cx: &mut Context<'_>) -> bool {
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
        let again = self.run(cx, TURN);
        #[cfg(feature = "host")]
        self.release_signals(cx);
        if !ended && self.waiting == Waiting::Ended && self.kind == Kind::Driver {
            cx.stop_now();
        }
        again
    }

    fn simple_action(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
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
            self.report_to.set(ReportTo::Named(false));
            cx.schedule();
        }
    }

    // It may take signals.
    fn needs_first_thread(&self) -> bool {
        true
    }

    fn is_driver(&self) -> bool {
        self.kind == Kind::Driver
    }

    fn driver_stop(&mut self, cx: &mut Context<'_>) -> bool {
        let goes_on = self.kind == Kind::Driver && self.waiting != Waiting::Ended;
        if goes_on {
            self.advance(cx, 1);
            // At once, before any packet moves.
            self.report_to.set(ReportTo::Console);
            if self.waiting == Waiting::No && self.run_task(cx) {
                cx.schedule();
            } else {
                self.report_to.set(ReportTo::Named(false));
            }
        }
        goes_on
    }

    fn read(&mut self, cx: &mut Context<'_>, handler: &str, argument: &str) -> Result<String, String> {
        if handler == "run" {
            return self.call_handler(cx, ("run", false), argument);
        }
        let own = self.values.read(handler, argument).map(Ok);
        if let Some(value) = own.or_else(|| call(cx, handler, argument)) {
            return value;
        }
        if self.kind == Kind::Proxy {
            return self.call_handler(cx, (handler, false), argument);
        }
        Err(format!("no handler named '{handler}'"))
    }

    fn write(&mut self, cx: &mut Context<'_>, handler: &str, value: &str) -> Result<(), String> {
        match handler {
            "run" => return self.call_handler(cx, ("run", true), value).map(drop),
            "set" => {
                let (name, value) = cut(value);
                self.values.set(name, value.to_string());
                return Ok(());
            }
            "step" => {
                let steps =
                    if matches!(value.trim(), "" | "router") { Some(1) } else { value.trim().parse().ok() };
                self.advance(cx, steps.ok_or("syntax error")?);
                self.run_for_caller(cx);
            }
            "goto" => {
                self.jump(value.trim())?;
                self.waiting = Waiting::No;
                cx.wake_never();
                self.run_for_caller(cx);
            }
            _ if self.kind == Kind::Proxy => return self.call_handler(cx, (handler, true), value).map(drop),
            _ => return Err(format!("no handler named '{handler}'")),
        }
        Ok(())
    }
}
