//! What names mean at a place of a configuration: variables and classes, each as it was last defined before it.

use super::parser::Compound;
use crate::args::words;
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::RefCell;

/// Most bytes of one configuration string after its variables were replaced.
const TEXT: usize = 1 << 20;

/// What a class name stands for.
#[derive(Clone)]
pub(super) enum Meaning {
    /// A class of the library, or an unknown one.
    Library(String),
    /// A compound element, what names meant where it was written, and what its own name did if it adds to that.
    Compound(Rc<Compound>, Scope, Option<Rc<Meaning>>),
    /// A group, whose names are those of its surroundings.
    Group(Rc<Compound>),
}

#[derive(Default)]
struct Names {
    variables: BTreeMap<String, Vec<(usize, String)>>,
    classes: BTreeMap<String, Vec<(usize, Meaning)>>,
    defined: usize,
}

/// The definitions before a place, innermost first.
#[derive(Clone)]
pub(super) struct Scope {
    names: Rc<RefCell<Names>>,
    /// Definitions of `names` that count: those made later do not.
    until: usize,
    outer: Option<Rc<Scope>>,
}

fn latest<T: Clone>(list: Option<&Vec<(usize, T)>>, until: usize) -> Option<T> {
    let list = list?;
    let before = list.partition_point(|d| d.0 < until);
    list[..before].last().map(|d| d.1.clone())
}

impl Scope {
    pub(super) fn new(outer: Option<Scope>) -> Self {
        Self { names: Rc::default(), until: 0, outer: outer.map(Rc::new) }
    }

    /// Forgets all definitions once nothing looks for them any more. A class keeps the scope that it was written in,
    /// which keeps the class: without this, neither would ever be freed.
    pub(super) fn forget(&self) {
        *self.names.borrow_mut() = Names::default();
    }

    pub(super) fn define(&mut self, name: &str, value: String) {
        let mut names = self.names.borrow_mut();
        names.variables.entry(name.to_string()).or_default().push((self.until, value));
        names.defined += 1;
        self.until = names.defined;
    }

    pub(super) fn define_class(&mut self, name: &str, meaning: Meaning) {
        let mut names = self.names.borrow_mut();
        names.classes.entry(name.to_string()).or_default().push((self.until, meaning));
        names.defined += 1;
        self.until = names.defined;
    }

    pub(super) fn variable(&self, name: &str) -> Option<String> {
        let mut scope = self;
        loop {
            let here = latest(scope.names.borrow().variables.get(name), scope.until);
            match (here, &scope.outer) {
                (None, Some(outer)) => scope = outer,
                (here, _) => return here,
            }
        }
    }

    pub(super) fn class(&self, name: &str) -> Option<Meaning> {
        let mut scope = self;
        loop {
            let here = latest(scope.names.borrow().classes.get(name), scope.until);
            match (here, &scope.outer) {
                (None, Some(outer)) => scope = outer,
                (here, _) => return here,
            }
        }
    }

    /// The value of a variable, or one of its words: `name[0]`, `name[$n]`.
    fn value(&self, name: &str) -> Option<String> {
        let Some((list, index)) = name.strip_suffix(']').and_then(|n| n.split_once('[')) else {
            return self.variable(name);
        };
        let index = match index.strip_prefix('$') {
            Some(variable) => self.variable(variable)?,
            None => index.to_string(),
        };
        let index = index.trim().parse::<usize>().ok()?;
        Some(words(&self.variable(list)?).get(index).copied().unwrap_or("").to_string())
    }

    /// Replaces `$name`, `${name}` and `${name[index]}` outside of single quotes and comments; names without a value stay.
    /// `None`: the text becomes too long.
    pub(super) fn substitute(&self, text: &str) -> Option<String> {
        let bytes = text.as_bytes();
        let mut out = String::new();
        let (mut i, mut copied, mut double) = (0, 0, false);
        while i < bytes.len() {
            match bytes[i] {
                b'\\' if !double && bytes.get(i + 1) == Some(&b'<') => {
                    i = super::lexer::data_end(bytes, i);
                }
                b'\\' => i += 1,
                b'"' => double = !double,
                b'\'' if !double => i = super::lexer::string_end(bytes, i),
                b'/' if !double && let Some(end) = super::lexer::comment_end(bytes, i) => i = end,
                b'$' => {
                    let (name, end) = name_at(text, i + 1);
                    let value = if name.is_empty() { None } else { self.value(name) };
                    if let Some(value) = value {
                        out.push_str(&text[copied..i]);
                        out.push_str(&value);
                        copied = end;
                    }
                    if out.len() > TEXT {
                        return None;
                    }
                    i = end.max(i + 1) - 1;
                }
                _ => {}
            }
            i += 1;
        }
        out.push_str(&text[copied..]);
        Some(out)
    }
}

/// The variable's name behind a `$`, and where it ends.
fn name_at(text: &str, start: usize) -> (&str, usize) {
    let rest = &text[start..];
    if let Some(braced) = rest.strip_prefix('{')
        && let Some(end) = braced.find('}')
    {
        return (&braced[..end], start + end + 2);
    }
    let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
    (&rest[..end], start + end)
}
