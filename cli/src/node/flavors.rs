//! `microvisor flavor`: sizes by name.

use super::{context, escaped};
use crate::completion;
use crate::output::{self, Failure};
use api::flavor::Flavor;
use clap::{Args, Subcommand};
use clap_complete::engine::ArgValueCandidates;

/// What can be done with flavors.
#[derive(Clone, Debug, Subcommand)]
pub enum FlavorCommand {
    /// List flavors
    #[command(visible_alias = "list", after_help = "Example: microvisor flavor ls")]
    Ls {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Create a flavor
    #[command(
        after_help = "Example: microvisor flavor create small --memory 4 --cpu-percent 50 --send-mbit 100"
    )]
    Create(Box<FlavorOptions>),
    /// Delete flavors; instances that run keep what they have
    #[command(visible_alias = "delete", after_help = "Example: microvisor flavor rm small")]
    Rm {
        /// Names of flavors
        #[arg(required = true, add = ArgValueCandidates::new(completion::flavors))]
        names: Vec<String>,
    },
}

/// Options of `microvisor flavor create`.
#[derive(Args, Clone, Debug)]
pub struct FlavorOptions {
    /// Name of the flavor
    name: String,
    /// Guest memory in MiB [default: what the image asks for]
    #[arg(long, value_name = "MIB")]
    memory: Option<u64>,
    /// Virtual processors of a Linux guest, 1 to 32 [default: what the image asks for]
    #[arg(long, value_name = "N")]
    vcpus: Option<u8>,
    /// Length of a Linux guest's disk in MiB [default: the image's]
    #[arg(long, value_name = "MIB")]
    disk: Option<u64>,
    /// Share of the processors while they are contended, 2 to 262144 [default: 1024]
    #[arg(long, value_name = "SHARES")]
    cpu_shares: Option<u64>,
    /// Most processor time, percent of one processor [default: no limit]
    #[arg(long, value_name = "PERCENT")]
    cpu_percent: Option<u32>,
    /// Processors that its instances run on, with commas between them [default: any]
    #[arg(long, value_name = "CPU", value_delimiter = ',')]
    cpus: Option<Vec<usize>>,
    /// Most megabits a second that each device may send [default: no limit]
    #[arg(long, value_name = "MBIT")]
    send_mbit: Option<f64>,
    /// Most megabits a second that each device gets [default: no limit]
    #[arg(long, value_name = "MBIT")]
    receive_mbit: Option<f64>,
    /// Entries of each queue, a power of two from 8 to 1024
    #[arg(long, value_name = "ENTRIES")]
    queue: Option<u32>,
    /// Microseconds that an idle guest polls before it sleeps
    #[arg(long, value_name = "US")]
    poll: Option<u32>,
    /// Whether its instances take prepared guests
    #[arg(long, value_name = "true|false")]
    prepared: Option<bool>,
}

impl FlavorOptions {
    fn flavor(&self) -> Flavor {
        Flavor {
            name: self.name.clone(),
            memory_mib: self.memory,
            vcpus: self.vcpus,
            disk_mib: self.disk,
            cpu_shares: self.cpu_shares,
            cpu_percent: self.cpu_percent,
            cpus: self.cpus.clone(),
            send_mbit: self.send_mbit,
            receive_mbit: self.receive_mbit,
            queue: self.queue,
            poll_us: self.poll,
            prepared: self.prepared,
        }
    }
}

fn table(flavors: &[Flavor]) -> String {
    fn cell<T: ToString>(value: Option<T>) -> String {
        value.map_or_else(|| "-".into(), |value| value.to_string())
    }
    let cpus = |cpus: &Vec<usize>| cpus.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let row = |f: &Flavor| {
        vec![
            f.name.clone(),
            cell(f.memory_mib),
            cell(f.vcpus),
            cell(f.disk_mib),
            cell(f.cpu_shares),
            cell(f.cpu_percent),
            cell(f.cpus.as_ref().map(cpus)),
            cell(f.send_mbit),
            cell(f.receive_mbit),
            cell(f.queue),
            cell(f.poll_us),
        ]
    };
    let rows: Vec<Vec<String>> = flavors.iter().map(row).collect();
    let headings = [
        "NAME",
        "MEMORY MIB",
        "VCPUS",
        "DISK MIB",
        "CPU SHARES",
        "CPU %",
        "CPUS",
        "SEND MBIT",
        "RECEIVE MBIT",
        "QUEUE",
        "POLL US",
    ];
    output::table(&headings, &rows)
}

/// `microvisor flavor`
pub fn flavor(command: &FlavorCommand) -> Result<(), Failure> {
    let client = context::required()?;
    match command {
        FlavorCommand::Ls { json } => {
            let flavors: Vec<Flavor> = client.get("/v1/flavors")?;
            if *json { output::json(&flavors) } else { output::print(table(&flavors)) }
        }
        FlavorCommand::Create(options) => {
            client.post::<Flavor>("/v1/flavors", &options.flavor())?;
            Ok(())
        }
        FlavorCommand::Rm { names } => {
            output::each(names, |name| Ok(client.delete(&format!("/v1/flavors/{}", escaped(name)))?))
        }
    }
}
