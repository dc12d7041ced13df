//! The server: one test after the other; who comes during one is told that it is busy.

use crate::control::{Control, Failure, PEER_TIMEOUT, read_exact};
use crate::flow::{self, Test};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::future::Future;
use core::pin::{Pin, pin};
use core::time::Duration;
use iperf_protocol::datagram::{CONNECT, CONNECT_OLD, CONNECTED, CONNECTED_OLD};
use iperf_protocol::options::Options;
use iperf_protocol::parameters::Parameters;
use iperf_protocol::results::Results;
use iperf_protocol::state::{Refusal, State};
use iperf_protocol::{COOKIE, JSON_MAXIMUM};
use minios::future::{Either, join_all, select, timeout};
use minios::net::stack::{Stack, TcpSocket, UdpSocket};
use minios::println;
use smoltcp::wire::IpEndpoint;

/// Buffers of the control connection, bytes: one whole JSON text.
const CONTROL_BUFFER: usize = JSON_MAXIMUM;
/// Buffers of the UDP socket, bytes, and datagrams in them.
const DATAGRAMS: (usize, usize) = (2 << 20, 2048);
/// How long the bytes that a client has sent may come after its word that it has.
const OVERTAKEN: Duration = Duration::from_secs(1);

/// Serves until the guest ends, or one test if that is what was asked for.
pub async fn run(stack: &Stack, options: &Options, datagram: u32) {
    let mut next = None;
    loop {
        let mut socket = next.take().unwrap_or_else(|| TcpSocket::new(stack, CONTROL_BUFFER));
        if socket.accept(options.port).await.is_err() {
            continue;
        }
        socket.set_no_delay();
        socket.set_timeout(3 * PEER_TIMEOUT);
        let mut session =
            Session { stack, port: options.port, datagram, control: Control { socket }, next: &mut next };
        match session.serve().await {
            Ok((own, peer)) => {
                let (bytes, seconds) = (own.bytes(), own.seconds());
                let rate = if seconds > 0.0 { bytes as f64 * 8e-6 / seconds } else { 0.0 };
                println!("{bytes} bytes here, {} there, in {seconds:.2} s: {rate:.1} Mbit/s", peer.bytes());
            }
            Err(failure) => println!("no test: {failure}"),
        }
        session.control.close().await;
        if options.once {
            return;
        }
    }
}

struct Session<'a> {
    stack: &'a Stack,
    port: u16,
    /// Most bytes of a datagram.
    datagram: u32,
    control: Control,
    /// A socket that waits for the next test.
    next: &'a mut Option<TcpSocket>,
}

impl Session<'_> {
    /// One test; both sides' results.
    async fn serve(&mut self) -> Result<(Results, Results), Failure> {
        let mut cookie = [0; COOKIE];
        read_exact(&mut self.control.socket, &mut cookie).await?;
        self.control.send_state(State::ParameterExchange).await?;
        let parameters = match self.control.read_json().await? {
            Some(json) => Parameters::parse(&json),
            None => Err(Refusal::Parameters),
        };
        let parameters = match parameters.and_then(|p| p.check(self.datagram).map(|()| p)) {
            Ok(parameters) => parameters,
            Err(refusal) => return Err(self.control.refuse(refusal).await),
        };
        // How much is enough is for the client to say, even if this side sends.
        let test = Test::new(parameters.clone(), parameters.reverse, false);
        if parameters.udp { self.udp(&test).await } else { self.tcp(&test, &cookie).await }
    }

    async fn tcp(&mut self, test: &Test, cookie: &[u8; COOKIE]) -> Result<(Results, Results), Failure> {
        let bytes = flow::buffer_bytes(&test.parameters, test.parameters.reverse);
        let waiting = (0..test.parameters.parallel).map(|_| TcpSocket::new(self.stack, bytes));
        let streams = RefCell::new(Vec::new());
        let (stack, port) = (self.stack, self.port);
        let accepts = waiting.map(|socket| {
            let streams = &streams;
            Box::pin(async move {
                let stream = accept_stream(stack, port, bytes, socket, cookie).await;
                streams.borrow_mut().push(stream);
            }) as Pin<Box<dyn Future<Output = ()>>>
        });
        let accepts: Vec<_> = accepts.collect();
        self.control.send_state(State::CreateStreams).await?;
        if timeout(PEER_TIMEOUT, join_all(accepts)).await.is_none() {
            return Err(self.control.refuse(Refusal::StreamAccept).await);
        }
        let mut streams = streams.into_inner();
        let flows = streams.iter_mut().enumerate().map(|(i, socket)| test.tcp(i, socket)).collect();
        let own = self.run(test, flows).await?;
        // A client waits for a whole block, or for the end.
        streams.iter_mut().for_each(TcpSocket::finish);
        self.exchange(own).await
    }

    async fn udp(&mut self, test: &Test) -> Result<(Results, Results), Failure> {
        let Ok(mut socket) = UdpSocket::bind_deep(self.stack, self.port, DATAGRAMS.0, DATAGRAMS.1) else {
            return Err(self.control.refuse(Refusal::StreamAccept).await);
        };
        self.control.send_state(State::CreateStreams).await?;
        let mut peers = Vec::new();
        let meeting = accept_udp_streams(&mut socket, &mut peers, test.parameters.parallel as usize);
        if timeout(PEER_TIMEOUT, meeting).await.is_none() {
            return Err(self.control.refuse(Refusal::StreamAccept).await);
        }
        let flows = [test.udp(0, &mut socket, &peers)].into();
        let own = self.run(test, flows).await?;
        self.exchange(own).await
    }

    /// From the first byte of data to the last that counts.
    async fn run(&mut self, test: &Test, flows: Vec<flow::Flow<'_>>) -> Result<Results, Failure> {
        self.control.send_state(State::TestStart).await?;
        self.control.send_state(State::TestRunning).await?;
        test.begin();
        let meanwhile = select(reject_other_clients(self.stack, self.port, self.next), test.run(flows));
        let mut meanwhile = pin!(meanwhile);
        match select(self.control.state(), select(meanwhile.as_mut(), test.stalled())).await {
            Either::Left(Ok(State::TestEnd)) => {
                // The end may overtake the last bytes, which are in other connections.
                if !test.parameters.reverse && test.parameters.bytes().is_some() {
                    select(meanwhile, timeout(OVERTAKEN, test.received_all())).await;
                }
                Ok(test.results())
            }
            Either::Left(Ok(State::ClientTerminate)) => Err(Failure::Terminated),
            Either::Left(Ok(other)) => Err(Failure::Unexpected(other.byte())),
            Either::Left(Err(failure)) => Err(failure),
            Either::Right(_) => Err(Failure::Stalled),
        }
    }

    async fn exchange(&mut self, own: Results) -> Result<(Results, Results), Failure> {
        let meanwhile = reject_other_clients(self.stack, self.port, self.next);
        match select(self.control.exchange(own), meanwhile).await {
            Either::Left(results) => results,
            Either::Right(()) => Err(Failure::Stalled),
        }
    }
}

/// Waits for a connection that has the cookie.
async fn accept_stream(
    stack: &Stack,
    port: u16,
    bytes: usize,
    mut socket: TcpSocket,
    cookie: &[u8; COOKIE],
) -> TcpSocket {
    loop {
        let mut theirs = [0; COOKIE];
        if socket.accept(port).await.is_ok() {
            match read_exact(&mut socket, &mut theirs).await {
                Ok(()) if theirs == *cookie => return socket,
                _ => deny(&mut socket).await,
            }
        }
        socket = TcpSocket::new(stack, bytes);
    }
}

async fn deny(socket: &mut TcpSocket) {
    let refusal = async {
        // Whoever has gone needs no answer.
        let _ = socket.write_all(&[State::AccessDenied.byte()]).await;
        socket.close().await;
    };
    timeout(Duration::from_secs(1), refusal).await;
}

/// Denies whoever wants a test meanwhile; leaves a socket that listens.
async fn reject_other_clients(stack: &Stack, port: u16, next: &mut Option<TcpSocket>) {
    loop {
        let socket = next.get_or_insert_with(|| TcpSocket::new(stack, CONTROL_BUFFER));
        if socket.accept(port).await.is_ok() {
            deny(socket).await;
        }
        *next = None;
    }
}

/// Waits until so many clients' sockets have said that they are there, and answers them.
async fn accept_udp_streams(socket: &mut UdpSocket, peers: &mut Vec<IpEndpoint>, wanted: usize) {
    let mut datagram = [0; 64];
    while peers.len() < wanted {
        let (n, from) = socket.receive(&mut datagram).await;
        let answer = match datagram[..n].first_chunk() {
            Some(&CONNECT) => CONNECTED,
            Some(&CONNECT_OLD) => CONNECTED_OLD,
            _ => continue,
        };
        if socket.send(&answer, from).await.is_ok() && !peers.contains(&from) {
            peers.push(from);
        }
    }
}
