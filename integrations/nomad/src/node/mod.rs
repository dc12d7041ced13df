//! The node, by its API: [`Node`] asks it, [`watch`] follows what happens there.

pub mod watch;

use api::Problem;
use api::event::Event;
use api::flavor::Flavor;
use api::instance::Instances;
use api::instance::{Instance, InstanceSpec};
use api::network::Network;
use api::status::Status;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::CONTENT_TYPE;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::PathBuf;
use std::time::Duration;
use tokio::net::UnixStream;
use uuid::Uuid;

/// Where the node's socket usually is.
pub const SOCKET: &str = "/run/microvisor/node/api.sock";
/// How long an answer may take, unless what is asked for takes longer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// For a start, which the node answers within 20 s.
const START: Duration = Duration::from_secs(25);
/// For an image that the node fetches.
const FETCH: Duration = Duration::from_secs(310);
/// Longest answer that is read, bytes.
const LONGEST: usize = 16 << 20;
/// Instances of a page.
const PAGE: usize = 1000;

/// Why the node did not do something.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Fault {
    /// It does not answer. What was asked may have been done.
    #[error("the node does not answer at {socket}: {reason}")]
    Unreachable {
        /// The socket of its API.
        socket: String,
        /// What the host says.
        reason: String,
    },
    /// It refuses.
    #[error("{}", sentence(.0))]
    Refused(Problem),
}

/// What happened, where, and the next step.
fn sentence(problem: &Problem) -> String {
    match &problem.hint {
        Some(hint) => format!("{} ({hint})", problem.detail),
        None => problem.detail.clone(),
    }
}

impl Fault {
    /// Whether the node says that it is of this kind: `absent`, `taken`, ...
    pub fn is(&self, kind: &str) -> bool {
        matches!(self, Fault::Refused(problem) if problem.kind.strip_prefix("urn:microvisor:") == Some(kind))
    }

    /// Whether the same may be done later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Fault::Unreachable { .. }) || self.is("host") || self.is("node")
    }
}

/// What a request is about.
struct Call<'a> {
    method: Method,
    path: &'a str,
    headers: &'a [(&'static str, &'a str)],
    body: Content,
    timeout: Duration,
}

enum Content {
    None,
    Json(Vec<u8>),
    Bytes(Vec<u8>),
}

fn json(value: &impl Serialize) -> Content {
    Content::Json(serde_json::to_vec(value).unwrap_or_default())
}

fn call(method: Method, path: &str) -> Call<'_> {
    Call { method, path, headers: &[], body: Content::None, timeout: ANSWER_TIMEOUT }
}

/// One node. Every request has a connection of its own.
#[derive(Clone, Debug)]
pub struct Node {
    socket: PathBuf,
}

impl Node {
    /// The node with this socket, which need not be there yet.
    pub fn at(socket: impl Into<PathBuf>) -> Self {
        Self { socket: socket.into() }
    }

    fn unreachable(&self, reason: impl std::fmt::Display) -> Fault {
        Fault::Unreachable { socket: self.socket.display().to_string(), reason: reason.to_string() }
    }

    async fn send(&self, call: Call<'_>) -> Result<Response<Incoming>, Fault> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|e| self.unreachable(e))?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|e| self.unreachable(e))?;
        tokio::spawn(connection);
        let mut request = Request::builder().method(call.method).uri(call.path).header("host", "node");
        for (name, value) in call.headers {
            request = request.header(*name, *value);
        }
        let bytes = match call.body {
            Content::None => Vec::new(),
            Content::Json(bytes) => {
                request = request.header(CONTENT_TYPE, "application/json");
                bytes
            }
            Content::Bytes(bytes) => {
                request = request.header(CONTENT_TYPE, "application/octet-stream");
                bytes
            }
        };
        let request = request.body(Full::<Bytes>::from(bytes)).map_err(|e| self.unreachable(e))?;
        let response = sender.send_request(request).await.map_err(|e| self.unreachable(e))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let bytes = self.read(response).await?;
        let problem = serde_json::from_slice(&bytes);
        Err(problem.map_or_else(|e| self.unreachable(format!("{status}: {e}")), Fault::Refused))
    }

    async fn read(&self, response: Response<Incoming>) -> Result<Bytes, Fault> {
        let read = Limited::new(response.into_body(), LONGEST).collect().await;
        Ok(read.map_err(|e| self.unreachable(e))?.to_bytes())
    }

    async fn bytes(&self, call: Call<'_>) -> Result<Bytes, Fault> {
        let timeout = call.timeout;
        let answer = async { self.read(self.send(call).await?).await };
        let late = |_| self.unreachable(format!("no answer within {timeout:?}"));
        tokio::time::timeout(timeout, answer).await.map_err(late)?
    }

    async fn value<T: DeserializeOwned>(&self, call: Call<'_>) -> Result<T, Fault> {
        serde_json::from_slice(&self.bytes(call).await?).map_err(|e| self.unreachable(e))
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Fault> {
        self.value(call(Method::GET, path)).await
    }

    /// How the node is.
    pub async fn status(&self) -> Result<Status, Fault> {
        self.get("/v1/status").await
    }

    /// Makes an instance and waits until it is ready. `request` ties the node's log and timeline to it.
    pub async fn create(&self, spec: &InstanceSpec, request: &str) -> Result<Instance, Fault> {
        let headers = [("x-request-id", request)];
        let call = Call {
            headers: &headers,
            body: json(spec),
            timeout: START,
            ..call(Method::POST, "/v1/instances")
        };
        self.value(call).await
    }

    /// An instance, by name or id.
    pub async fn instance(&self, name: &str) -> Result<Instance, Fault> {
        self.get(&format!("/v1/instances/{name}")).await
    }

    /// All instances.
    pub async fn instances(&self) -> Result<Vec<Instance>, Fault> {
        let mut all = Vec::new();
        let mut after = String::new();
        loop {
            let page: Instances = self.get(&format!("/v1/instances?limit={PAGE}&after={after}")).await?;
            all.extend(page.instances);
            match page.next {
                Some(next) => after = next.to_string(),
                None => return Ok(all),
            }
        }
    }

    /// Stops an instance; answered when it has stopped. It is killed after `grace`.
    pub async fn stop(&self, id: Uuid, grace: Duration) -> Result<Instance, Fault> {
        let grace = grace.min(Duration::from_secs(600));
        let path = format!("/v1/instances/{id}/stop?grace_ms={}", grace.as_millis());
        self.value(Call { timeout: grace + START, ..call(Method::POST, &path) }).await
    }

    /// Removes an instance, whether it runs or not.
    pub async fn remove(&self, id: Uuid) -> Result<(), Fault> {
        let path = format!("/v1/instances/{id}?force=true");
        self.bytes(call(Method::DELETE, &path)).await.map(drop)
    }

    /// Keeps an instance's guest from running.
    pub async fn pause(&self, id: Uuid) -> Result<(), Fault> {
        self.bytes(call(Method::POST, &format!("/v1/instances/{id}/pause"))).await.map(drop)
    }

    /// Lets it run on.
    pub async fn resume(&self, id: Uuid) -> Result<(), Fault> {
        self.bytes(call(Method::POST, &format!("/v1/instances/{id}/resume"))).await.map(drop)
    }

    /// Has an instance run another configuration, without a packet lost.
    pub async fn configure(&self, id: Uuid, config: &str) -> Result<(), Fault> {
        let path = format!("/v1/instances/{id}/config");
        let body = json(&serde_json::json!({ "config": config }));
        self.bytes(Call { body, ..call(Method::PUT, &path) }).await.map(drop)
    }

    /// A handler's value.
    pub async fn read_handler(&self, id: Uuid, handler: &str) -> Result<String, Fault> {
        let path = format!("/v1/instances/{id}/handlers/{}", escaped(handler));
        let answer: serde_json::Value = self.get(&path).await?;
        Ok(answer["value"].as_str().unwrap_or_default().to_owned())
    }

    /// Writes a handler.
    pub async fn write_handler(&self, id: Uuid, handler: &str, value: &str) -> Result<(), Fault> {
        let path = format!("/v1/instances/{id}/handlers/{}", escaped(handler));
        let body = json(&serde_json::json!({ "value": value }));
        self.bytes(Call { body, ..call(Method::PUT, &path) }).await.map(drop)
    }

    /// What an instance has written to its console: the last of it.
    pub async fn console(&self, id: Uuid) -> Result<Bytes, Fault> {
        self.bytes(call(Method::GET, &format!("/v1/instances/{id}/console"))).await
    }

    /// What its monitor and the kernel count of a running instance.
    pub async fn inspect(&self, id: Uuid) -> Result<serde_json::Value, Fault> {
        self.get(&format!("/v1/instances/{id}/inspect")).await
    }

    /// Networks.
    pub async fn networks(&self) -> Result<Vec<Network>, Fault> {
        self.get("/v1/networks").await
    }

    /// Makes a network; as it became.
    pub async fn make_network(&self, network: &Network) -> Result<Network, Fault> {
        self.value(Call { body: json(network), ..call(Method::POST, "/v1/networks") }).await
    }

    /// Removes a network that no instance is on.
    pub async fn remove_network(&self, name: &str) -> Result<(), Fault> {
        self.bytes(call(Method::DELETE, &format!("/v1/networks/{name}"))).await.map(drop)
    }

    /// Has a flavor be there.
    pub async fn flavor(&self, flavor: &Flavor) -> Result<(), Fault> {
        let made = self.bytes(Call { body: json(flavor), ..call(Method::POST, "/v1/flavors") }).await;
        made.map(drop).or_else(|e| if e.is("taken") { Ok(()) } else { Err(e) })
    }

    /// Whether there is an image.
    pub async fn has_image(&self, name: &str) -> Result<bool, Fault> {
        match self.bytes(call(Method::GET, &format!("/v1/images/{}", escaped(name)))).await {
            Ok(_) => Ok(true),
            Err(e) if e.is("absent") => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// Imports an image of these bytes, unless there is one of the name.
    pub async fn import(&self, name: &str, bytes: Vec<u8>) -> Result<(), Fault> {
        let path = format!("/v1/images?name={}", escaped(name));
        self.imported(Call { body: Content::Bytes(bytes), timeout: FETCH, ..call(Method::POST, &path) }).await
    }

    /// Has the node fetch an image, which must have this digest.
    pub async fn import_from(&self, name: &str, url: &str, digest: &str) -> Result<(), Fault> {
        let path = format!("/v1/images?name={}&url={}&id={digest}", escaped(name), escaped(url));
        self.imported(Call { timeout: FETCH, ..call(Method::POST, &path) }).await
    }

    async fn imported(&self, call: Call<'_>) -> Result<(), Fault> {
        self.bytes(call).await.map(drop).or_else(|e| if e.is("taken") { Ok(()) } else { Err(e) })
    }

    /// Adds an orchestrator's phases to an instance's timeline.
    pub async fn add_phases(&self, name: &str, phases: &[::api::timeline::External]) -> Result<(), Fault> {
        let path = format!("/v1/instances/{name}/timeline/phases");
        self.bytes(Call { body: json(&phases), ..call(Method::POST, &path) }).await.map(drop)
    }

    /// What happens on the node, event by event, until the connection breaks; nothing, once, when it begins.
    pub async fn follow(&self, mut take: impl FnMut(Option<Event>)) -> Fault {
        let response = match self.send(call(Method::GET, "/v1/events/watch")).await {
            Ok(response) => response,
            Err(e) => return e,
        };
        take(None);
        let mut lines = Lines::default();
        let mut body = response.into_body();
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { break };
            let Ok(data) = frame.into_data() else { continue };
            lines.take(&data, |line| {
                if let Some(event) = line.strip_prefix(b"data:").and_then(|e| serde_json::from_slice(e).ok())
                {
                    take(Some(event));
                }
            });
        }
        self.unreachable("the stream of events ended")
    }

    /// An instance's console from a place on, for as long as it runs.
    pub async fn console_from(&self, id: Uuid, from: u64) -> Result<Console, Fault> {
        let path = format!("/v1/instances/{id}/console?follow=true&from={from}");
        let sent = tokio::time::timeout(ANSWER_TIMEOUT, self.send(call(Method::GET, &path))).await;
        let response = sent.map_err(|_| self.unreachable("no console in time"))??;
        let number = |name: &str| response.headers().get(name)?.to_str().ok()?.parse().ok();
        let (offset, run) =
            (number("x-console-offset").unwrap_or(from), number("x-console-run").unwrap_or(0));
        Ok(Console { offset, run, body: response.into_body() })
    }
}

/// A console that is followed.
pub struct Console {
    /// The place of the first byte that comes, from the beginning of the run.
    pub offset: u64,
    /// Which run it is of: the monitor's process number.
    pub run: u64,
    body: Incoming,
}

impl Console {
    /// What comes next; nothing at the end of the run, or when the node goes away.
    pub async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Ok(data) = self.body.frame().await?.ok()?.into_data() {
                return Some(data);
            }
        }
    }
}

/// Puts lines together that come in pieces.
#[derive(Default)]
pub struct Lines {
    rest: Vec<u8>,
}

impl Lines {
    /// Takes a piece; each line that is whole now is given, without its end.
    pub fn take(&mut self, data: &[u8], mut give: impl FnMut(&[u8])) {
        self.rest.extend_from_slice(data);
        let mut begin = 0;
        while let Some(length) = self.rest[begin..].iter().position(|&b| b == b'\n') {
            give(self.rest[begin..begin + length].trim_ascii_end());
            begin += length + 1;
        }
        self.rest.drain(..begin);
        if self.rest.len() > LONGEST {
            self.rest.clear();
        }
    }
}

/// A part of a path or of a query.
pub fn escaped(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~".contains(&b);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_whole_however_they_are_cut() {
        let mut lines = Lines::default();
        let mut seen = Vec::new();
        for piece in ["da", "ta: 1\r\nda", "ta: 2\n", "rest"] {
            lines.take(piece.as_bytes(), |line| seen.push(String::from_utf8_lossy(line).into_owned()));
        }
        assert_eq!(seen, ["data: 1", "data: 2"]);
    }

    #[test]
    fn what_would_end_a_part_of_a_path_is_escaped() {
        assert_eq!(escaped("a b/c?d"), "a%20b%2Fc%3Fd");
    }
}
