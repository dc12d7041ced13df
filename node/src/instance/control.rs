//! Questions to a running instance's monitor.

use api::Problem;
use machine::control::{CallError, LINE_MAXIMUM, RefusalKind, Request, Response};
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

/// How long a monitor may take for an answer, from the connection to its last byte: its guest may be slow.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of a console that are kept.
const CONSOLE: u64 = 64 << 10;
/// A console that has said nothing for so long has said what it had to say.
const QUIET: Duration = Duration::from_millis(20);

fn failed(e: &CallError) -> Problem {
    match e {
        CallError::Io(e)
            if [std::io::ErrorKind::NotFound, std::io::ErrorKind::ConnectionRefused].contains(&e.kind()) =>
        {
            Problem::conflict("the instance is not running").hint("start it")
        }
        CallError::Ended => Problem::conflict("the instance ended before it answered"),
        e => Problem::failed(e.to_string()),
    }
}

/// Asks once.
pub async fn call(socket: impl AsRef<Path>, request: Request) -> Result<Response, Problem> {
    match exchange(socket.as_ref(), &request).await?.0 {
        Response::Refused { kind, message } => Err(match kind {
            RefusalKind::NotFound => Problem::absent("handler", &message),
            RefusalKind::Busy | RefusalKind::Ended => Problem::conflict(message),
            _ => Problem::invalid(message),
        }),
        response => Ok(response),
    }
}

/// Asks, and takes in an answer of bounded length in bounded time, whoever the monitor is by now.
async fn exchange(socket: &Path, request: &Request) -> Result<(Response, BufReader<UnixStream>), Problem> {
    let asked = tokio::time::timeout(TIMEOUT, async {
        let mut stream = BufReader::new(UnixStream::connect(socket).await?);
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        stream.write_all(&line).await?;
        let mut answer = Vec::new();
        let read = (&mut stream).take(LINE_MAXIMUM as u64).read_until(b'\n', &mut answer).await?;
        match read {
            0 => Err(CallError::Ended),
            LINE_MAXIMUM => Err(CallError::TooLong),
            _ => Ok((serde_json::from_slice(&answer)?, stream)),
        }
    });
    asked.await.map_err(|_| Problem::failed("the monitor does not answer"))?.map_err(|e| failed(&e))
}

/// A console that goes on.
pub struct Following {
    /// Bytes of this run that were written before the first that comes.
    pub offset: u64,
    stream: BufReader<UnixStream>,
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
    let (begins, stream) = attach(socket).await?;
    Ok(Following { offset: begins.max(from), stream, skip: from.saturating_sub(begins) })
}

async fn attach(socket: &Path) -> Result<(u64, BufReader<UnixStream>), Problem> {
    match exchange(socket, &Request::Console).await? {
        (Response::Done { value }, stream) => Ok((value.parse().unwrap_or(0), stream)),
        _ => Err(failed(&CallError::Ended)),
    }
}

/// Types into a console. When this returns the monitor has read all of it.
pub async fn type_in(socket: &Path, bytes: &[u8]) -> Result<(), Problem> {
    let (_, mut stream) = attach(socket).await?;
    let typed = tokio::time::timeout(TIMEOUT, async {
        stream.write_all(bytes).await?;
        stream.shutdown().await?;
        // It closes after it has read that nothing follows.
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await
    });
    let typed = typed.await.map_err(|_| Problem::failed("the monitor does not answer"))?;
    typed.map(drop).map_err(|e| failed(&CallError::Io(e)))
}

/// The last of a console, as far as the monitor has kept it.
pub async fn console(socket: &Path) -> Result<String, Problem> {
    let (_, stream) = attach(socket).await?;
    let mut bytes = Vec::new();
    // What was said before comes at once; what is said from now on is not waited for.
    let read = async {
        let mut stream = stream.take(CONSOLE);
        while tokio::time::timeout(QUIET, stream.read_buf(&mut bytes))
            .await
            .is_ok_and(|n| n.is_ok_and(|n| n > 0))
        {}
    };
    let _ = tokio::time::timeout(TIMEOUT, read).await;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
