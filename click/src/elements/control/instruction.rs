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
    Anything,
    Nothing,
    /// A name and no more.
    Only,
    Name,
    Value,
    Both,
}

/// Words, what they mean, and what must follow. With a `q` behind it, a word takes the quotes off its value.
const VERBS: &[(&str, Verb, Needs)] = &[
    #[cfg(feature = "host")]
    ("append", Verb::Append, Needs::Name),
    ("end", Verb::End, Needs::Nothing),
    ("error", Verb::Error, Needs::Anything),
    ("exit", Verb::Exit, Needs::Nothing),
    ("export", Verb::Export, Needs::Name),
    ("goto", Verb::Goto, Needs::Name),
    ("init", Verb::Init, Needs::Name),
    ("label", Verb::Label, Needs::Only),
    ("loop", Verb::Loop, Needs::Nothing),
    ("pause", Verb::WaitStep, Needs::Anything),
    ("print", Verb::Print, Needs::Anything),
    ("printn", Verb::PrintN, Needs::Anything),
    ("read", Verb::Read, Needs::Value),
    ("return", Verb::Return, Needs::Anything),
    #[cfg(feature = "host")]
    ("save", Verb::Save, Needs::Name),
    ("set", Verb::Set, Needs::Both),
    ("stop", Verb::Stop, Needs::Nothing),
    ("wait_for", Verb::WaitTime, Needs::Value),
    ("wait_step", Verb::WaitStep, Needs::Anything),
    ("wait_stop", Verb::WaitStep, Needs::Anything),
    ("wait_time", Verb::WaitTime, Needs::Value),
    ("write", Verb::Write, Needs::Value),
];

/// Words that a `q` may follow.
const QUOTED: &[&str] = &["error", "export", "init", "print", "printn", "read", "return", "set", "write"];

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
    let syntax = || format!("syntax error at '{word}'");
    let plain = full.strip_suffix('q').filter(|verb| QUOTED.contains(verb)).unwrap_or(full);
    let (_, verb, needs) = VERBS.iter().find(|v| v.0 == plain).ok_or_else(syntax)?;
    let named = matches!(needs, Needs::Only | Needs::Name | Needs::Both);
    let (operand, rest) = if named { cut(rest) } else { ("", rest) };
    let wrong = match needs {
        Needs::Anything => false,
        Needs::Nothing => !rest.is_empty(),
        Needs::Only => operand.is_empty() || !rest.is_empty(),
        Needs::Name => operand.is_empty(),
        Needs::Value => rest.is_empty(),
        Needs::Both => operand.is_empty() || rest.is_empty(),
    };
    if wrong || (*verb == Verb::WaitStep && !rest.is_empty() && rest.parse::<u32>().is_err()) {
        return Err(syntax());
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
