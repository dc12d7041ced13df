use super::pattern::Pattern;
use crate::args::Args;
use crate::element::{Context, Element};
use alloc::string::{String, ToString};
use alloc::vec::Vec;

crate::element! {
    /// Gives names to patterns for rewriters.
    ///
    /// # Arguments
    /// Each: `NAME SADDR SPORT DADDR DPORT` or `NAME SADDR DADDR`, as in `IPRewriter`.
    IPRewriterPatterns "0/0" "a/a" { patterns: Vec<(String, Pattern)> }
}

impl IPRewriterPatterns {
    fn new(args: &mut Args<'_>) -> Self {
        let mut patterns = Vec::new();
        for word in args.rest() {
            let words: Vec<&str> = word.text.split_whitespace().collect();
            let parsed = match words[..] {
                [name, ref rest @ ..] => Pattern::parse(rest, args.names).map(|p| (name.to_string(), p)),
                [] => Err("empty argument".to_string()),
            };
            match parsed {
                Ok(named) => patterns.push(named),
                Err(message) => args.error_in(&word, message),
            }
        }
        Self { patterns }
    }

    /// The pattern of a name, of whatever element.
    pub(super) fn find(cx: &mut Context<'_>, name: &str) -> Option<Pattern> {
        (0..cx.elements()).find_map(|id| {
            let these = (cx.peek(id)? as &mut dyn core::any::Any).downcast_mut::<Self>()?;
            these.patterns.iter().find(|p| p.0 == name).map(|p| p.1.clone())
        })
    }
}

impl Element for IPRewriterPatterns {}
