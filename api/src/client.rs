//! The API's client: blocking, over the node's Unix socket, or over TCP with a token.

use crate::problem::Problem;
use crate::unix::{NoResolver, UnixConnector};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;
use ureq::config::{Config, ConfigBuilder};
use ureq::http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE};
use ureq::http::{Request, Response};
#[cfg(feature = "tls")]
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::typestate::AgentScope;
use ureq::{Agent, SendBody};

pub use ureq::http::Method;

/// Variable that names the node: its socket's path, or an `http` or `https` URL.
pub const SOCKET: &str = "MICROVISOR_NODE";
/// Variable with the token for a URL.
pub const TOKEN: &str = "MICROVISOR_TOKEN";
/// Variable with a PEM file of the certificates that the node's is checked against.
pub const CA: &str = "MICROVISOR_CA";
/// Where a node listens unless told otherwise.
pub const DEFAULT: &str = "/run/microvisor/node/api.sock";
/// Longest answer that is read, bytes.
const LONGEST: u64 = 64 << 20;
/// How long a connection over TCP may take.
const CONNECT: Duration = Duration::from_secs(10);

/// Asks one node. Every request has a connection of its own.
pub struct Client {
    agent: Agent,
    /// What comes before each path, without a slash at the end.
    base: String,
    /// The node's socket, if it is reached by one.
    socket: Option<PathBuf>,
    /// The token that goes with each request.
    token: Option<String>,
}

/// What a request carries.
pub enum Body<'a> {
    /// Nothing.
    None,
    /// A value, as JSON.
    Json(&'a dyn Json),
    /// A file from where it stands on, piece by piece.
    File(File),
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

fn unsent(e: ureq::Error) -> Problem {
    match e {
        ureq::Error::Io(e) if e.kind() == io::ErrorKind::PermissionDenied => {
            Problem::permission("no permission to ask the node")
        }
        ureq::Error::Io(e) if e.to_string().contains("invalid peer certificate") => {
            Problem::host(format!("the node's certificate is not trusted: {e}")).hint(
                "name the file of the certificate that it is checked against (--ca, MICROVISOR_CA); one that signs itself must \
                 not be a CA's: openssl req -x509 -addext basicConstraints=critical,CA:FALSE ...",
            )
        }
        e => broken(e),
    }
}

/// Answers are read whatever their status: a problem says more than its number.
fn configuration() -> ConfigBuilder<AgentScope> {
    Config::builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_idle_connections(0)
        .proxy(None)
        .timeout_connect(Some(CONNECT))
}

/// The certificates in a PEM file.
#[cfg(feature = "tls")]
fn certificates(file: &Path) -> Result<Vec<Certificate<'static>>, Problem> {
    let wrong = |e: &dyn std::fmt::Display| Problem::invalid(format!("{}: {e}", file.display()));
    let pem = std::fs::read(file).map_err(|e| wrong(&e))?;
    let mut certificates = Vec::new();
    for item in parse_pem(&pem) {
        if let PemItem::Certificate(certificate) = item.map_err(|e| wrong(&e))? {
            certificates.push(certificate);
        }
    }
    match certificates.is_empty() {
        true => Err(wrong(&"no certificate is in it")),
        false => Ok(certificates),
    }
}

impl Client {
    /// The node with this socket, if it listens there.
    pub fn on_socket(socket: PathBuf) -> Option<Self> {
        listener::connect(&socket).ok()?;
        let agent = Agent::with_parts(configuration().build(), UnixConnector(socket.clone()), NoResolver);
        Some(Self { agent, base: "http://node".into(), socket: Some(socket), token: None })
    }

    /// The node at a URL, with a token, and the certificates that its own is checked against; without them,
    /// those that browsers trust.
    #[cfg(feature = "tls")]
    pub fn remote(url: &str, token: Option<String>, ca: Option<&Path>) -> Result<Self, Problem> {
        let mut config = configuration();
        if let Some(file) = ca {
            let roots = RootCerts::new_with_certs(&certificates(file)?);
            config = config.tls_config(TlsConfig::builder().root_certs(roots).build());
        }
        let agent = Agent::new_with_config(config.build());
        Ok(Self { agent, base: url.trim_end_matches('/').into(), socket: None, token })
    }

    /// The same as [`Client::on_socket`], or why there is none.
    pub fn required_on(socket: PathBuf) -> Result<Self, Problem> {
        let tried = listener::connect(&socket).err();
        if tried.is_some_and(|e| e.kind() == io::ErrorKind::PermissionDenied) {
            return Err(Problem::permission(format!(
                "no permission to ask the node at {}",
                socket.display()
            )));
        }
        Self::on_socket(socket).ok_or_else(|| {
            Problem::host("no node answers")
                .hint(format!("start one: microvisor node; or name its socket in {SOCKET}"))
        })
    }

    /// The node's run folder, where its instances' sockets are.
    pub fn run_folder(&self) -> Option<&Path> {
        self.socket.as_deref()?.parent()
    }

    fn send(&self, method: Method, path: &str, body: Body<'_>) -> Result<Response<ureq::Body>, Problem> {
        let mut request = Request::builder().method(method.clone()).uri(format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        if matches!(body, Body::None) && method != Method::GET {
            // Otherwise an empty body of unknown length follows the head.
            request = request.header(CONTENT_LENGTH, 0);
        }
        let (kind, body) = match body {
            Body::None => (None, SendBody::none()),
            Body::Json(value) => {
                (Some("application/json"), SendBody::from_owned_reader(io::Cursor::new(value.json())))
            }
            Body::File(file) => (Some("application/octet-stream"), SendBody::from_owned_reader(file)),
        };
        if let Some(kind) = kind {
            request = request.header(CONTENT_TYPE, kind);
        }
        let request = request.body(body).map_err(broken)?;
        let mut response = self.agent.run(request).map_err(unsent)?;
        if response.status().is_success() {
            return Ok(response);
        }
        let bytes = read(&mut response)?;
        let status = response.status();
        Err(serde_json::from_slice(&bytes).unwrap_or_else(|_| {
            let text = String::from_utf8_lossy(&bytes);
            broken(format!("{status} {}", text.chars().take(200).collect::<String>()))
        }))
    }

    /// Asks; the answer's body.
    pub fn bytes(&self, method: Method, path: &str, body: Body<'_>) -> Result<Vec<u8>, Problem> {
        read(&mut self.send(method, path, body)?)
    }

    /// Asks for something.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Problem> {
        serde_json::from_slice(&self.bytes(Method::GET, path, Body::None)?).map_err(broken)
    }

    /// Changes something; what it is then.
    pub fn patch<T: DeserializeOwned>(&self, path: &str, change: &impl Serialize) -> Result<T, Problem> {
        serde_json::from_slice(&self.bytes(Method::PATCH, path, Body::Json(change))?).map_err(broken)
    }

    /// Sends something; what became of it.
    pub fn post<T: DeserializeOwned>(&self, path: &str, value: &impl Serialize) -> Result<T, Problem> {
        serde_json::from_slice(&self.bytes(Method::POST, path, Body::Json(value))?).map_err(broken)
    }

    /// Removes something.
    pub fn delete(&self, path: &str) -> Result<(), Problem> {
        self.bytes(Method::DELETE, path, Body::None).map(drop)
    }

    /// Asks, and passes on what comes, in pieces, for as long as `take` wants more.
    pub fn stream(
        &self,
        method: Method,
        path: &str,
        mut take: impl FnMut(&[u8]) -> bool,
    ) -> Result<(), Problem> {
        let mut from = self.send(method, path, Body::None)?.into_body().into_reader();
        let mut piece = [0; 16 << 10];
        loop {
            match from.read(&mut piece) {
                Ok(0) => return Ok(()),
                Ok(n) if take(&piece[..n]) => {}
                Ok(_) => return Ok(()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(broken(e)),
            }
        }
    }

    /// Follows server-sent events, `data` by `data`, for as long as `take` wants more.
    pub fn follow(&self, path: &str, mut take: impl FnMut(&str) -> bool) -> Result<(), Problem> {
        let body = self.send(Method::GET, path, Body::None)?.into_body();
        for line in BufReader::new(body.into_reader()).lines() {
            if let Some(data) = line.map_err(broken)?.strip_prefix("data:")
                && !take(data.trim_start())
            {
                break;
            }
        }
        Ok(())
    }
}

fn read(response: &mut Response<ureq::Body>) -> Result<Vec<u8>, Problem> {
    response.body_mut().with_config().limit(LONGEST).read_to_vec().map_err(broken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::net::UnixListener;

    /// Answers one request with `answer` on a socket of its own; the request.
    fn serve(answer: &'static str) -> (PathBuf, std::thread::JoinHandle<String>) {
        let path = std::env::temp_dir().join(format!("mv-api-{}", uuid::Uuid::now_v7()));
        let listener = UnixListener::bind(&path).unwrap();
        let serving = std::thread::spawn(move || {
            // The first connection only asks whether somebody listens.
            drop(listener.accept().unwrap());
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = vec![0; 4096];
            let length = stream.read(&mut request).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
            request.truncate(length);
            String::from_utf8(request).unwrap()
        });
        (path, serving)
    }

    #[test]
    fn events_that_come_in_pieces_are_taken_one_by_one() {
        let (path, serving) = serve(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n8\r\nid: 1\nda\r\n9\r\nta: a\n\nda\r\n9\r\nta: bc\n\n\n\r\n0\r\n\r\n",
        );
        let mut taken = Vec::new();
        let client = Client::on_socket(path.clone()).unwrap();
        client
            .follow("/v1/events/watch", |data| {
                taken.push(data.to_owned());
                true
            })
            .unwrap();
        assert_eq!(taken, ["a", "bc"]);
        assert!(serving.join().unwrap().starts_with("GET /v1/events/watch HTTP/1.1\r\n"));
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_refusal_is_the_problem_that_the_node_sent() {
        let (path, serving) = serve(
            "HTTP/1.1 404 Not Found\r\ncontent-length: 91\r\n\r\n{\"type\":\"urn:microvisor:absent\",\"title\":\"t\",\"status\":404,\"detail\":\"there is no such thing\"}",
        );
        let problem = Client::on_socket(path.clone()).unwrap().delete("/v1/networks/x").unwrap_err();
        assert_eq!((problem.status, problem.detail.as_str()), (404, "there is no such thing"));
        serving.join().unwrap();
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn the_answer_to_a_request_that_nobody_has_read_to_its_end_is_an_answer() {
        let path = std::env::temp_dir().join(format!("mv-api-{}", uuid::Uuid::now_v7()));
        let listener = UnixListener::bind(&path).unwrap();
        let serving = std::thread::spawn(move || {
            drop(listener.accept().unwrap());
            let (mut stream, _) = listener.accept().unwrap();
            stream.read_exact(&mut [0; 16]).unwrap();
            let body = r#"{"type":"urn:microvisor:absent","title":"t","status":404,"detail":"no"}"#;
            write!(stream, "HTTP/1.1 404 Not Found\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
        });
        let client = Client::on_socket(path.clone()).unwrap();
        let problem = client.post::<u8>("/v1/instances", &"x".repeat(4 << 20)).unwrap_err();
        assert_eq!((problem.status, problem.detail.as_str()), (404, "no"));
        serving.join().unwrap();
        std::fs::remove_file(path).unwrap();
    }
}
