//! Connections: port lists joined, and the pseudo elements of compounds bridged.

use super::flatten::PSEUDO;
use super::parser::Connector;
use super::{Connected, Flat, Port, Span};
use crate::diagnostic::{Diagnostics, Source};
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
pub(super) struct Joiner(Vec<Connected>);

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
            self.0.push(Connected { from: from.0, to: to.0, span });
        };
        let bare = |ends: &[End], given: fn(&End) -> bool| ends.len() == 1 && !given(&ends[0]);
        if connector == Connector::Each
            && bare(from, |e| e.outputs.is_some())
            && bare(to, |e| e.inputs.is_some())
        {
            // Click takes as many ports as the classes have; that is not known here.
            return Err("'=>' needs port numbers, or several elements, on one of its sides".into());
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

    /// Joins what leads into each pseudo element with what leads out of it, and removes them.
    pub(super) fn finish(self, flat: &mut Flat, source: &Source<'_>, d: &mut Diagnostics) {
        let pseudo: Vec<bool> = flat.elements.iter().map(|e| e.class == PSEUDO).collect();
        let mut beyond: BTreeMap<Port, Vec<usize>> = BTreeMap::new();
        let mut entered = BTreeSet::new();
        for (i, c) in self.0.iter().enumerate() {
            if pseudo[c.from.element] {
                beyond.entry(c.from).or_default().push(i);
            }
            if pseudo[c.to.element] {
                entered.insert(c.to);
            }
        }
        let mut steps = 0;
        for c in self.0.iter().filter(|c| !pseudo[c.from.element]) {
            let (mut waiting, mut seen) = (alloc::vec![c.to], BTreeSet::new());
            while let Some(to) = waiting.pop() {
                steps += 1;
                if !pseudo[to.element] {
                    flat.connections.push(Connected { from: c.from, to, span: c.span.clone() });
                } else if let Some(next) = beyond.get(&to).filter(|_| seen.insert(to)) {
                    waiting.extend(next.iter().rev().map(|&i| self.0[i].to));
                }
                if steps > STEPS {
                    d.add(source, c.span.clone(), "too many connections through compound elements");
                    return;
                }
            }
        }
        for c in &self.0 {
            let end = |port: &Port, what: &str| {
                format!("'{}' has no {what} {}", flat.elements[port.element].name, port.port)
            };
            if pseudo[c.to.element] && !beyond.contains_key(&c.to) {
                d.add(source, c.span.clone(), end(&c.to, "port"));
            } else if pseudo[c.from.element] && !entered.contains(&c.from) {
                d.add(source, c.span.clone(), end(&c.from, "connected port"));
            }
        }
        let mut index = Vec::with_capacity(pseudo.len());
        let mut next = 0;
        for &is in &pseudo {
            index.push(next);
            next += usize::from(!is);
        }
        flat.elements.retain(|e| e.class != PSEUDO);
        for c in &mut flat.connections {
            c.from.element = index[c.from.element];
            c.to.element = index[c.to.element];
        }
        // The same two ports connected twice, as `a -> b` and once more, are one connection.
        let mut seen = BTreeSet::new();
        flat.connections.retain(|c| seen.insert((c.from, c.to)));
    }
}
