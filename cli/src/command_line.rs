//! The command line: every command with its options, help and an example.

use crate::completion;
use crate::instance::click::ClickCommand;
use crate::instance::timeline::Forms;
use crate::node::change::ChangeOptions;
use crate::node::context::ContextCommand;
use crate::node::declared::Form;
use crate::node::flavors::FlavorCommand;
use crate::node::images::ImageCommand;
use crate::node::labels::Selector;
use crate::node::networks::NetCommand;
use crate::node::tokens::TokenCommand;
use crate::options::{RunOptions, values};
use crate::switch::SwitchOptions;
use clap::{Parser, Subcommand};
use clap_complete::engine::{ArgValueCandidates, ArgValueCompleter};
use std::ffi::OsString;
use std::path::PathBuf;

const STATUSES: &str = "\
Example: microvisor run hello

Exit status: 0 to 119 the guest's own, 120 guest fault, 121 image refused, 122 configuration or command line \
refused, 123 permission missing, 124 the host lacks something or it is in use, 125 MicroVisor failed, 128 + n \
stopped by signal n.";

/// Run network functions in virtual machines that start in milliseconds
#[derive(Parser)]
#[command(name = "microvisor", version, max_term_width = 100, after_help = STATUSES)]
pub struct CommandLine {
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// What can be done.
#[derive(Subcommand)]
pub enum Command {
    /// Run a Click file or a guest image in a virtual machine of its own
    Run(Box<RunOptions>),
    /// List instances
    #[command(visible_aliases = ["ls", "list"], after_help = "Example: microvisor ps -l app=firewall")]
    Ps {
        /// Those with a label: NAME=VALUE, or NAME for any value; may be repeated
        #[arg(long, short = 'l', value_name = "LABEL")]
        selector: Vec<Selector>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Ask instances to stop, and kill those that do not
    #[command(after_help = "Example: microvisor stop firewall --grace 10")]
    Stop {
        /// Names of instances
        #[arg(required = true, add = ArgValueCandidates::new(completion::instances))]
        names: Vec<String>,
        /// How long they may take to stop, in seconds
        #[arg(long, value_name = "SECONDS", default_value_t = 2.0, value_parser = values::seconds)]
        grace: f64,
    },
    /// Kill instances at once, without asking them to stop
    #[command(after_help = "Example: microvisor kill firewall")]
    Kill {
        /// Names of instances
        #[arg(required = true, add = ArgValueCandidates::new(completion::instances))]
        names: Vec<String>,
    },
    /// Attach to the console of an instance; Ctrl-] leaves it
    #[command(after_help = "Example: microvisor console firewall")]
    Console {
        /// Name of the instance
        #[arg(add = ArgValueCandidates::new(completion::instances))]
        name: String,
    },
    /// Read and write handlers of an instance's Click elements, or replace its configuration
    #[command(after_help = "Example: microvisor click firewall read passed.count")]
    Click {
        /// Name of the instance
        #[arg(add = ArgValueCandidates::new(completion::instances))]
        name: String,
        /// What to do
        #[command(subcommand)]
        command: ClickCommand,
    },
    /// List the elements of Click files, or print the manual page of one
    #[command(after_help = "Example: microvisor elements IPFilter")]
    Elements {
        /// Name of an element
        #[arg(add = ArgValueCandidates::new(completion::elements))]
        name: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Write all pages to a folder
        #[arg(long, value_name = "FOLDER", conflicts_with_all = ["name", "json"])]
        write: Option<PathBuf>,
    },
    /// Show what an image is and needs, or the state of a running instance
    #[command(after_help = "Example: microvisor inspect clickos")]
    Inspect {
        /// Image file, name of a built-in image, or name of an instance
        #[arg(add = ArgValueCompleter::new(completion::inspectable))]
        what: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Start the node, the daemon that runs instances on request; `microvisor node --help` lists its options
    ///
    /// `microvisor node backup FILE` writes all that the node knows, images too, to a file, while it runs. `microvisor node
    /// restore FILE` makes the store of a node that does not run from it.
    #[command(disable_help_flag = true, after_help = "Example: microvisor node backup node.backup")]
    Node {
        /// Options of microvisor-node
        #[arg(allow_hyphen_values = true, trailing_var_arg = true)]
        arguments: Vec<OsString>,
    },
    /// Start instances of the node that do not run
    #[command(after_help = "Example: microvisor start firewall")]
    Start {
        /// Names of instances
        #[arg(required_unless_present = "selector", add = ArgValueCandidates::new(completion::node_instances))]
        names: Vec<String>,
        /// Those with a label: NAME=VALUE, or NAME for any value; may be repeated
        #[arg(long, short = 'l', value_name = "LABEL")]
        selector: Vec<Selector>,
    },
    /// Stop instances of the node and start them again
    #[command(after_help = "Example: microvisor reboot firewall")]
    Reboot {
        /// Names of instances
        #[arg(required_unless_present = "selector", add = ArgValueCandidates::new(completion::node_instances))]
        names: Vec<String>,
        /// Those with a label: NAME=VALUE, or NAME for any value; may be repeated
        #[arg(long, short = 'l', value_name = "LABEL")]
        selector: Vec<Selector>,
    },
    /// Pause the guests of instances of the node
    #[command(after_help = "Example: microvisor pause firewall")]
    Pause {
        /// Names of instances
        #[arg(required_unless_present = "selector", add = ArgValueCandidates::new(completion::node_instances))]
        names: Vec<String>,
        /// Those with a label: NAME=VALUE, or NAME for any value; may be repeated
        #[arg(long, short = 'l', value_name = "LABEL")]
        selector: Vec<Selector>,
    },
    /// Resume paused guests
    #[command(after_help = "Example: microvisor resume firewall")]
    Resume {
        /// Names of instances
        #[arg(required_unless_present = "selector", add = ArgValueCandidates::new(completion::node_instances))]
        names: Vec<String>,
        /// Those with a label: NAME=VALUE, or NAME for any value; may be repeated
        #[arg(long, short = 'l', value_name = "LABEL")]
        selector: Vec<Selector>,
    },
    /// Delete instances of the node
    #[command(after_help = "Example: microvisor rm --force firewall")]
    Rm {
        /// Names of instances
        #[arg(required_unless_present = "selector", add = ArgValueCandidates::new(completion::node_instances))]
        names: Vec<String>,
        /// Those with a label: NAME=VALUE, or NAME for any value; may be repeated
        #[arg(long, short = 'l', value_name = "LABEL")]
        selector: Vec<Selector>,
        /// End those that run
        #[arg(long, short)]
        force: bool,
    },
    /// Print the last console output of an instance of the node
    #[command(after_help = "Example: microvisor logs -f firewall")]
    Logs {
        /// Name of the instance
        #[arg(add = ArgValueCandidates::new(completion::node_instances))]
        name: String,
        /// Keep printing what comes, until the instance stops
        #[arg(long, short)]
        follow: bool,
        /// Print the time before each line
        #[arg(long, short, requires = "follow")]
        timestamps: bool,
    },
    /// Print what instances shall be, or all that the node has, as `apply` takes it
    #[command(after_help = "Example: microvisor get > site.yaml")]
    Get {
        /// Names of instances [default: networks, flavors and instances, all of them]
        #[arg(add = ArgValueCandidates::new(completion::node_instances))]
        names: Vec<String>,
        /// How it is written
        #[arg(long, short, value_name = "FORM", default_value = "yaml")]
        output: Form,
    },
    /// Show what differs from a file, and make the node as the file says: networks, flavors, instances
    #[command(after_help = "Example: microvisor apply -f site.yaml --dry-run")]
    Apply {
        /// The file, YAML or JSON; - is standard input
        #[arg(long, short, value_name = "FILE")]
        file: PathBuf,
        /// End and create anew the instances that differ in more than their configuration
        #[arg(long)]
        replace: bool,
        /// Only show what differs
        #[arg(long)]
        dry_run: bool,
    },
    /// Edit the configuration of an instance, which takes it without losing a packet
    #[command(after_help = "Example: EDITOR=nano microvisor edit firewall")]
    Edit {
        /// Name of the instance
        #[arg(add = ArgValueCandidates::new(completion::node_instances))]
        name: String,
    },
    /// Change labels or restart policy of instances; their guests notice nothing
    #[command(
        after_help = "Example: microvisor set firewall --label app=edge --unlabel old --restart always"
    )]
    Set {
        /// Names of instances
        #[arg(required = true, add = ArgValueCandidates::new(completion::node_instances))]
        names: Vec<String>,
        /// What changes
        #[command(flatten)]
        change: ChangeOptions,
    },
    /// Manage networks of the node
    #[command(after_help = "Example: microvisor net create blue --subnet 10.0.0.0/24")]
    Net {
        /// What to do
        #[command(subcommand)]
        command: NetCommand,
    },
    /// Manage flavors of the node: sizes by name
    #[command(after_help = "Example: microvisor flavor create small --memory 4")]
    Flavor {
        /// What to do
        #[command(subcommand)]
        command: FlavorCommand,
    },
    /// Manage images of the node
    #[command(after_help = "Example: microvisor image import router.elf")]
    Image {
        /// What to do
        #[command(subcommand)]
        command: ImageCommand,
    },
    /// Manage tokens for the node's API over TCP
    #[command(after_help = "Example: microvisor token create monitoring --role read")]
    Token {
        /// What to do
        #[command(subcommand)]
        command: TokenCommand,
    },
    /// Show how the node is: version, instances, switch, host
    #[command(after_help = "Example: microvisor status")]
    Status {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Manage contexts: nodes by name, on this host and on others
    #[command(
        after_help = "Example: microvisor context add lab https://10.0.0.7:7070 --token-file token --ca node.crt\n\n\
        MICROVISOR_CONTEXT names the context for one command, MICROVISOR_NODE a node itself: a URL, with \
        MICROVISOR_TOKEN and MICROVISOR_CA, or the path of a socket."
    )]
    Context {
        /// What to do
        #[command(subcommand)]
        command: ContextCommand,
    },
    /// Print what happened on the node
    #[command(after_help = "Example: microvisor events --follow")]
    Events {
        /// Keep printing events as they happen
        #[arg(long, short)]
        follow: bool,
        /// Print JSON, one event per line
        #[arg(long)]
        json: bool,
    },
    /// Look at a running switch, or change it
    Switch(Box<SwitchOptions>),
    /// Show where the time of an instance's start went
    #[command(after_help = "Example: microvisor timeline firewall")]
    Timeline {
        /// Name of the instance
        #[arg(required_unless_present = "stats", conflicts_with = "stats",
            add = ArgValueCandidates::new(completion::instances))]
        name: Option<String>,
        /// Show percentiles of every phase over the node's last instances
        #[arg(long)]
        stats: bool,
        /// How many instances to include
        #[arg(long, requires = "stats", default_value_t = 100)]
        last: usize,
        /// The form
        #[command(flatten)]
        forms: Forms,
    },
    /// Watch the node's instances: state, CPU, memory, packets, drops
    #[command(after_help = "Example: microvisor top --interval 5")]
    Top {
        /// Seconds between updates
        #[arg(long, short, value_name = "SECONDS", default_value_t = 1.0, value_parser = values::interval)]
        interval: f64,
        /// End after this many updates
        #[arg(long, short = 'n', value_name = "COUNT")]
        count: Option<u64>,
        /// Those with a label: NAME=VALUE, or NAME for any value; may be repeated
        #[arg(long, short = 'l', value_name = "LABEL")]
        selector: Vec<Selector>,
    },
    /// Say what this host has and lacks, each with the next step; exit status 124 if something is missing
    #[command(after_help = "Example: microvisor doctor")]
    Doctor {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print a completion script for a shell
    #[command(after_help = "Example: microvisor completion bash > /etc/bash_completion.d/microvisor")]
    Completion {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write manual pages, one for each command, to a folder
    #[command(after_help = "Example: microvisor man /usr/local/share/man/man1")]
    Man {
        /// The folder
        folder: PathBuf,
    },
}
