//! What all rewriters do.

use super::flow::{Annotations, Flow, FlowId, Kind};
use super::input::{Input, Outputs, Spec};
use super::mapper::{self, Request};
use super::table::{Table, Timeouts};
use crate::args::{Args, Time, Word};
use crate::decision::NOWHERE;
use crate::element::{Context, Nanos};
use crate::elements::content::Runs;
use crate::elements::ip::header;
use crate::handlers::parse;
use crate::headers::{PROTOCOL_TCP, PROTOCOL_UDP};
use crate::packet::{Batch, Packet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Flows, where nothing else is said.
const CAPACITY: usize = 65536;
/// Flows that a handler lists.
const LISTED: usize = 4096;
pub(super) const SECOND: Nanos = 1_000_000_000;

/// A rewriter: its flows, and what becomes of packets of others.
pub(super) struct Rewriter {
    pub(super) kind: Kind,
    inputs: Vec<Input>,
    pub(super) table: Table,
    annotations: Annotations,
    reap: Nanos,
    /// Name of a rewriter whose capacity this one has.
    capacity_of: Option<String>,
    outputs: usize,
}

/// A time under a keyword.
pub(super) fn time(args: &mut Args<'_>, name: &str, seconds: u64) -> Nanos {
    args.key::<Time>(name).map_or(seconds * SECOND, |t| t.0)
}

impl Rewriter {
    /// From what arguments are left when the timeouts are taken.
    pub(super) fn new(args: &mut Args<'_>, kind: Kind, timeouts: Timeouts) -> Self {
        let words = args.rest();
        Self::with_words(args, kind, timeouts, Some(words))
    }

    /// With these specifications, whatever the arguments say.
    pub(super) fn with_specs(args: &mut Args<'_>, kind: Kind, timeouts: Timeouts, specs: Vec<Spec>) -> Self {
        let inputs = specs.into_iter().map(|spec| Input { spec, failures: 0 }).collect();
        Self { inputs, ..Self::with_words(args, kind, timeouts, None) }
    }

    fn with_words(args: &mut Args<'_>, kind: Kind, timeouts: Timeouts, words: Option<Vec<Word>>) -> Self {
        let reap = time(args, "REAP_INTERVAL", 900);
        let capacity: Option<String> = args.key("MAPPING_CAPACITY").or_else(|| args.key("CAPACITY"));
        let number = capacity.as_deref().map(crate::args::parse_number);
        let capacity_of = capacity.clone().filter(|_| number == Some(None));
        let capacity = number.flatten().map_or(CAPACITY, |n| n as usize).min(1 << 24);
        let destination = args.key("DST_ANNO").unwrap_or(true);
        let reply = args.key::<usize>("REPLY_ANNO");
        if reply.is_some_and(|r| r >= crate::packet::USER_BYTES) {
            args.error("REPLY_ANNO: no such annotation byte");
        }
        let reply = reply.filter(|&r| r < crate::packet::USER_BYTES);
        let annotations = Annotations { destination, reply };
        let inputs = Self::inputs(args, words);
        Self {
            kind,
            inputs,
            table: Table::new(capacity, timeouts),
            annotations,
            reap,
            capacity_of,
            outputs: args.outputs,
        }
    }

    fn inputs(args: &mut Args<'_>, words: Option<Vec<Word>>) -> Vec<Input> {
        let Some(words) = words else { return Vec::new() };
        let mut inputs = Vec::new();
        if words.len() != args.inputs {
            args.error(format!("need {} arguments, one per input port, not {}", args.inputs, words.len()));
        }
        for (i, word) in words.iter().enumerate() {
            match Spec::parse(&word.text, args.names, args.outputs) {
                Ok(spec) => inputs.push(Input { spec, failures: 0 }),
                Err(message) => args.error_in(word, format!("input spec {i}: {message}")),
            }
        }
        inputs
    }

    pub(super) fn initialize(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        self.table.seed([cx.random(), cx.random()]);
        for (i, input) in self.inputs.iter_mut().enumerate() {
            input.spec.resolve(cx).map_err(|e| format!("input spec {i}: {e}"))?;
        }
        if let Some(name) = &self.capacity_of {
            let other = cx.find(name).and_then(|id| super::rewriter(cx, id));
            self.table.capacity = other.ok_or("bad MAPPING_CAPACITY")?.table.capacity;
        }
        if self.reap > 0 {
            // Flows may be taken over.
            cx.wake_by(cx.now().saturating_add(self.reap));
        }
        Ok(())
    }

    #[inline]
    pub(super) fn push(&mut self, cx: &mut Context<'_>, port: usize, mut batch: Batch) {
        let mut runs = Runs::new();
        while let Some(mut packet) = batch.pop() {
            let to = self.rewrite(cx, port, &mut packet);
            runs.add(cx, to, packet);
        }
        runs.finish(cx);
    }

    /// Rewrites a packet, and says which output it takes.
    #[inline]
    fn rewrite(&mut self, cx: &mut Context<'_>, port: usize, packet: &mut Packet) -> usize {
        let Some((at, h)) = header(packet) else { return self.pass(port) };
        let Some(id) = self.kind.flow(&packet.data()[at..], &h) else { return self.pass(port) };
        let now = cx.now();
        let (number, direction) = match self.find(id, now) {
            Some(found) => found,
            None => match self.new_flow(cx, port, packet, id) {
                Ok(number) => (number, 0),
                Err(output) => return output,
            },
        };
        let flow = self.table.flow(number);
        flow.last = now;
        flow.apply(self.kind, packet, at, &h, direction, self.annotations);
        let output = flow.outputs[direction];
        self.table.touch(number);
        output.into()
    }

    /// The flow of a packet that looks so, if its time is not over.
    #[inline]
    fn find(&mut self, id: FlowId, now: Nanos) -> Option<(u32, usize)> {
        let found = match self.kind {
            // Known by its source, or, as an answer, by its destination.
            Kind::Address => {
                let one = |source, destination| FlowId::new(source, destination, 0);
                let none = ([0; 4], 0);
                self.table
                    .find(one(id.source(), none))
                    .or_else(|| self.table.find(one(none, id.destination())).filter(|f| f.1 == 1))
            }
            _ => self.table.find(id),
        };
        let (number, _) = found?;
        if self.table.is_over(number, now) {
            self.table.remove(number);
            return None;
        }
        found
    }

    /// Where packets go that have no flow.
    fn pass(&self, port: usize) -> usize {
        match self.inputs.get(port).map(|i| &i.spec) {
            Some(Spec::Pass(output)) => *output,
            _ => NOWHERE,
        }
    }

    /// Remembers a new flow, or says where its packet goes without one.
    #[cold]
    fn new_flow(
        &mut self,
        cx: &mut Context<'_>,
        port: usize,
        packet: &mut Packet,
        id: FlowId,
    ) -> Result<u32, usize> {
        let random = cx.random();
        let id = if self.kind == Kind::Address { FlowId::new(id.source(), ([0; 4], 0), 0) } else { id };
        let Some(input) = self.inputs.get_mut(port) else { return Err(NOWHERE) };
        let chosen = match &mut input.spec {
            Spec::Drop | Spec::Named(..) => return Err(NOWHERE),
            Spec::Pass(output) => return Err(*output),
            // An answer to a ping that is not known begins nothing.
            _ if self.kind == Kind::Ping && id.destination().1 != 0 => return Err(NOWHERE),
            Spec::Keep(outputs) => Some((id, *outputs)),
            Spec::Pattern(pattern, outputs) => {
                pattern.choose(self.kind, id, &self.table, random).map(|to| (to, *outputs))
            }
            Spec::Mapper(_, mapper) => {
                let request = Request { kind: self.kind, flow: id, table: &self.table, random };
                mapper.and_then(|m| mapper::of(cx, m)).and_then(|m| m.choose(&request))
            }
        };
        let added = chosen.and_then(|(to, outputs)| self.add(cx, id, to, port, outputs));
        match added {
            Some(number) => {
                if let Some(byte) = self.annotations.reply {
                    self.table.flow(number).reply_anno = packet.user()[byte];
                }
                Ok(number)
            }
            None => {
                self.inputs[port].failures += 1;
                Err(NOWHERE)
            }
        }
    }

    fn add(
        &mut self,
        cx: &mut Context<'_>,
        from: FlowId,
        to: FlowId,
        port: usize,
        outputs: Outputs,
    ) -> Option<u32> {
        if outputs.iter().any(|&o| o >= self.outputs) {
            return None;
        }
        let number = self.table.add(Flow::new(self.kind, from, to, port, outputs, cx.now()))?;
        if self.reap > 0 {
            cx.wake_by(cx.now().saturating_add(self.reap));
        }
        Some(number)
    }

    pub(super) fn timer(&mut self, cx: &mut Context<'_>) {
        self.table.reap(cx.now());
        if self.table.len() > 0 && self.reap > 0 {
            cx.wake_at(cx.now().saturating_add(self.reap));
        }
    }

    /// The flow of `id`, and what it is rewritten to; made by `spec` if it is not known.
    pub(super) fn flow_for(
        &mut self,
        id: FlowId,
        spec: &mut Spec,
        (random, now): (u64, Nanos),
    ) -> Option<FlowId> {
        if let Some((number, direction)) = self.find(id, now) {
            return Some(self.table.flow(number).rewritten(direction));
        }
        let Spec::Pattern(pattern, outputs) = spec else { return None };
        let to = pattern.choose(self.kind, id, &self.table, random)?;
        self.table.add(Flow::new(self.kind, id, to, 0, *outputs, now))?;
        Some(to)
    }

    /// What packets that look so are rewritten to, if their flow is known.
    pub(super) fn mapping(&mut self, id: FlowId) -> Option<FlowId> {
        let (number, direction) = self.table.find(id)?;
        Some(self.table.flow(number).rewritten(direction))
    }

    pub(super) fn take_over(&mut self, old: &mut Rewriter) {
        if self.kind != old.kind {
            return;
        }
        let (capacity, timeouts) = (self.table.capacity, self.table.timeouts);
        core::mem::swap(&mut self.table, &mut old.table);
        (self.table.capacity, self.table.timeouts) = (capacity, timeouts);
        self.inputs.iter_mut().zip(&old.inputs).for_each(|(new, old)| new.failures = old.failures);
        let outputs = self.outputs;
        self.table.retain(|flow| flow.outputs.iter().all(|&o| usize::from(o) < outputs));
    }

    pub(super) fn read(
        &mut self,
        cx: &mut Context<'_>,
        handler: &str,
        argument: &str,
    ) -> Result<String, String> {
        let now = cx.now();
        let names = cx.names();
        Ok(match handler {
            "table" | "mappings" => self.list(now, None),
            "tcp_table" | "tcp_mappings" => self.list(now, Some(PROTOCOL_TCP)),
            "udp_table" | "udp_mappings" => self.list(now, Some(PROTOCOL_UDP)),
            "table_size" | "nmappings" | "size" => self.table.len().to_string(),
            "mapping_failures" => self.inputs.iter().map(|i| i.failures).sum::<u64>().to_string(),
            "capacity" => self.table.capacity.to_string(),
            "lookup" | "tcp_lookup" | "udp_lookup" => {
                let protocol = if handler == "udp_lookup" { PROTOCOL_UDP } else { PROTOCOL_TCP };
                let id = FlowId::parse(argument, protocol, names)?;
                let found = self.mapping(id).or_else(|| {
                    let other = (handler == "lookup").then(|| FlowId::parse(argument, PROTOCOL_UDP, names));
                    self.mapping(other?.ok()?)
                });
                found.map_or(String::new(), |to| {
                    let ((sa, sp), (da, dp)) = (to.source(), to.destination());
                    format!("{} {sp} {} {dp}", crate::args::Ipv4(sa), crate::args::Ipv4(da))
                })
            }
            "patterns" => (0..self.inputs.len()).map(|i| self.describe(i) + "\n").collect(),
            _ => {
                let i = number_of(handler, self.inputs.len())?;
                self.describe(i)
            }
        })
    }

    fn describe(&self, input: usize) -> String {
        let count = self.table.iter().filter(|f| usize::from(f.input) == input).count();
        match count {
            0 => self.inputs[input].spec.to_string(),
            n => format!("{} [{n}]", self.inputs[input].spec),
        }
    }

    /// Flows, both directions of each: the first ones, since a guest's memory is small.
    fn list(&self, now: Nanos, protocol: Option<u8>) -> String {
        let mut out = String::new();
        let wanted = self.table.iter().filter(|f| protocol.is_none_or(|p| f.ids[0].protocol() == p));
        for (number, flow) in wanted.enumerate() {
            if number == LISTED {
                return out + "...\n";
            }
            let left = self.table.timeouts.expiry(flow).saturating_sub(now).div_ceil(SECOND);
            for direction in 0..2 {
                let star = |d: usize| if d == direction { "*" } else { "" };
                out += &format!(
                    "{} => {} [{}{} {}{}] i{} exp{left}\n",
                    flow.ids[direction],
                    flow.rewritten(direction),
                    star(0),
                    flow.outputs[0],
                    star(1),
                    flow.outputs[1],
                    flow.input,
                );
            }
        }
        out
    }

    pub(super) fn write(&mut self, cx: &mut Context<'_>, handler: &str, value: &str) -> Result<(), String> {
        match handler {
            "clear" => self.table.clear(),
            "capacity" => {
                let first = value.split_whitespace().next().unwrap_or("");
                self.table.capacity = parse::<usize>(cx, first)?.min(1 << 24);
                self.table.reap(cx.now());
            }
            _ => {
                let i = number_of(handler, self.inputs.len())?;
                let mut spec = Spec::parse(value, cx.names(), cx.outputs())?;
                spec.resolve(cx)?;
                self.inputs[i].spec = spec;
                self.table.retain(|flow| usize::from(flow.input) != i);
            }
        }
        Ok(())
    }
}

/// The number in `patternN`.
fn number_of(handler: &str, count: usize) -> Result<usize, String> {
    let number = handler.strip_prefix("pattern").and_then(|n| n.parse::<usize>().ok());
    number.filter(|&n| n < count).ok_or_else(|| format!("there is no input for '{handler}'"))
}
