//! Nomad's agent, over HTTP.

use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// An agent.
#[derive(Clone, Debug)]
pub struct Agent {
    /// Host and port.
    authority: String,
    token: Option<String>,
}

impl Agent {
    /// The agent at a URL.
    pub fn at(url: &str, token: Option<String>) -> Result<Self, String> {
        let authority = url.strip_prefix("http://").ok_or_else(|| {
            format!("{url}: only http:// is spoken; the agent on this host can have an address for it")
        })?;
        Ok(Self { authority: authority.trim_end_matches('/').into(), token })
    }

    /// Reads what comes until the stream ends; why it did.
    pub async fn stream(&self, path: &str, mut take: impl FnMut(&[u8])) -> String {
        let read = async {
            let stream = TcpStream::connect(&self.authority).await?;
            let (mut sender, connection) =
                http1::handshake(TokioIo::new(stream)).await.map_err(std::io::Error::other)?;
            tokio::spawn(connection);
            let mut request = Request::builder().uri(path).header("host", &self.authority);
            if let Some(token) = &self.token {
                request = request.header("x-nomad-token", token);
            }
            let request = request.body(Empty::<Bytes>::new()).map_err(std::io::Error::other)?;
            let response = sender.send_request(request).await.map_err(std::io::Error::other)?;
            if !response.status().is_success() {
                return Err(std::io::Error::other(format!("{} for {path}", response.status())));
            }
            let mut body = response.into_body();
            while let Some(frame) = body.frame().await {
                if let Ok(data) = frame.map_err(std::io::Error::other)?.into_data() {
                    take(&data);
                }
            }
            Ok(())
        };
        match read.await {
            Ok(()) => format!("{}: the stream has ended", self.authority),
            Err(e) => format!("{}: {e}", self.authority),
        }
    }
}
