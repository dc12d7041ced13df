//! Comparisons of a header's number with a value, as conditions of a decision.

use super::vocabulary::{Kind, Number};
use crate::decision::{Condition, Relation, Test};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;

/// A value, and what kind it is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Integer(u32),
    Range(u32, u32),
    Host(u32),
    /// Address and mask.
    Net(u32, u32),
    Ethernet([u8; 6]),
    /// The name of a value of this kind.
    Named(Kind, u32),
}

/// An operator and a mask of the field's bits.
#[derive(Clone, Copy)]
pub(super) struct Comparison {
    pub(super) operator: &'static str,
    pub(super) mask: Option<u32>,
}

impl Comparison {
    pub(super) fn equality(self) -> bool {
        matches!(self.operator, "=" | "!=")
    }

    /// Whether the opposite of what [`Number::compare`] tests is meant. It is so of both sides of a packet together:
    /// `port != 80` holds if neither port is 80.
    pub(super) fn negated(self) -> bool {
        matches!(self.operator, "!=" | "<=" | "<")
    }
}

impl Number {
    pub(super) fn most(self) -> u32 {
        self.mask >> self.mask.trailing_zeros()
    }

    /// A test of the bits of its mask, for a value that lies where they do.
    pub(super) fn test(self, relation: Relation, value: u32) -> Condition {
        let Self { base, offset, mask } = self;
        Condition::Test(Test { base, offset, mask, relation, value: value & mask })
    }

    /// The same, of its value.
    pub(super) fn is(self, value: u32) -> Condition {
        self.test(Relation::Equal, value << self.mask.trailing_zeros())
    }

    /// Tests for `=` and `>`, and for the operators that are their opposites.
    pub(super) fn compare(self, how: Comparison, value: u32) -> Result<Condition, String> {
        let most = self.most();
        let mask = how.mask.unwrap_or(most);
        if mask & !most != 0 {
            return Err(format!("mask {mask:#X} out of range (0-{most:#X})"));
        }
        let shift = self.mask.trailing_zeros();
        let test = |relation, value: u32| Self { mask: mask << shift, ..self }.test(relation, value << shift);
        match how.operator {
            "=" | "!=" if value > most => Err(format!("value {value} out of range (0-{most})")),
            "=" | "!=" => Ok(test(Relation::Equal, value & mask)),
            ">" | "<=" if value >= mask => Ok(Condition::Constant(false)),
            ">" | "<=" => Ok(test(Relation::Greater, value)),
            _ => Ok(match value.checked_sub(1) {
                None => Condition::Constant(true),
                Some(below) if below >= mask => Condition::Constant(false),
                Some(below) => test(Relation::Greater, below),
            }),
        }
    }

    /// [`Number::compare`] with a value, or `=` with a range of them.
    pub(super) fn compare_value(self, how: Comparison, value: Value) -> Result<Condition, String> {
        let (low, high) = match value {
            Value::Integer(value) => return self.compare(how, value),
            Value::Range(low, high) => (low, high),
            _ => return Err("value missing".into()),
        };
        if how.operator != "=" {
            return Err("a range can only be compared by '='".into());
        }
        let from = self.compare(Comparison { operator: ">=", ..how }, low)?;
        Ok(Condition::All(alloc::vec![
            from,
            unlike(self.compare(Comparison { operator: "<=", ..how }, high)?)
        ]))
    }
}

pub(super) fn not(condition: Condition) -> Condition {
    Condition::Not(Box::new(condition))
}

/// The opposite of a comparison: like the comparison itself, it fails where the packet is too short for it.
pub(super) fn unlike(condition: Condition) -> Condition {
    match condition {
        Condition::Test(test) => {
            let there = Test { relation: Relation::Present, value: 0, ..test };
            Condition::All(alloc::vec![not(Condition::Test(test)), Condition::Test(there)])
        }
        Condition::All(list) => Condition::Any(list.into_iter().map(unlike).collect()),
        Condition::Any(list) => Condition::All(list.into_iter().map(unlike).collect()),
        other => not(other),
    }
}
