//! `microvisor`: starts network functions in virtual machines of their own, and looks after them. See `--help`.

#![deny(unsafe_code)]

mod call;
mod elements;
mod handlers;
mod images;
mod instances;
mod network;
mod node;
mod output;
mod process;
mod run;
mod supervise;
mod switch;
mod symbols;
mod top;
mod vhost;

use clap::{CommandFactory, Parser, Subcommand};
use machine::status;
use machine::timeline::Tsc;
use std::process::ExitCode;
use std::time::Duration;

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
        command: handlers::ClickCommand,
    },
    /// List the elements of Click files, or print the page of one
    Elements {
        /// Name of an element
        name: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Write all pages to a folder
        #[arg(long, value_name = "FOLDER", conflicts_with_all = ["name", "json"])]
        write: Option<std::path::PathBuf>,
    },
    /// Say what an image is and wants, or how a running instance does
    Inspect {
        /// Image file, name of a built-in image, or name of an instance
        what: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Become the node: the daemon that starts instances on request; see `microvisor node --help`
    #[command(disable_help_flag = true)]
    Node {
        /// Its options
        #[arg(allow_hyphen_values = true, trailing_var_arg = true)]
        arguments: Vec<std::ffi::OsString>,
    },
    /// Start instances of the node that do not run
    Start {
        /// Names of instances
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Stop instances of the node and start them again
    Reboot {
        /// Names of instances
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Keep guests of the node's instances from running
    Pause {
        /// Names of instances
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Let paused guests run on
    Resume {
        /// Names of instances
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Delete instances of the node
    Rm {
        /// Names of instances
        #[arg(required = true)]
        names: Vec<String>,
        /// End those that run
        #[arg(long, short)]
        force: bool,
    },
    /// Print the last that an instance of the node has said
    Logs {
        /// Name of the instance
        name: String,
    },
    /// Networks of the node
    Net {
        #[command(subcommand)]
        command: node::NetCommand,
    },
    /// Images of the node
    Image {
        #[command(subcommand)]
        command: node::ImageCommand,
    },
    /// Tokens for the node's API over TCP
    Token {
        #[command(subcommand)]
        command: node::TokenCommand,
    },
    /// Print what happened on the node
    Events {
        /// Go on with what happens
        #[arg(long, short)]
        follow: bool,
        /// Print JSON, one event a line
        #[arg(long)]
        json: bool,
    },
    /// Look at a running switch, or change it
    Switch(Box<switch::SwitchOptions>),
    /// Show where the time of an instance's start went
    Timeline {
        /// Name of the instance
        #[arg(required_unless_present = "stats", conflicts_with = "stats")]
        name: Option<String>,
        /// Percentiles of every phase, over the last instances of the node
        #[arg(long)]
        stats: bool,
        /// How many of them
        #[arg(long, requires = "stats", default_value_t = 100)]
        last: usize,
        #[command(flatten)]
        forms: call::Forms,
    },
    /// Watch the node's instances: state, CPU, memory, packets, drops
    Top {
        /// Seconds between looks
        #[arg(long, short, value_name = "SECONDS", default_value_t = 1.0, value_parser = pause)]
        interval: f64,
        /// Look so many times, and end
        #[arg(long, short = 'n', value_name = "COUNT")]
        count: Option<u64>,
    },
    /// Print a completion script for a shell
    Completion {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write manual pages, one a command, to a folder
    Man {
        /// The folder
        folder: std::path::PathBuf,
    },
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(s) if (0.0..=86400.0).contains(&s) => Ok(s),
        _ => Err("is not a number of seconds up to a day".into()),
    }
}

fn pause(text: &str) -> Result<f64, String> {
    seconds(text).and_then(|s| if s >= 0.1 { Ok(s) } else { Err("is less than a tenth of a second".into()) })
}

/// A panic of any thread ends the program. It is built to unwind, as tests have to, so that both share what is compiled.
fn abort_at_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        report(info);
        std::process::abort();
    }));
}

fn main() -> ExitCode {
    abort_at_panic();
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
        Command::Click { name, command } => handlers::click(&name, &command),
        Command::Elements { name, json, write } => {
            elements::elements(name.as_deref(), json, write.as_deref())
        }
        Command::Inspect { what, json } => call::inspect(&what, json),
        Command::Switch(options) => switch::switch(&options),
        Command::Node { arguments } => node::daemon(&arguments),
        Command::Start { names } => node::act(&names, "start"),
        Command::Reboot { names } => node::act(&names, "reboot"),
        Command::Pause { names } => node::act(&names, "pause"),
        Command::Resume { names } => node::act(&names, "resume"),
        Command::Rm { names, force } => node::rm(&names, force),
        Command::Logs { name } => node::logs(&name),
        Command::Net { command } => node::net(&command),
        Command::Token { command } => node::token(&command),
        Command::Image { command } => node::image(&command),
        Command::Events { follow, json } => node::events(follow, json),
        Command::Timeline { name: Some(name), forms, .. } => call::timeline(&name, forms),
        Command::Timeline { last, forms, .. } => node::statistics(last, forms.json),
        Command::Top { interval, count } => top::top(Duration::from_secs_f64(interval), count),
        Command::Completion { shell } => {
            clap_complete::generate(shell, &mut Line::command(), "microvisor", &mut std::io::stdout());
            0
        }
        Command::Man { folder } => match clap_mangen::generate_to(Line::command(), &folder) {
            Ok(()) => 0,
            Err(e) => {
                output::complain(&format!("{}: {e}", folder.display()), None);
                status::HOST
            }
        },
    })
}
