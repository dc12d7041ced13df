use super::expression::parse;
use crate::args::{Args, Names, parse_number};
use crate::decision::{Condition, NOWHERE, Program};
use crate::element::{Context, Element, read};
use crate::elements::content::distribute;
use crate::packet::{Batch, Packet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

crate::element! {
    /// Sends IP packets out by rules, the first of which that holds decides.
    ///
    /// The header is found by the IP header annotation. Packets for which no rule holds are dropped.
    ///
    /// # Arguments
    /// Rules: `ACTION EXPRESSION`. ACTION is `allow` (output 0), `deny` or `drop`, or the number of an output.
    /// EXPRESSION joins primitives by `and`, `or`, `not`, `? :` and parentheses (also `&&`, `||`, `!`):
    ///
    /// - `[src|dst|src and dst|src or dst] [host] ADDRESS`, `[src|dst] [net] NETWORK`, `net ADDRESS mask MASK`
    /// - `[src|dst] [tcp|udp] port [RELATION] PORT`, `tcp`, `udp`, `icmp`, ..., `ip proto PROTOCOL`
    /// - `ip vers|hl|tos|dscp|len|id|ttl|sum [RELATION] NUMBER`, `ip frag`, `ip unfrag`, `ip ect`, `ip ce`
    /// - `tcp opt syn|ack|fin|rst|psh|urg`, `tcp win [RELATION] NUMBER`, `icmp type|code [RELATION] NUMBER`
    /// - `ip[POS:LEN] [& MASK] RELATION NUMBER`, the same with `tcp`, `udp`, `icmp`, `transp`
    /// - `true`, `false`, `all`, `-`; relations: `== != < > <= >=`
    ///
    /// A bare value continues the primitive before: `dst port 80 or 443`.
    ///
    /// # Handlers
    /// `program`: what the rules were compiled to.
    IPFilter "1/-" "h/h"
    handlers [read("program")]
    { program: Program }
}

fn rule(text: &str, names: &Names, outputs: usize) -> Result<(Condition, usize), String> {
    let (action, expression) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let output = match action {
        "allow" => 0,
        "deny" | "drop" => NOWHERE,
        number => parse_number(number).ok_or_else(|| format!("unknown slot ID '{action}'"))? as usize,
    };
    if output != NOWHERE && output >= outputs {
        return Err(format!("slot '{action}' out of range: {outputs} outputs are connected"));
    }
    Ok((parse(expression, names)?, output))
}

impl IPFilter {
    fn new(args: &mut Args<'_>) -> Self {
        let mut rules = Vec::new();
        for (number, word) in args.rest().iter().enumerate() {
            match rule(&word.text, args.names, args.outputs) {
                Ok(rule) => rules.push(rule),
                Err(message) => args.error_in(word, format!("pattern {number}: {message}")),
            }
        }
        Self { program: Program::new(&rules) }
    }
}

/// Where a program sends a packet, by its header annotations. Without an IP header no expression about one holds.
#[inline]
pub(super) fn decide(program: &Program, packet: &Packet) -> usize {
    let network = packet.network().unwrap_or(usize::MAX);
    program.decide(packet.data(), network, packet.transport().unwrap_or(usize::MAX))
}

impl Element for IPFilter {
    fn push(&mut self, cx: &mut Context<'_>, _: usize, batch: Batch) {
        distribute(cx, batch, |packet| decide(&self.program, packet));
    }

    fn read(&mut self, _: &mut Context<'_>, _: &str, _: &str) -> Result<String, String> {
        Ok(self.program.describe())
    }
}
