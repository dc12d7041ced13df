//! Instances of the node: what is done with them, and what others ask about them.

use super::context::{self, NodeTarget};
use super::escaped;
use super::labels::{Selector, select};
use crate::output::{self, Failure};
use api::client::Method;
use api::client::{Body, Client};
use api::instance::Instance;
use api::instance::Instances;
use api::problem::Problem;
use api::timeline::Timeline;
use machine::control::{Request, Response};
use machine::status;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Most instances of a page of the API.
const PAGE: usize = 1000;

/// All instances.
pub fn all(client: &Client) -> Result<Vec<Instance>, Failure> {
    let mut all: Vec<Instance> = Vec::new();
    let mut after = String::new();
    loop {
        let page: Instances = client.get(&format!("/v1/instances?limit={PAGE}&after={after}"))?;
        all.extend(page.instances);
        match page.next {
            Some(next) => after = next.to_string(),
            None => return Ok(all),
        }
    }
}

/// The node, or `None` if this host has none. One that is expected and does not answer is a failure: its socket is
/// named, or its run folder is there.
pub fn expected() -> Result<Option<Client>, Failure> {
    let (socket, is_named) = match context::target()? {
        NodeTarget::Remote(client) => return Ok(Some(client)),
        NodeTarget::Socket(socket, is_named) => (socket, is_named),
    };
    match listener::connect(&socket) {
        Ok(_) => Ok(Client::on_socket(socket)),
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
            let message = format!("no permission to ask the node at {}", socket.display());
            Err(Failure::new(message, status::PERMISSION)
                .hint("run as root, or have root add you to the group microvisor"))
        }
        Err(_) if !is_named && !socket.parent().is_some_and(Path::is_dir) => Ok(None),
        Err(e) => Err(Failure::new(
            format!("the node does not answer at {}: {e}; its instances are not shown", socket.display()),
            status::HOST,
        )
        .hint("start it: microvisor node")),
    }
}

/// Path of an instance in the API, and below it.
pub fn path(name: &str, below: &str) -> String {
    // A name that cannot be one is not sent: it would be another path.
    let name = if api::instance::is_name(name) { name } else { "-" };
    format!("/v1/instances/{name}{below}")
}

/// Whether the node has an instance of this name.
pub fn has(name: &str) -> bool {
    context::find().is_some_and(|c| c.get::<Instance>(&path(name, "")).is_ok())
}

/// Whether the node of this host has an instance of this name, whichever node commands ask.
pub fn has_here(name: &str) -> bool {
    context::of_host().is_some_and(|c| c.get::<Instance>(&path(name, "")).is_ok())
}

/// Asks an instance through the API, which other hosts and users reach, what else its control socket is asked.
pub fn ask(name: &str, request: &Request) -> Result<Response, Box<Problem>> {
    /// A handler's value, as the API has it.
    #[derive(serde::Deserialize)]
    struct Value {
        value: String,
    }
    let broken = |e: serde_json::Error| Problem::node(e.to_string());
    let client = context::find().ok_or_else(|| Problem::host("no node answers"))?;
    match request {
        Request::Read { handler } => {
            let read: Value = client.get(&path(name, &format!("/handlers/{}", escaped(handler))))?;
            Ok(Response::Done { value: read.value })
        }
        Request::Write { handler, value } => {
            let (path, body) = (
                path(name, &format!("/handlers/{}", escaped(handler))),
                serde_json::json!({ "value": value }),
            );
            let answer = client.bytes(Method::PUT, &path, Body::Json(&body))?;
            let written: Value = serde_json::from_slice(&answer).map_err(broken)?;
            Ok(Response::Done { value: written.value })
        }
        Request::Inspect => {
            let mut inspected: serde_json::Value = client.get(&path(name, "/inspect"))?;
            inspected.as_object_mut().map(|i| i.remove("usage"));
            Ok(Response::Instance(serde_json::from_value(inspected).map_err(broken)?))
        }
        _ => Err(Problem::invalid("that can be done on the instance's own host alone").into()),
    }
}

/// The control socket of an instance.
pub fn socket(name: &str) -> Option<PathBuf> {
    let client = context::find()?;
    let instance: Instance = client.get(&path(name, "")).ok()?;
    Some(client.run_folder()?.join("i").join(instance.id.to_string()).join("control.sock"))
}

/// Stops an instance.
pub fn stop(name: &str, grace: Duration) -> Result<(), Failure> {
    let path = path(name, &format!("/stop?grace_ms={}", grace.as_millis()));
    context::required()?.bytes(Method::POST, &path, Body::None)?;
    Ok(())
}

/// Replaces an instance's configuration, now and for its next starts.
pub fn configure(name: &str, config: &str) -> Result<(), Failure> {
    let body = serde_json::json!({ "config": config });
    context::required()?.bytes(Method::PUT, &path(name, "/config"), Body::Json(&body))?;
    Ok(())
}

/// Writes a handler; what it answers.
pub fn write_handler(name: &str, handler: &str, value: &str) -> Result<String, Failure> {
    let path = path(name, &format!("/handlers/{}", escaped(handler)));
    let body = serde_json::json!({ "value": value });
    let answer = context::required()?.bytes(Method::PUT, &path, Body::Json(&body))?;
    let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap_or_default();
    Ok(answer["value"].as_str().unwrap_or_default().to_owned())
}

/// The timeline of an instance.
pub fn timeline(name: &str) -> Result<Timeline, Failure> {
    Ok(context::required()?.get(&path(name, "/timeline"))?)
}

/// `microvisor start`, `reboot`, `pause`, `resume`: the API has the same names for them.
pub fn act(names: &[String], action: &str) -> Result<(), Failure> {
    let client = context::required()?;
    output::each(names, |name| {
        client.bytes(Method::POST, &path(name, &format!("/{action}")), Body::None)?;
        Ok(())
    })
}

/// `microvisor rm`
pub fn remove(names: &[String], force: bool) -> Result<(), Failure> {
    let client = context::required()?;
    output::each(names, |name| Ok(client.delete(&path(name, &format!("?force={force}")))?))
}

/// `microvisor logs`
pub fn logs(name: &str, follow: bool, times: bool) -> Result<(), Failure> {
    if !follow {
        return output::print(context::required()?.bytes(
            Method::GET,
            &path(name, "/console"),
            Body::None,
        )?);
    }
    let mut stamps = times.then(Stamps::default);
    follow_console(name, |piece| match &mut stamps {
        Some(stamps) => output::print(stamps.before_lines(piece, SystemTime::now())),
        None => output::print(piece),
    })
}

/// Passes on what an instance prints, from 64 KiB ago until its run ends.
pub fn follow_console(name: &str, mut take: impl FnMut(&[u8]) -> Result<(), Failure>) -> Result<(), Failure> {
    let mut taken = Ok(());
    context::required()?.stream(Method::GET, &path(name, "/console?follow=true"), |piece| {
        taken = take(piece);
        taken.is_ok()
    })?;
    taken
}

/// Puts the time at which a line began to come before it.
#[derive(Default)]
struct Stamps {
    within_line: bool,
}

impl Stamps {
    fn before_lines(&mut self, piece: &[u8], now: SystemTime) -> Vec<u8> {
        let mut text = Vec::new();
        for line in piece.split_inclusive(|&byte| byte == b'\n') {
            if !self.within_line {
                text.extend(format!("{} ", humantime::format_rfc3339_millis(now)).into_bytes());
            }
            text.extend(line);
            self.within_line = !line.ends_with(b"\n");
        }
        text
    }
}

/// Instances of the node that a command concerns: those named, and those that the selectors mean.
pub fn chosen(names: &[String], selectors: &[Selector]) -> Result<Vec<String>, Failure> {
    let mut chosen = names.to_vec();
    if !selectors.is_empty() {
        let all = all(&context::required()?)?;
        chosen.extend(all.into_iter().filter(|i| select(selectors, &i.labels)).map(|i| i.name));
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_has_the_time_at_which_it_began() {
        let mut stamps = Stamps::default();
        let mut text = |piece: &str, at: u64| {
            let now = SystemTime::UNIX_EPOCH + Duration::from_millis(at);
            String::from_utf8(stamps.before_lines(piece.as_bytes(), now)).unwrap()
        };
        assert_eq!(text("a\nb", 1), "1970-01-01T00:00:00.001Z a\n1970-01-01T00:00:00.001Z b");
        assert_eq!(text("c\n", 2), "c\n");
        assert_eq!(text("d\n", 3), "1970-01-01T00:00:00.003Z d\n");
    }
}
