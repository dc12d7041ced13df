//! What makes a program a plugin (go-plugin, protocol version 1): a cookie in the environment, one line on standard output
//! that says where it listens, and services beside the one that matters: [`health`], [`controller`], [`broker`], [`stdio`].
//! [`log`] writes what Nomad puts into its own log.

pub mod broker;
pub mod controller;
pub mod health;
pub mod log;
pub mod stdio;

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Notify;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::server::Router;

/// Name and value of the variable by which Nomad shows that it is Nomad.
pub const COOKIE: (&str, &str) =
    ("NOMAD_PLUGIN_MAGIC_COOKIE", "e4327c2e01eabfd75a8a67adb114fb34a757d57eee7728d857a8cec6e91a7255");
/// Versions of go-plugin's protocol and of Nomad's.
const VERSIONS: (u32, u32) = (1, 2);
/// Where sockets shall be, if go-plugin's host says so.
const FOLDER: &str = "PLUGIN_UNIX_SOCKET_DIR";
/// A host that wants TLS puts its certificate here; Nomad does not.
const CERTIFICATE: &str = "PLUGIN_CLIENT_CERT";
/// How long answers under way have when the plugin ends.
const LAST_MOMENT: Duration = Duration::from_millis(50);

/// Whether Nomad started this program.
pub fn is_asked_for() -> bool {
    std::env::var(COOKIE.0).is_ok_and(|value| value == COOKIE.1)
}

/// How long a plugin without a client stays, unless it is told otherwise.
const ALONE: Duration = Duration::from_secs(300);

/// Whether anybody is connected, and whether the plugin shall end.
#[derive(Clone)]
pub struct Presence {
    connected: Arc<AtomicUsize>,
    /// Milliseconds.
    alone: Arc<AtomicU64>,
    end: Arc<Notify>,
}

impl Default for Presence {
    fn default() -> Self {
        let alone = Arc::new(AtomicU64::new(ALONE.as_millis() as u64));
        Self { connected: Arc::default(), alone, end: Arc::default() }
    }
}

impl Presence {
    /// Ends the plugin.
    pub fn end(&self) {
        self.end.notify_one();
    }

    /// How long the plugin stays when nobody is connected: its client may be started again and look for it.
    pub fn stay(&self, timeout: Duration) {
        self.alone.store(timeout.as_millis() as u64, Ordering::Relaxed);
    }

    /// Done when nobody has been connected for too long.
    async fn alone(&self) {
        let mut alone = Duration::ZERO;
        loop {
            let timeout = Duration::from_millis(self.alone.load(Ordering::Relaxed));
            if alone >= timeout {
                tracing::info!("nobody has been connected for {timeout:?}: ending; tasks live on");
                return;
            }
            let step = (timeout / 10).clamp(Duration::from_millis(5), Duration::from_secs(1));
            tokio::time::sleep(step).await;
            let connected = self.connected.load(Ordering::Relaxed) > 0;
            alone = if connected { Duration::ZERO } else { alone + step };
        }
    }
}

/// A connection that is counted while it is there.
pub struct Counted {
    stream: UnixStream,
    _place: Place,
}

struct Place(Arc<AtomicUsize>);

impl Place {
    fn new(connected: &Arc<AtomicUsize>) -> Self {
        connected.fetch_add(1, Ordering::Relaxed);
        Self(connected.clone())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

mod counted {
    use super::Counted;
    use std::io;
    use std::pin::Pin;
    use std::task::{Context, Poll};
    use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
    use tonic::transport::server::Connected;

    impl AsyncRead for Counted {
        fn poll_read(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Pin::new(&mut self.get_mut().stream).poll_read(cx, buf)
        }
    }

    impl AsyncWrite for Counted {
        fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
            Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
        }

        fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.get_mut().stream).poll_flush(cx)
        }

        fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
        }
    }

    impl Connected for Counted {
        type ConnectInfo = ();

        fn connect_info(&self) {}
    }
}

/// Says where it listens, and answers until it is told to end. Its socket is gone then.
pub async fn serve(services: Router, presence: Presence) -> io::Result<()> {
    if std::env::var_os(CERTIFICATE).is_some_and(|c| !c.is_empty()) {
        return Err(io::Error::other("the client wants TLS to its plugins, which this one does not speak"));
    }
    let parent = std::env::var_os(FOLDER).map_or_else(std::env::temp_dir, PathBuf::from);
    // Only the user who runs Nomad gets into the folder.
    let folder = tempfile::Builder::new().prefix("microvisor-plugin-").tempdir_in(parent)?;
    let path = folder.path().join("socket");
    let listener = UnixListener::bind(&path)?;
    let (core, own) = VERSIONS;
    let mut output = io::stdout();
    writeln!(output, "{core}|{own}|unix|{}|grpc|", path.display())?;
    output.flush()?;
    let connected = presence.connected.clone();
    let connections = UnixListenerStream::new(listener)
        .map(move |stream| stream.map(|stream| Counted { stream, _place: Place::new(&connected) }));
    let server = services.serve_with_incoming(connections);
    tokio::select! {
        outcome = server => outcome.map_err(io::Error::other),
        () = presence.end.notified() => {
            tokio::time::sleep(LAST_MOMENT).await;
            Ok(())
        }
        () = presence.alone() => Ok(()),
        () = told_to_end() => Ok(()),
    }
}

/// A terminal's interrupt goes to Nomad as well, which decides; everything else is meant for the plugin.
async fn told_to_end() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    loop {
        tokio::select! {
            _ = terminate.recv() => return,
            _ = interrupt.recv() => {}
        }
    }
}
