//! Ports: how many each element has, what they do, and whether every connection is possible.

use crate::diagnostic::{Diagnostics, Source};
use crate::element::{Class, Element, Flow};
use crate::lang::{Declared, Flat, Port};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// One element's ports.
#[derive(Clone, Debug, Default)]
pub struct Ports {
    /// Input by number: the output that feeds it. A push input may have several; the first is kept here.
    pub inputs: Vec<Option<Port>>,
    /// Output by number: the input that it feeds. A pull output may have several; the first is kept here.
    pub outputs: Vec<Option<Port>>,
    input_flows: Vec<Flow>,
    output_flows: Vec<Flow>,
    tie: Tie,
    /// Everything that leaves, in order: a pull output may feed several inputs.
    connections: Vec<(usize, Port)>,
}

/// Which agnostic ports of an element do the same.
#[derive(Clone, Copy, Debug, Default)]
enum Tie {
    #[default]
    All,
    /// Input and output of the same number.
    Pairs,
    None,
}

impl Tie {
    fn of(processing: &str) -> Self {
        match processing.rsplit('/').next() {
            Some("#") => Self::Pairs,
            Some("x") => Self::None,
            _ => Self::All,
        }
    }
}

/// Pulling elements with several inputs, or with a will of their own, that may follow each other: each takes some of a
/// guest's small stack.
const PULL_DEPTH: usize = 32;

/// Resolves and checks the ports that [`count`] found, noting all errors.
pub(crate) fn connect(
    source: &Source<'_>,
    flat: &Flat,
    ports: &mut [Ports],
    elements: &[Box<dyn Element>],
    d: &mut Diagnostics,
) {
    resolve(source, flat, ports, d);
    join(source, flat, ports, d);
    if d.is_empty() {
        check_pulls(source, flat, ports, elements, d);
    }
}

/// Pull paths must end, and not be too deep.
fn check_pulls(
    source: &Source<'_>,
    flat: &Flat,
    ports: &[Ports],
    elements: &[Box<dyn Element>],
    d: &mut Diagnostics,
) {
    // Depth of each element seen from upstream: elements whose inputs are all known come first (Kahn's algorithm).
    let upstream = |id: usize| {
        // An element that is pulled through may be so again on its way from other inputs than the first.
        let counts = move |i: usize| !ports[id].is_pushed(i) && (i == 0 || elements[id].owns_pull());
        let pulled = ports[id].inputs.iter().enumerate().filter(move |(i, _)| counts(*i));
        pulled.filter_map(|(_, from)| *from).map(|from| from.element)
    };
    let answers = |id: usize| (0..ports[id].outputs.len()).any(|o| !ports[id].pushes(o));
    let mut downstream = alloc::vec![Vec::new(); ports.len()];
    let mut unknown = alloc::vec![0usize; ports.len()];
    for id in (0..ports.len()).filter(|&id| answers(id)) {
        for up in upstream(id) {
            downstream[up].push(id);
            unknown[id] += 1;
        }
    }
    let mut depth = alloc::vec![0usize; ports.len()];
    let mut ready: Vec<usize> = (0..ports.len()).filter(|&id| unknown[id] == 0).collect();
    while let Some(id) = ready.pop() {
        let own = usize::from(elements[id].owns_pull());
        depth[id] += own;
        if depth[id] == PULL_DEPTH + 1 && own == 1 {
            let message =
                format!("more than {PULL_DEPTH} elements that choose what to pull follow each other here");
            d.add(source, flat.elements[id].span.clone(), message);
        }
        for &down in &downstream[id] {
            depth[down] = depth[down].max(depth[id]);
            unknown[down] -= 1;
            if unknown[down] == 0 {
                ready.push(down);
            }
        }
    }
    for (id, e) in flat.elements.iter().enumerate().filter(|(id, _)| unknown[*id] > 0).take(1) {
        let _ = id;
        let message = format!("'{}' pulls from itself, through other elements or directly", label(e));
        d.add(source, e.span.clone(), message);
    }
}

/// `1-2`: least and most; `-`: any; `=`: as many as on the other side.
fn range(text: &str, other: usize) -> (usize, usize) {
    let number = |t: &str| t.parse::<usize>().ok();
    match text.split_once('-') {
        None if text.starts_with('=') => {
            let more = text.matches('+').count();
            (other + more, other + more)
        }
        None => number(text).map_or((0, usize::MAX), |n| (n, n)),
        Some((low, high)) => (number(low).unwrap_or(0), number(high).unwrap_or(usize::MAX)),
    }
}

/// Counts the ports of all elements, noting where there are too many or too few.
pub(crate) fn count(source: &Source<'_>, flat: &Flat, classes: &[&Class], d: &mut Diagnostics) -> Vec<Ports> {
    let mut used = alloc::vec![(0usize, 0usize); flat.elements.len()];
    for c in &flat.connections {
        let outputs = &mut used[c.from.element].1;
        *outputs = (*outputs).max(c.from.port + 1);
        let inputs = &mut used[c.to.element].0;
        *inputs = (*inputs).max(c.to.port + 1);
    }
    let mut all = Vec::with_capacity(used.len());
    for ((declared, class), (inputs, outputs)) in flat.elements.iter().zip(classes).zip(used) {
        let (left, right) = class.ports.split_once('/').unwrap_or(("-", "-"));
        let wanted_in = range(left, outputs);
        let wanted_out = range(right, inputs.max(wanted_in.0));
        let mut say = |what: &str, n: usize, (least, most): (usize, usize)| {
            if n > most {
                let message = format!("'{}' has no {what} {}", label(declared), n - 1);
                d.add(source, declared.span.clone(), message);
            } else if n > flat.connections.len() + least {
                // Some are not connected; a list of them all would take room for nothing.
                let message = format!("'{}' has {n} {what}s of which some are unused", label(declared));
                d.add(source, declared.span.clone(), message);
                return 0;
            }
            n.max(least)
        };
        let inputs = say("input", inputs, wanted_in);
        let outputs = say("output", outputs, wanted_out);
        let (input_flows, output_flows) = flows(class.processing, inputs, outputs);
        all.push(Ports {
            inputs: alloc::vec![None; inputs],
            outputs: alloc::vec![None; outputs],
            input_flows,
            output_flows,
            tie: Tie::of(class.processing),
            connections: Vec::new(),
        });
    }
    all
}

/// What a class says that its ports do.
pub(crate) fn flows(processing: &str, inputs: usize, outputs: usize) -> (Vec<Flow>, Vec<Flow>) {
    let mut codes = processing.split('/');
    let left = codes.next().unwrap_or("");
    let right = codes.next().unwrap_or(left);
    let side = |codes: &str, n: usize| {
        let codes: Vec<Flow> = codes
            .chars()
            .map(|c| match c {
                'h' => Flow::Push,
                'l' => Flow::Pull,
                _ => Flow::Agnostic,
            })
            .collect();
        let last = codes.last().copied().unwrap_or(Flow::Agnostic);
        (0..n).map(|i| codes.get(i).copied().unwrap_or(last)).collect()
    };
    (side(left, inputs), side(right, outputs))
}

fn label(e: &Declared) -> String {
    format!("{} :: {}", e.name, e.class)
}

/// Carries push and pull along connections and through agnostic elements until nothing changes.
fn resolve(source: &Source<'_>, flat: &Flat, ports: &mut [Ports], d: &mut Diagnostics) {
    let mut touching = alloc::vec![Vec::new(); ports.len()];
    for (i, c) in flat.connections.iter().enumerate() {
        touching[c.from.element].push(i);
        touching[c.to.element].push(i);
    }
    let mut waiting: Vec<usize> = (0..flat.connections.len()).rev().collect();
    let mut clashing = alloc::vec![false; waiting.len()];
    while let Some(i) = waiting.pop() {
        let c = &flat.connections[i];
        let from = ports[c.from.element].output_flows[c.from.port];
        let to = ports[c.to.element].input_flows[c.to.port];
        let changed = match (from, to) {
            (Flow::Agnostic, Flow::Agnostic) => continue,
            (Flow::Agnostic, flow) => (c.from, true, flow),
            (flow, Flow::Agnostic) => (c.to, false, flow),
            (a, b) if a == b || core::mem::replace(&mut clashing[i], true) => continue,
            (a, _) => {
                let words = |flow| if flow == Flow::Push { "push" } else { "pull" };
                let other = if a == Flow::Push { Flow::Pull } else { Flow::Push };
                let (x, y) = (&flat.elements[c.from.element], &flat.elements[c.to.element]);
                let hint = if a == Flow::Push {
                    "a Queue between them turns push into pull"
                } else {
                    "an Unqueue between them turns pull into push"
                };
                let message = format!(
                    "'{}' {} output {} connected to '{}' {} input {}",
                    label(x),
                    words(a),
                    c.from.port,
                    label(y),
                    words(other),
                    c.to.port,
                );
                d.add_with(source, c.span.clone(), message, alloc::vec![hint.to_string()]);
                continue;
            }
        };
        let (port, is_output, flow) = changed;
        let p = &mut ports[port.element];
        for (side, flows) in [(false, &mut p.input_flows), (true, &mut p.output_flows)] {
            for (number, old) in flows.iter_mut().enumerate().filter(|f| *f.1 == Flow::Agnostic) {
                let same = match p.tie {
                    Tie::All => true,
                    Tie::Pairs => number == port.port,
                    Tie::None => number == port.port && side == is_output,
                };
                if same {
                    *old = flow;
                }
            }
        }
        waiting.extend(&touching[port.element]);
    }
    // What nothing decides is push.
    for p in ports {
        let undecided = p.input_flows.iter_mut().chain(&mut p.output_flows).filter(|f| **f == Flow::Agnostic);
        undecided.for_each(|f| *f = Flow::Push);
    }
}

fn join(source: &Source<'_>, flat: &Flat, ports: &mut [Ports], d: &mut Diagnostics) {
    for c in &flat.connections {
        let push = ports[c.from.element].output_flows[c.from.port] == Flow::Push;
        let from = &mut ports[c.from.element];
        from.connections.push((c.from.port, c.to));
        let second_output = from.outputs[c.from.port].is_some();
        from.outputs[c.from.port].get_or_insert(c.to);
        let input = &mut ports[c.to.element].inputs[c.to.port];
        let second_input = input.is_some();
        input.get_or_insert(c.from);
        let (e, what, port) = match (push, second_output, second_input) {
            (true, true, _) => (&flat.elements[c.from.element], "push output", c.from.port),
            (false, _, true) => (&flat.elements[c.to.element], "pull input", c.to.port),
            _ => continue,
        };
        d.add(source, c.span.clone(), format!("illegal reuse of '{}' {what} {port}", label(e)));
    }
    for (p, e) in ports.iter().zip(&flat.elements) {
        for (list, what) in [(&p.inputs, "input"), (&p.outputs, "output")] {
            for (port, _) in list.iter().enumerate().filter(|(_, other)| other.is_none()) {
                d.add(source, e.span.clone(), format!("'{}' {what} {port} unused", label(e)));
            }
        }
    }
}

impl Ports {
    /// Everything that leaves: output number, and the input it goes to.
    pub fn connections(&self) -> impl Iterator<Item = (usize, Port)> {
        self.connections.iter().copied()
    }

    /// Whether an input is pushed into.
    pub fn is_pushed(&self, input: usize) -> bool {
        self.input_flows.get(input) == Some(&Flow::Push)
    }

    /// Whether an output pushes.
    pub fn pushes(&self, output: usize) -> bool {
        self.output_flows.get(output) == Some(&Flow::Push)
    }
}
