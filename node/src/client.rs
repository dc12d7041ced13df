//! The API's other end, for programs on the same host.

use crate::problem::Problem;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::CONTENT_TYPE;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io;
use std::path::{Path, PathBuf};
use tokio::net::UnixStream;
use tokio::runtime::{Builder, Runtime};

/// Variable that names the API's socket.
pub const SOCKET: &str = "MICROVISOR_NODE";
const DEFAULT: &str = "/run/microvisor/node/api.sock";

/// A client. Every request has a connection of its own.
pub struct Client {
    socket: PathBuf,
    runtime: Runtime,
}

/// What a request carries.
pub enum Body<'a> {
    /// Nothing.
    None,
    /// A value, as JSON.
    Json(&'a dyn Json),
    /// Bytes as they are.
    Bytes(Vec<u8>),
}

/// Anything that becomes JSON.
pub trait Json {
    /// As JSON.
    fn json(&self) -> Vec<u8>;
}

impl<T: Serialize> Json for T {
    fn json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

fn broken(e: impl std::fmt::Display) -> Problem {
    Problem::node(format!("the node does not answer as it should: {e}"))
}

impl Client {
    /// The node whose socket is named, or else the one in the usual place, if anybody listens there.
    pub fn find() -> Option<Self> {
        let socket = std::env::var_os(SOCKET).map_or_else(|| DEFAULT.into(), PathBuf::from);
        Self::at(socket)
    }

    /// The node with this socket, if anybody listens there.
    pub fn at(socket: PathBuf) -> Option<Self> {
        std::os::unix::net::UnixStream::connect(&socket).ok()?;
        Some(Self { socket, runtime: Builder::new_current_thread().enable_io().build().ok()? })
    }

    /// The same, or why there is none.
    pub fn required() -> Result<Self, Problem> {
        Self::find().ok_or_else(|| {
            Problem::host("no node answers")
                .hint(format!("start one: microvisor node; or name its socket in {SOCKET}"))
        })
    }

    /// The node's run folder, where its instances' sockets are.
    pub fn run_folder(&self) -> Option<&Path> {
        self.socket.parent()
    }

    async fn send(&self, method: Method, path: &str, body: Body<'_>) -> Result<Response<Incoming>, Problem> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|e| match e.kind() {
            io::ErrorKind::PermissionDenied => Problem::host("no permission to ask the node").hint("be root"),
            _ => broken(e),
        })?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        tokio::spawn(connection);
        let (kind, bytes) = match body {
            Body::None => ("application/json", Vec::new()),
            Body::Json(value) => ("application/json", value.json()),
            Body::Bytes(bytes) => ("application/octet-stream", bytes),
        };
        let request =
            Request::builder().method(method).uri(path).header("host", "node").header(CONTENT_TYPE, kind);
        let request = request.body(Full::<Bytes>::from(bytes)).map_err(broken)?;
        let response = sender.send_request(request).await.map_err(broken)?;
        if response.status().is_success() {
            return Ok(response);
        }
        let bytes = response.into_body().collect().await.map_err(broken)?.to_bytes();
        Err(serde_json::from_slice(&bytes).unwrap_or_else(broken))
    }

    /// Asks; the answer's body.
    pub fn bytes(&self, method: Method, path: &str, body: Body<'_>) -> Result<Bytes, Problem> {
        self.runtime.block_on(async {
            let response = self.send(method, path, body).await?;
            Ok(response.into_body().collect().await.map_err(broken)?.to_bytes())
        })
    }

    /// Asks for something.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Problem> {
        serde_json::from_slice(&self.bytes(Method::GET, path, Body::None)?).map_err(broken)
    }

    /// Sends something; what became of it.
    pub fn post<T: DeserializeOwned>(&self, path: &str, value: &impl Serialize) -> Result<T, Problem> {
        serde_json::from_slice(&self.bytes(Method::POST, path, Body::Json(value))?).map_err(broken)
    }

    /// Removes something.
    pub fn delete(&self, path: &str) -> Result<(), Problem> {
        self.bytes(Method::DELETE, path, Body::None).map(drop)
    }

    /// Follows server-sent events, `data` by `data`, for as long as `take` wants more.
    pub fn follow(&self, path: &str, mut take: impl FnMut(&str) -> bool) -> Result<(), Problem> {
        self.runtime.block_on(async {
            let mut body = self.send(Method::GET, path, Body::None).await?.into_body();
            let mut text = Vec::new();
            while let Some(frame) = body.frame().await {
                let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
                text.extend_from_slice(&data);
                while let Some(end) = text.iter().position(|&b| b == b'\n') {
                    let line: Vec<u8> = text.drain(..=end).collect();
                    let line = String::from_utf8_lossy(&line);
                    if let Some(data) = line.trim_end().strip_prefix("data:")
                        && !take(data.trim_start())
                    {
                        return Ok(());
                    }
                }
            }
            Ok(())
        })
    }
}
