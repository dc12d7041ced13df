//! Conditions, each kept once and known by its number, with tests as ranges of fields.

use super::{Base, Condition, Relation, Test};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// Bits of a word that tests look at. All its tests look at its upper bits, so that each is a range of its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Field {
    pub(super) base: Base,
    pub(super) offset: u16,
    pub(super) mask: u32,
}

/// A test: the field lies in a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Range {
    pub(super) field: usize,
    pub(super) low: u32,
    pub(super) high: u32,
    pub(super) test: Test,
}

/// A condition, whose parts are known by number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Atom {
    Constant(bool),
    Range(Range),
    Not(u32),
    All(Vec<u32>),
    Any(Vec<u32>),
}

/// Number of what never holds.
pub(super) const NEVER: u32 = 0;
/// Number of what always holds.
pub(super) const ALWAYS: u32 = 1;

/// All conditions.
pub(super) struct Pool {
    pub(super) fields: Vec<Field>,
    groups: BTreeMap<Group, usize>,
    atoms: Vec<Atom>,
    /// Fields that each looks at, as bits of their numbers modulo 64.
    seen: Vec<u64>,
    numbers: BTreeMap<Atom, u32>,
}

impl Pool {
    /// Finds the fields of all tests.
    pub(super) fn new(rules: &[(Condition, usize)]) -> Self {
        // By place and highest bit: the widest mask of those that have it.
        let mut widest: BTreeMap<Group, u32> = BTreeMap::new();
        let mut waiting: Vec<&Condition> = rules.iter().map(|r| &r.0).collect();
        while let Some(condition) = waiting.pop() {
            match condition {
                Condition::Constant(_) => {}
                Condition::Not(inner) => waiting.push(inner),
                Condition::All(list) | Condition::Any(list) => waiting.extend(list),
                Condition::Test(test) => {
                    let (key, mask) = group(&test.aligned());
                    let entry = widest.entry(key).or_default();
                    *entry = (*entry).max(mask);
                }
            }
        }
        // Not collected: that sorts, which is a lot of code for a guest's image.
        let mut groups = BTreeMap::new();
        for (i, group) in widest.keys().enumerate() {
            groups.insert(*group, i);
        }
        let field = |((base, offset, _), mask)| Field { base, offset, mask };
        let fields = widest.into_iter().map(field).collect();
        let mut pool = Self { fields, groups, atoms: Vec::new(), seen: Vec::new(), numbers: BTreeMap::new() };
        pool.number(Atom::Constant(false));
        pool.number(Atom::Constant(true));
        pool
    }

    pub(super) fn get(&self, number: u32) -> &Atom {
        &self.atoms[number as usize]
    }

    /// Whether a condition may look at a field; no means no.
    #[inline]
    pub(super) fn may_see(&self, number: u32, field: usize) -> bool {
        self.seen[number as usize] >> (field & 63) & 1 == 1
    }

    fn number(&mut self, atom: Atom) -> u32 {
        if let Some(&number) = self.numbers.get(&atom) {
            return number;
        }
        let number = self.atoms.len() as u32;
        self.seen.push(match &atom {
            Atom::Constant(_) => 0,
            Atom::Range(range) => 1 << (range.field & 63),
            Atom::Not(inner) => self.seen[*inner as usize],
            Atom::All(list) | Atom::Any(list) => list.iter().fold(0, |s, &c| s | self.seen[c as usize]),
        });
        self.numbers.insert(atom.clone(), number);
        self.atoms.push(atom);
        number
    }

    fn not(&mut self, inner: u32) -> u32 {
        match self.get(inner) {
            Atom::Constant(b) => u32::from(!b),
            Atom::Not(twice) => *twice,
            _ => self.number(Atom::Not(inner)),
        }
    }

    /// All of a list (`all`) or one of it.
    fn join(&mut self, list: Vec<u32>, all: bool) -> u32 {
        let (neutral, absorbing) = if all { (ALWAYS, NEVER) } else { (NEVER, ALWAYS) };
        if list.contains(&absorbing) {
            return absorbing;
        }
        let mut parts: Vec<u32> = list.into_iter().filter(|&c| c != neutral).collect();
        match parts.len() {
            0 => neutral,
            1 => parts.remove(0),
            _ => self.number(if all { Atom::All(parts) } else { Atom::Any(parts) }),
        }
    }

    /// The number of a condition.
    pub(super) fn add(&mut self, condition: &Condition) -> u32 {
        match condition {
            Condition::Constant(b) => u32::from(*b),
            Condition::Not(inner) => {
                let inner = self.add(inner);
                self.not(inner)
            }
            Condition::All(list) => {
                let list = list.iter().map(|c| self.add(c)).collect();
                self.join(list, true)
            }
            Condition::Any(list) => {
                let list = list.iter().map(|c| self.add(c)).collect();
                self.join(list, false)
            }
            Condition::Test(test) => self.range(test.aligned()),
        }
    }

    fn range(&mut self, test: Test) -> u32 {
        if test.mask == 0 {
            // Nothing is asked for, so it is always there, and 0.
            return u32::from(match test.relation {
                Relation::Equal => test.value == 0,
                Relation::Greater => false,
                Relation::Present => true,
            });
        }
        if test.value & !test.mask != 0 && test.relation == Relation::Equal {
            return NEVER;
        }
        let key = group(&test).0;
        let Some(&field) = self.groups.get(&key) else { return NEVER };
        let below = self.fields[field].mask & !test.mask;
        let (low, high) = match test.relation {
            Relation::Equal => (test.value, test.value | below),
            Relation::Greater => match (test.value | below).checked_add(1) {
                Some(low) => (low, u32::MAX),
                None => return NEVER,
            },
            Relation::Present => (0, u32::MAX),
        };
        self.number(Atom::Range(Range { field, low, high, test }))
    }

    /// What is left of a condition once a field has a value; `None`: its bytes are not there. `work` counts down.
    pub(super) fn assume(&mut self, number: u32, field: usize, value: Option<u32>, work: &mut usize) -> u32 {
        if !self.may_see(number, field) {
            return number;
        }
        *work = work.saturating_sub(1);
        match self.get(number).clone() {
            Atom::Constant(_) => number,
            Atom::Range(range) if range.field == field => {
                u32::from(value.is_some_and(|v| (range.low..=range.high).contains(&v)))
            }
            Atom::Range(_) => number,
            Atom::Not(inner) => {
                let inner = self.assume(inner, field, value, work);
                self.not(inner)
            }
            Atom::All(list) => {
                let list = list.iter().map(|&c| self.assume(c, field, value, work)).collect();
                self.join(list, true)
            }
            Atom::Any(list) => {
                let list = list.iter().map(|&c| self.assume(c, field, value, work)).collect();
                self.join(list, false)
            }
        }
    }

    /// Calls `f` with every range in a condition.
    pub(super) fn ranges(&self, number: u32, f: &mut impl FnMut(&Range)) {
        match self.get(number) {
            Atom::Constant(_) => {}
            Atom::Range(range) => f(range),
            Atom::Not(inner) => self.ranges(*inner, f),
            Atom::All(list) | Atom::Any(list) => list.iter().for_each(|&c| self.ranges(c, f)),
        }
    }

    /// Values of a field without which a condition cannot hold.
    pub(super) fn required(&self, number: u32, field: usize) -> Option<(u32, u32)> {
        let direct = |number: u32| match self.get(number) {
            Atom::Range(range) if range.field == field => Some((range.low, range.high)),
            _ => None,
        };
        match self.get(number) {
            Atom::All(list) => list.iter().find_map(|&c| direct(c)),
            _ => direct(number),
        }
    }
}

/// What tests of one field have in common: place, and the highest bit of masks without gaps, which are upper parts of
/// the widest; a mask with gaps stands alone.
type Group = (Base, u16, (bool, u32));

fn group_of(base: Base, offset: u16, mask: u32) -> Group {
    let whole = mask.leading_zeros() + mask.count_ones() + mask.trailing_zeros() == 32;
    (base, offset, (whole, if whole { mask.leading_zeros() } else { mask }))
}

fn group(test: &Test) -> (Group, u32) {
    (group_of(test.base, test.offset, test.mask), test.mask)
}
