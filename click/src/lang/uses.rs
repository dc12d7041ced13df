//! How many ports a body of statements uses of something: what chooses among a compound element's overloads.

use super::connect::pair;
use super::parser::{ClassUse, Compound, Item, Link, Statement, What};
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

/// Ports used: inputs, and outputs.
pub(super) type Used = (usize, usize);

fn more(a: Used, b: Used) -> Used {
    (a.0.max(b.0), a.1.max(b.1))
}

/// What the item at `place` of a chain (its list, and where in that) uses.
pub(super) fn of_item(chain: &[Link], place: (usize, usize)) -> Used {
    let highest = |at: usize, side: usize| {
        ports(chain, place.1, at, side).into_iter().map(|port| port + 1).max().unwrap_or(0)
    };
    (highest(place.0, 1), highest(place.0 + 1, 0))
}

/// Ports of an item on one side of the connector in front of the list `at`: 0, outputs, or 1, inputs.
fn ports(chain: &[Link], item: usize, at: usize, side: usize) -> Vec<usize> {
    let (Some((Some((connector, _)), to)), Some((_, from))) = (chain.get(at), chain.get(at.wrapping_sub(1)))
    else {
        return Vec::new();
    };
    let outputs = from.iter().map(|i| i.outputs.as_ref());
    let joined = pair(*connector, outputs, to.iter().map(|i| i.inputs.as_ref())).0;
    joined.iter().map(|ends| ends[side]).filter(|end| end.item == item).map(|end| end.port).collect()
}

/// What a body uses of the element with a name, groups within it included.
pub(super) fn of_name(statements: &[Statement], name: &str) -> Used {
    let mut used = (0, 0);
    visit(statements, &mut |chain, place, item| {
        let is = match &item.what {
            What::Name(n) => n == name,
            What::Declared { name: Some(n), .. } => n == name,
            _ => false,
        };
        if is {
            used = more(used, of_item(chain, place));
        }
    });
    used
}

/// Ports below the highest that a body uses of its `input` or `output` and does not use itself: whether of the input, and
/// which.
pub(super) fn gaps(statements: &[Statement]) -> Option<(bool, usize)> {
    let mut used = [BTreeSet::new(), BTreeSet::new()];
    visit_own(statements, |chain, (at, which), input| {
        let (side, connector) = if input { (0, at + 1) } else { (1, at) };
        used[side].extend(ports(chain, which, connector, side));
    });
    let gap = |used: &BTreeSet<usize>| (0..).zip(used).find(|(n, port)| n != *port).map(|(n, _)| n);
    gap(&used[0]).map(|n| (true, n)).or_else(|| gap(&used[1]).map(|n| (false, n)))
}

/// Ports that a compound or group with this body has: what it uses of `input` is read, of `output` written.
pub(super) fn of_body(statements: &[Statement]) -> Used {
    let mut used = (0, 0);
    visit_own(statements, |chain, place, input| {
        let (into, out) = of_item(chain, place);
        used = more(used, if input { (out, 0) } else { (0, into) });
    });
    used
}

/// Sees each place where a body names its own `input` (true) or `output` (false), or leaves it out.
fn visit_own(statements: &[Statement], mut see: impl FnMut(&[Link], (usize, usize), bool)) {
    for statement in statements {
        let Statement::Chain(chain) = statement else { continue };
        for (at, (_, items)) in chain.iter().enumerate() {
            for (which, item) in items.iter().enumerate() {
                let input = match &item.what {
                    What::Name(name) if name == "input" => true,
                    What::Name(name) if name == "output" => false,
                    What::Implicit => at == 0,
                    _ => continue,
                };
                see(chain, (at, which), input);
            }
        }
    }
}

/// Ports that a group has.
pub(super) fn of_group(group: &Compound) -> Used {
    group.bodies.iter().fold((0, 0), |used, body| more(used, of_body(&body.statements)))
}

fn visit(statements: &[Statement], see: &mut impl FnMut(&[Link], (usize, usize), &Item)) {
    for statement in statements {
        let Statement::Chain(chain) = statement else { continue };
        for (at, (_, items)) in chain.iter().enumerate() {
            for (which, item) in items.iter().enumerate() {
                see(chain, (at, which), item);
                if let What::Declared { class: ClassUse::Group(group), .. } = &item.what {
                    group.bodies.iter().for_each(|body| visit(&body.statements, see));
                }
            }
        }
    }
}
