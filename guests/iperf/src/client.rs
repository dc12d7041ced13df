//! The client: one test against a server, then a report.

use crate::control::{Control, Failure, PEER_TIMEOUT};
use crate::flow::{self, Flow, Test};
use alloc::vec::Vec;
use core::future::pending;
use core::net::IpAddr;
use core::time::Duration;
use iperf_protocol::datagram::{CONNECT, CONNECTED};
use iperf_protocol::options::Options;
use iperf_protocol::parameters::Parameters;
use iperf_protocol::report::Report;
use iperf_protocol::results::Results;
use iperf_protocol::state::State;
use iperf_protocol::{COOKIE, JSON_MAXIMUM};
use minios::future::{Either, select, timeout};
use minios::net::stack::{Stack, TcpSocket, UdpSocket};
use minios::{executor, println, random};
use smoltcp::wire::IpEndpoint;

/// Buffers of a UDP socket, bytes, and datagrams in them.
const DATAGRAMS: (usize, usize) = (512 << 10, 512);
/// How long the server has to take what its kernel has acknowledged. It counts nothing after it has heard of the end.
const TAKEN: Duration = Duration::from_millis(50);

/// The data connections of a test.
enum Streams {
    Tcp(Vec<TcpSocket>),
    Udp(Vec<UdpSocket>),
}

struct Client<'a> {
    stack: &'a Stack,
    server: IpEndpoint,
    control: Control,
    cookie: [u8; COOKIE],
}

/// 36 characters of base 32, and a zero.
fn cookie() -> [u8; COOKIE] {
    let mut cookie = [0; COOKIE];
    for byte in &mut cookie[..COOKIE - 1] {
        *byte = b"abcdefghijklmnopqrstuvwxyz234567"[(random::next_u64() % 32) as usize];
    }
    cookie
}

async fn connect(stack: &Stack, server: IpEndpoint, bytes: usize) -> Result<TcpSocket, Failure> {
    let mut socket = TcpSocket::new(stack, bytes);
    timeout(PEER_TIMEOUT, socket.connect(server))
        .await
        .unwrap_or(Err(minios::net::stack::NetError::Closed))?;
    Ok(socket)
}

/// Runs the test and prints its report.
pub async fn run(stack: &Stack, address: IpAddr, options: &Options) -> Result<(), Failure> {
    let server = IpEndpoint::new(address.into(), options.port);
    let mut socket = connect(stack, server, JSON_MAXIMUM).await?;
    socket.set_no_delay();
    socket.set_timeout(3 * PEER_TIMEOUT);
    let mut client = Client { stack, server, control: Control { socket }, cookie: cookie() };
    let parameters = &options.parameters;
    let (own, peer) = client.test(parameters).await?;
    client.control.close().await;
    let report = Report { parameters, own: &own, peer: &peer };
    println!("{}", if options.json { report.json() } else { report.text() });
    Ok(())
}

impl Client<'_> {
    /// The state that the server names next, unless it says no.
    async fn state(&mut self) -> Result<State, Failure> {
        match timeout(PEER_TIMEOUT, self.control.state()).await.unwrap_or(Err(Failure::Stalled))? {
            State::AccessDenied => Err(Failure::Busy),
            State::ServerTerminate => Err(Failure::Terminated),
            State::ServerError => Err(self.control.refusal().await),
            state => Ok(state),
        }
    }

    async fn test(&mut self, parameters: &Parameters) -> Result<(Results, Results), Failure> {
        let cookie = self.cookie;
        self.control.socket.write_all(&cookie).await?;
        let test = Test::new(parameters.clone(), !parameters.reverse, true);
        let mut streams = Streams::Tcp(Vec::new());
        let (mut own, mut peer) = (Results::default(), Results::default());
        loop {
            match self.state().await? {
                State::ParameterExchange => self.control.write_json(&parameters.emit()).await?,
                State::CreateStreams => streams = self.open(parameters).await?,
                State::TestStart => test.begin(),
                State::TestRunning => {
                    own = self.flow(&test, &mut streams).await?;
                    if !parameters.reverse && parameters.bytes().is_some() {
                        executor::sleep(TAKEN).await;
                    }
                    self.control.send_state(State::TestEnd).await?;
                }
                State::ExchangeResults => {
                    self.control.write_json(&own.emit()).await?;
                    let json = self.control.read_json().await?.ok_or(Failure::Gone)?;
                    peer = Results::parse(&json).map_err(Failure::Refusing)?;
                }
                State::DisplayResults => {
                    self.control.send_state(State::Done).await?;
                    return Ok((own, peer));
                }
                other => return Err(Failure::Unexpected(other.byte())),
            }
        }
    }

    async fn open(&mut self, parameters: &Parameters) -> Result<Streams, Failure> {
        if parameters.udp {
            let mut sockets = Vec::new();
            for _ in 0..parameters.parallel {
                let mut socket = UdpSocket::bind_any(self.stack, DATAGRAMS.0, DATAGRAMS.1)?;
                timeout(PEER_TIMEOUT, open_udp_stream(&mut socket, self.server))
                    .await
                    .ok_or(Failure::Stalled)?;
                sockets.push(socket);
            }
            return Ok(Streams::Udp(sockets));
        }
        let mut sockets = Vec::new();
        for _ in 0..parameters.parallel {
            let bytes = flow::buffer_bytes(parameters, !parameters.reverse);
            let mut socket = connect(self.stack, self.server, bytes).await?;
            socket.write_all(&self.cookie).await?;
            sockets.push(socket);
        }
        Ok(Streams::Tcp(sockets))
    }

    /// Lets the data flow until the time is over or everything is sent or received; what was counted.
    async fn flow(&mut self, test: &Test, streams: &mut Streams) -> Result<Results, Failure> {
        test.begin();
        let peers = [self.server];
        let flows: Vec<Flow<'_>> = match streams {
            Streams::Tcp(sockets) => sockets.iter_mut().enumerate().map(|(i, s)| test.tcp(i, s)).collect(),
            Streams::Udp(sockets) => {
                sockets.iter_mut().enumerate().map(|(i, s)| test.udp(i, s, &peers)).collect()
            }
        };
        let p = &test.parameters;
        let time = async {
            match p.time {
                0 => pending().await,
                seconds => executor::sleep(Duration::from_secs((seconds + p.omit).into())).await,
            }
        };
        let enough = select(test.run(flows), select(test.received_all(), time));
        match select(self.control.state(), select(enough, test.stalled())).await {
            Either::Right(Either::Left(_)) => Ok(test.results()),
            Either::Right(Either::Right(())) => Err(Failure::Stalled),
            Either::Left(state) => Err(match state? {
                State::ServerTerminate => Failure::Terminated,
                State::ServerError => self.control.refusal().await,
                other => Failure::Unexpected(other.byte()),
            }),
        }
    }
}

/// Says that the socket is there until the server answers.
async fn open_udp_stream(socket: &mut UdpSocket, server: IpEndpoint) {
    let mut answer = [0; 64];
    loop {
        // The server learns of it by the next one, if this one goes astray.
        let _ = socket.send(&CONNECT, server).await;
        let reply = timeout(Duration::from_secs(1), socket.receive(&mut answer)).await;
        if reply.is_some_and(|(n, from)| from == server && answer[..n].starts_with(&CONNECTED)) {
            return;
        }
    }
}
