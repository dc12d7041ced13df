//! Commands on one running instance, whether the node runs it or not. They talk to its monitor's control socket.

pub mod click;
pub mod console;
mod handler;
pub mod inspect;
pub mod profile;
pub mod ps;
pub mod stop;
pub mod timeline;

use crate::local::list;
use crate::node::{context, instances};
use crate::output::Failure;
use crate::suggestion::did_you_mean;
use api::problem::Problem;
use machine::control::{CallError, Client, RefusalKind, Request, Response};
use machine::status;
use std::io;
use std::time::Duration;

/// How long a monitor may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why a running instance did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// There is no such instance.
    #[error("no instance named {0} is running")]
    Absent(String),
    /// Its monitor could not be asked.
    #[error("{0}: {1}")]
    Call(String, CallError),
    /// It said no.
    #[error("{1}")]
    Refused(RefusalKind, String),
    /// The node, which was asked instead, said no.
    #[error("{0}")]
    Node(Box<Problem>),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let status = match &refusal {
            Refusal::Node(problem) => return (**problem).clone().into(),
            Refusal::Absent(_) => status::HOST,
            Refusal::Call(_, CallError::Io(e)) if e.kind() == io::ErrorKind::PermissionDenied => {
                status::PERMISSION
            }
            Refusal::Call(..) => status::MONITOR,
            Refusal::Refused(RefusalKind::Busy | RefusalKind::Ended, _) => status::MONITOR,
            Refusal::Refused(..) => status::CONFIGURATION_REFUSED,
        };
        let failure = Failure::new(&refusal, status);
        match refusal {
            Refusal::Absent(name) => {
                let known = known();
                let meant = did_you_mean(&name, known.iter().map(String::as_str));
                failure.hint(meant.unwrap_or_else(|| "see what is running: microvisor ps".into()))
            }
            _ => failure,
        }
    }
}

/// The monitor gave an answer that does not belong to the request.
fn unexpected(name: &str) -> Failure {
    Failure::new(format!("the monitor of {name} gave an answer that does not fit"), status::MONITOR)
}

/// Names of instances, with and without the node.
fn known() -> Vec<String> {
    let on_node = context::find().and_then(|client| instances::all(&client).ok()).unwrap_or_default();
    let local = if context::is_remote() { Vec::new() } else { list::running() };
    local.into_iter().map(|r| r.name).chain(on_node.into_iter().map(|i| i.name)).collect()
}

/// Whether an instance that runs without the node is meant.
fn is_local(name: &str) -> bool {
    !context::is_remote() && list::is_running(name)
}

/// Connects to a running instance.
fn connect(name: &str) -> Result<Client, Refusal> {
    let local = list::socket(name).filter(|_| !context::is_remote());
    let socket = local.or_else(|| instances::socket(name)).filter(|s| s.exists());
    let socket = socket.ok_or_else(|| Refusal::Absent(name.into()))?;
    Client::connect(&socket).map_err(|e| Refusal::Call(name.into(), e))
}

/// Asks a running instance once.
fn call(name: &str, request: &Request) -> Result<Response, Refusal> {
    let mut client = match connect(name) {
        Ok(client) => client,
        // It is on another host, or root's: the node's API is there for others.
        Err(Refusal::Absent(_)) if context::is_remote() && instances::has(name) => {
            return instances::ask(name, request).map_err(Refusal::Node);
        }
        Err(Refusal::Call(_, CallError::Io(e)))
            if e.kind() == io::ErrorKind::PermissionDenied && !is_local(name) && instances::has(name) =>
        {
            return instances::ask(name, request).map_err(Refusal::Node);
        }
        Err(e) => return Err(e),
    };
    let answer = client.call(request, TIMEOUT);
    match answer.map_err(|e| Refusal::Call(name.into(), e))? {
        Response::Refused { kind, message } => Err(Refusal::Refused(kind, message)),
        other => Ok(other),
    }
}

/// A time span, as long as a word.
pub fn up_words(up: Duration) -> String {
    match up.as_secs() {
        s @ 0..60 => format!("{s} s"),
        s @ 60..3600 => format!("{} min", s / 60),
        s @ 3600..86400 => format!("{} h", s / 3600),
        s => format!("{} d", s / 86400),
    }
}
