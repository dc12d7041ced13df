//! What all rewriters do.

use super::flow::{Annotations, Flow, FlowId, Kind};
use super::input::{Input, Outputs, Spec};
use super::mapper::{self, Request};
use super::pool::Pool;
use super::table::{Table, Timeouts};
use crate::args::{Args, Time, Word};
use crate::decision::NOWHERE;
use crate::element::{Context, Nanos};
use crate::elements::content::{Runs, annotation_of};
use crate::elements::ip::header;
use crate::handlers::parse;
use crate::headers::{PROTOCOL_TCP, PROTOCOL_UDP};
use crate::packet::{Batch, Packet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Flows, where nothing else is said.
const CAPACITY: usize = 65536;
/// Changes of length that wait for their flows.
const PENDING: usize = 64;
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
    /// Name of a rewriter whose capacity this one shares.
    capacity_of: Option<String>,
    /// That rewriter's element.
    shares_with: Option<usize>,
    /// Elements that share this one's capacity.
    pub(super) sharers: Vec<usize>,
    /// Changes of length in flows that are not known yet: when, in which flow, from where on, by how many bytes.
    pending: Vec<(Nanos, FlowId, u32, i32)>,
    outputs: usize,
}

/// A time under a keyword.
pub(super) fn time(args: &mut Args<'_>, name: &str, seconds: u64) -> Nanos {
    args.key::<Time>(name).map_or(seconds * SECOND, |t| t.0)
}

/// The argument `REPLY_ANNO`: a byte of the annotations, by number or name.
pub(super) fn reply_annotation(args: &mut Args<'_>) -> Option<usize> {
    let text = args.key("REPLY_ANNO")?;
    annotation_of(args, "REPLY_ANNO", text)
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
        let annotations = Annotations { destination, reply: reply_annotation(args) };
        let inputs = Self::read_inputs(args, words);
        Self {
            kind,
            inputs,
            table: Table::new(capacity, timeouts),
            annotations,
            reap,
            capacity_of,
            shares_with: None,
            sharers: Vec::new(),
            pending: Vec::new(),
            outputs: args.outputs,
        }
    }

    fn read_inputs(args: &mut Args<'_>, words: Option<Vec<Word>>) -> Vec<Input> {
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
            let root = capacity_of(cx, name).ok_or("bad MAPPING_CAPACITY")?;
            let own = cx.id();
            super::rewriter(cx, root).into_iter().for_each(|r| r.sharers.push(own));
            self.shares_with = Some(root);
            // The pool has one.
            self.table.capacity = usize::MAX;
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
        let flow = Flow::new(self.kind, from, to, port, outputs, cx.now());
        let (now, claim) = (flow.last, self.table.claim(&flow));
        self.table.displace(&flow);
        if Pool::of(cx, cx.id(), Some(self)).is_some_and(|mut pool| !pool.make_room(cx, now, claim)) {
            return None;
        }
        let number = self.table.add(flow)?;
        for (time, id, from, by) in core::mem::take(&mut self.pending) {
            if time == now {
                self.change_length((id, now), from, by);
            }
        }
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

    /// The element whose capacity is shared; `own`: this one.
    pub(super) fn root(&self, own: usize) -> Option<usize> {
        self.shares_with.or(if self.sharers.is_empty() { None } else { Some(own) })
    }

    /// Notes that packets of a flow, of this time and later, carry `by` bytes more before sequence number `from`. The
    /// flow may be about to be made.
    pub(super) fn change_length(&mut self, (id, now): (FlowId, Nanos), from: u32, by: i32) {
        if let Some((number, direction)) = self.table.find(id) {
            let sequences = &mut self.table.flow(number).sequences;
            // There may be too many.
            let _ = sequences.get_or_insert_with(Default::default).change(direction, from, by);
            return;
        }
        self.pending.retain(|change| change.0 == now);
        if self.pending.len() < PENDING {
            self.pending.push((now, id, from, by));
        }
    }

    /// What packets that look so are rewritten to, if their flow is known, and the annotation of answers if they are.
    pub(super) fn answer(&mut self, id: FlowId) -> Option<(FlowId, Option<u8>)> {
        let (number, direction) = self.table.find(id)?;
        let flow = self.table.flow(number);
        Some((flow.rewritten(direction), if direction == 1 { Some(flow.reply_anno) } else { None }))
    }

    /// The same without the annotation.
    pub(super) fn mapping(&mut self, id: FlowId) -> Option<FlowId> {
        self.answer(id).map(|a| a.0)
    }

    /// The annotation that answers to a flow get, if the flow is known.
    pub(super) fn reply_anno(&mut self, id: FlowId) -> Option<u8> {
        let (number, _) = self.table.find(id)?;
        Some(self.table.flow(number).reply_anno)
    }

    /// How many inputs it has.
    pub(super) fn inputs(&self) -> usize {
        self.inputs.len()
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
            "table_size" | "nmappings" => self.table.len().to_string(),
            "size" | "capacity" => {
                let (size, capacity) = match Pool::of(cx, cx.id(), Some(self)) {
                    Some(mut pool) => (pool.len(cx), pool.capacity),
                    None => (self.table.len(), self.table.capacity),
                };
                (if handler == "size" { size } else { capacity }).to_string()
            }
            "mapping_failures" => self.inputs.iter().map(|i| i.failures).sum::<u64>().to_string(),
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
                let added = flow.sequences.as_deref().map_or(0, |s| s.total(direction));
                let added = if added == 0 { String::new() } else { format!(" seq {added:+}") };
                out += &format!(
                    "{} => {}{added} [{}{} {}{}] i{} exp{left}\n",
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
            "clear" => match Pool::of(cx, cx.id(), Some(self)) {
                Some(mut pool) => pool.clear(cx),
                None => self.table.clear(),
            },
            "capacity" => {
                let first = value.split_whitespace().next().unwrap_or("");
                let (now, capacity) = (cx.now(), parse::<usize>(cx, first)?.min(1 << 24));
                match self.shares_with.and_then(|root| super::rewriter(cx, root)) {
                    Some(root) => root.table.capacity = capacity,
                    None => self.table.capacity = capacity,
                }
                self.table.reap(now);
                Pool::of(cx, cx.id(), Some(self)).into_iter().for_each(|mut pool| pool.shrink(cx, now));
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

/// The element whose capacity one of a name has, if it is another's than that at work.
fn capacity_of(cx: &mut Context<'_>, name: &str) -> Option<usize> {
    let (own, mut name) = (cx.id(), name.to_string());
    for _ in 0..cx.elements() {
        let id = cx.find(&name).filter(|&id| id != own)?;
        match &super::rewriter(cx, id)?.capacity_of {
            Some(next) => name = next.clone(),
            None => return Some(id),
        }
    }
    None
}

/// Where a flow comes from that no packet has begun.
pub(super) enum Origin {
    /// A specification.
    Spec(Spec),
    /// What packets on an input of the rewriter get.
    Input(usize),
}

/// What a flow is rewritten to by the rewriter of an element; made if it is not known. Answers get `reply_anno`.
pub(super) fn flow_for(
    cx: &mut Context<'_>,
    element: usize,
    id: FlowId,
    origin: &mut Origin,
    reply_anno: u8,
) -> Option<FlowId> {
    let (random, now) = (cx.random(), cx.now());
    let rewriter = super::rewriter(cx, element)?;
    if let Some((number, direction)) = rewriter.find(id, now) {
        let flow = rewriter.table.flow(number);
        flow.reply_anno = reply_anno;
        return Some(flow.rewritten(direction));
    }
    let Rewriter { kind, inputs, table, .. } = rewriter;
    let (spec, input) = match origin {
        Origin::Spec(spec) => (spec, 0),
        Origin::Input(input) => (&mut inputs.get_mut(*input)?.spec, *input),
    };
    let (to, outputs) = match spec {
        Spec::Pattern(pattern, outputs) => (pattern.choose(*kind, id, table, random)?, *outputs),
        Spec::Keep(outputs) => (id, *outputs),
        _ => return None,
    };
    let mut flow = Flow::new(*kind, id, to, input, outputs, now);
    flow.reply_anno = reply_anno;
    let claim = table.claim(&flow);
    table.displace(&flow);
    if Pool::of(cx, element, None).is_some_and(|mut pool| !pool.make_room(cx, now, claim)) {
        return None;
    }
    super::rewriter(cx, element)?.table.add(flow)?;
    Some(to)
}

/// The number in `patternN`.
fn number_of(handler: &str, count: usize) -> Result<usize, String> {
    let number = handler.strip_prefix("pattern").and_then(|n| n.parse::<usize>().ok());
    number.filter(|&n| n < count).ok_or_else(|| format!("there is no input for '{handler}'"))
}
