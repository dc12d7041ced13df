//! `nomad-driver-microvisor timeline`: follows what Nomad says of allocations, and adds its phases to the node's timelines of
//! their instances, so that `microvisor timeline ALLOC` goes from the job's registration to the first packet.
//!
//! Two streams of the local client's agent say it all: the event stream (job, evaluation, plan, allocation) and the log at trace level
//! (every hook); a third, a server's log, says more of the scheduler. [`collector`] gathers them by
//! allocation, [`mapping`] has Nomad's names and what they are in the general model, [`agent`] asks.

pub mod agent;
pub mod collector;
pub mod mapping;

use crate::node::{Lines, Node, SOCKET};
use agent::Agent;
use clap::Parser;
use collector::{Collector, StartedTask};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

/// Before a stream that broke is opened again.
const PAUSE: Duration = Duration::from_secs(1);
/// After the server has heard that a task runs, until all that the log says of its start has been read.
const SETTLE: Duration = Duration::from_millis(100);
/// Tries to add phases to a timeline that is not written yet, and the pause between them.
const TRIES: (usize, Duration) = (50, Duration::from_millis(100));

/// Where to listen and whom to tell.
#[derive(Debug, Parser)]
#[command(
    name = "nomad-driver-microvisor timeline",
    about = "Add what Nomad does for allocations to their timelines on the node"
)]
struct Options {
    /// The local client's agent; a token is taken from NOMAD_TOKEN
    #[arg(long, env = "NOMAD_ADDR", default_value = "http://127.0.0.1:4646")]
    nomad: String,
    /// A server's agent, whose log says when a request came and how long the scheduler took
    #[arg(long)]
    server: Option<String>,
    /// The node's socket
    #[arg(long, env = "MICROVISOR_NODE", default_value = SOCKET)]
    node: String,
    /// Print what is found, a line of JSON for each task
    #[arg(long)]
    print: bool,
}

/// Which stream a line is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The event stream.
    Events,
    /// The client's log.
    Client,
    /// The server's log.
    Server,
}

impl Source {
    fn path(self) -> &'static str {
        match self {
            Self::Events => "/v1/event/stream?topic=Job&topic=Evaluation&topic=Allocation",
            Self::Client | Self::Server => "/v1/agent/monitor?log_level=trace&log_json=true&plain=true",
        }
    }
}

/// Follows one stream for ever.
async fn follow(
    agent: Agent,
    source: Source,
    collector: Arc<Mutex<Collector>>,
    to: UnboundedSender<StartedTask>,
) {
    let mut said = false;
    loop {
        let mut lines = Lines::default();
        let ended = agent
            .stream(source.path(), |data| {
                lines.take(data, |line| {
                    let mut collector = collector.lock().unwrap_or_else(PoisonError::into_inner);
                    for found in collector.take(source, line) {
                        // The receiver lives as long as this does.
                        let _ = to.send(found);
                    }
                });
            })
            .await;
        if !said {
            eprintln!("{source:?}: {ended}");
        }
        // The same reason again is nothing new.
        said = true;
        tokio::time::sleep(PAUSE).await;
    }
}

/// Tells the node, and prints.
async fn send_phases(node: Node, print: bool, collector: Arc<Mutex<Collector>>, found: StartedTask) {
    tokio::time::sleep(SETTLE).await;
    let phases = collector.lock().unwrap_or_else(PoisonError::into_inner).phases(&found);
    if print {
        let line = serde_json::json!({ "alloc": found.allocation, "task": found.task, "job": found.job, "phases": phases });
        println!("{line}");
    }
    let name = crate::task::request::instance_name(&found.task, &found.allocation);
    for _ in 0..TRIES.0 {
        match node.add_phases(&name, &phases).await {
            // Another driver's task, or one that waits for its first packet.
            Ok(()) => return,
            Err(e) if e.is("absent") => return,
            Err(_) => tokio::time::sleep(TRIES.1).await,
        }
    }
}

/// Runs until it is ended.
pub async fn main(words: &[String]) -> Result<(), String> {
    let name = "nomad-driver-microvisor timeline".to_owned();
    let options = Options::parse_from(std::iter::once(&name).chain(words));
    let agent = Agent::at(&options.nomad, std::env::var("NOMAD_TOKEN").ok())?;
    let node = Node::at(&options.node);
    let collector = Arc::new(Mutex::new(Collector::default()));
    let (to, mut found) = unbounded_channel();
    for source in [Source::Events, Source::Client] {
        tokio::spawn(follow(agent.clone(), source, collector.clone(), to.clone()));
    }
    if let Some(server) = &options.server {
        let server = Agent::at(server, std::env::var("NOMAD_TOKEN").ok())?;
        tokio::spawn(follow(server, Source::Server, collector.clone(), to.clone()));
    }
    while let Some(found) = found.recv().await {
        tokio::spawn(send_phases(node.clone(), options.print, collector.clone(), found));
    }
    Ok(())
}
