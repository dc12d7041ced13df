//! Serves connections, within limits: strangers who connect and say nothing, or say it slowly, cost a place for a while and
//! no more.

use super::Peer;
use axum::Router;
use axum::extract::ConnectInfo;
use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Most connections of strangers at a time; further ones wait in the kernel.
pub const REMOTE: usize = 512;
/// Most connections of this host's users, of whom an orchestrator's driver has one open for each console that it follows.
pub const LOCAL: usize = 16_384;
/// How long the head of a request may take, and how long a connection may be idle before it.
const HEAD: Duration = Duration::from_secs(30);

/// Serves all who connect, so many at a time, for ever. `peer` says who it is.
pub async fn serve<L: Listener>(
    mut listener: L,
    router: Router,
    connections: usize,
    peer: impl Fn(&L::Io, L::Addr) -> Peer,
) -> std::io::Result<()> {
    let places = Arc::new(Semaphore::new(connections));
    while let Ok(place) = places.clone().acquire_owned().await {
        let (io, address) = listener.accept().await;
        let info = axum::Extension(ConnectInfo(peer(&io, address)));
        let service = TowerToHyperService::new(router.clone().layer(info));
        tokio::spawn(async move {
            let _place = place;
            let mut server = http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(HEAD);
            // What goes wrong on a connection concerns nobody but its client, who is gone.
            let _ = server.serve_connection(TokioIo::new(io), service).await;
        });
    }
    Ok(())
}
