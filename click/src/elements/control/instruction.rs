//! The instructions of scripts.

use alloc::format;
use alloc::string::{String, ToString};

/// What an instruction does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    #[cfg(feature = "host")]
    Append,
    End,
    Error,
    Exit,
    Export,
    Goto,
    Init,
    Label,
    Loop,
    Print,
    PrintN,
    Read,
    Return,
    #[cfg(feature = "host")]
    Save,
    Set,
    Stop,
    WaitStep,
    WaitTime,
    Write,
}

/// What must follow a word.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Needs {
    Nothing,
    Name,
    Value,
    Both,
}

/// Words, what they mean, and what must follow. With a `q` behind it, a word takes the quotes off its value.
const VERBS: &[(&str, Verb, Needs)] = &[
    #[cfg(feature = "host")]
    ("append", Verb::Append, Needs::Both),
    ("end", Verb::End, Needs::Nothing),
    ("error", Verb::Error, Needs::Nothing),
    ("exit", Verb::Exit, Needs::Nothing),
    ("export", Verb::Export, Needs::Name),
    ("goto", Verb::Goto, Needs::Name),
    ("init", Verb::Init, Needs::Both),
    ("label", Verb::Label, Needs::Name),
    ("loop", Verb::Loop, Needs::Nothing),
    ("pause", Verb::WaitStep, Needs::Nothing),
    ("print", Verb::Print, Needs::Nothing),
    ("printn", Verb::PrintN, Needs::Nothing),
    ("read", Verb::Read, Needs::Value),
    ("return", Verb::Return, Needs::Nothing),
    #[cfg(feature = "host")]
    ("save", Verb::Save, Needs::Both),
    ("set", Verb::Set, Needs::Name),
    ("stop", Verb::Stop, Needs::Nothing),
    ("wait_for", Verb::WaitTime, Needs::Value),
    ("wait_step", Verb::WaitStep, Needs::Nothing),
    ("wait_stop", Verb::WaitStep, Needs::Nothing),
    ("wait_time", Verb::WaitTime, Needs::Value),
    ("write", Verb::Write, Needs::Value),
];

/// One instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Instruction {
    pub(super) verb: Verb,
    /// The value's quotes are taken off.
    pub(super) unquotes: bool,
    /// The name that it is about: a variable, label or handler.
    pub(super) operand: String,
    /// The value behind it.
    pub(super) rest: String,
}

/// Reads one.
pub(super) fn parse(text: &str) -> Result<Instruction, String> {
    let (word, rest) = cut(text);
    // A wait without a time is one for a step.
    let full = match (word, rest) {
        ("wait", "") => "wait_step",
        ("wait", _) => "wait_time",
        _ => word,
    };
    let plain = full.strip_suffix('q').unwrap_or(full);
    let Some((_, verb, needs)) = VERBS.iter().find(|v| v.0 == plain) else {
        return Err(format!("syntax error at '{word}': unknown instruction"));
    };
    let named = matches!(needs, Needs::Name | Needs::Both);
    let (operand, rest) = if named { cut(rest) } else { ("", rest) };
    if named && operand.is_empty() {
        return Err(format!("'{word}' needs a name"));
    }
    if matches!(needs, Needs::Value | Needs::Both) && rest.is_empty() {
        return Err(format!("'{word}' needs a value"));
    }
    Ok(Instruction {
        verb: *verb,
        unquotes: plain != full,
        operand: operand.to_string(),
        rest: rest.to_string(),
    })
}

/// The first word, and what follows.
pub(super) fn cut(text: &str) -> (&str, &str) {
    let text = text.trim();
    text.split_once(char::is_whitespace).map_or((text, ""), |(word, rest)| (word, rest.trim()))
}
