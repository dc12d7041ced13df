use super::expression::parse;
use crate::args::{Args, Names, parse_number, text_of, unquote};
use crate::decision::{Condition, NOWHERE, Places, Program};
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
    /// - `[src|dst] ether [host] ETHERNET_ADDRESS`, if the packet's link-layer header is known
    /// - `[src|dst] [tcp|udp] port [RELATION] PORT`, `tcp`, `udp`, `icmp`, ..., `ip proto PROTOCOL`
    /// - `ip vers|hl|tos|dscp|len|id|ttl|sum [RELATION] NUMBER`, `ip frag`, `ip unfrag`, `ip ect`, `ip ce`
    /// - `tcp opt syn|ack|fin|rst|psh|urg`, `tcp win [RELATION] NUMBER`, `icmp type|code [RELATION] NUMBER`
    /// - `ip[POS:LEN] RELATION NUMBER`, the same with `tcp`, `udp`, `icmp`, `transp`; LEN is 1 to 4
    /// - `true`, `false`, `all`, `-`; relations: `== != < > <= >=`
    ///
    /// Words that follow from the value can be left out: `www`, `syn`, `10.0.0.0/8`. A bare value continues the primitive
    /// before: `dst port 80 or 443`. `& MASK` in front of the relation picks bits of an address or a number; a number may
    /// be a range, `1024-2047`. `port != 80` holds for packets of TCP and UDP neither of whose ports is 80.
    ///
    /// # Handlers
    /// `program`: what the rules were compiled to.
    IPFilter "1/-" "h/h"
    handlers [read("program")]
    { program: Program }
}

fn rule(
    text: &str,
    names: &Names,
    outputs: usize,
    warn: &mut dyn FnMut(String),
) -> Result<(Condition, usize), String> {
    let text = text_of(&unquote(text));
    let text = text.trim();
    let (action, expression) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let output = match action {
        "allow" => 0,
        "deny" | "drop" => NOWHERE,
        number => parse_number(number).ok_or_else(|| format!("unknown slot ID '{action}'"))? as usize,
    };
    if output != NOWHERE && output >= outputs {
        return Err(format!("slot '{action}' out of range: {outputs} outputs are connected"));
    }
    Ok((parse(expression, names, warn)?, output))
}

impl IPFilter {
    fn new(args: &mut Args<'_>) -> Self {
        let (mut rules, mut warnings) = (Vec::new(), Vec::new());
        for (number, word) in args.rest().iter().enumerate() {
            let mut warn = |message| warnings.push(format!("pattern {number}: {message}"));
            match rule(&word.text, args.names, args.outputs, &mut warn) {
                Ok(rule) => rules.push(rule),
                Err(message) => args.error_in(word, format!("pattern {number}: {message}")),
            }
        }
        warnings.into_iter().for_each(|message: String| args.warn(message));
        Self { program: Program::new(&rules) }
    }
}

/// Where a program sends a packet, by its header annotations. Without an IP header no expression about one holds.
#[inline]
pub(super) fn decide(program: &Program, packet: &Packet) -> usize {
    match packet.network() {
        Some(network) if !program.looks_at_link() => {
            let places = Places::in_data(network, packet.transport().unwrap_or(usize::MAX));
            program.decide(packet.data(), &places)
        }
        _ => decide_in_front(program, packet),
    }
}

/// The same for headers that lie in front of the data.
#[cold]
fn decide_in_front(program: &Program, packet: &Packet) -> usize {
    let (bytes, [data, link, network, transport]) = packet.with_headers();
    program.decide(bytes, &Places::in_packet(data, network, transport, link))
}

impl Element for IPFilter {
    fn push(&mut self, cx: &mut Context<'_>, _: usize, batch: Batch) {
        distribute(cx, batch, |packet| decide(&self.program, packet));
    }

    fn read(&mut self, _: &mut Context<'_>, _: &str, _: &str) -> Result<String, String> {
        Ok(self.program.describe())
    }
}
