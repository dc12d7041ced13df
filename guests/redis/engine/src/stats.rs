//! What INFO counts for each command and each kind of error.

use crate::commands::Command;
use crate::commands::table::COMMANDS;
use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

/// Kinds of errors counted apart from each other.
const ERROR_KINDS: usize = 128;

/// Calls of one command.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CommandCalls {
    /// Calls that ran.
    pub(crate) calls: u64,
    /// Time that they took, nanoseconds.
    pub(crate) ns: u64,
    /// Calls refused before they ran.
    pub(crate) rejected: u64,
    /// Calls that ran and ended with an error.
    pub(crate) failed: u64,
}

/// The first word of an error reply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ErrorCode {
    bytes: [u8; 16],
    length: u8,
}

impl ErrorCode {
    /// The code at the start of an error's text.
    pub(crate) fn of(text: &[u8]) -> Self {
        let mut code = Self::default();
        for (to, from) in code.bytes.iter_mut().zip(text.iter().take_while(|b| b.is_ascii_uppercase())) {
            *to = *from;
            code.length += 1;
        }
        code
    }

    pub(crate) fn text(&self) -> &str {
        core::str::from_utf8(&self.bytes[..usize::from(self.length)]).unwrap_or_default()
    }
}

/// The counters of all commands and errors.
#[derive(Debug)]
pub(crate) struct CallStats {
    /// In the order of the table of commands.
    commands: Vec<CommandCalls>,
    /// Error replies by their code.
    pub(crate) errors: BTreeMap<ErrorCode, u64>,
}

impl CallStats {
    pub(crate) fn new() -> Self {
        Self { commands: vec![CommandCalls::default(); COMMANDS.len()], errors: BTreeMap::new() }
    }

    pub(crate) fn of(&mut self, command: &'static Command) -> &mut CommandCalls {
        let offset = core::ptr::from_ref(command).addr() - COMMANDS.as_ptr().addr();
        &mut self.commands[offset / size_of::<Command>()]
    }

    /// Counts errors that a reply has.
    pub(crate) fn add_errors(&mut self, codes: impl Iterator<Item = ErrorCode>) {
        for code in codes {
            if self.errors.len() < ERROR_KINDS || self.errors.contains_key(&code) {
                *self.errors.entry(code).or_default() += 1;
            }
        }
    }

    /// The commands that were called, with their counters.
    pub(crate) fn called(&self) -> impl Iterator<Item = (&'static Command, CommandCalls)> {
        let all = COMMANDS.iter().zip(self.commands.iter().copied());
        all.filter(|(_, calls)| calls.calls + calls.rejected > 0)
    }
}
