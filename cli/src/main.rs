//! `microvisor`: starts network functions in virtual machines of their own, and looks after them. See `--help`.

#![deny(unsafe_code)]

mod call;
mod images;
mod instances;
mod network;
mod output;
mod process;
mod run;
mod supervise;
mod switch;
mod symbols;
mod vhost;

use clap::{Parser, Subcommand};
use std::process::ExitCode;
use std::time::Duration;
use vmm::clock::Tsc;
use vmm::status;

const STATUSES: &str = "\
Exit status: 0 to 119 the guest's own, 120 guest fault, 121 image refused, 122 configuration or command line \
refused, 123 permission missing, 124 the host lacks something or it is in use, 125 MicroVisor failed, 128 + n \
stopped by signal n.";

/// Network functions in virtual machines that start in about a millisecond
#[derive(Parser)]
#[command(name = "microvisor", version, max_term_width = 100, after_help = STATUSES)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a Click file or a guest image in a virtual machine of its own
    Run(Box<run::RunOptions>),
    /// List running instances
    Ps {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Ask instances to stop, and end them if they do not
    Stop {
        /// Names of instances
        #[arg(required = true)]
        names: Vec<String>,
        /// Seconds that they have for it
        #[arg(long, value_name = "SECONDS", default_value_t = 2.0, value_parser = seconds)]
        grace: f64,
    },
    /// Attach to an instance's console; Ctrl-] leaves it
    Console {
        /// Name of the instance
        name: String,
    },
    /// Read and write handlers of an instance's Click elements
    Click {
        /// Name of the instance
        name: String,
        #[command(subcommand)]
        command: call::ClickCommand,
    },
    /// Say what an image is and wants, or how a running instance does
    Inspect {
        /// Image file, name of a built-in image, or name of an instance
        what: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Look at a running switch, or change it
    Switch(Box<switch::SwitchOptions>),
    /// Show where the time of an instance's start went
    Timeline {
        /// Name of the instance
        name: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(s) if (0.0..=86400.0).contains(&s) => Ok(s),
        _ => Err("is not a number of seconds up to a day".into()),
    }
}

fn main() -> ExitCode {
    let begun = Tsc::now();
    let line = match Line::try_parse() {
        Ok(line) => line,
        Err(e) => {
            let _ = e.print();
            let status = if e.use_stderr() { status::CONFIGURATION_REFUSED } else { 0 };
            return ExitCode::from(status);
        }
    };
    ExitCode::from(match line.command {
        Command::Run(options) => run::run(&options, begun),
        Command::Ps { json } => call::ps(json),
        Command::Stop { names, grace } => call::stop(&names, Duration::from_secs_f64(grace)),
        Command::Console { name } => call::console(&name),
        Command::Click { name, command } => call::click(&name, &command),
        Command::Inspect { what, json } => call::inspect(&what, json),
        Command::Switch(options) => switch::switch(&options),
        Command::Timeline { name, json } => call::timeline(&name, json),
    })
}
