//! Input specifications: what becomes of packets of unknown flows, by input.

use super::pattern::Pattern;
use super::{IPRewriterPatterns, mapper};
use crate::args::{Names, parse_number};
use crate::element::Context;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

/// Where a flow's packets go, and its answers.
pub(super) type Outputs = [usize; 2];

/// What an input does.
#[derive(Clone, Debug)]
pub(super) enum Spec {
    Drop,
    /// They go on as they are, and nothing is remembered.
    Pass(usize),
    /// They go on as they are, and the flow is remembered.
    Keep(Outputs),
    Pattern(Pattern, Outputs),
    /// A pattern of an `IPRewriterPatterns`, which is looked up when the router starts.
    Named(String, Outputs),
    /// Another element chooses.
    Mapper(String, Option<usize>),
}

/// An input.
#[derive(Clone, Debug)]
pub(super) struct Input {
    pub(super) spec: Spec,
    pub(super) failures: u64,
}

fn outputs(forward: &str, reply: &str, count: usize) -> Result<Outputs, String> {
    let number = |text: &str, what: &str| {
        let n = parse_number(text).ok_or_else(|| format!("bad {what} port"))? as usize;
        if n < count { Ok(n) } else { Err("output port out of range".to_string()) }
    };
    Ok([number(forward, "forward")?, number(reply, "reply")?])
}

impl Spec {
    /// A pattern or the name of one, and two outputs; as mappers have it, without a word in front.
    pub(super) fn pattern(words: &[&str], names: &Names, count: usize) -> Result<Self, String> {
        match words {
            [name, forward, reply] => Ok(Spec::Named((*name).to_string(), outputs(forward, reply, count)?)),
            [pattern @ .., forward, reply] => {
                Ok(Spec::Pattern(Pattern::parse(pattern, names)?, outputs(forward, reply, count)?))
            }
            _ => Err("syntax error, expected 'SADDR SPORT DADDR DPORT FOUTPUT ROUTPUT'".to_string()),
        }
    }

    pub(super) fn parse(text: &str, names: &Names, count: usize) -> Result<Self, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        match words[..] {
            [] => Err("empty argument".to_string()),
            ["drop" | "discard"] => Ok(Spec::Drop),
            ["pass" | "passthrough" | "nochange"] => Ok(Spec::Pass(0)),
            [word @ ("pass" | "passthrough" | "nochange"), output] => match parse_number(output) {
                Some(n) if (n as usize) < count => Ok(Spec::Pass(n as usize)),
                Some(_) => Err("output port out of range".to_string()),
                None => Err(format!("syntax error, expected '{word} [OUTPUT]'")),
            },
            ["keep", forward, reply] => Ok(Spec::Keep(outputs(forward, reply, count)?)),
            ["pattern" | "xpattern", ref rest @ ..] => Self::pattern(rest, names, count),
            [name] => Ok(Spec::Mapper(name.to_string(), None)),
            _ => Err("unknown specification".to_string()),
        }
    }

    /// Looks up what has a name.
    pub(super) fn resolve(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        let outputs = cx.outputs();
        match self {
            Spec::Named(name, outputs) => {
                let found =
                    IPRewriterPatterns::find(cx, name).ok_or_else(|| format!("no such pattern '{name}'"))?;
                *self = Spec::Pattern(found, *outputs);
            }
            Spec::Mapper(name, id) => {
                let found = cx.find(name).ok_or_else(|| format!("unknown specification '{name}'"))?;
                let Some(mapper) = mapper::of(cx, found) else {
                    return Err(format!("'{name}' is not an IPMapper"));
                };
                // Only a rewriter knows how many outputs it has.
                let beyond = mapper.servers().iter().position(|s| !s.spec.fits(outputs));
                if let Some(number) = beyond.filter(|_| outputs > 0) {
                    let mapper = cx.label_of(found);
                    return Err(format!("output port out of range in {mapper} pattern {number}"));
                }
                *id = Some(found);
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether all outputs exist.
    pub(super) fn fits(&self, count: usize) -> bool {
        match self {
            Spec::Pass(output) => *output < count,
            Spec::Keep(outputs) | Spec::Pattern(_, outputs) | Spec::Named(_, outputs) => {
                outputs.iter().all(|&o| o < count)
            }
            Spec::Drop | Spec::Mapper(..) => true,
        }
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Spec::Drop => f.write_str("<drop>"),
            Spec::Pass(_) => f.write_str("<nochange>"),
            Spec::Keep(_) => f.write_str("<keep>"),
            Spec::Pattern(pattern, _) => pattern.fmt(f),
            Spec::Named(name, _) => f.write_str(name),
            Spec::Mapper(..) => f.write_str("<mapper>"),
        }
    }
}
