//! How many ports a body of statements uses of something: what chooses among a compound element's overloads.

use super::parser::{ClassUse, Connector, Item, Link, Statement, What};

/// Ports used: inputs, and outputs.
pub(super) type Used = (usize, usize);

fn more(a: Used, b: Used) -> Used {
    (a.0.max(b.0), a.1.max(b.1))
}

/// Ports that a list has on one side of a connector.
fn width(items: &[Item], ports: fn(&Item) -> &Option<alloc::vec::Vec<usize>>) -> usize {
    items.iter().map(|item| ports(item).as_ref().map_or(1, |list| list.len().max(1))).sum()
}

/// Ports that one item of a list uses: its own numbers, or as many as the other side has.
fn one(own: Option<&[usize]>, connector: Connector, alone: bool, other: usize) -> usize {
    match own {
        Some(list) => list.iter().max().map_or(1, |most| most + 1),
        None if alone && connector == Connector::Each => other,
        None => 1,
    }
}

/// What the item at `place` of a chain (its list, and where in that) uses.
pub(super) fn of_item(chain: &[Link], place: (usize, usize)) -> Used {
    let (_, items) = &chain[place.0];
    let item = &items[place.1];
    let alone = items.len() == 1;
    let into = chain[place.0].0.as_ref().map(|(connector, _)| {
        let other = place.0.checked_sub(1).map_or(1, |before| width(&chain[before].1, |i| &i.outputs));
        one(item.inputs.as_deref(), *connector, alone, other)
    });
    let out = chain.get(place.0 + 1).and_then(|next| {
        let (connector, _) = next.0.as_ref()?;
        Some(one(item.outputs.as_deref(), *connector, alone, width(&next.1, |i| &i.inputs)))
    });
    (into.unwrap_or(0), out.unwrap_or(0))
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

/// Ports that a compound with this body has: what it uses of `input` is read, of `output` written.
pub(super) fn of_body(statements: &[Statement]) -> Used {
    let (mut inputs, mut outputs) = (of_name(statements, "input").1, of_name(statements, "output").0);
    for statement in statements {
        let Statement::Chain(chain) = statement else { continue };
        for (at, (_, items)) in chain.iter().enumerate() {
            for (which, item) in items.iter().enumerate().filter(|(_, i)| i.what == What::Implicit) {
                let _ = item;
                let (into, out) = of_item(chain, (at, which));
                inputs = inputs.max(if at == 0 { out } else { 0 });
                outputs = outputs.max(if at == 0 { 0 } else { into });
            }
        }
    }
    (inputs, outputs)
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
