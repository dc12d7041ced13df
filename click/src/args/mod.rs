//! The one parser of elements' arguments: positional first, keywords anywhere, all refused in the same words.

mod addresses;
mod names;
mod numbers;
pub(crate) mod services;
mod text;
mod values;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

pub use addresses::{last, mask, mask_bits};
pub use names::Names;
pub(crate) use names::NamesByPlace;
pub use numbers::{parse_number, parse_time};
pub use services::ICMP_TYPES;
pub use text::{bytes_of, raw, split, text_of, unquote, words};
pub use values::*;

/// One argument as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// Its text, quotes and all.
    pub text: String,
    /// Where it begins in the configuration string.
    pub at: usize,
}

/// What is wrong with an argument, and where: bytes of the configuration string.
pub type ArgumentError = (String, Option<core::ops::Range<usize>>);

/// An element's arguments. Take what the element knows; the rest is refused when all is taken.
pub struct Args<'a> {
    positional: alloc::collections::VecDeque<Word>,
    keywords: Vec<(String, Word)>,
    known: &'a [&'a str],
    /// Names for addresses.
    pub names: &'a Names,
    /// How many inputs the element has.
    pub inputs: usize,
    /// How many outputs.
    pub outputs: usize,
    errors: Vec<ArgumentError>,
    warnings: Vec<String>,
}

/// A keyword is a capital word followed by its value.
pub(crate) fn keyword(argument: &str) -> Option<(&str, &str)> {
    let end = argument.find(char::is_whitespace)?;
    let word = &argument[..end];
    let capital = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    (word.starts_with(|c: char| c.is_ascii_uppercase()) && word.chars().all(capital))
        .then(|| (word, argument[end..].trim()))
}

// Constructors of all elements call these: inlined, they would be a tenth of a guest's image.
impl<'a> Args<'a> {
    /// The arguments of a configuration string. `known`: the element's keywords.
    pub fn new(
        config: &str,
        known: &'a [&'a str],
        names: &'a Names,
        (inputs, outputs): (usize, usize),
    ) -> Self {
        let mut args = Self {
            positional: Default::default(),
            keywords: Vec::new(),
            known,
            names,
            inputs,
            outputs,
            errors: Vec::new(),
            warnings: Vec::new(),
        };
        // An empty part may lie nowhere in the text.
        let at = |part: &str| (part.as_ptr() as usize).checked_sub(config.as_ptr() as usize);
        let place = |part: &str| Word {
            text: part.to_string(),
            at: at(part).filter(|&at| at <= config.len()).unwrap_or(0),
        };
        for argument in split(config) {
            match keyword(argument).filter(|k| known.contains(&k.0)) {
                Some((word, value)) => args.keywords.push((word.to_string(), place(value))),
                None => args.positional.push_back(place(argument)),
            }
        }
        args
    }

    #[inline(never)]
    fn take(&mut self, name: &str, positional: bool) -> Option<Word> {
        if let Some(at) = self.keywords.iter().position(|k| k.0 == name) {
            return Some(self.keywords.remove(at).1);
        }
        if positional { self.positional.pop_front() } else { None }
    }

    /// Notes an error of the element's own.
    #[inline(never)]
    pub fn error(&mut self, message: impl Into<String>) {
        self.errors.push((message.into(), None));
    }

    /// Notes something that is probably not as meant.
    #[inline(never)]
    pub fn warn(&mut self, message: impl Into<String>) {
        self.warnings.push(message.into());
    }

    /// Takes what was noted so.
    pub(crate) fn take_warnings(&mut self) -> Vec<String> {
        core::mem::take(&mut self.warnings)
    }

    /// Notes an error in one argument.
    #[inline(never)]
    pub fn error_in(&mut self, word: &Word, message: impl Into<String>) {
        self.errors.push((message.into(), Some(word.at..word.at + word.text.len())));
    }

    #[inline(never)]
    fn parsed<T: Argument>(&mut self, name: &str, word: &Word) -> Option<T> {
        let value = T::parse(&word.text, self.names);
        if value.is_none() && !self.bad_keyword(word) {
            self.error_in(word, format!("{name}: expected {}, not '{}'", T::WHAT, shortened(&word.text)));
        }
        value
    }

    /// Notes that an argument begins with a word that looks like a keyword and is none.
    fn bad_keyword(&mut self, word: &Word) -> bool {
        let Some((bad, _)) = keyword(&word.text) else { return false };
        let message = match self.known {
            [] => format!("bad keyword {bad}: no keywords are valid here"),
            known => format!("bad keyword {bad} (valid keywords are {})", known.join(" ")),
        };
        self.error_in(word, message);
        true
    }

    /// A keyword argument.
    #[inline(never)]
    pub fn key<T: Argument>(&mut self, name: &str) -> Option<T> {
        let word = self.take(name, false)?;
        self.parsed(name, &word)
    }

    /// An argument that may stand at the next position, or under its keyword, or be missing.
    #[inline(never)]
    pub fn next<T: Argument>(&mut self, name: &str) -> Option<T> {
        let word = self.take(name, true)?;
        self.parsed(name, &word)
    }

    /// Whether a keyword is given.
    pub fn has(&self, name: &str) -> bool {
        self.keywords.iter().any(|k| k.0 == name)
    }

    /// An argument that may stand at the next position, or under one of several keywords, or be missing.
    #[inline(never)]
    pub fn either<T: Argument>(&mut self, names: &[&str]) -> Option<T> {
        let given = names.iter().find(|n| self.has(n));
        self.next(given.or(names.first())?)
    }

    /// What a keyword means that is not given.
    pub fn otherwise(&mut self, name: &str, value: &str) {
        if !self.has(name) {
            self.keywords.push((name.to_string(), Word { text: value.to_string(), at: 0 }));
        }
    }

    /// Takes the argument of one keyword for that of another.
    pub fn rename(&mut self, from: &str, to: &str) {
        self.keywords.iter_mut().filter(|k| k.0 == from).for_each(|k| k.0 = to.to_string());
    }

    /// Takes the next positional argument for that of a keyword.
    pub fn positional_as(&mut self, name: &str) {
        if !self.has(name)
            && let Some(word) = self.positional.pop_front()
        {
            self.keywords.push((name.to_string(), word));
        }
    }

    /// An argument that is accepted and means nothing here.
    #[inline(never)]
    pub fn ignored(&mut self, name: &str) {
        self.take(name, false);
    }

    /// An argument that must be there. When it is not, that is noted, and `T::default()` stands in.
    #[inline(never)]
    pub fn required<T: Argument + Default>(&mut self, name: &str) -> T {
        match self.take(name, true) {
            Some(word) => self.parsed(name, &word).unwrap_or_default(),
            None => {
                self.error(format!("missing mandatory {name} argument"));
                T::default()
            }
        }
    }

    /// Positional arguments that are left.
    pub fn positional(&self) -> impl Iterator<Item = &str> {
        self.positional.iter().map(|word| word.text.as_str())
    }

    /// How many positional arguments are left.
    pub fn left(&self) -> usize {
        self.positional.len()
    }

    /// All positional arguments that are left, and those under a keyword that may come more than once.
    #[inline(never)]
    pub fn rest(&mut self) -> Vec<Word> {
        self.positional.drain(..).collect()
    }

    /// The first error, if the arguments were not all used or are not right.
    #[inline(never)]
    pub fn finish(mut self) -> Vec<ArgumentError> {
        if let Some(word) = self.positional.pop_front().filter(|word| !self.bad_keyword(word)) {
            let message = format!("too many arguments: '{}' is left over", shortened(&word.text));
            self.error_in(&word, message);
        }
        for (name, word) in core::mem::take(&mut self.keywords) {
            self.error_in(&word, format!("keyword {name} is given twice, or means nothing here"));
        }
        self.errors
    }
}

fn shortened(text: &str) -> String {
    let mut short: String = text.chars().take(60).collect();
    if short.len() < text.len() {
        short += "...";
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_said_for_each_argument() {
        let names = Names::default();
        let mut args = Args::new("x, COUNT y, 3", &["COUNT"], &names, (1, 1));
        args.required::<u32>("LENGTH");
        args.key::<u32>("COUNT");
        let e = args.finish();
        assert!(
            e[0].0.contains("LENGTH") && e[1].0.contains("COUNT") && e[2].0.contains("too many"),
            "{e:?}"
        );
        assert_eq!(e[1].1, Some(9..10));
    }
}
