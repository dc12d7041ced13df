//! Connections: port lists joined, and the pseudo elements of compounds bridged.

use super::flatten::{INPUT, is_pseudo};
use super::parser::Connector;
use super::{Connected, Flat, Port, Span};
use crate::diagnostic::{Diagnostics, Source};
use crate::elements::Library;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Most connections that are looked at while compounds are bridged.
const STEPS: usize = 4_000_000;

/// One item of a list at either side of a connector.
pub(super) struct End {
    pub(super) input: usize,
    pub(super) output: usize,
    pub(super) inputs: Option<Vec<usize>>,
    pub(super) outputs: Option<Vec<usize>>,
    pub(super) span: Span,
}

/// Collects connections, those of pseudo elements included.
#[derive(Default)]
pub(super) struct Joiner {
    all: Vec<Connected>,
    /// `a => b` without any number: elements, as many ports as they have.
    bare: Vec<(usize, usize, Span)>,
}

/// How many ports an element has, as far as that is known. A pseudo element has as many on one side as are used on its
/// other.
#[derive(Clone, Copy)]
struct Width {
    inputs: Option<usize>,
    outputs: Option<usize>,
    pseudo: bool,
}

impl Width {
    fn of(class: &str, library: Library) -> Self {
        let (inputs, outputs) = match library.class(class) {
            Some(class) => crate::graph::fixed(class.ports),
            None => (None, None),
        };
        Self { inputs, outputs, pseudo: is_pseudo(class) }
    }
}

/// A connection says how wide the pseudo elements at its ends are.
fn see(widths: &mut [Width], from: Port, to: Port) {
    let (before, behind) = (&mut widths[from.element], from.port + 1);
    if before.pseudo {
        before.inputs = before.inputs.max(Some(behind));
    }
    let (after, ahead) = (&mut widths[to.element], to.port + 1);
    if after.pseudo {
        after.outputs = after.outputs.max(Some(ahead));
    }
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
        let listed = |ends: &[End], ports: fn(&End) -> &Option<Vec<usize>>| -> usize {
            ends.iter().map(|e| ports(e).as_ref().map_or(1, Vec::len)).sum()
        };
        let (width_from, width_to) = (listed(from, |e| &e.outputs), listed(to, |e| &e.inputs));
        // A single element without port numbers is as wide as the other side, if they go port by port.
        let wide = |e: &End, own: &Option<Vec<usize>>, element: usize, alone: bool, width: usize| {
            let ports = match own {
                Some(ports) => ports.clone(),
                None if alone && connector == Connector::Each => (0..width).collect(),
                None => alloc::vec![0],
            };
            ports.into_iter().map(|port| (Port { element, port }, e.span.clone())).collect::<Vec<_>>()
        };
        let outputs: Vec<_> =
            from.iter().flat_map(|e| wide(e, &e.outputs, e.output, from.len() == 1, width_to)).collect();
        let inputs: Vec<_> =
            to.iter().flat_map(|e| wide(e, &e.inputs, e.input, to.len() == 1, width_from)).collect();
        let mut add = |from: &(Port, Span), to: &(Port, Span)| {
            let span = from.1.start.min(arrow.start)..to.1.end.max(arrow.end);
            self.all.push(Connected { from: from.0, to: to.0, span });
        };
        let bare = |ends: &[End], given: fn(&End) -> bool| ends.len() == 1 && !given(&ends[0]);
        if connector == Connector::Each
            && bare(from, |e| e.outputs.is_some())
            && bare(to, |e| e.inputs.is_some())
        {
            let span = from[0].span.start.min(arrow.start)..to[0].span.end.max(arrow.end);
            self.bare.push((from[0].output, to[0].input, span));
            return Ok(());
        }
        match connector {
            Connector::All => outputs.iter().for_each(|o| inputs.iter().for_each(|i| add(o, i))),
            Connector::Each if outputs.len() == inputs.len() => {
                outputs.iter().zip(&inputs).for_each(|(o, i)| add(o, i));
            }
            Connector::Each => {
                return Err(format!(
                    "'=>' connects port by port: {} outputs cannot go to {} inputs",
                    outputs.len(),
                    inputs.len()
                ));
            }
        }
        Ok(())
    }

    /// Connects `a => b` without numbers, port by port. One may tell how wide another is: until nothing changes.
    fn connect_bare(&mut self, flat: &Flat, source: &Source<'_>, library: Library, d: &mut Diagnostics) {
        let mut waiting = core::mem::take(&mut self.bare);
        if waiting.is_empty() {
            return;
        }
        let mut widths: Vec<Width> = flat.elements.iter().map(|e| Width::of(&e.class, library)).collect();
        self.all.iter().for_each(|c| see(&mut widths, c.from, c.to));
        let mut steps = 0;
        loop {
            let before = waiting.len();
            steps += before;
            waiting.retain(|(from, to, span)| {
                let width = match (widths[*from].outputs, widths[*to].inputs) {
                    (Some(a), Some(b)) if a != b => {
                        let message =
                            format!("'=>' connects port by port: {a} outputs cannot go to {b} inputs");
                        d.add(source, span.clone(), message);
                        return false;
                    }
                    (Some(width), _) | (None, Some(width)) => width,
                    (None, None) => return true,
                };
                for port in 0..width {
                    let (from, to) = (Port { element: *from, port }, Port { element: *to, port });
                    see(&mut widths, from, to);
                    self.all.push(Connected { from, to, span: span.clone() });
                }
                false
            });
            if waiting.is_empty() || waiting.len() == before || steps > STEPS {
                break;
            }
        }
        for (_, _, span) in waiting {
            d.add(source, span, "'=>': neither side says how many ports it has; give their numbers");
        }
    }

    /// Joins what leads into each pseudo element with what leads out of it, and removes them.
    pub(super) fn finish(
        mut self,
        flat: &mut Flat,
        source: &Source<'_>,
        library: Library,
        d: &mut Diagnostics,
    ) {
        self.connect_bare(flat, source, library, d);
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
