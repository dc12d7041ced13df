//! Questions to a running instance's monitor.

use api::Problem;
use machine::control::{CallError, Client, RefusalKind, Request, Response};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt};

/// How long a monitor may take for an answer: its guest may be slow.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of a console that are kept.
const CONSOLE: u64 = 64 << 10;

fn failed(e: &CallError) -> Problem {
    match e {
        CallError::Io(e)
            if [std::io::ErrorKind::NotFound, std::io::ErrorKind::ConnectionRefused].contains(&e.kind()) =>
        {
            Problem::conflict("the instance does not run").hint("start it")
        }
        CallError::Ended => Problem::conflict("the instance ended before it answered"),
        e => Problem::failed(e.to_string()),
    }
}

/// Asks once.
pub async fn call(socket: PathBuf, request: Request) -> Result<Response, Problem> {
    let asked = tokio::task::spawn_blocking(move || Client::connect(&socket)?.call(&request, TIMEOUT));
    match asked.await.map_err(|e| Problem::node(e.to_string()))?.map_err(|e| failed(&e))? {
        Response::Refused { kind, message } => Err(match kind {
            RefusalKind::NotFound => Problem::absent("handler", &message),
            RefusalKind::Busy | RefusalKind::Ended => Problem::conflict(message),
            _ => Problem::invalid(message),
        }),
        response => Ok(response),
    }
}

/// A console that goes on.
pub struct Following {
    /// Bytes of this run that were written before the first that comes.
    pub offset: u64,
    stream: tokio::io::BufReader<tokio::net::UnixStream>,
    skip: u64,
}

impl Following {
    /// What comes next; nothing at the end.
    pub async fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            let available = self.stream.fill_buf().await.ok().filter(|bytes| !bytes.is_empty())?;
            let length = available.len();
            let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(length);
            let bytes = available[skipped..].to_vec();
            self.stream.consume(length);
            self.skip -= skipped as u64;
            if !bytes.is_empty() {
                return Some(bytes);
            }
        }
    }
}

/// Follows a console from a place on: the number of bytes that were seen before.
pub async fn follow(socket: &Path, from: u64) -> Result<Following, Problem> {
    let asked = tokio::time::timeout(TIMEOUT, attach(socket)).await;
    let (begins, stream) =
        asked.map_err(|_| Problem::failed("the monitor does not answer"))?.map_err(|e| failed(&e))?;
    Ok(Following { offset: begins.max(from), stream, skip: from.saturating_sub(begins) })
}

async fn attach(socket: &Path) -> Result<(u64, tokio::io::BufReader<tokio::net::UnixStream>), CallError> {
    let mut stream = tokio::io::BufReader::new(tokio::net::UnixStream::connect(socket).await?);
    let mut line = serde_json::to_vec(&Request::Console)?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    let mut answer = String::new();
    if stream.read_line(&mut answer).await? == 0 {
        return Err(CallError::Ended);
    }
    match serde_json::from_str(&answer)? {
        Response::Done { value } => Ok((value.parse().unwrap_or(0), stream)),
        _ => Err(CallError::Ended),
    }
}

/// The last of a console, as far as the monitor has kept it.
pub async fn console(socket: PathBuf) -> Result<String, Problem> {
    let read = tokio::task::spawn_blocking(move || read_console(&socket));
    read.await.map_err(|e| Problem::node(e.to_string()))?.map_err(|e| failed(&e))
}

fn read_console(socket: &Path) -> Result<String, CallError> {
    let mut client = Client::connect(socket)?;
    if !matches!(client.call(&Request::Console, TIMEOUT)?, Response::Done { .. }) {
        return Ok(String::new());
    }
    let (mut bytes, stream) = client.into_console();
    // What was said before comes at once; what is said from now on is not waited for.
    stream.set_read_timeout(Some(Duration::from_millis(20)))?;
    let _ = stream.take(CONSOLE).read_to_end(&mut bytes);
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
