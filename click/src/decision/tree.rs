//! Rules to a graph of decisions.
//!
//! Each step chooses the field that tells most rules apart, splits its values where the outcome of some test changes,
//! and goes on with what is left of the rules for each part. What is left is often the same, and then it is one node.

use super::pool::{ALWAYS, NEVER, Pool};
use super::sequence::Sequence;
use super::{Base, Case, Condition, NOWHERE, Node, Program, STEPS, Target, is_leaf, leaf};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

/// Fields that follow each other: each takes some of a guest's small stack while the program is made.
const DEPTH: usize = 16;
/// Parts of all nodes together: 8 bytes each.
pub(super) const CASES: usize = 1 << 17;
/// Conditions looked at while the program is made: about a tenth of a second.
pub(super) const WORK: usize = 1 << 20;
/// Steps that are added for what is left of rules where the graph ends; beyond, all rules are gone through.
const LEFT: usize = 1 << 14;

type Rules = Vec<(u32, Target)>;

struct Compiler {
    pool: Pool,
    program: Program,
    made: BTreeMap<Rules, Target>,
    shared: BTreeMap<(usize, Target, Vec<Case>), Target>,
    work: usize,
    /// Steps of all rules.
    whole: usize,
}

pub(super) fn compile(rules: &[(Condition, usize)]) -> Program {
    let mut pool = Pool::new(rules);
    let rules: Rules = rules.iter().map(|(c, output)| (pool.add(c), leaf(*output))).collect();
    let mut sequence = Sequence::default();
    let sequential = step(sequence.add(&pool, &rules, leaf(NOWHERE)));
    let whole = sequence.len();
    let link = pool.fields.iter().any(|f| f.base == Base::Link);
    let program =
        Program { start: sequential, nodes: Vec::new(), cases: Vec::new(), sequence, sequential, link };
    let mut compiler =
        Compiler { pool, program, made: BTreeMap::new(), shared: BTreeMap::new(), work: WORK, whole };
    compiler.program.start = compiler.build(rules, 0);
    compiler.program.nodes.shrink_to_fit();
    compiler.program.cases.shrink_to_fit();
    compiler.program
}

fn step(target: Target) -> Target {
    if is_leaf(target) { target } else { target | STEPS }
}

/// Rules without those that cannot matter.
fn tidy(rules: impl IntoIterator<Item = (u32, Target)>) -> Rules {
    let mut kept = Rules::new();
    let mut last = leaf(NOWHERE);
    for (condition, to) in rules {
        match condition {
            NEVER => {}
            ALWAYS => {
                last = to;
                break;
            }
            _ => kept.push((condition, to)),
        }
    }
    // Those that lead where everything else goes anyway.
    while kept.last().is_some_and(|r| r.1 == last) {
        kept.pop();
    }
    kept.push((ALWAYS, last));
    kept
}

impl Compiler {
    fn build(&mut self, rules: Rules, depth: usize) -> Target {
        let rules = tidy(rules);
        if let [(_, to)] = rules[..] {
            return to;
        }
        if let Some(&made) = self.made.get(&rules) {
            return made;
        }
        let field = if depth < DEPTH { self.choose(&rules) } else { None };
        let target = match field {
            Some(field) if self.work > 0 && self.program.cases.len() < CASES => {
                self.split(&rules, field, depth)
            }
            _ => self.give_up(&rules),
        };
        self.made.insert(rules, target);
        target
    }

    /// Tests one after the other for what is left.
    fn give_up(&mut self, rules: &Rules) -> Target {
        if self.program.sequence.len() + rules.len() > self.whole + LEFT {
            return self.program.sequential;
        }
        step(self.program.sequence.add(&self.pool, rules, leaf(NOWHERE)))
    }

    /// The field that most rules look at in the most different ways.
    fn choose(&mut self, rules: &Rules) -> Option<usize> {
        let mut seen: BTreeMap<usize, (usize, BTreeSet<(u32, u32)>)> = BTreeMap::new();
        for &(condition, _) in rules {
            let mut of_this = BTreeSet::new();
            self.pool.ranges(condition, &mut |range| {
                of_this.insert(range.field);
                let ways = &mut seen.entry(range.field).or_default().1;
                if ways.len() < 1 << 12 {
                    ways.insert((range.low, range.high));
                }
            });
            self.work = self.work.saturating_sub(1 + of_this.len());
            for field in of_this {
                seen.entry(field).or_default().0 += 1;
            }
        }
        // Among equals the first, which lies in front.
        let score = |(rules, ways): &(usize, BTreeSet<_>)| rules.saturating_mul(ways.len());
        seen.iter().rev().max_by_key(|(_, s)| score(s)).map(|(&field, _)| field)
    }

    /// A node for a field, and all that follows.
    fn split(&mut self, rules: &Rules, field: usize, depth: usize) -> Target {
        let starts = self.starts(rules, field);
        let without: Rules = rules.iter().map(|&(c, to)| (self.assume(c, field, None), to)).collect();
        let missing = self.build(without, depth + 1);
        // Rules that need a value are only looked at where they can hold; the others everywhere.
        let (mut begin, mut end) = (BTreeMap::<u32, Vec<usize>>::new(), BTreeMap::<u32, Vec<usize>>::new());
        let mut active = BTreeSet::new();
        for (i, &(condition, _)) in rules.iter().enumerate() {
            match self.pool.required(condition, field) {
                Some((low, high)) => {
                    begin.entry(low).or_default().push(i);
                    if let Some(after) = high.checked_add(1) {
                        end.entry(after).or_default().push(i);
                    }
                }
                None => active.extend([i]),
            }
        }
        let mut cases: Vec<Case> = Vec::new();
        for start in starts {
            active.extend(begin.get(&start).into_iter().flatten().copied());
            for i in end.get(&start).into_iter().flatten() {
                active.remove(i);
            }
            let mut left = Rules::new();
            for &i in &active {
                let (condition, to) = rules[i];
                let condition = self.assume(condition, field, Some(start));
                if condition != NEVER {
                    left.push((condition, to));
                }
                if condition == ALWAYS {
                    break;
                }
            }
            self.work = self.work.saturating_sub(1 + left.len());
            let to = self.build(left, depth + 1);
            if cases.last().is_none_or(|last| last.to != to) {
                cases.push(Case { start, to });
            }
        }
        // Where only some of a field's bytes are there, tests of those alone may be passed: that needs a node.
        let mut narrow = false;
        let widest = self.pool.fields[field].mask;
        for &(condition, _) in rules {
            self.pool.ranges(condition, &mut |r| narrow |= r.field == field && r.test.mask != widest);
        }
        match cases[..] {
            [only] if only.to == missing && !narrow => missing,
            _ => self.node(field, missing, cases),
        }
    }

    fn assume(&mut self, condition: u32, field: usize, value: Option<u32>) -> u32 {
        self.pool.assume(condition, field, value, &mut self.work)
    }

    /// Values at which the outcome of some test of a field changes, 0 first.
    fn starts(&self, rules: &Rules, field: usize) -> BTreeSet<u32> {
        let mut starts = BTreeSet::new();
        starts.insert(0);
        for &(condition, _) in rules {
            self.pool.ranges(condition, &mut |range| {
                if range.field == field {
                    starts.insert(range.low);
                    starts.extend(range.high.checked_add(1));
                }
            });
        }
        starts
    }

    fn node(&mut self, field: usize, missing: Target, cases: Vec<Case>) -> Target {
        let key = (field, missing, cases);
        if let Some(&node) = self.shared.get(&key) {
            return node;
        }
        let cases = &key.2;
        // One value between two parts that lead to the same place, or an end.
        let one = |value: u32, yes: Target, no: Target| Some((value, yes, no));
        let two = match cases[..] {
            [all] => one(0, all.to, all.to),
            [a, b] if self.follows(field, 0, b.start) => one(0, a.to, b.to),
            [a, b, c] if a.to == c.to && self.follows(field, b.start, c.start) => one(b.start, b.to, a.to),
            [a, b] if self.is_last(field, b.start) => one(b.start, b.to, a.to),
            _ => None,
        };
        let (first, count) = (self.program.cases.len() as u32, cases.len() as u32);
        let node = Node {
            field: self.pool.fields[field],
            missing,
            first,
            count: if two.is_some() { 0 } else { count },
            value: two.map_or(0, |t| t.0),
            yes: two.map_or(leaf(NOWHERE), |t| t.1),
            no: two.map_or(leaf(NOWHERE), |t| t.2),
        };
        if two.is_none() {
            self.program.cases.extend(cases);
        }
        self.program.nodes.push(node);
        let target = (self.program.nodes.len() - 1) as Target;
        self.shared.insert(key, target);
        target
    }

    /// Whether a field has no value between two, the first included and the second not, but the first.
    fn follows(&self, field: usize, value: u32, next: u32) -> bool {
        let unit = self.pool.fields[field].mask;
        next - value <= unit & unit.wrapping_neg()
    }

    /// Whether a field has no value above.
    fn is_last(&self, field: usize, value: u32) -> bool {
        value == self.pool.fields[field].mask
    }
}
