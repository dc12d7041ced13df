//! `microvisor`: starts network functions in virtual machines of their own, and looks after them. See `--help`.
//!
//! | module | what it does |
//! |---|---|
//! | `command_line` | every command with its options |
//! | `options` | options of `run` |
//! | `local` | `run` without the node |
//! | `node` | what is asked of the node |
//! | `instance` | commands on a running instance, with or without the node |
//! | `switch` | commands on a switch |
//! | `completion`, `shell` | what shells offer after Tab; how they ask for it |
//! | `doctor` | what this host has and lacks |
//! | `engine` | the Click engine: configurations checked, libraries, the manual of elements |
//! | `images` | images and configurations by name |
//! | `output` | what is printed, and why a command failed |
//! | `process`, `suggestion` | system calls; "did you mean" |

#![deny(unsafe_code)]

mod command_line;
mod completion;
mod doctor;
mod engine;
mod images;
mod instance;
mod local;
mod node;
mod options;
mod output;
mod process;
mod shell;
mod suggestion;
mod switch;

use clap::{CommandFactory, Parser};
use command_line::{Command, CommandLine};
use machine::status;
use machine::timeline::Tsc;
use node::instances::chosen;
use output::Failure;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    abort_on_panic::install();
    shell::answer();
    let begun = Tsc::now();
    let outcome = match CommandLine::try_parse() {
        Ok(line) => execute(line.command, begun),
        Err(e) => explain(&e),
    };
    ExitCode::from(outcome.unwrap_or_else(Failure::report))
}

/// The help or version that was asked for, or what is wrong with the command line.
fn explain(e: &clap::Error) -> Result<u8, Failure> {
    let printed = e.print().and_then(|()| std::io::stdout().flush());
    if e.use_stderr() {
        return Ok(status::CONFIGURATION_REFUSED);
    }
    printed.map(|()| 0).map_err(Failure::Output)
}

/// Does what a command asks for; the exit status.
fn execute(command: Command, begun: Tsc) -> Result<u8, Failure> {
    match command {
        Command::Run(options) if options.network.is_empty() => return local::run(&options, begun),
        Command::Run(options) => node::create::run(&options),
        Command::Ps { json, selector } => instance::ps::ps(json, &selector),
        Command::Stop { names, grace } => instance::stop::stop(&names, Duration::from_secs_f64(grace)),
        Command::Kill { names } => instance::stop::stop(&names, Duration::ZERO),
        Command::Console { name } => instance::console::console(&name),
        Command::Click { name, command } => instance::click::click(&name, &command),
        Command::Elements { name, json, write } => engine::elements(name.as_deref(), json, write.as_deref()),
        Command::Inspect { what, json } => instance::inspect::inspect(&what, json),
        Command::Switch(options) => switch::switch(&options),
        Command::Node { arguments } => node::backup::node(&arguments),
        Command::Start { names, selector } => node::instances::act(&chosen(&names, &selector)?, "start"),
        Command::Reboot { names, selector } => node::instances::act(&chosen(&names, &selector)?, "reboot"),
        Command::Pause { names, selector } => node::instances::act(&chosen(&names, &selector)?, "pause"),
        Command::Resume { names, selector } => node::instances::act(&chosen(&names, &selector)?, "resume"),
        Command::Rm { names, selector, force } => node::instances::remove(&chosen(&names, &selector)?, force),
        Command::Logs { name, follow, timestamps } => node::instances::logs(&name, follow, timestamps),
        Command::Flavor { command } => node::flavors::flavor(&command),
        Command::Context { command } => node::context::context(&command),
        Command::Get { names, output } => node::declared::get(&names, output),
        Command::Apply { file, replace, dry_run } => node::declared::apply(&file, replace, dry_run),
        Command::Edit { name } => node::edit::edit(&name),
        Command::Set { names, change } => node::change::set(&names, &change),
        Command::Net { command } => node::networks::net(&command),
        Command::Token { command } => node::tokens::token(&command),
        Command::Image { command } => node::images::image(&command),
        Command::Status { json } => node::status::status(json),
        Command::Events { follow, json } => node::events::events(follow, json),
        Command::Timeline { name: Some(name), forms, .. } => instance::timeline::timeline(&name, forms),
        Command::Timeline { last, forms, .. } => node::timelines::statistics(last, forms.json),
        Command::Top { interval, count, selector } => {
            node::top::top(Duration::from_secs_f64(interval), count, &selector)
        }
        Command::Doctor { json } => doctor::doctor(json),
        Command::Completion { shell } => shell::script(shell),
        Command::Man { folder } => clap_mangen::generate_to(CommandLine::command(), &folder)
            .map_err(|e| Failure::new(format!("{}: {e}", folder.display()), status::HOST)),
    }?;
    Ok(0)
}
