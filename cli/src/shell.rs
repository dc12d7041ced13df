//! Completion in shells: the script that `microvisor completion` prints asks the command itself what it may offer.

use crate::command_line::CommandLine;
use crate::output::{self, Failure};
use clap::CommandFactory;
use clap_complete::Shell;
use clap_complete::env::{CompleteEnv, Shells};
use machine::status;

/// Variable by which a shell's script asks; its value is the shell's name.
const COMPLETION_VARIABLE: &str = "MICROVISOR_COMPLETE";

/// Answers the script of a shell, and ends the program, if it is such a script that asks.
pub fn answer() {
    CompleteEnv::with_factory(CommandLine::command).var(COMPLETION_VARIABLE).complete();
}

/// `microvisor completion`
pub fn script(shell: Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    let shells = Shells::builtins();
    let completer = shells
        .completer(&shell.to_string())
        .ok_or_else(|| Failure::new(format!("{shell} is not known"), status::CONFIGURATION_REFUSED))?;
    completer
        .write_registration(COMPLETION_VARIABLE, "microvisor", "microvisor", "microvisor", &mut script)
        .map_err(Failure::Output)?;
    output::print(script)
}
