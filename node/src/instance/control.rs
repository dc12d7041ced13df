//! Questions to a running instance's monitor.

use crate::problem::Problem;
use machine::control::{CallError, Client, RefusalKind, Request, Response};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a monitor may take for an answer: its guest may be slow.
const PATIENCE: Duration = Duration::from_secs(10);
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
    let asked = tokio::task::spawn_blocking(move || Client::connect(&socket)?.call(&request, PATIENCE));
    match asked.await.map_err(|e| Problem::node(e.to_string()))?.map_err(|e| failed(&e))? {
        Response::Refused { kind, message } => Err(match kind {
            RefusalKind::NotFound => Problem::absent("handler", &message),
            RefusalKind::Busy | RefusalKind::Ended => Problem::conflict(message),
            _ => Problem::invalid(message),
        }),
        response => Ok(response),
    }
}

/// The last of a console, as far as the monitor has kept it.
pub async fn console(socket: PathBuf) -> Result<String, Problem> {
    let read = tokio::task::spawn_blocking(move || read_console(&socket));
    read.await.map_err(|e| Problem::node(e.to_string()))?.map_err(|e| failed(&e))
}

fn read_console(socket: &Path) -> Result<String, CallError> {
    let mut client = Client::connect(socket)?;
    if !matches!(client.call(&Request::Console, PATIENCE)?, Response::Done { .. }) {
        return Ok(String::new());
    }
    let (mut bytes, stream) = client.into_console();
    // What was said before comes at once; what is said from now on is not waited for.
    stream.set_read_timeout(Some(Duration::from_millis(20)))?;
    let _ = stream.take(CONSOLE).read_to_end(&mut bytes);
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
