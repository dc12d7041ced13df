//! Those who ask: a thread for each connection reads requests and hands them to the control thread, so that a slow
//! one keeps nobody waiting.

use super::key;
use crate::capture::{self, CapturedPacket};
use crate::control::{Event, LINE_MAXIMUM, Request, Response};
use crate::worker::wake::signal;
use listener::{ACCEPT_PAUSE, is_persistent};
use polling::{Event as Ready, PollMode, Poller};
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, TrySendError, channel, sync_channel};
use std::time::{Duration, Instant};

/// Connections at a time; one more is closed.
const CONNECTIONS: usize = 64;
/// Events that wait for a slow reader; it misses what is more.
const EVENTS: usize = 1024;
/// How long an answer may take to be read.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// What the connection's thread goes on with.
enum Answer {
    Response(Response),
    Capture { port: String, snap: usize, packets: Receiver<CapturedPacket> },
    Events(Receiver<Event>),
}

/// Where an answer goes.
pub struct Reply {
    to: Sender<Answer>,
}

impl Reply {
    /// Answers.
    pub fn answer(&self, response: Response) {
        // Who asked may have gone.
        let _ = self.to.send(Answer::Response(response));
    }

    /// Answers with packets to come.
    pub fn capture(&self, port: String, snap: usize, packets: Receiver<CapturedPacket>) {
        // As above.
        let _ = self.to.send(Answer::Capture { port, snap, packets });
    }
}

/// The control socket and those who are connected.
pub struct Server {
    listener: Option<UnixListener>,
    requests: Receiver<(Request, Reply)>,
    requests_sender: Sender<(Request, Reply)>,
    wakeup: Arc<OwnedFd>,
    subscribers: Vec<SyncSender<Event>>,
    connections: Arc<AtomicUsize>,
    /// Until when nobody is accepted, since that has failed.
    paused: Option<Instant>,
}

impl Server {
    /// Listens; `wakeup` is rung for each request.
    pub fn new(listener: Option<UnixListener>, wakeup: OwnedFd) -> Self {
        let (requests_sender, requests) = channel();
        Self {
            listener,
            requests,
            requests_sender,
            wakeup: Arc::new(wakeup),
            subscribers: Vec::new(),
            connections: Arc::default(),
            paused: None,
        }
    }

    /// The socket.
    pub fn listener(&self) -> Option<&UnixListener> {
        self.listener.as_ref()
    }

    /// When those who wait are accepted again, if they are not now.
    pub fn next_attempt(&self) -> Option<Instant> {
        self.paused
    }

    /// Accepts again, if it is time.
    pub fn resume(&mut self, poller: &Poller) {
        if self.paused.is_some_and(|at| at <= Instant::now()) {
            self.paused = None;
            self.listen_for(poller, Ready::readable(key::CONTROL));
        }
    }

    fn listen_for(&self, poller: &Poller, ready: Ready) {
        if let Some(listener) = &self.listener {
            // It is registered.
            let _ = poller.modify_with_mode(listener, ready, PollMode::Level);
        }
    }

    /// Takes who waits.
    pub fn accept(&mut self, poller: &Poller) {
        let stream = match self.listener.as_ref().map(UnixListener::accept) {
            Some(Ok((stream, _))) => stream,
            Some(Err(e)) if is_persistent(&e) => {
                self.paused = Some(Instant::now() + ACCEPT_PAUSE);
                return self.listen_for(poller, Ready::none(key::CONTROL));
            }
            _ => return,
        };
        if self.connections.load(Ordering::Relaxed) >= CONNECTIONS {
            return;
        }
        let (requests_sender, wakeup, connections) =
            (self.requests_sender.clone(), self.wakeup.clone(), self.connections.clone());
        connections.fetch_add(1, Ordering::Relaxed);
        let serve = move || {
            // A connection that fails is gone, which is all there is to say about it.
            let _ = serve(stream, &requests_sender, &wakeup);
            connections.fetch_sub(1, Ordering::Relaxed);
        };
        if let Err(e) = std::thread::Builder::new().name("control".into()).spawn(serve) {
            eprintln!("microvisor-switch: no thread for a connection: {e}");
            self.connections.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// The next request.
    pub fn request(&self) -> Option<(Request, Reply)> {
        self.requests.try_recv().ok()
    }

    /// Events go to whoever asked.
    pub fn subscribe(&mut self, reply: &Reply) {
        let (to, events) = sync_channel(EVENTS);
        if reply.to.send(Answer::Events(events)).is_ok() {
            self.subscribers.push(to);
        }
    }

    /// Something happened.
    pub fn publish(&mut self, event: &Event) {
        let gone = |s: &SyncSender<Event>| {
            // One whose queue is full misses this.
            matches!(s.try_send(event.clone()), Err(TrySendError::Disconnected(_)))
        };
        self.subscribers.retain(|s| !gone(s));
    }
}

fn write_line(to: &mut impl Write, value: &impl serde::Serialize) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    to.write_all(&line)?;
    to.flush()
}

fn serve(
    stream: UnixStream,
    requests_sender: &Sender<(Request, Reply)>,
    wakeup: &OwnedFd,
) -> std::io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
    let mut input = BufReader::new(stream.try_clone()?);
    let mut output = BufWriter::new(stream);
    loop {
        let mut line = Vec::new();
        let n = input.by_ref().take(LINE_MAXIMUM as u64).read_until(b'\n', &mut line)?;
        if n == 0 {
            return Ok(());
        }
        if line.last() != Some(&b'\n') && n == LINE_MAXIMUM {
            let message = format!("a request of more than {LINE_MAXIMUM} bytes");
            return write_line(&mut output, &Response::Refused { message });
        }
        let request = match serde_json::from_slice(&line) {
            Ok(request) => request,
            Err(e) => {
                write_line(&mut output, &Response::Refused { message: format!("not a request: {e}") })?;
                continue;
            }
        };
        let (to, answer) = channel();
        if requests_sender.send((request, Reply { to })).is_err() {
            return Ok(());
        }
        signal(wakeup)?;
        match answer.recv() {
            Err(_) => return Ok(()),
            Ok(Answer::Response(response)) => write_line(&mut output, &response)?,
            Ok(Answer::Capture { port, snap, packets }) => {
                write_line(&mut output, &Response::Follows)?;
                return stream_packets(&mut output, &mut input, &port, snap, &packets);
            }
            Ok(Answer::Events(events)) => {
                write_line(&mut output, &Response::Follows)?;
                return stream_events(&mut output, &mut input, &events);
            }
        }
    }
}

/// Whether the other side has closed its end, which it says by nothing else.
fn is_gone(input: &mut BufReader<UnixStream>) -> bool {
    let mut byte = [0];
    let stream = input.get_mut();
    if stream.set_nonblocking(true).is_err() {
        return true;
    }
    let gone = matches!(stream.read(&mut byte), Ok(0));
    gone || stream.set_nonblocking(false).is_err()
}

/// How often it is checked_at whether the other side is still there.
const GONE_CHECK_INTERVAL: Duration = Duration::from_millis(200);

fn stream_packets(
    output: &mut BufWriter<UnixStream>,
    input: &mut BufReader<UnixStream>,
    port: &str,
    snap: usize,
    packets: &Receiver<CapturedPacket>,
) -> std::io::Result<()> {
    capture::begin(output, port, snap)?;
    output.flush()?;
    loop {
        match packets.recv_timeout(GONE_CHECK_INTERVAL) {
            Ok(copy) => {
                capture::packet(output, &copy)?;
                while let Ok(copy) = packets.try_recv() {
                    capture::packet(output, &copy)?;
                }
                output.flush()?;
            }
            Err(RecvTimeoutError::Timeout) if !is_gone(input) => {}
            Err(_) => return Ok(()),
        }
    }
}

fn stream_events(
    output: &mut BufWriter<UnixStream>,
    input: &mut BufReader<UnixStream>,
    events: &Receiver<Event>,
) -> std::io::Result<()> {
    loop {
        match events.recv_timeout(GONE_CHECK_INTERVAL) {
            Ok(event) => write_line(output, &event)?,
            Err(RecvTimeoutError::Timeout) if !is_gone(input) => {}
            Err(_) => return Ok(()),
        }
    }
}
