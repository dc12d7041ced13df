//! How many ports a body of statements uses of something: what chooses among a compound element's overloads.

use super::connect::pair;
use super::parser::{ClassUse, Compound, Item, Link, Statement, What};

/// Ports used: inputs, and outputs.
pub(super) type Used = (usize, usize);

fn more(a: Used, b: Used) -> Used {
    (a.0.max(b.0), a.1.max(b.1))
}

/// What the item at `place` of a chain (its list, and where in that) uses.
pub(super) fn of_item(chain: &[Link], place: (usize, usize)) -> Used {
    // One more than the highest port of the item on one side of the connector in front of a list.
    let highest = |at: usize, side: usize| {
        let (Some((Some((connector, _)), to)), Some((_, from))) =
            (chain.get(at), chain.get(at.wrapping_sub(1)))
        else {
            return 0;
        };
        let outputs = from.iter().map(|i| i.outputs.as_ref());
        let joined = pair(*connector, outputs, to.iter().map(|i| i.inputs.as_ref())).0;
        let ports = joined.iter().map(|ends| ends[side]).filter(|end| end.item == place.1);
        ports.map(|end| end.port + 1).max().unwrap_or(0)
    };
    (highest(place.0, 1), highest(place.0 + 1, 0))
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

/// Ports that a compound or group with this body has: what it uses of `input` is read, of `output` written.
pub(super) fn of_body(statements: &[Statement]) -> Used {
    let mut used = (0, 0);
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
                let (into, out) = of_item(chain, (at, which));
                used = more(used, if input { (out, 0) } else { (0, into) });
            }
        }
    }
    used
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
