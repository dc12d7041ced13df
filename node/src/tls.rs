//! TLS over TCP: handshakes go on beside each other, and who does not finish one in time is dropped.

use api::Problem;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::server::TlsStream;

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Most handshakes at a time; further connections wait in the kernel.
const HANDSHAKES: usize = 128;

/// After a connection could not be taken.
const ACCEPT_RETRY_PAUSE: Duration = Duration::from_millis(100);

/// Connections whose handshake is done.
pub struct Tls {
    address: SocketAddr,
    ready: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
}

/// What the next handshakes are made with.
#[derive(Clone)]
pub struct Credentials(Arc<RwLock<TlsAcceptor>>);

impl Credentials {
    /// Reads a certificate with its chain and its key, PEM.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, Problem> {
        Ok(Self(Arc::new(RwLock::new(acceptor(certificate, key)?))))
    }

    /// Reads others. If they cannot be used, the former ones stay.
    pub fn replace(&self, certificate: &Path, key: &Path) -> Result<(), Problem> {
        let new = acceptor(certificate, key)?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }

    fn now(&self) -> TlsAcceptor {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn acceptor(certificate: &Path, key: &Path) -> Result<TlsAcceptor, Problem> {
    Ok(TlsAcceptor::from(Arc::new(configuration(certificate, key)?)))
}

/// Reads certificates and key, PEM.
fn configuration(certificate: &Path, key: &Path) -> Result<ServerConfig, Problem> {
    let wrong = |path: &Path, e: &dyn std::fmt::Display| Problem::host(format!("{}: {e}", path.display()));
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .map_err(|e| wrong(certificate, &e))?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|e| wrong(key, &e))?;
    ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(|e| wrong(certificate, &e))
}

impl Tls {
    /// Takes connections from a listener.
    pub fn new(listener: TcpListener, credentials: Credentials) -> Result<Self, Problem> {
        let address = listener.local_addr().map_err(|e| Problem::host(e.to_string()))?;
        let (to, ready) = mpsc::channel(HANDSHAKES);
        let places = Arc::new(Semaphore::new(HANDSHAKES));
        tokio::spawn(async move {
            while let Ok(place) = places.clone().acquire_owned().await {
                let Ok((stream, peer)) = listener.accept().await else {
                    // Out of descriptors, say: they will be given back.
                    tokio::time::sleep(ACCEPT_RETRY_PAUSE).await;
                    continue;
                };
                let (acceptor, to) = (credentials.now(), to.clone());
                tokio::spawn(async move {
                    let _place = place;
                    if let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
                        // Without a server there is nobody to serve it.
                        let _ = to.send((stream, peer)).await;
                    }
                });
            }
        });
        Ok(Self { address, ready })
    }
}

impl axum::serve::Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        match self.ready.recv().await {
            Some(connection) => connection,
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        Ok(self.address)
    }
}
