//! Decision programs: what classifiers compile their patterns to.
//!
//! A program is a graph: each node loads a word of the packet, and its value leads to another node or to an output. No
//! field is looked at twice on the way, so a packet passes a few nodes however many rules there are (`tree`). Where the
//! graph would grow too large, tests follow each other instead (`sequence`).

mod pool;
mod sequence;
mod tree;

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// What offsets count from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Base {
    /// The packet's data.
    Data,
    /// The network header.
    Network,
    /// The transport header.
    Transport,
    /// The link-layer header.
    Link,
}

/// How a word is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Relation {
    /// Equal to the value.
    Equal,
    /// Greater than the value.
    Greater,
    /// Whatever it is, it is there.
    Present,
}

/// A test of four bytes. It fails if bytes that the mask asks for are not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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

/// The output of packets that no rule wants.
pub const NOWHERE: usize = i32::MAX as usize;

/// Where a decision leads: to a node, to a step of the sequence ([`STEPS`] and above), or to an output (the complement).
type Target = i32;

/// Targets from here on are steps of the sequence.
const STEPS: Target = 1 << 30;

const fn leaf(output: usize) -> Target {
    !(output as i32)
}

const fn is_leaf(target: Target) -> bool {
    target < 0
}

/// Where in the bytes that are looked at data and headers begin, by [`Base`]; `usize::MAX`: unknown.
pub struct Places([usize; 4]);

impl Places {
    /// No header is known.
    pub const DATA: Self = Self::in_data(usize::MAX, usize::MAX);

    /// Places in bytes that begin with the data. Link-layer headers lie in front of it.
    pub const fn in_data(network: usize, transport: usize) -> Self {
        Self([0, network, transport, usize::MAX])
    }

    /// Places in bytes that begin with the first header.
    pub const fn in_packet(data: usize, network: usize, transport: usize, link: usize) -> Self {
        Self([data, network, transport, link])
    }

    #[inline]
    fn place(&self, base: Base, offset: u16) -> usize {
        self.0[base as usize].saturating_add(offset.into())
    }
}

impl Base {
    const fn name(self) -> &'static str {
        match self {
            Base::Data => "",
            Base::Network => "ip ",
            Base::Transport => "transp ",
            Base::Link => "ether ",
        }
    }
}

/// A word of the packet, and where its values lead.
#[derive(Clone, Copy, Debug)]
struct Node {
    field: pool::Field,
    /// Where it leads if no byte of the word is there.
    missing: Target,
    /// Cases in [`Program::cases`]; if there are none, `value` leads to `yes`, others to `no`.
    first: u32,
    count: u32,
    value: u32,
    yes: Target,
    no: Target,
}

/// Values from here to the next case's start lead there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Case {
    start: u32,
    to: Target,
}

/// A compiled list of rules.
#[derive(Debug)]
pub struct Program {
    start: Target,
    nodes: Vec<Node>,
    cases: Vec<Case>,
    sequence: sequence::Sequence,
    /// The whole program as a sequence.
    sequential: Target,
    link: bool,
}

impl Program {
    /// A program for rules in order: the first whose condition holds decides the output.
    pub fn new(rules: &[(Condition, usize)]) -> Self {
        tree::compile(rules)
    }

    /// Whether it looks at headers of the link layer.
    pub fn looks_at_link(&self) -> bool {
        self.link
    }

    /// The output for a packet: its bytes, and what lies where in them.
    #[inline]
    pub fn decide(&self, data: &[u8], headers: &Places) -> usize {
        let mut at = self.start;
        // Nodes lead only to nodes made before them, so this ends.
        while let Some(node) = self.nodes.get(at as usize) {
            let place = headers.place(node.field.base, node.field.offset);
            let word = match data.get(place..).and_then(|d| d.first_chunk::<4>()) {
                Some(word) => u32::from_be_bytes(*word),
                None => match self.at_the_end(node, data.get(place..).unwrap_or(&[])) {
                    Ok(word) => word,
                    Err(Some(missing)) => {
                        at = missing;
                        continue;
                    }
                    Err(None) => return self.decide_slowly(self.sequential, data, headers),
                },
            };
            let value = word & node.field.mask;
            at = if node.count == 0 {
                if value == node.value { node.yes } else { node.no }
            } else {
                let cases = &self.cases[node.first as usize..(node.first + node.count) as usize];
                // The first case starts at 0.
                cases[cases.partition_point(|c| c.start <= value).max(1) - 1].to
            };
        }
        if is_leaf(at) { !at as usize } else { self.decide_slowly(at, data, headers) }
    }

    fn decide_slowly(&self, at: Target, data: &[u8], headers: &Places) -> usize {
        let at = if is_leaf(at) { at } else { self.sequence.decide(at & !STEPS, data, headers) };
        !at as usize
    }

    /// A word of fewer than four bytes: the word if all that the mask asks for is there, where it leads if nothing is,
    /// or neither.
    #[cold]
    fn at_the_end(&self, node: &Node, bytes: &[u8]) -> Result<u32, Option<Target>> {
        let (word, there) = partial(bytes);
        if node.field.mask & !there == 0 {
            return Ok(word);
        }
        // Tests of the upper bytes alone could still be passed.
        Err(bytes.is_empty().then_some(node.missing))
    }

    /// The outputs that some packet may be sent to, packets that end in the middle of a word aside.
    pub fn outputs(&self) -> BTreeSet<usize> {
        let (mut seen, mut outputs) = (BTreeSet::new(), BTreeSet::new());
        let mut waiting = alloc::vec![self.start];
        while let Some(at) = waiting.pop() {
            if is_leaf(at) {
                outputs.insert(!at as usize);
            } else if seen.insert(at) {
                match self.nodes.get(at as usize) {
                    Some(node) if node.count == 0 => waiting.extend([node.missing, node.yes, node.no]),
                    Some(node) => {
                        let cases = &self.cases[node.first as usize..(node.first + node.count) as usize];
                        waiting.push(node.missing);
                        waiting.extend(cases.iter().map(|case| case.to));
                    }
                    // The sequence names its own steps from 0.
                    None => waiting.extend(
                        self.sequence.targets(at & !STEPS).map(
                            |to| {
                                if is_leaf(to) { to } else { to | STEPS }
                            },
                        ),
                    ),
                }
            }
        }
        outputs
    }

    /// The program as text, one node, case or step a line.
    pub fn describe(&self) -> String {
        let target = |t: Target| match t {
            t if t >= STEPS => format!("step {}", t & !STEPS),
            t if !is_leaf(t) => format!("node {t}"),
            t if !t as usize == NOWHERE => "drop".into(),
            t => format!("[{}]", !t),
        };
        let mut out = format!("start: {}\n", target(self.start));
        for (i, n) in self.nodes.iter().enumerate().rev() {
            let (base, offset, mask) = (n.field.base.name(), n.field.offset, n.field.mask);
            out += &format!("node {i}: {base}{offset}/{mask:08x}");
            if n.count == 0 {
                out += &format!(" {:08x}: {}  else {}", n.value, target(n.yes), target(n.no));
            }
            for case in &self.cases[n.first as usize..(n.first + n.count) as usize] {
                out += &format!(" {:08x}-: {}", case.start, target(case.to));
            }
            out += &format!("  missing {}\n", target(n.missing));
        }
        if self.nodes.iter().any(|n| [n.yes, n.no].iter().any(|&t| t >= STEPS)) || self.start >= STEPS {
            let step = |t| if is_leaf(t) { target(t) } else { format!("step {t}") };
            out += &self.sequence.describe(step);
        }
        out
    }
}

/// Bytes at the end of a packet as a word, and which of its bits are there.
fn partial(bytes: &[u8]) -> (u32, u32) {
    let mut word = [0; 4];
    word.iter_mut().zip(bytes).for_each(|(w, b)| *w = *b);
    (u32::from_be_bytes(word), !u32::MAX.checked_shr(8 * bytes.len().min(4) as u32).unwrap_or(0))
}

impl Test {
    /// Whether bytes from its place on pass.
    fn passes(&self, bytes: &[u8]) -> bool {
        let (word, there) = partial(bytes);
        let value = word & self.mask;
        self.mask & !there == 0
            && match self.relation {
                Relation::Equal => value == self.value,
                Relation::Greater => value > self.value,
                Relation::Present => true,
            }
    }

    /// The same test of the word at a multiple of four, if all its bits lie there: so that tests of one field are seen
    /// to be.
    fn aligned(self) -> Self {
        let shift = u32::from(self.offset & 3) * 8;
        if self.mask & ((1 << shift) - 1) != 0 || self.mask == 0 {
            return self;
        }
        // Bits of the value that the mask lacks are never there.
        let value = self.value >> shift;
        let lost = self.value & ((1 << shift) - 1);
        match (self.relation, lost) {
            (Relation::Equal, 1..) => self,
            _ => Self { offset: self.offset & !3, mask: self.mask >> shift, value, ..self },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn conditions() -> impl Strategy<Value = Condition> {
        let masks = [0xff00_0000u32, 0x00ff_0000, 0xffff_0000, 0xfc00_0000, 0xffff_ffff, 0xf000_000f, 0];
        let base = prop_oneof![Just(Base::Data), Just(Base::Network)];
        let relation = proptest::sample::select(vec![Relation::Equal, Relation::Greater, Relation::Present]);
        let test = (0u16..7, proptest::sample::select(masks.to_vec()), base, relation, 0u32..4).prop_map(
            |(offset, mask, base, relation, value)| {
                let value = value.wrapping_mul(mask & mask.wrapping_neg());
                Condition::Test(Test { base, offset, mask, relation, value })
            },
        );
        let leaf = prop_oneof![4 => test, 1 => any::<bool>().prop_map(Condition::Constant)];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Condition::All),
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Condition::Any),
                inner.prop_map(|c| Condition::Not(c.into())),
            ]
        })
    }

    /// What a condition says, read word by word as it stands.
    fn holds(c: &Condition, data: &[u8], network: usize) -> bool {
        match c {
            Condition::Constant(b) => *b,
            Condition::Not(c) => !holds(c, data, network),
            Condition::All(l) => l.iter().all(|c| holds(c, data, network)),
            Condition::Any(l) => l.iter().any(|c| holds(c, data, network)),
            Condition::Test(t) => {
                let start = if t.base == Base::Data { 0 } else { network };
                t.passes(data.get(start + usize::from(t.offset)..).unwrap_or(&[]))
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]
        #[test]
        fn a_program_decides_as_its_rules_say(rules in proptest::collection::vec((conditions(), 0usize..4), 1..8), data in proptest::collection::vec(0u8..4, 0..14), network in 0usize..6) {
            let expected = rules.iter().find(|(c, _)| holds(c, &data, network)).map_or(NOWHERE, |r| r.1);
            let program = Program::new(&rules);
            prop_assert_eq!(program.decide(&data, &Places::in_data(network, usize::MAX)), expected);
            let headers = Places::in_data(network, usize::MAX);
            prop_assert_eq!(program.decide_slowly(program.sequential, &data, &headers), expected);
        }
    }

    fn test(offset: u16, mask: u32, value: u32) -> Condition {
        Condition::Test(Test { base: Base::Data, offset, mask, relation: Relation::Equal, value })
    }

    #[test]
    fn many_rules_take_few_nodes() {
        let rule = |i| Condition::All(vec![test(0, 0xff, 17), test(4, u32::MAX, i), test(8, 0xffff, i)]);
        let rules: Vec<_> = (0..5000).map(|i| (rule(i), i as usize)).collect();
        let program = Program::new(&rules);
        let packet = |i: u32| [17u32, i, i].map(u32::to_be_bytes).concat();
        assert_eq!(
            [0, 4999, 5000].map(|i| program.decide(&packet(i), &Places::in_data(0, 0))),
            [0, 4999, NOWHERE]
        );
        let (mut at, mut passed) = (program.start, 0);
        while let Some(node) = program.nodes.get(at as usize) {
            at = if node.count == 0 { node.no } else { program.cases[node.first as usize].to };
            passed += 1;
        }
        assert!(passed <= 3 && is_leaf(at), "{passed} nodes");
    }

    #[test]
    fn rules_that_would_make_a_huge_graph_are_gone_through_instead() {
        // Every rule looks at bits of its own: in a graph each would double the nodes.
        let bit = |i: u32| test((i / 32 * 4) as u16, 1 << (i % 32), 1 << (i % 32));
        let rule = |i: u32| Condition::All(vec![bit(i), bit(i * 7 % 400), bit(i * 31 % 400)]);
        let rules: Vec<_> = (0..400).map(|i| (rule(i), i as usize)).collect();
        let program = Program::new(&rules);
        assert!(program.cases.len() < 2 * tree::CASES && program.nodes.len() < 2 * tree::WORK);
        let packet: Vec<u8> = (0..50u8).map(|b| b.wrapping_mul(b ^ 0x5a)).collect();
        let expected = rules.iter().find(|(c, _)| holds(c, &packet, 0)).map_or(NOWHERE, |r| r.1);
        assert_eq!(program.decide(&packet, &Places::in_data(0, 0)), expected);
    }

    #[test]
    fn a_value_between_two_parts_is_one_that_the_field_can_have() {
        // More than 1 or none, of a byte that is not the last of its word.
        let byte = |relation, value: u32| {
            Condition::Test(Test {
                base: Base::Data,
                offset: 5,
                mask: 0xff00_0000,
                relation,
                value: value << 24,
            })
        };
        let program =
            Program::new(&[(Condition::Any(vec![byte(Relation::Greater, 1), byte(Relation::Equal, 0)]), 0)]);
        let decide = |value: u8| program.decide(&[0, 0, 0, 0, 0, value, 0, 0], &Places::DATA);
        assert_eq!([0, 1, 2, 255].map(decide), [0, NOWHERE, 0, 0]);
    }

    #[test]
    fn tests_that_contradict_each_other_do_not_where_bytes_are_missing() {
        let greater = |mask| {
            Condition::Test(Test { base: Base::Data, offset: 0, mask, relation: Relation::Greater, value: 0 })
        };
        let rule = Condition::All(vec![greater(0xff00_0000), Condition::Not(greater(0xffff_0000).into())]);
        let program = Program::new(&[(rule, 0)]);
        assert_eq!([&[1][..], &[1, 0], &[]].map(|d| program.decide(d, &Places::DATA)), [0, NOWHERE, NOWHERE]);
    }
}
