//! Commands about an instance's Click router.

use crate::call::failed;
use crate::images;
use crate::instances::{self, Refusal};
use crate::output;
use clap::Subcommand;
use machine::control::{Request, Response};
use machine::status;
use std::path::PathBuf;
use std::time::Duration;

/// What can be done with an instance's Click router.
#[derive(Clone, Debug, Subcommand)]
pub enum ClickCommand {
    /// Print the value of ELEMENT.HANDLER
    Read {
        /// ELEMENT.HANDLER, or the name of a global handler
        handler: String,
    },
    /// Write a value to ELEMENT.HANDLER
    Write {
        /// ELEMENT.HANDLER
        handler: String,
        /// The value
        #[arg(default_value = "", allow_hyphen_values = true)]
        value: String,
    },
    /// List handlers: of one element, or of all
    Handlers {
        /// Name of the element
        element: Option<String>,
    },
    /// Say where packets and processor time go, element by element
    Profile {
        /// How long to look, in seconds
        #[arg(long, value_name = "SECONDS", default_value_t = 1.0, value_parser = seconds)]
        during: f64,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Run another Click file from now on
    Swap {
        /// The Click file
        file: PathBuf,
    },
}

/// Up to an hour.
fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(s) if (0.0..=3600.0).contains(&s) => Ok(s),
        _ => Err("is not a number of seconds up to an hour".into()),
    }
}

/// The value of a handler.
fn read(name: &str, handler: &str) -> Result<String, Refusal> {
    match instances::call(name, &Request::Read { handler: handler.into() })? {
        Response::Done { value } => Ok(value),
        _ => Ok(String::new()),
    }
}

fn write(name: &str, handler: &str, value: &str) -> Result<(), Refusal> {
    instances::call(name, &Request::Write { handler: handler.into(), value: value.into() }).map(drop)
}

/// Names and modes of handlers as rows.
fn handlers(name: &str, element: Option<&str>) -> Result<(), Refusal> {
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
    print!("{}", output::table(&["HANDLER", "MODE"], &rows));
    Ok(())
}

/// One element in a profile.
#[derive(Debug, PartialEq, serde::Serialize)]
struct Profiled {
    element: String,
    packets: u64,
    batches: u64,
    cycles_per_packet: u64,
}

impl Profiled {
    /// From a line of the `profile` handler.
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let element = words.next()?.to_owned();
        let mut number = || words.next()?.parse().ok();
        Some(Self { element, packets: number()?, batches: number()?, cycles_per_packet: number()? })
    }
}

fn profile(name: &str, during: Duration, json: bool) -> Result<(), Refusal> {
    let rows = |text: &str| -> Vec<Profiled> { text.lines().skip(1).filter_map(Profiled::parse).collect() };
    let was = read(name, "profiling")?;
    write(name, "profiling", "true")?;
    let before = rows(&read(name, "profile")?);
    std::thread::sleep(during);
    let mut after = rows(&read(name, "profile")?);
    write(name, "profiling", was.trim())?;
    for (now, then) in after.iter_mut().zip(&before) {
        let cycles = |p: &Profiled| p.cycles_per_packet.saturating_mul(p.packets);
        let packets = now.packets.saturating_sub(then.packets);
        let spent = cycles(now).saturating_sub(cycles(then));
        now.cycles_per_packet = spent.checked_div(packets).unwrap_or(0);
        now.batches = now.batches.saturating_sub(then.batches);
        now.packets = packets;
    }
    if json {
        output::json(&after);
        return Ok(());
    }
    let row = |p: &Profiled| {
        let each = p.packets.checked_div(p.batches).unwrap_or(0);
        let numbers = [p.packets, p.batches, each, p.cycles_per_packet].map(|n| n.to_string());
        std::iter::once(p.element.clone()).chain(numbers).collect()
    };
    let rows: Vec<Vec<String>> = after.iter().map(row).collect();
    let heads = ["ELEMENT", "PACKETS", "BATCHES", "PACKETS/BATCH", "CYCLES/PACKET"];
    print!("{}", output::table(&heads, &rows));
    Ok(())
}

/// `microvisor click`
pub fn click(name: &str, command: &ClickCommand) -> u8 {
    let request = match command {
        ClickCommand::Handlers { element } => {
            return handlers(name, element.as_deref()).map_or_else(|e| failed(&e), |()| 0);
        }
        ClickCommand::Profile { during, json } => {
            let outcome = profile(name, Duration::from_secs_f64(*during), *json);
            return outcome.map_or_else(|e| failed(&e), |()| 0);
        }
        ClickCommand::Read { handler } => Request::Read { handler: handler.clone() },
        ClickCommand::Write { handler, value } => {
            Request::Write { handler: handler.clone(), value: value.clone() }
        }
        ClickCommand::Swap { file } => match images::Config::read(file) {
            Ok(config) => Request::Configure { config: String::from_utf8_lossy(&config.bytes).into_owned() },
            Err(e) => {
                output::complain(&e.to_string(), e.hint());
                return e.status();
            }
        },
    };
    match instances::call(name, &request) {
        Ok(Response::Done { value }) => {
            if !value.is_empty() {
                println!("{}", value.trim_end_matches('\n'));
            }
            0
        }
        Ok(_) => status::MONITOR,
        Err(e) => failed(&e),
    }
}
