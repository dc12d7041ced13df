//! A session of a transmitter or a receiver.

use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;
use minios::clock;
use minios::future::timeout;
use minios::net::stack::{NetError, TcpSocket};
use minios::println;
use netpipe_protocol::options::Options;
use netpipe_protocol::schedule::Schedule;
use netpipe_protocol::{QUIT, SYNC, TRIALS, WARM_UP};

/// How long a trial of a transmitter takes, seconds.
const TRIAL: f64 = 0.1;
/// Most messages of a trial.
const REPEATS_MAXIMUM: f64 = 100_000.0;
/// A message that takes so long, seconds, is the last.
const LONG: f64 = 1.0;

/// Why a session ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The peer closed the connection.
    Gone,
    /// The peer does not answer.
    Silent,
    /// The peer sent something else than the protocol has at this point.
    ProtocolError,
    /// A message is too long for the heap.
    TooLong(u32),
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone => f.write_str("the peer has closed the connection"),
            Self::Silent => f.write_str("the peer does not answer"),
            Self::ProtocolError => f.write_str(
                "the peer does not follow the protocol: are -l, -u and -p the same on both sides?",
            ),
            Self::TooLong(size) => write!(f, "no memory for a message of {size} bytes"),
        }
    }
}

impl From<NetError> for Ended {
    fn from(_: NetError) -> Self {
        Self::Gone
    }
}

/// The connection, and the message that goes back and forth on it.
pub struct Session {
    socket: TcpSocket,
    options: Options,
    message: Vec<u8>,
}

impl Session {
    /// A session that is about to begin.
    pub fn new(socket: TcpSocket, options: &Options) -> Self {
        Self { socket, options: *options, message: Vec::new() }
    }

    /// A receiver's session: how many sizes there were.
    pub async fn receive(&mut self) -> Result<u32, Ended> {
        self.sync().await?;
        self.resize(self.options.lower)?;
        for _ in 0..WARM_UP {
            self.echo().await?;
        }
        self.sync().await?;
        let mut sizes = 0;
        for size in Schedule::new(self.options.lower, self.options.perturbation) {
            if self.sync_or_quit().await? {
                break;
            }
            let mut repeats = [0; 4];
            self.read_exact(&mut repeats).await?;
            self.resize(size)?;
            for _ in 0..TRIALS {
                self.sync().await?;
                for _ in 0..u32::from_be_bytes(repeats) {
                    self.echo().await?;
                }
            }
            sizes += 1;
        }
        Ok(sizes)
    }

    /// A transmitter's session, with a line for each size.
    pub async fn transmit(&mut self) -> Result<(), Ended> {
        self.sync().await?;
        self.resize(self.options.lower)?;
        let mut last = self.trial(WARM_UP).await?;
        self.sync().await?;
        let schedule = Schedule::new(self.options.lower, self.options.perturbation);
        let upper = self.options.upper;
        for (number, size) in schedule.take_while(|&size| size <= upper).enumerate() {
            let longer = f64::from(size) / self.message.len().max(1) as f64;
            let expected = (last * longer).max(last);
            let repeats = self
                .options
                .repeats
                .unwrap_or_else(|| (TRIAL / (2.0 * expected)).clamp(TRIALS.into(), REPEATS_MAXIMUM) as u32);
            self.sync().await?;
            self.socket.write_all(&repeats.to_be_bytes()).await?;
            self.resize(size)?;
            let mut best = f64::INFINITY;
            for _ in 0..TRIALS {
                self.sync().await?;
                best = best.min(self.trial(repeats).await?);
            }
            let rate = f64::from(size) * 8.0 / best / f64::from(1 << 20);
            let time = best * 1e6;
            println!("{number:3}: {size:7} bytes {repeats:6} times --> {rate:9.2} Mbps in {time:10.2} usec");
            last = best;
            if best >= LONG {
                break;
            }
        }
        self.socket.write_all(&QUIT).await?;
        let mut quit = QUIT;
        self.read_exact(&mut quit).await?;
        if quit == QUIT { Ok(()) } else { Err(Ended::ProtocolError) }
    }

    /// Sends the message back and forth; seconds that it takes one way.
    async fn trial(&mut self, repeats: u32) -> Result<f64, Ended> {
        let begun = clock::now();
        for _ in 0..repeats {
            self.socket.write_all(&self.message).await?;
            Self::fill(&mut self.socket, &mut self.message).await?;
        }
        Ok(clock::now().since(begun).as_secs_f64() / (2.0 * f64::from(repeats.max(1))))
    }

    async fn echo(&mut self) -> Result<(), Ended> {
        Self::fill(&mut self.socket, &mut self.message).await?;
        Ok(self.socket.write_all(&self.message).await?)
    }

    async fn sync(&mut self) -> Result<(), Ended> {
        self.socket.write_all(&SYNC).await?;
        let mut theirs = SYNC;
        self.read_exact(&mut theirs).await?;
        if theirs == SYNC { Ok(()) } else { Err(Ended::ProtocolError) }
    }

    /// As [`Session::sync`], unless the transmitter sends QUIT; returns whether it did.
    async fn sync_or_quit(&mut self) -> Result<bool, Ended> {
        let mut theirs = [0; SYNC.len()];
        self.read_exact(&mut theirs[..QUIT.len()]).await?;
        if theirs[..QUIT.len()] == QUIT {
            self.socket.write_all(&QUIT).await?;
            return Ok(true);
        }
        self.read_exact(&mut theirs[QUIT.len()..]).await?;
        self.socket.write_all(&SYNC).await?;
        if theirs == SYNC { Ok(false) } else { Err(Ended::ProtocolError) }
    }

    fn resize(&mut self, size: u32) -> Result<(), Ended> {
        let wanted = size as usize;
        let more = wanted.saturating_sub(self.message.len());
        self.message.try_reserve_exact(more).map_err(|_| Ended::TooLong(size))?;
        self.message.resize(wanted, b'a');
        Ok(())
    }

    async fn read_exact(&mut self, bytes: &mut [u8]) -> Result<(), Ended> {
        Self::fill(&mut self.socket, bytes).await
    }

    async fn fill(socket: &mut TcpSocket, bytes: &mut [u8]) -> Result<(), Ended> {
        let mut have = 0;
        while have < bytes.len() {
            match socket.read(&mut bytes[have..]).await? {
                0 => return Err(Ended::Gone),
                n => have += n,
            }
        }
        Ok(())
    }

    /// Ends the connection.
    pub async fn close(mut self) {
        timeout(Duration::from_secs(1), self.socket.close()).await;
    }
}
