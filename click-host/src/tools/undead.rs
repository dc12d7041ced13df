//! What no packet reaches, and what no packet leaves, is taken out; so is what only passes packets on.

use click::args::{parse_number, split};
use click::elements::Library;
use click::lang::{Connected, Declared, Flat, Port};
use std::collections::BTreeSet;

/// Elements that pass on what they get.
const NULLS: &[&str] =
    &["Null", "Null1", "Null2", "Null3", "Null4", "Null5", "Null6", "Null7", "Null8", "PullNull", "PushNull"];
/// Elements that choose between their inputs: with one there is nothing to choose.
const SCHEDULERS: &[&str] =
    &["DRRSched", "PrioSched", "RoundRobinSched", "SimplePrioSched", "SimpleRoundRobinSched", "StrideSched"];

/// Cleans a configuration.
pub fn clean(flat: &mut Flat, library: Library) {
    resolve_switches(flat);
    // Taking one out may leave another with one input. Each round takes out one at least.
    for _ in 0..flat.elements.len() {
        let alive = alive(flat, library);
        cut(flat, &alive);
        let before = flat.elements.len();
        splice(flat);
        remove(flat, &|_| false);
        if flat.elements.len() == before && alive.iter().all(|&alive| alive) {
            break;
        }
    }
    stop_ends(flat, library);
}

/// The argument of a switch that never switches.
fn choice(element: &Declared) -> Option<usize> {
    split(&element.config).first().and_then(|text| parse_number(text)).and_then(|n| usize::try_from(n).ok())
}

/// What goes through switches that never switch goes past them.
fn resolve_switches(flat: &mut Flat) {
    for element in 0..flat.elements.len() {
        let chosen = choice(&flat.elements[element]);
        match flat.elements[element].class.as_str() {
            "StaticSwitch" => {
                flat.connections.retain(|c| c.from.element != element || Some(c.from.port) == chosen);
                flat.connections
                    .iter_mut()
                    .filter(|c| c.from.element == element)
                    .for_each(|c| c.from.port = 0);
            }
            "StaticPullSwitch" => {
                flat.connections.retain(|c| c.to.element != element || Some(c.to.port) == chosen);
                flat.connections.iter_mut().filter(|c| c.to.element == element).for_each(|c| c.to.port = 0);
            }
            _ => continue,
        }
        flat.elements[element].class = "Null".to_string();
        flat.elements[element].config.clear();
    }
}

/// Joins what lies around elements that only pass packets on, which are connected no more then.
fn splice(flat: &mut Flat) {
    for element in 0..flat.elements.len() {
        let class = flat.elements[element].class.as_str();
        let inputs: Vec<_> = flat.connections.iter().filter(|c| c.to.element == element).cloned().collect();
        let outputs: Vec<_> =
            flat.connections.iter().filter(|c| c.from.element == element).cloned().collect();
        let passes = NULLS.contains(&class) || (SCHEDULERS.contains(&class) && inputs.len() == 1);
        let own = inputs.iter().any(|c| c.from.element == element);
        // With several on both sides it would not be known which belong together.
        if !passes
            || own
            || inputs.is_empty()
            || outputs.is_empty()
            || (inputs.len() > 1 && outputs.len() > 1)
        {
            continue;
        }
        flat.connections.retain(|c| c.to.element != element && c.from.element != element);
        for input in &inputs {
            for output in &outputs {
                let span = input.span.clone();
                flat.connections.push(Connected { from: input.from, to: output.to, span });
            }
        }
        flat.elements[element].class.clear();
    }
}

/// Whether elements both get packets from somewhere and send them somewhere, or do something without.
fn alive(flat: &Flat, library: Library) -> Vec<bool> {
    let sides = |element: &Declared| {
        let ports = library.class(&element.class).map_or("-/-", |class| class.ports);
        ports.split_once('/').unwrap_or(("-", "-"))
    };
    let known = |element: &Declared| library.class(&element.class).is_some();
    let idle = |element: &Declared| matches!(element.class.as_str(), "Idle" | "SimpleIdle");
    let has = |side: &str| side != "0";
    let connected = |n: usize| flat.connections.iter().any(|c| c.from.element == n || c.to.element == n);
    // One of an unknown class, and one that answers what it gets, may make packets and end them.
    let reach = |begin: &dyn Fn(&Declared) -> bool, forth: bool| {
        let mut seen: BTreeSet<usize> = BTreeSet::new();
        let mut waiting: Vec<usize> = (0..flat.elements.len())
            .filter(|&n| !idle(&flat.elements[n]) && begin(&flat.elements[n]))
            .collect();
        while let Some(n) = waiting.pop() {
            if !seen.insert(n) {
                continue;
            }
            let next = flat.connections.iter().filter_map(|c| match forth {
                true => (c.from.element == n).then_some(c.to.element),
                false => (c.to.element == n).then_some(c.from.element),
            });
            waiting.extend(next.filter(|&n| !idle(&flat.elements[n])));
        }
        seen
    };
    let begins = |e: &Declared| !known(e) || sides(e).0.starts_with('0') && has(sides(e).1);
    let ends = |e: &Declared| !known(e) || sides(e).1.starts_with('0') && has(sides(e).0);
    let (reached, left) = (reach(&begins, true), reach(&ends, false));
    (0..flat.elements.len())
        .map(|n| !idle(&flat.elements[n]) && (!connected(n) || (reached.contains(&n) && left.contains(&n))))
        .collect()
}

/// Takes out elements that are not alive, with their connections.
fn cut(flat: &mut Flat, alive: &[bool]) {
    remove(flat, &|n| !alive[n]);
}

/// Takes out elements without a class, and those that are named.
fn remove(flat: &mut Flat, dead: &dyn Fn(usize) -> bool) {
    let stays: Vec<bool> =
        flat.elements.iter().enumerate().map(|(n, e)| !e.class.is_empty() && !dead(n)).collect();
    let mut places = Vec::with_capacity(stays.len());
    let mut next = 0;
    for &stays in &stays {
        places.push(next);
        next += usize::from(stays);
    }
    let mut n = 0;
    flat.elements.retain(|_| {
        n += 1;
        stays[n - 1]
    });
    flat.connections.retain(|c| stays[c.from.element] && stays[c.to.element]);
    for c in &mut flat.connections {
        c.from.element = places[c.from.element];
        c.to.element = places[c.to.element];
    }
}

/// Ports below the highest that is used, and those that an element has to have, and that lead nowhere now, lead to an Idle.
fn stop_ends(flat: &mut Flat, library: Library) {
    let mut open = Vec::new();
    for (element, declared) in flat.elements.iter().enumerate() {
        let Some(class) = library.class(&declared.class) else { continue };
        let least = |side: &str| side.split('-').next().and_then(|n| n.parse().ok()).unwrap_or(0);
        let (left, right) = class.ports.split_once('/').unwrap_or(("0", "0"));
        let inputs: BTreeSet<usize> = used(flat, |c| (c.to.element == element).then_some(c.to.port));
        let outputs: BTreeSet<usize> = used(flat, |c| (c.from.element == element).then_some(c.from.port));
        let count = |used: &BTreeSet<usize>, side: &str| used.last().map_or(0, |n| n + 1).max(least(side));
        if inputs.is_empty() && outputs.is_empty() {
            continue;
        }
        open.extend((0..count(&inputs, left)).filter(|n| !inputs.contains(n)).map(|n| (true, element, n)));
        open.extend(
            (0..count(&outputs, right)).filter(|n| !outputs.contains(n)).map(|n| (false, element, n)),
        );
    }
    if open.is_empty() {
        return;
    }
    let idle = flat.elements.len();
    let name = (1..).map(|n| format!("Idle@{n}")).find(|name| flat.elements.iter().all(|e| e.name != *name));
    let name = name.unwrap_or_default();
    flat.elements.push(Declared {
        name,
        class: "Idle".into(),
        config: String::new(),
        span: 0..0,
        config_span: None,
    });
    let mut ports = [0, 0];
    for (into, element, port) in open {
        let own = &mut ports[usize::from(into)];
        let (there, here) = (Port { element, port }, Port { element: idle, port: *own });
        *own += 1;
        let (from, to) = if into { (here, there) } else { (there, here) };
        flat.connections.push(Connected { from, to, span: 0..0 });
    }
}

fn used(flat: &Flat, port: impl Fn(&Connected) -> Option<usize>) -> BTreeSet<usize> {
    flat.connections.iter().filter_map(port).collect()
}
