//! The daemon as a service: the socket that systemd hands over (sd_listen_fds(3)), and what it is told: that the node is
//! ready, that it ends, that it still lives (sd_notify(3), systemd.service(5)). Without systemd nothing happens.
#![allow(unsafe_code)]

use crate::node::Node;
use rustix::net::{AddressFamily, SocketType, sockopt};
use sd_notify::NotifyState;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::sync::Arc;

/// The API's socket, if systemd listens for this process. Called once, before anything is opened.
///
/// Errors: what was handed over is not one listening Unix socket.
pub fn socket() -> io::Result<Option<UnixListener>> {
    let mut handed_over = sd_notify::listen_fds()?;
    let Some(fd) = handed_over.next() else { return Ok(None) };
    let refused = |why| Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    if handed_over.next().is_some() {
        return refused("systemd has handed over several sockets; the node takes one, the API's");
    }
    // SAFETY: LISTEN_PID names this process, so the descriptor was opened for it, and `listen_fds` has just found it open.
    // Nothing else takes it: this is called once.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    let is_stream = sockopt::socket_domain(&socket)? == AddressFamily::UNIX
        && sockopt::socket_type(&socket)? == SocketType::STREAM;
    if !is_stream || !sockopt::socket_acceptconn(&socket)? {
        return refused(
            "systemd has handed over something else than a listening Unix socket (ListenStream=/PATH)",
        );
    }
    Ok(Some(socket.into()))
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(e) = sd_notify::notify(state) {
        tracing::warn!("systemd is not told how the node is: {e}");
    }
}

/// The node answers; from now on systemd hears in time that it lives, if it wants to.
pub fn ready(node: &Arc<Node>) {
    tell(&[NotifyState::Ready]);
    let Some(limit) = sd_notify::watchdog_enabled() else { return };
    let node = node.clone();
    tokio::spawn(async move {
        let mut due = tokio::time::interval(limit / 3);
        loop {
            due.tick().await;
            // It lives if its threads take turns and nobody holds the store for ever; what the store says is no matter.
            let _ = tokio::task::block_in_place(|| node.store.networks());
            tell(&[NotifyState::Watchdog]);
        }
    });
}

/// The node ends.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}
