//! The instructions of scripts.

use alloc::format;
use alloc::string::{String, ToString};

/// What an instruction does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Append,
    End,
    Error,
    Goto,
    Init,
    Label,
    Loop,
    Print,
    PrintN,
    Read,
    ReadQ,
    Return,
    Save,
    Set,
    Stop,
    Wait,
    WaitStop,
    Write,
    WriteQ,
}

/// Words, what they mean, and whether a name or a value must follow.
const VERBS: &[(&str, Verb, bool, bool)] = &[
    ("append", Verb::Append, true, true),
    ("end", Verb::End, false, false),
    ("error", Verb::Error, false, true),
    ("exit", Verb::End, false, false),
    ("goto", Verb::Goto, true, false),
    ("init", Verb::Init, true, true),
    ("label", Verb::Label, true, false),
    ("loop", Verb::Loop, false, false),
    ("pause", Verb::WaitStop, false, false),
    ("print", Verb::Print, false, false),
    ("printn", Verb::PrintN, false, false),
    ("read", Verb::Read, false, true),
    ("readq", Verb::ReadQ, false, true),
    ("return", Verb::Return, false, false),
    ("save", Verb::Save, true, true),
    ("set", Verb::Set, true, false),
    ("stop", Verb::Stop, false, false),
    ("wait", Verb::Wait, false, true),
    ("wait_for", Verb::Wait, false, true),
    ("wait_stop", Verb::WaitStop, false, false),
    ("write", Verb::Write, true, false),
    ("writeq", Verb::WriteQ, true, false),
];

/// One instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Instruction {
    pub(super) verb: Verb,
    /// The name that it is about: a variable, label or handler.
    pub(super) operand: String,
    /// The value behind it.
    pub(super) rest: String,
}

/// Reads one.
pub(super) fn parse(text: &str) -> Result<Instruction, String> {
    let (word, rest) = cut(text);
    let Some((_, verb, named, valued)) = VERBS.iter().find(|v| v.0 == word) else {
        return Err(format!("syntax error at '{word}': unknown instruction"));
    };
    let (operand, rest) = if *named { cut(rest) } else { ("", rest) };
    if *named && operand.is_empty() {
        return Err(format!("'{word}' needs a name"));
    }
    if *valued && rest.is_empty() {
        return Err(format!("'{word}' needs a value"));
    }
    Ok(Instruction { verb: *verb, operand: operand.to_string(), rest: rest.to_string() })
}

fn cut(text: &str) -> (&str, &str) {
    let text = text.trim();
    text.split_once(char::is_whitespace).map_or((text, ""), |(word, rest)| (word, rest.trim()))
}
