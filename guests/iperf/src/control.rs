//! The control connection: states of one byte, JSON behind its length, and a timeout for each message.

use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;
use iperf_protocol::JSON_MAXIMUM;
use iperf_protocol::results::Results;
use iperf_protocol::state::{Refusal, State};
use minios::future::timeout;
use minios::net::stack::{NetError, TcpSocket};

/// How long a peer may take to send or receive a message.
pub const PEER_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a test failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The peer closed the connection.
    Gone,
    /// The peer sent nothing for too long.
    Stalled,
    /// The peer sent a state that is not valid at this point.
    Unexpected(u8),
    /// The peer refused, with iperf3's error number.
    Refused(u32),
    /// The server is busy.
    Busy,
    /// This side refused.
    Refusing(Refusal),
    /// The peer has stopped.
    Terminated,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone => f.write_str("the peer has closed the connection"),
            Self::Stalled => f.write_str("the peer stopped responding"),
            Self::Unexpected(byte) => {
                write!(f, "the peer sent state {}, which is not valid here", *byte as i8)
            }
            Self::Refused(number) => write!(f, "the server refuses (iperf3's error {number})"),
            Self::Busy => f.write_str("the server is busy with another test"),
            Self::Refusing(refusal) => write!(f, "refused: {}", refusal.text()),
            Self::Terminated => f.write_str("the peer has stopped the test"),
        }
    }
}

impl From<NetError> for Failure {
    fn from(_: NetError) -> Self {
        Self::Gone
    }
}

/// Reads until `bytes` are full, in no longer than [`PEER_TIMEOUT`].
pub async fn read_exact(socket: &mut TcpSocket, bytes: &mut [u8]) -> Result<(), Failure> {
    let all = async {
        let mut have = 0;
        while have < bytes.len() {
            match socket.read(&mut bytes[have..]).await? {
                0 => return Err(Failure::Gone),
                n => have += n,
            }
        }
        Ok(())
    };
    timeout(PEER_TIMEOUT, all).await.unwrap_or(Err(Failure::Stalled))
}

/// The connection.
pub struct Control {
    /// Its socket.
    pub socket: TcpSocket,
}

impl Control {
    /// The state that the peer names next, whenever that is.
    pub async fn state(&mut self) -> Result<State, Failure> {
        let mut byte = [0];
        match self.socket.read(&mut byte).await? {
            0 => Err(Failure::Gone),
            _ => State::from_byte(byte[0]).ok_or(Failure::Unexpected(byte[0])),
        }
    }

    /// Waits for one state, in no longer than [`PEER_TIMEOUT`].
    pub async fn expect(&mut self, wanted: State) -> Result<(), Failure> {
        match timeout(PEER_TIMEOUT, self.state()).await.unwrap_or(Err(Failure::Stalled))? {
            state if state == wanted => Ok(()),
            State::ClientTerminate | State::ServerTerminate => Err(Failure::Terminated),
            other => Err(Failure::Unexpected(other.byte())),
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        timeout(PEER_TIMEOUT, self.socket.write_all(bytes)).await.unwrap_or(Ok(())).map_err(Failure::from)
    }

    /// Names a state.
    pub async fn send_state(&mut self, state: State) -> Result<(), Failure> {
        self.write(&[state.byte()]).await
    }

    /// Refuses, and says so.
    pub async fn refuse(&mut self, refusal: Refusal) -> Failure {
        let bytes = [&[State::ServerError.byte()][..], &refusal.bytes()].concat();
        // Whoever does not read it learns by the end of the connection.
        let _ = self.write(&bytes).await;
        Failure::Refusing(refusal)
    }

    /// A server's error number, which follows [`State::ServerError`].
    pub async fn refusal(&mut self) -> Failure {
        let mut words = [0; 8];
        match read_exact(&mut self.socket, &mut words).await {
            Ok(()) => Failure::Refused(u32::from_be_bytes([words[0], words[1], words[2], words[3]])),
            Err(failure) => failure,
        }
    }

    /// JSON from the peer; `None` if it announces more than is taken.
    pub async fn read_json(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        let mut length = [0; 4];
        read_exact(&mut self.socket, &mut length).await?;
        let length = u32::from_be_bytes(length) as usize;
        if length > JSON_MAXIMUM {
            return Ok(None);
        }
        let mut json = vec![0; length];
        read_exact(&mut self.socket, &mut json).await?;
        Ok(Some(json))
    }

    /// JSON for the peer.
    pub async fn write_json(&mut self, json: &[u8]) -> Result<(), Failure> {
        self.write(&(json.len() as u32).to_be_bytes()).await?;
        self.write(json).await
    }

    /// A server's last part: both sides' results, then the end.
    pub async fn exchange(&mut self, own: Results) -> Result<(Results, Results), Failure> {
        self.send_state(State::ExchangeResults).await?;
        let peer = match self.read_json().await? {
            Some(json) => Results::parse(&json),
            None => Err(Refusal::Results),
        };
        let peer = match peer {
            Ok(peer) => peer,
            Err(refusal) => return Err(self.refuse(refusal).await),
        };
        self.write_json(&own.emit()).await?;
        self.send_state(State::DisplayResults).await?;
        self.expect(State::Done).await?;
        Ok((own, peer))
    }

    /// Ends the connection.
    pub async fn close(mut self) {
        timeout(Duration::from_secs(1), self.socket.close()).await;
    }
}
