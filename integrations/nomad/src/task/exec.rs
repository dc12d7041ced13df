//! The commands of `nomad alloc exec`: a guest has no programs, but handlers.

use super::{Task, request};
use crate::node::Fault;
use std::fmt::Write as _;

/// What can be asked.
pub const HELP: &str = "\
read HANDLER              print a handler's value (ELEMENT.HANDLER)
write HANDLER [VALUE]     write a handler; without a value, what standard input says
swap [FILE]               run another configuration: a file of the task, or standard input
console                   print the last of the console
status                    print what the node knows of the instance
shell                     these commands, line by line
";
/// Longest input that is kept, bytes: a configuration.
pub const INPUT: usize = 4 << 20;

/// What became of a command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Standard output.
    pub output: Vec<u8>,
    /// Standard error.
    pub errors: String,
    /// Exit status.
    pub status: i32,
}

impl Outcome {
    fn wrong(status: i32, errors: impl Into<String>) -> Self {
        let mut errors = errors.into();
        if !errors.ends_with('\n') {
            errors.push('\n');
        }
        Self { output: Vec::new(), errors, status }
    }

    fn of(done: Result<Vec<u8>, Fault>) -> Self {
        match done {
            Ok(output) => Self { output, ..Self::default() },
            Err(e) => Self::wrong(1, e.to_string()),
        }
    }
}

/// A command, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Print a handler.
    Read(String),
    /// Write a handler; standard input if there is no value.
    Write(String, Option<String>),
    /// Another configuration: of a file, or of standard input.
    Swap(Option<String>),
    /// The last of the console.
    Console,
    /// The instance.
    Status,
    /// Line by line.
    Shell,
    /// What there is.
    Help,
}

impl Command {
    /// Reads words.
    pub fn of(words: &[String]) -> Result<Self, Outcome> {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let text = |words: &[&str]| Some(words.join(" ")).filter(|_| !words.is_empty());
        Ok(match words[..] {
            ["read", handler] => Self::Read(handler.into()),
            ["write", handler, ref value @ ..] => Self::Write(handler.into(), text(value)),
            ["swap"] => Self::Swap(None),
            ["swap", file] => Self::Swap(Some(file.into())),
            ["console"] => Self::Console,
            ["status"] => Self::Status,
            // What Nomad's page and people try first.
            ["shell" | "sh" | "bash" | "/bin/sh" | "/bin/bash", ..] => Self::Shell,
            ["help", ..] => Self::Help,
            [handler] if handler.contains('.') => Self::Read(handler.into()),
            _ => {
                return Err(Outcome::wrong(
                    127,
                    format!("{}: no such command. There are:\n{HELP}", words.join(" ")),
                ));
            }
        })
    }

    /// Whether it begins when its standard input has ended.
    pub fn wants_input(&self) -> bool {
        matches!(self, Self::Write(_, None) | Self::Swap(None))
    }
}

/// Does what one command says. `input` is its standard input, if it wants one.
pub async fn run(task: &Task, command: Command, input: &[u8]) -> Outcome {
    let id = task.state.instance;
    let node = &task.node;
    let read_input = || String::from_utf8_lossy(input).into_owned();
    match command {
        Command::Help | Command::Shell => Outcome { output: HELP.into(), ..Outcome::default() },
        Command::Read(handler) => Outcome::of(node.read_handler(id, &handler).await.map(|mut value| {
            if !value.ends_with('\n') {
                value.push('\n');
            }
            value.into_bytes()
        })),
        Command::Write(handler, value) => {
            let value = value.unwrap_or_else(read_input);
            Outcome::of(node.write_handler(id, &handler, &value).await.map(|()| Vec::new()))
        }
        Command::Swap(None) => Outcome::of(node.configure(id, &read_input()).await.map(|()| Vec::new())),
        Command::Swap(Some(path)) => {
            let text = request::file(&task.config, &path)
                .and_then(|file| std::fs::read_to_string(file).map_err(|e| format!("{path}: {e}")));
            match text {
                Ok(text) => Outcome::of(node.configure(id, &text).await.map(|()| Vec::new())),
                Err(e) => Outcome::wrong(1, e),
            }
        }
        Command::Console => Outcome::of(node.console(id).await.map(|bytes| bytes.to_vec())),
        Command::Status => Outcome::of(task.instance().await.map(|instance| {
            let mut text = serde_json::to_string_pretty(&instance).unwrap_or_default();
            // Writing to a string does not fail.
            let _ = writeln!(text);
            text.into_bytes()
        })),
    }
}

/// Lines from what is typed, as a terminal that is not there would make them.
pub struct Lines {
    line: Vec<u8>,
    /// Whether typed characters are to be seen.
    echo: bool,
}

/// What typed bytes mean.
#[derive(Debug, PartialEq, Eq)]
pub enum Typed {
    /// Show this.
    Echo(Vec<u8>),
    /// A whole line.
    Line(String),
    /// The end.
    End,
}

impl Lines {
    /// Nothing was typed yet.
    pub fn new(echo: bool) -> Self {
        Self { line: Vec::new(), echo }
    }

    /// Takes what was typed.
    pub fn take(&mut self, bytes: &[u8]) -> Vec<Typed> {
        let mut typed = Vec::new();
        let mut show = |echo: bool, bytes: &[u8]| {
            if echo {
                typed.push(Typed::Echo(bytes.to_vec()));
            }
        };
        let mut done = Vec::new();
        for &byte in bytes {
            match byte {
                b'\r' | b'\n' => {
                    show(self.echo, b"\r\n");
                    let line = String::from_utf8_lossy(&std::mem::take(&mut self.line)).into_owned();
                    done.push(Typed::Line(line));
                }
                // Backspace.
                8 | 127 if self.echo => {
                    let taken = self.line.pop();
                    show(taken.is_some(), b"\x08 \x08");
                }
                // Control-C, and Control-D at the beginning of a line.
                3 if self.echo => {
                    self.line.clear();
                    show(true, b"^C\r\n");
                }
                4 if self.echo && self.line.is_empty() => done.push(Typed::End),
                byte if self.line.len() < INPUT => {
                    self.line.push(byte);
                    show(self.echo, &[byte]);
                }
                _ => {}
            }
        }
        typed.extend(done);
        typed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn commands_are_read_and_others_are_named() {
        assert_eq!(Command::of(&words("read c.count")), Ok(Command::Read("c.count".into())));
        assert_eq!(Command::of(&words("c.count")), Ok(Command::Read("c.count".into())));
        assert_eq!(
            Command::of(&words("write a.b 1 2")),
            Ok(Command::Write("a.b".into(), Some("1 2".into())))
        );
        assert!(Command::of(&words("swap")).unwrap().wants_input());
        let wrong = Command::of(&words("ls -l")).unwrap_err();
        assert_eq!(wrong.status, 127);
        assert!(wrong.errors.starts_with("ls -l: no such command"));
    }

    #[test]
    fn typed_lines_are_seen_and_mended() {
        let mut lines = Lines::new(true);
        let typed = lines.take(b"rx\x7fead\r");
        assert_eq!(typed.last(), Some(&Typed::Line("read".into())));
        assert_eq!(lines.take(&[4]), [Typed::End]);
        let mut plain = Lines::new(false);
        assert_eq!(plain.take(b"a\nb"), [Typed::Line("a".into())]);
    }
}
