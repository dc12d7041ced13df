//! `microvisor click`: the Click router of a running instance.

use super::handler::read;
use super::{call, is_local, profile, unexpected};
use crate::images::Config;
use crate::node::instances;
use crate::options::values;
use crate::output::{self, Failure};
use clap::Subcommand;
use machine::control::{Request, Response};
use std::path::PathBuf;
use std::time::Duration;

/// What can be done with an instance's Click router.
#[derive(Clone, Debug, Subcommand)]
pub enum ClickCommand {
    /// Print the value of a handler
    #[command(after_help = "Example: microvisor click firewall read passed.count")]
    Read {
        /// ELEMENT.HANDLER, or the name of a global handler
        handler: String,
    },
    /// Write a value to a handler
    #[command(after_help = "Example: microvisor click firewall write passed.reset")]
    Write {
        /// ELEMENT.HANDLER
        handler: String,
        /// The value
        #[arg(default_value = "", allow_hyphen_values = true)]
        value: String,
    },
    /// List the handlers of one element, or of all
    #[command(after_help = "Example: microvisor click firewall handlers passed")]
    Handlers {
        /// Name of the element
        element: Option<String>,
    },
    /// Show where packets and processor time go, element by element
    #[command(after_help = "Example: microvisor click firewall profile --during 5")]
    Profile {
        /// How long to count, in seconds
        #[arg(long, value_name = "SECONDS", default_value_t = 1.0, value_parser = values::seconds_of_an_hour)]
        during: f64,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Replace the configuration with another Click file, without losing a packet
    #[command(after_help = "Example: microvisor click firewall swap new.click")]
    Swap {
        /// The Click file
        file: PathBuf,
    },
}

/// Names and modes of handlers.
fn handlers(name: &str, element: Option<&str>) -> Result<(), Failure> {
    let elements = match element {
        Some(element) => vec![element.to_owned()],
        // The first line says how many there are.
        None => read(name, "list")?.lines().skip(1).map(str::to_owned).collect(),
    };
    let mut rows = Vec::new();
    for element in &elements {
        for line in read(name, &format!("{element}.handlers"))?.lines() {
            let (handler, mode) = line.split_once('\t').unwrap_or((line, ""));
            rows.push(vec![format!("{element}.{handler}"), mode.to_owned()]);
        }
    }
    output::print(output::table(&["HANDLER", "MODE"], &rows))
}

/// Changes an instance of the node: the node has to know, or its next start would undo it.
fn change_on_node(name: &str, command: &ClickCommand) -> Option<Result<(), Failure>> {
    match command {
        ClickCommand::Swap { file } => Some(
            Config::read(file)
                .map_err(Failure::from)
                .and_then(|config| instances::configure(name, &String::from_utf8_lossy(&config.bytes))),
        ),
        ClickCommand::Write { handler, value } => {
            Some(instances::write_handler(name, handler, value).and_then(|value| print_value(&value)))
        }
        _ => None,
    }
}

fn print_value(value: &str) -> Result<(), Failure> {
    match value {
        "" => Ok(()),
        value => output::print(format!("{}\n", value.trim_end_matches('\n'))),
    }
}

/// `microvisor click`
pub fn click(name: &str, command: &ClickCommand) -> Result<(), Failure> {
    if !is_local(name)
        && instances::has(name)
        && let Some(changed) = change_on_node(name, command)
    {
        return changed;
    }
    let request = match command {
        ClickCommand::Handlers { element } => return handlers(name, element.as_deref()),
        ClickCommand::Profile { during, json } => {
            return profile::profile(name, Duration::from_secs_f64(*during), *json);
        }
        ClickCommand::Read { handler } => Request::Read { handler: handler.clone() },
        ClickCommand::Write { handler, value } => {
            Request::Write { handler: handler.clone(), value: value.clone() }
        }
        ClickCommand::Swap { file } => {
            let config = Config::read(file)?;
            Request::Configure { config: String::from_utf8_lossy(&config.bytes).into_owned() }
        }
    };
    match call(name, &request)? {
        Response::Done { value } => print_value(&value),
        _ => Err(unexpected(name)),
    }
}
