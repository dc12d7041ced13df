//! Where a back end is met: at a socket of its own, or at ours.

use super::VhostError;
use super::connector::Connector;
use crate::error::Error;
use crate::eventfd::ready;
use rustix::event::PollFlags;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Between two looks for somebody who was not there.
const PAUSE: Duration = Duration::from_millis(10);

/// Where connections come from.
pub enum Endpoint {
    /// The back end listens: connections come from the connector, for its path of this number.
    Client(Arc<Connector>, usize),
    /// This side listens.
    Server(UnixListener, PathBuf),
}

impl Endpoint {
    /// A socket that listens at a path. A socket there that nobody listens on any more is replaced.
    pub fn listen(path: &Path) -> Result<Self, Error> {
        let listener = listener::bind(path).and_then(|l| l.set_nonblocking(true).map(|()| l));
        let listener = listener.map_err(|e| Error::Host {
            problem: format!("vhost-user socket {}: {e}", path.display()),
            hint: "choose another path, or stop what listens there".into(),
        })?;
        Ok(Self::Server(listener, path.to_owned()))
    }

    /// A socket that listens at a path already, and was handed over.
    pub fn handed_over(socket: OwnedFd, path: &Path) -> Result<Self, Error> {
        let listener = UnixListener::from(socket);
        let outcome = listener.set_nonblocking(true);
        outcome.map_err(|source| Error::System { doing: "use the socket that was handed over", source })?;
        Ok(Self::Server(listener, path.to_owned()))
    }

    /// Whether this side listens: then whoever is gone is followed by another, who connects.
    pub fn is_server(&self) -> bool {
        matches!(self, Self::Server(..))
    }

    /// The first connection, if somebody is there: made by this process itself, which can still open paths. `path` is
    /// where the back end listens, if it does.
    pub fn first(&self, path: &Path) -> Option<UnixStream> {
        match self {
            Self::Client(..) => listener::try_connect(path).ok(),
            Self::Server(..) => self.try_connect().ok().flatten(),
        }
    }

    /// Until the next look for somebody who was not there.
    fn pause(&self) {
        match self {
            Self::Client(..) => std::thread::sleep(PAUSE),
            // An error is seen by whoever accepts.
            Self::Server(listener, _) => drop(ready(listener, PollFlags::IN, Some(PAUSE))),
        }
    }

    /// A connection, if somebody is there now.
    pub fn try_connect(&self) -> Result<Option<UnixStream>, VhostError> {
        match self {
            Self::Client(connector, index) => connector.connect(*index).map(Some),
            Self::Server(listener, path) => match listener.accept() {
                Ok((stream, _)) => Ok(Some(stream)),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(None),
                Err(source) => Err(VhostError::Unreachable { path: path.clone(), source }),
            },
        }
    }

    /// A connection, waited for so long, or until `stop` says that a signal has come.
    pub fn connect(
        &self,
        timeout: Duration,
        stop: &dyn Fn() -> Option<u8>,
    ) -> Result<UnixStream, VhostError> {
        let deadline = Instant::now() + timeout;
        loop {
            let late = Instant::now() >= deadline;
            match (self.try_connect(), self) {
                (Ok(Some(stream)), _) => return Ok(stream),
                (Err(e), _) if late => return Err(e),
                (Ok(None), Self::Server(_, path)) if late => {
                    return Err(VhostError::NoConnection { path: path.clone(), seconds: timeout.as_secs() });
                }
                _ => match stop() {
                    Some(signal) => return Err(VhostError::Stopped(signal)),
                    None => self.pause(),
                },
            }
        }
    }
}
