//! The data of a test: what is sent, what is received, and what is counted.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::Cell;
use core::future::{Future, pending};
use core::pin::Pin;
use core::time::Duration;
use iperf_protocol::datagram::{Arrivals, Header};
use iperf_protocol::pace::Pace;
use iperf_protocol::parameters::Parameters;
use iperf_protocol::results::{Results, StreamResults};
use iperf_protocol::stream_id;
use minios::clock::{self, Instant};
use minios::future::join_all;
use minios::net::stack::{TcpSocket, UdpSocket};
use minios::{executor, idle};
use smoltcp::wire::IpEndpoint;

/// A test in which nothing moves for so long is over.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);
/// Heap for all streams' buffers together, bytes; half of it in each direction.
const BUFFERS: usize = 24 << 20;
/// Buffers of one stream in each direction, bytes.
const BUFFER_MINIMUM: usize = 128 << 10;
/// See [`BUFFER_MINIMUM`]. What has arrived lies in the device's buffers for the most part, and a large window keeps the peer
/// going; what is to be sent had better stay in a processor's cache.
const RECEIVED_MAXIMUM: usize = 4 << 20;
/// See [`BUFFER_MINIMUM`].
const SENT_MAXIMUM: usize = 1 << 20;

/// Bytes of each buffer of a stream that is sent or received here.
pub fn buffer_bytes(parameters: &Parameters, sends: bool) -> usize {
    let share = BUFFERS / 2 / (parameters.parallel.max(1) as usize);
    let most = share.clamp(BUFFER_MINIMUM, if sends { SENT_MAXIMUM } else { RECEIVED_MAXIMUM });
    match parameters.window {
        0 => most,
        window => most.min(window.max(2048) as usize),
    }
}

/// What is counted of a stream.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    bytes: u64,
    packets: u64,
    arrivals: Arrivals,
}

/// One stream's counts.
#[derive(Debug, Default)]
pub struct Meter {
    now: Cell<Count>,
    /// What does not count, because it came in the first seconds.
    omitted: Cell<Count>,
}

impl Meter {
    fn moved(&self, bytes: usize) {
        let mut count = self.now.get();
        count.bytes += bytes as u64;
        count.packets += 1;
        self.now.set(count);
    }

    fn record_arrival(&self, header: &Header) {
        let mut count = self.now.get();
        count.arrivals.record_arrival(header, clock::unix_ns() as f64 * 1e-9);
        self.now.set(count);
    }
}

/// A test that runs.
pub struct Test {
    /// What it is to do.
    pub parameters: Parameters,
    /// Whether this side sends.
    sends: bool,
    meters: Vec<Meter>,
    begun: Cell<Instant>,
    /// When counting began, and how long the guest had slept by then.
    counted: Cell<(Instant, Duration)>,
    /// Bytes still to be sent, if there is a limit.
    left: Cell<Option<u64>>,
}

/// A stream's work.
pub type Flow<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

impl Test {
    /// A test that is about to start; `limited`: this side minds how many bytes are sent.
    pub fn new(parameters: Parameters, sends: bool, limited: bool) -> Self {
        let meters = (0..parameters.parallel).map(|_| Meter::default()).collect();
        let begun = clock::now();
        Self {
            left: Cell::new(if limited { parameters.bytes() } else { None }),
            parameters,
            sends,
            meters,
            begun: Cell::new(begun),
            counted: Cell::new((begun, idle::slept())),
        }
    }

    /// The clock starts.
    pub fn begin(&self) {
        let now = clock::now();
        self.begun.set(now);
        self.counted.set((now, idle::slept()));
    }

    /// A stream over TCP.
    pub fn tcp<'a>(&'a self, index: usize, socket: &'a mut TcpSocket) -> Flow<'a> {
        if self.sends { Box::pin(self.send(index, socket)) } else { Box::pin(self.receive(index, socket)) }
    }

    /// Streams over UDP that share a socket: the index of the first, and who is at their other ends.
    pub fn udp<'a>(&'a self, first: usize, socket: &'a mut UdpSocket, peers: &'a [IpEndpoint]) -> Flow<'a> {
        if self.sends {
            Box::pin(self.send_datagrams(first, socket, peers))
        } else {
            Box::pin(self.receive_datagrams(first, socket, peers))
        }
    }

    async fn send(&self, index: usize, socket: &mut TcpSocket) {
        let mut pace = Pace::new(self.parameters.bandwidth);
        loop {
            executor::sleep_until(self.begun.get() + Duration::from_nanos(pace.due_ns())).await;
            let most = if pace.is_set() { self.parameters.len as usize } else { usize::MAX };
            let most = self.left.get().map_or(most, |left| most.min(left as usize));
            let Ok(n @ 1..) = socket.produce(|room| room.len().min(most)).await else { break };
            self.left.set(self.left.get().map(|left| left.saturating_sub(n as u64)));
            self.meters[index].moved(n);
            pace.sent(n);
        }
        // The peer counts until it hears of the end, by another connection. One that has gone counts nothing.
        let _ = socket.delivered().await;
    }

    async fn receive(&self, index: usize, socket: &mut TcpSocket) {
        while let Ok(n @ 1..) = socket.consume(<[u8]>::len).await {
            self.meters[index].moved(n);
        }
    }

    async fn send_datagrams(&self, first: usize, socket: &mut UdpSocket, peers: &[IpEndpoint]) {
        let mut datagram = vec![0; self.parameters.len as usize];
        let mut flows = vec![(Pace::new(self.parameters.bandwidth), 0u64); peers.len()];
        // Who is due first; streams without a pace take turns.
        while let Some(next) = (0..flows.len()).min_by_key(|&i| (flows[i].0.due_ns(), flows[i].1)) {
            let (pace, number) = &mut flows[next];
            executor::sleep_until(self.begun.get() + Duration::from_nanos(pace.due_ns())).await;
            if self.left.get() == Some(0) {
                return;
            }
            *number += 1;
            let now = clock::unix_ns();
            let seconds = (now / 1_000_000_000) as u32;
            let micros = (now % 1_000_000_000 / 1000) as u32;
            Header { seconds, micros, number: *number }.emit(&mut datagram, self.parameters.counters_64bit());
            if socket.send(&datagram, peers[next]).await.is_err() {
                return;
            }
            pace.sent(datagram.len());
            self.left.set(self.left.get().map(|left| left.saturating_sub(datagram.len() as u64)));
            self.meters[first + next].moved(datagram.len());
        }
    }

    async fn receive_datagrams(&self, first: usize, socket: &mut UdpSocket, peers: &[IpEndpoint]) {
        let mut datagram = vec![0; 64 << 10];
        loop {
            let (n, from) = socket.receive(&mut datagram).await;
            let Some(stream) = peers.iter().position(|peer| *peer == from) else { continue };
            let Some(header) = Header::parse(&datagram[..n], self.parameters.counters_64bit()) else {
                continue;
            };
            self.meters[first + stream].moved(n);
            self.meters[first + stream].record_arrival(&header);
        }
    }

    /// Carries all streams, and leaves out the seconds that do not count. Ends when all have sent what they had to; never
    /// if they receive, or if there is no limit.
    pub async fn run(&self, flows: Vec<Flow<'_>>) {
        let omission: Flow<'_> = Box::pin(async {
            if self.parameters.omit > 0 {
                executor::sleep(Duration::from_secs(self.parameters.omit.into())).await;
                self.meters.iter().for_each(|meter| meter.omitted.set(meter.now.get()));
                self.counted.set((clock::now(), idle::slept()));
            }
        });
        join_all(flows.into_iter().chain([omission])).await;
        if !self.sends || self.left.get().is_none() {
            pending::<()>().await;
        }
    }

    /// Ends when a receiver has all that the sender was to send; never if there is no limit or this side sends.
    pub async fn received_all(&self) {
        let received = || self.meters.iter().map(|meter| meter.now.get().bytes).sum::<u64>();
        match self.parameters.bytes() {
            Some(bytes) if !self.sends => {
                while received() < bytes {
                    executor::sleep(Duration::from_millis(1)).await;
                }
            }
            _ => pending().await,
        }
    }

    /// Ends when nothing has moved for a minute.
    pub async fn stalled(&self) {
        let moved = || self.meters.iter().fold(0u64, |sum, meter| sum.wrapping_add(meter.now.get().packets));
        let (mut before, mut since) = (moved(), clock::now());
        while clock::now().since(since) < STALL_TIMEOUT {
            executor::sleep(Duration::from_secs(1)).await;
            if moved() != before {
                (before, since) = (moved(), clock::now());
            }
        }
    }

    /// What was counted until now.
    pub fn results(&self) -> Results {
        let (from, slept) = self.counted.get();
        let time = clock::now().since(from).as_secs_f64();
        let asleep = idle::slept().saturating_sub(slept).as_secs_f64();
        let busy = if time > 0.0 { (100.0 * (1.0 - asleep / time)).clamp(0.0, 100.0) } else { 0.0 };
        let streams = self.meters.iter().enumerate().map(|(index, meter)| {
            let (now, omitted) = (meter.now.get(), meter.omitted.get());
            let arrivals = now.arrivals.since(&omitted.arrivals);
            let udp = self.parameters.udp;
            StreamResults {
                id: stream_id(index),
                bytes: now.bytes - omitted.bytes,
                retransmits: -1.0,
                jitter: arrivals.jitter,
                errors: arrivals.lost,
                packets: match (udp, self.sends) {
                    (false, _) => 0,
                    (true, true) => now.packets - omitted.packets,
                    (true, false) => arrivals.highest,
                },
                start_time: 0.0,
                end_time: time,
            }
        });
        Results {
            cpu_util_total: busy,
            cpu_util_user: busy,
            cpu_util_system: 0.0,
            sender_has_retransmits: if self.sends { 0.0 } else { -1.0 },
            streams: streams.collect(),
        }
    }
}
