//! Connections: port lists joined, and the pseudo elements of compounds bridged.

use super::flatten::{INPUT, is_pseudo};
use super::parser::{Connector, Ports};
use super::{Connected, Flat, Port, Span};
use crate::diagnostic::{Diagnostics, Source};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Most connections that are looked at while compounds are bridged.
const STEPS: usize = 4_000_000;

/// One item of a list at either side of a connector.
pub(super) struct End {
    pub(super) input: usize,
    pub(super) output: usize,
    pub(super) inputs: Option<Ports>,
    pub(super) outputs: Option<Ports>,
    pub(super) span: Span,
}

/// A port of one of the items of a list.
#[derive(Clone, Copy)]
pub(super) struct ItemPort {
    pub(super) item: usize,
    pub(super) port: usize,
}

/// A list on one side of a connector.
struct Side<'a> {
    ports: Vec<Option<&'a Ports>>,
    /// Ports at least.
    least: usize,
    /// Whether there can be more.
    more: bool,
}

impl<'a> Side<'a> {
    fn new(ports: impl Iterator<Item = Option<&'a Ports>>) -> Self {
        let ports: Vec<_> = ports.collect();
        let least = ports.iter().map(|p| p.map_or(1, |p| p.numbers.len().max(1))).sum();
        Self { more: ports.iter().flatten().any(|p| p.more), ports, least }
    }

    /// Whether its ports are gone through one by one.
    fn steps(&self) -> bool {
        self.least > 1 || self.more
    }

    /// Its ports, `width` of them if there can be more than are listed.
    fn list(&self, width: usize) -> Vec<ItemPort> {
        let mut extra = if self.more { width.saturating_sub(self.least) } else { 0 };
        let mut list = Vec::new();
        for (item, ports) in self.ports.iter().enumerate() {
            let numbers = ports.map_or(&[0][..], |p| if p.numbers.is_empty() { &[0] } else { &p.numbers });
            list.extend(numbers.iter().map(|&port| ItemPort { item, port }));
            if ports.is_none_or(|p| p.more) {
                let last = numbers.last().copied().unwrap_or(0);
                let further = core::mem::take(&mut extra);
                list.extend((1..=further).map(|n| ItemPort { item, port: last + n }));
            }
        }
        list
    }
}

/// Which outputs of one list are connected to which inputs of the other, and what is wrong with that.
pub(super) fn pair<'a>(
    connector: Connector,
    from: impl Iterator<Item = Option<&'a Ports>>,
    to: impl Iterator<Item = Option<&'a Ports>>,
) -> (Vec<[ItemPort; 2]>, Option<String>) {
    let (mut from, mut to) = (Side::new(from), Side::new(to));
    let mut wrong = None;
    let expandable = [&from, &to].map(|s| s.ports.iter().flatten().filter(|p| p.more).count());
    if expandable[0] + expandable[1] > 1 {
        wrong = Some("at most one expandable port allowed per connection".to_string());
        let shorter = if from.least < to.least { &mut to } else { &mut from };
        shorter.more = false;
    }
    if connector == Connector::Each {
        // A single element without numbers is as wide as the other side.
        let others = [to.least, from.least];
        for (side, other) in [&mut from, &mut to].into_iter().zip(others) {
            side.more |= side.ports[..] == [None] && other > 1;
        }
    }
    let (a, b) = (from.least, to.least);
    let both = from.steps() && to.steps();
    if both && connector == Connector::All {
        wrong = Some("syntax error: many-to-many connections require '=>'".to_string());
    }
    let (outputs, inputs) = (from.list(b), to.list(a));
    if both {
        let or_more = |more: bool| if more { " or more" } else { "" };
        if (a > b && !to.more) || (a < b && !from.more) {
            let (few, many) = (or_more(from.more), or_more(to.more));
            wrong = Some(format!("connection mismatch: {a}{few} outputs connected to {b}{many} inputs"));
        }
        return (outputs.into_iter().zip(inputs).map(|(o, i)| [o, i]).collect(), wrong);
    }
    let all = outputs.iter().flat_map(|&o| inputs.iter().map(move |&i| [o, i]));
    (all.collect(), wrong)
}

/// Collects connections, those of pseudo elements included.
#[derive(Default)]
pub(super) struct Joiner {
    all: Vec<Connected>,
}

impl Joiner {
    /// Connects two lists.
    pub(super) fn join(
        &mut self,
        connector: Connector,
        arrow: &Span,
        from: &[End],
        to: &[End],
    ) -> Result<(), String> {
        if from.is_empty() || to.is_empty() {
            // In error already.
            return Ok(());
        }
        let outputs = from.iter().map(|e| e.outputs.as_ref());
        let (pairs, wrong) = pair(connector, outputs, to.iter().map(|e| e.inputs.as_ref()));
        for [output, input] in pairs {
            let (a, b) = (&from[output.item], &to[input.item]);
            self.all.push(Connected {
                from: Port { element: a.output, port: output.port },
                to: Port { element: b.input, port: input.port },
                span: a.span.start.min(arrow.start)..b.span.end.max(arrow.end),
            });
        }
        wrong.map_or(Ok(()), Err)
    }

    /// Joins what leads into each pseudo element with what leads out of it, and removes them.
    pub(super) fn finish(self, flat: &mut Flat, source: &Source<'_>, d: &mut Diagnostics) {
        let pseudo: Vec<bool> = flat.elements.iter().map(|e| is_pseudo(&e.class)).collect();
        let mut beyond: BTreeMap<Port, Vec<usize>> = BTreeMap::new();
        let mut entered = BTreeSet::new();
        for (i, c) in self.all.iter().enumerate() {
            if pseudo[c.from.element] {
                beyond.entry(c.from).or_default().push(i);
            }
            if pseudo[c.to.element] {
                entered.insert(c.to);
            }
        }
        let mut steps = 0;
        for c in self.all.iter().filter(|c| !pseudo[c.from.element]) {
            let (mut waiting, mut seen) = (alloc::vec![c.to], BTreeSet::new());
            while let Some(to) = waiting.pop() {
                steps += 1;
                if !pseudo[to.element] {
                    flat.connections.push(Connected { from: c.from, to, span: c.span.clone() });
                } else if let Some(next) = beyond.get(&to).filter(|_| seen.insert(to)) {
                    waiting.extend(next.iter().rev().map(|&i| self.all[i].to));
                }
                if steps > STEPS {
                    d.add(source, c.span.clone(), "too many connections through compound elements");
                    return;
                }
            }
        }
        for c in &self.all {
            let (end, led_to) = if pseudo[c.to.element] && !beyond.contains_key(&c.to) {
                (c.to, true)
            } else if pseudo[c.from.element] && !entered.contains(&c.from) {
                (c.from, false)
            } else {
                continue;
            };
            let (e, port) = (&flat.elements[end.element], end.port);
            let what = if e.class == INPUT { "input" } else { "output" };
            // Either the compound lacks the port, or nobody outside uses it.
            let message = if led_to == (e.class == INPUT) {
                format!("'{}' has no {what} {port}", e.name)
            } else {
                format!("'{}' {what} {port} unused", e.name)
            };
            d.add(source, c.span.clone(), message);
        }
        let mut index = Vec::with_capacity(pseudo.len());
        let mut next = 0;
        for &is in &pseudo {
            index.push(next);
            next += usize::from(!is);
        }
        flat.elements.retain(|e| !is_pseudo(&e.class));
        for c in &mut flat.connections {
            c.from.element = index[c.from.element];
            c.to.element = index[c.to.element];
        }
        // The same two ports connected twice, as `a -> b` and once more, are one connection.
        let mut seen = BTreeSet::new();
        flat.connections.retain(|c| seen.insert((c.from, c.to)));
    }
}
