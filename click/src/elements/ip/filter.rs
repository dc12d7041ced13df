use crate::args::{Args, Names};
use crate::batch::Batch;
use crate::element::{Class, Context, Element, Handler, read};
use crate::elements::boxed;
use crate::elements::content::classifier::distribute;
use crate::elements::expression::{NOTHING, Program};
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Sorts IP packets by rules, the first that holds decides; what none decides is dropped.
///
/// Arguments: rules `ACTION EXPRESSION`: the action is `allow` (output 0), `deny` or `drop` (dropped; output 1 for `deny`, if
/// it is connected), or the number of an output. Expressions: `host`, `net`, `port`, `proto`, `src`, `dst`, `tcp`, `udp`,
/// `icmp type`, `tcp opt`, `ip ttl`, `ip frag`, `ip[OFFSET:LENGTH]`, `and`, `or`, `not`, parentheses, and so on. Needs the
/// network header annotation (CheckIPHeader or MarkIPHeader). Input 0, any number of outputs (push). Handlers: `program`
/// (read).
#[derive(Debug)]
pub struct IPFilter {
    program: Program,
    highest: usize,
}

/// The class.
pub const CLASS: Class = Class { name: "IPFilter", ports: "1/-", processing: "h/h", keywords: &[], make };

/// Answer for packets to be dropped.
const DROP: usize = NOTHING;
/// Answer for packets that are denied: output 1, if it is there.
const DENY: usize = NOTHING - 1;

fn make(args: &mut Args<'_>) -> Box<dyn Element> {
    let rules = args.rest();
    let mut parsed: Vec<(&str, usize)> = Vec::with_capacity(rules.len());
    for (i, rule) in rules.iter().enumerate() {
        let (action, expression) = rule.split_once(char::is_whitespace).unwrap_or((rule, ""));
        let answer = match action {
            "allow" => Some(0),
            "deny" => Some(DENY),
            "drop" => Some(DROP),
            number => number.parse().ok().filter(|&n: &usize| n < 4096),
        };
        match answer {
            Some(answer) => parsed.push((expression, answer)),
            None => args.error(alloc::format!("rule {i}: expected allow, deny, drop or an output, not '{action}'")),
        }
    }
    if rules.is_empty() {
        args.error("missing mandatory rule argument");
    }
    let highest = parsed.iter().map(|p| p.1).filter(|&a| a < DENY).max().unwrap_or(0);
    boxed(IPFilter { program: compile(args, &parsed), highest })
}

/// Compiles, noting errors in the arguments.
pub fn compile(args: &mut Args<'_>, expressions: &[(&str, usize)]) -> Program {
    Program::compile(expressions, args.names).unwrap_or_else(|message| {
        args.error(message);
        Program::compile(&[], &Names::default()).expect("nothing compiles")
    })
}

/// Sends each packet where the program says.
pub fn run(program: &Program, cx: &mut Context<'_>, batch: Batch, output: impl Fn(usize) -> Option<usize>) {
    distribute(cx, batch, |p| {
        let (network, transport) = (p.network()?, p.transport().unwrap_or(usize::MAX / 2));
        output(program.decide(p.data(), network, transport))
    });
}

impl Element for IPFilter {
    fn initialize(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        if self.highest >= cx.outputs() {
            return Err(alloc::format!("a rule names output {}, which is not connected", self.highest));
        }
        Ok(())
    }

    fn push(&mut self, cx: &mut Context<'_>, _: usize, batch: Batch) {
        let outputs = cx.outputs();
        run(&self.program, cx, batch, |answer| {
            let port = if answer == DENY { 1 } else { answer };
            Some(port).filter(|&p| p < outputs)
        });
    }

    fn handlers(&self) -> &'static [Handler] {
        &[read("program")]
    }

    fn read(&mut self, _: &mut Context<'_>, _: &str) -> String {
        self.program.to_string()
    }
}
