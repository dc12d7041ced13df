//! Decision programs: what classifiers compile their patterns to. A program is tests of masked words of the packet, each
//! leading to another test or to an output.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// What offsets count from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// The packet's data.
    Data,
    /// The network header.
    Network,
    /// The transport header.
    Transport,
}

/// How a word is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// Equal to the value.
    Equal,
    /// Greater than the value.
    Greater,
}

/// A test of four bytes. It fails if bytes that the mask asks for are not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Test {
    /// What `offset` counts from.
    pub base: Base,
    /// Where the four bytes begin.
    pub offset: u16,
    /// Bits that count.
    pub mask: u32,
    /// How they are compared.
    pub relation: Relation,
    /// With what.
    pub value: u32,
}

/// A condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Always or never.
    Constant(bool),
    /// One test.
    Test(Test),
    /// The opposite.
    Not(alloc::boxed::Box<Condition>),
    /// All of them.
    All(Vec<Condition>),
    /// One of them.
    Any(Vec<Condition>),
}

/// Where a test leads: to another, or to an output (the complement); [`NOWHERE`] drops the packet.
type Target = i32;

/// The leaf of packets that no rule wants.
pub const NOWHERE: usize = i32::MAX as usize;

const fn leaf(output: usize) -> Target {
    !(output as i32)
}

#[derive(Clone, Copy, Debug)]
struct Step {
    test: Test,
    yes: Target,
    no: Target,
}

/// A compiled list of rules.
#[derive(Debug)]
pub struct Program {
    steps: Vec<Step>,
    start: Target,
}

/// Whether `then` is known once `first` came out so.
fn implied(first: &Test, outcome: bool, then: &Test) -> Option<bool> {
    if first.base != then.base || first.offset != then.offset || first.mask != then.mask {
        return None;
    }
    match (first.relation, outcome, then.relation) {
        (a, _, b) if a == b && first.value == then.value => Some(outcome),
        (Relation::Equal, true, Relation::Equal) => Some(false),
        (Relation::Equal, true, Relation::Greater) => Some(first.value > then.value),
        (Relation::Greater, true, Relation::Greater) if first.value >= then.value => Some(true),
        (Relation::Greater, false, Relation::Greater) if first.value <= then.value => Some(false),
        (Relation::Greater, true, Relation::Equal) if then.value <= first.value => Some(false),
        (Relation::Greater, false, Relation::Equal) if then.value > first.value => Some(false),
        _ => None,
    }
}

impl Program {
    /// A program for rules in order: the first whose condition holds decides the output.
    pub fn new(rules: &[(Condition, usize)]) -> Self {
        let mut program = Self { steps: Vec::new(), start: leaf(NOWHERE) };
        let mut next = leaf(NOWHERE);
        for (condition, output) in rules.iter().rev() {
            next = program.compile(condition, leaf(*output), next);
        }
        program.start = next;
        program
    }

    /// Adds steps for a condition; conditions nest no deeper than their parser lets them.
    fn compile(&mut self, condition: &Condition, yes: Target, no: Target) -> Target {
        match condition {
            Condition::Constant(true) => yes,
            Condition::Constant(false) => no,
            Condition::Not(inner) => self.compile(inner, no, yes),
            Condition::All(list) => list.iter().rev().fold(yes, |yes, c| self.compile(c, yes, no)),
            Condition::Any(list) => list.iter().rev().fold(no, |no, c| self.compile(c, yes, no)),
            Condition::Test(test) => self.step(test, yes, no),
        }
    }

    fn step(&mut self, test: &Test, yes: Target, no: Target) -> Target {
        if test.mask == 0 && test.relation == Relation::Equal {
            return if test.value == 0 { yes } else { no };
        }
        let (yes, no) = (self.skip(test, true, yes), self.skip(test, false, no));
        if yes == no {
            return yes;
        }
        self.steps.push(Step { test: *test, yes, no });
        (self.steps.len() - 1) as Target
    }

    /// Leads past tests whose outcome is known.
    fn skip(&self, test: &Test, outcome: bool, mut target: Target) -> Target {
        while let Some(step) = usize::try_from(target).ok().and_then(|i| self.steps.get(i)) {
            match implied(test, outcome, &step.test) {
                Some(true) => target = step.yes,
                Some(false) => target = step.no,
                None => break,
            }
        }
        target
    }

    /// The output for a packet: its data, and where its network and transport headers begin (beyond the data if they
    /// are unknown).
    #[inline]
    pub fn decide(&self, data: &[u8], network: usize, transport: usize) -> usize {
        let mut at = self.start;
        // Steps lead only to steps made before them, so this ends.
        while let Some(step) = usize::try_from(at).ok().and_then(|i| self.steps.get(i)) {
            let test = &step.test;
            let base = match test.base {
                Base::Data => 0,
                Base::Network => network,
                Base::Transport => transport,
            };
            let offset = base.saturating_add(test.offset.into());
            let passed = match data.get(offset..).and_then(|d| d.first_chunk::<4>()) {
                Some(word) => test.passes(u32::from_be_bytes(*word)),
                None => test.passes_at_the_end(data.get(offset..).unwrap_or(&[])),
            };
            at = if passed { step.yes } else { step.no };
        }
        !at as usize
    }

    /// The steps, one a line.
    pub fn describe(&self) -> String {
        let target = |t: Target| match t {
            t if t >= 0 => format!("step {}", self.steps.len() - 1 - t as usize),
            t if !t as usize == NOWHERE => "drop".into(),
            t => format!("[{}]", !t),
        };
        let mut out = format!("start: {}\n", target(self.start));
        for (i, s) in self.steps.iter().rev().enumerate() {
            let t = &s.test;
            let base = match t.base {
                Base::Data => "",
                Base::Network => "ip ",
                Base::Transport => "transp ",
            };
            let relation = if t.relation == Relation::Equal { "==" } else { ">" };
            out += &format!(
                "{i}: {base}{}/{:08x} {relation} {:08x}  yes-> {}  no-> {}\n",
                t.offset,
                t.mask,
                t.value,
                target(s.yes),
                target(s.no)
            );
        }
        out
    }
}

impl Test {
    #[inline]
    fn passes(&self, word: u32) -> bool {
        match self.relation {
            Relation::Equal => word & self.mask == self.value,
            Relation::Greater => word & self.mask > self.value,
        }
    }

    /// With fewer than four bytes left.
    #[cold]
    fn passes_at_the_end(&self, bytes: &[u8]) -> bool {
        let mut word = [0; 4];
        word.iter_mut().zip(bytes).for_each(|(w, b)| *w = *b);
        let there = u32::MAX.checked_shl(32 - 8 * bytes.len().min(4) as u32).unwrap_or(0);
        self.mask & !there == 0 && self.passes(u32::from_be_bytes(word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn conditions() -> impl Strategy<Value = Condition> {
        let test = (
            0u16..6,
            prop_oneof![Just(0xff00_0000u32), Just(0x00ff_0000), Just(0xffff_0000)],
            any::<bool>(),
            0u32..4,
        )
            .prop_map(|(offset, mask, equal, value)| {
                let relation = if equal { Relation::Equal } else { Relation::Greater };
                let value = value * (mask & mask.wrapping_neg());
                Condition::Test(Test { base: Base::Data, offset, mask, relation, value })
            });
        let leaf = prop_oneof![test, any::<bool>().prop_map(Condition::Constant)];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Condition::All),
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Condition::Any),
                inner.prop_map(|c| Condition::Not(c.into())),
            ]
        })
    }

    fn holds(c: &Condition, data: &[u8]) -> bool {
        match c {
            Condition::Constant(b) => *b,
            Condition::Not(c) => !holds(c, data),
            Condition::All(l) => l.iter().all(|c| holds(c, data)),
            Condition::Any(l) => l.iter().any(|c| holds(c, data)),
            Condition::Test(t) => {
                let rest = &data[data.len().min(t.offset.into())..];
                rest.first_chunk::<4>()
                    .map_or_else(|| t.passes_at_the_end(rest), |w| t.passes(u32::from_be_bytes(*w)))
            }
        }
    }

    proptest! {
        #[test]
        fn a_program_decides_as_its_rules_say(rules in proptest::collection::vec(conditions(), 1..6), data in proptest::collection::vec(0u8..4, 4..12)) {
            let numbered: Vec<_> = rules.iter().cloned().zip(0usize..).collect();
            let expected = rules.iter().position(|c| holds(c, &data)).unwrap_or(NOWHERE);
            prop_assert_eq!(Program::new(&numbered).decide(&data, 0, 0), expected);
        }
    }
}
