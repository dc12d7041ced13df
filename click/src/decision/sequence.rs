//! Tests one after the other: what a program falls back to where a tree would grow too large, and for packets that end
//! in the middle of a word that the tree wants whole.

use super::pool::{Atom, Pool};
use super::{Places, Relation, Target, Test, is_leaf};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

#[derive(Clone, Copy, Debug)]
struct Step {
    test: Test,
    yes: Target,
    no: Target,
}

/// Steps that lead to each other, or to an output.
#[derive(Debug, Default)]
pub(super) struct Sequence {
    steps: Vec<Step>,
}

/// Whether `then` is known once `first` came out so.
fn implied(first: &Test, outcome: bool, then: &Test) -> Option<bool> {
    if first.base != then.base || first.offset != then.offset || first.mask != then.mask {
        return None;
    }
    match (first.relation, outcome, then.relation) {
        (a, _, b) if a == b && first.value == then.value => Some(outcome),
        (Relation::Present, false, _) => Some(false),
        (_, true, Relation::Present) => Some(true),
        (Relation::Equal, true, Relation::Equal) => Some(false),
        (Relation::Equal, true, Relation::Greater) => Some(first.value > then.value),
        (Relation::Greater, true, Relation::Greater) if first.value >= then.value => Some(true),
        (Relation::Greater, false, Relation::Greater) if first.value <= then.value => Some(false),
        (Relation::Greater, true, Relation::Equal) if then.value <= first.value => Some(false),
        // What fails the first is not greater, or not there at all; the second then fails too.
        (Relation::Greater, false, Relation::Equal) if then.value > first.value => Some(false),
        _ => None,
    }
}

impl Sequence {
    pub(super) fn len(&self) -> usize {
        self.steps.len()
    }

    /// Adds steps for rules in order, and says where they begin.
    pub(super) fn add(&mut self, pool: &Pool, rules: &[(u32, Target)], otherwise: Target) -> Target {
        rules.iter().rev().fold(otherwise, |next, &(condition, to)| self.compile(pool, condition, to, next))
    }

    /// Adds steps for a condition; conditions nest no deeper than their parser lets them.
    fn compile(&mut self, pool: &Pool, condition: u32, yes: Target, no: Target) -> Target {
        match pool.get(condition) {
            Atom::Constant(true) => yes,
            Atom::Constant(false) => no,
            Atom::Not(inner) => self.compile(pool, *inner, no, yes),
            Atom::All(list) => list.iter().rev().fold(yes, |yes, &c| self.compile(pool, c, yes, no)),
            Atom::Any(list) => list.iter().rev().fold(no, |no, &c| self.compile(pool, c, yes, no)),
            Atom::Range(range) => self.step(range.test, yes, no),
        }
    }

    fn step(&mut self, test: Test, yes: Target, no: Target) -> Target {
        let (yes, no) = (self.skip(&test, true, yes), self.skip(&test, false, no));
        if yes == no {
            return yes;
        }
        self.steps.push(Step { test, yes, no });
        (self.steps.len() - 1) as Target
    }

    fn get(&self, target: Target) -> Option<&Step> {
        if is_leaf(target) { None } else { self.steps.get(target as usize) }
    }

    /// Leads past tests whose outcome is known.
    fn skip(&self, test: &Test, outcome: bool, mut target: Target) -> Target {
        while let Some(step) = self.get(target) {
            match implied(test, outcome, &step.test) {
                Some(true) => target = step.yes,
                Some(false) => target = step.no,
                None => break,
            }
        }
        target
    }

    /// The leaf for a packet, from a step on.
    pub(super) fn decide(&self, mut at: Target, data: &[u8], headers: &Places) -> Target {
        // Steps lead only to steps made before them, so this ends.
        while let Some(step) = self.get(at) {
            let rest = data.get(headers.place(step.test.base, step.test.offset)..).unwrap_or(&[]);
            at = if step.test.passes(rest) { step.yes } else { step.no };
        }
        at
    }

    /// Where a step leads.
    pub(super) fn targets(&self, at: Target) -> impl Iterator<Item = Target> {
        self.get(at).into_iter().flat_map(|step| [step.yes, step.no])
    }

    /// The steps, one a line.
    pub(super) fn describe(&self, target: impl Fn(Target) -> String) -> String {
        let mut out = String::new();
        for (i, s) in self.steps.iter().enumerate() {
            let relation = match s.test.relation {
                Relation::Equal => "==",
                Relation::Greater => ">",
                Relation::Present => "is there, not",
            };
            out += &format!(
                "step {i}: {}{}/{:08x} {relation} {:08x}  yes-> {}  no-> {}\n",
                s.test.base.name(),
                s.test.offset,
                s.test.mask,
                s.test.value,
                target(s.yes),
                target(s.no)
            );
        }
        out
    }
}
