//! Messages on the control ring: console text and replies out; console input, stop requests, handler requests, new
//! configurations and the time in.
//!
//! [`poll`] reads what has arrived, passes requests to their handler, and writes what did not fit earlier. Nothing
//! here waits, except a guest that is about to exit. Console text that does not fit into the ring is dropped and
//! counted; replies that do not fit stay in the heap until they do.
#![allow(unsafe_code)]

mod inbound;
mod request;

use crate::clock::{self, Instant, Tsc};
use crate::global::Global;
use crate::heap;
use crate::registers;
use abi::control as message;
use abi::control::{ControlPage, MESSAGE_MAXIMUM, MessageHeader};
use abi::registers::DOORBELL_CONTROL;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use inbound::Inbound;
pub use request::{Reply, Request, RequestHandler, unsupported};
use request::{header, parse};
use virtqueue::stream::{Consumer, Producer};

const HEADER: usize = size_of::<MessageHeader>();
/// Console input kept for a guest that does not read it, bytes.
const CONSOLE_INPUT_MAXIMUM: usize = 16 << 10;
/// Console text that may wait behind a reply, bytes.
const TEXT_BEHIND_REPLY: usize = 16 << 10;

/// Free space in the ring that a guest waits for before it prints its last lines and exits, bytes.
const EXIT_MESSAGE_ROOM: usize = 1024;

/// The guest's side of the control ring.
struct Control {
    /// The stream to the monitor.
    to_host: Producer,
    /// The stream from the monitor.
    to_guest: Consumer,
    /// The message from the monitor that is being read.
    inbound: Inbound,
    /// Bytes of messages to the monitor that did not fit into the ring yet.
    backlog: VecDeque<u8>,
    /// Console text dropped since the last note about it, bytes.
    dropped_bytes: usize,
    /// Whether the doorbell is rung at [`poll`] and [`crate::idle::wait`] only, not after each message.
    doorbell_deferred: bool,
    /// Whether something was published for which the doorbell was not rung.
    doorbell_pending: bool,
    /// Console input that the guest has not read yet.
    console_input: VecDeque<u8>,
    /// Wakes the task that waits for console input.
    console_waker: Option<Waker>,
    /// Whether the boot page of a prepared guest is complete.
    is_assigned: bool,
    /// When the guest has to have exited; `None` until the operator asks it to stop.
    stop_deadline: Option<Instant>,
    /// Wake the tasks that wait for a stop request.
    stop_wakers: Vec<Waker>,
}

impl Control {
    const fn new() -> Self {
        Self {
            to_host: Producer::none(),
            to_guest: Consumer::none(),
            inbound: Inbound::new(),
            backlog: VecDeque::new(),
            dropped_bytes: 0,
            doorbell_deferred: false,
            doorbell_pending: false,
            console_input: VecDeque::new(),
            console_waker: None,
            is_assigned: false,
            stop_deadline: None,
            stop_wakers: Vec::new(),
        }
    }

    /// Bytes that the ring has room for; none once the monitor has broken its rules.
    fn room(&self) -> usize {
        self.to_host.room().unwrap_or(0)
    }

    /// Writes bytes into the ring, as many as fit.
    fn write(&mut self, bytes: &[u8]) -> usize {
        self.to_host.write(bytes).unwrap_or(0)
    }

    /// Bytes that have arrived; none once the monitor has broken its rules.
    fn waiting(&self) -> usize {
        self.to_guest.waiting().unwrap_or(0)
    }

    /// Writes console text into the ring, or behind a reply that waits; drops it if neither has room.
    fn console(&mut self, text: &[u8]) {
        let header = header(text.len(), message::CONSOLE_OUTPUT, 0, 0);
        if !self.backlog.is_empty() {
            if self.backlog.len() + text.len() <= TEXT_BEHIND_REPLY && self.dropped_bytes == 0 {
                self.backlog.extend(header);
                self.backlog.extend(text);
            } else {
                self.dropped_bytes += text.len();
            }
            return;
        }
        if self.dropped_bytes > 0 && !self.report_dropped(HEADER + text.len())
            || self.room() < HEADER + text.len()
        {
            self.dropped_bytes += text.len();
            return;
        }
        self.write(&header);
        self.write(text);
        self.publish();
    }

    /// Writes a note about dropped console text, if the ring has room for it and for `more` bytes.
    #[cold]
    fn report_dropped(&mut self, more: usize) -> bool {
        let mut digits = [0; 20];
        let parts =
            [&b"["[..], decimal(self.dropped_bytes, &mut digits), b" bytes of console output lost]\n"];
        let length = parts.iter().map(|p| p.len()).sum::<usize>();
        if self.room() < HEADER + length + more {
            return false;
        }
        self.write(&header(length, message::CONSOLE_OUTPUT, 0, 0));
        for part in parts {
            self.write(part);
        }
        self.dropped_bytes = 0;
        self.publish();
        true
    }

    fn reply(&mut self, id: u64, reply: &Reply) {
        let bytes = &reply.bytes[..reply.bytes.len().min(MESSAGE_MAXIMUM as usize)];
        self.backlog.extend(header(bytes.len(), message::REPLY, reply.status, id));
        self.backlog.extend(bytes);
        self.flush_backlog();
    }

    /// Writes as much of the backlog as fits into the ring.
    fn flush_backlog(&mut self) {
        while !self.backlog.is_empty() {
            let n = self.to_host.write(self.backlog.as_slices().0).unwrap_or(0);
            self.backlog.drain(..n);
            if n == 0 {
                return;
            }
            self.publish();
        }
        if self.dropped_bytes > 0 {
            self.report_dropped(0);
        }
    }

    fn publish(&mut self) {
        self.to_host.publish();
        self.doorbell_pending = true;
        if !self.doorbell_deferred {
            self.ring();
        }
    }

    fn ring(&mut self) {
        if core::mem::take(&mut self.doorbell_pending) && self.to_host.consumer_waits() {
            registers::ring(DOORBELL_CONTROL);
        }
    }

    /// The next complete request. Handles messages of other kinds on the way.
    fn next_request(&mut self) -> Option<(u16, u64, Option<Vec<u8>>)> {
        loop {
            if self.waiting() == 0 {
                return None;
            }
            let whole = self.inbound.advance(&mut self.to_guest);
            if self.to_guest.producer_waits() {
                registers::ring(DOORBELL_CONTROL);
            }
            if !whole {
                return None;
            }
            let fields = self.inbound.fields();
            let payload = self.inbound.payload.take();
            let word = |at: usize| {
                let bytes = payload.as_ref()?.get(at..at + 8)?;
                Some(u64::from_le_bytes(bytes.try_into().ok()?))
            };
            match fields.kind {
                message::CONSOLE_INPUT => {
                    let room = CONSOLE_INPUT_MAXIMUM - self.console_input.len();
                    self.console_input.extend(payload.unwrap_or_default().into_iter().take(room));
                    self.console_waker.take().into_iter().for_each(Waker::wake);
                }
                message::STOP => {
                    let grace = payload
                        .as_deref()
                        .and_then(|p| p.first_chunk())
                        .map_or(0, |b| u32::from_le_bytes(*b));
                    self.stop_deadline = Some(clock::now() + Duration::from_millis(grace.into()));
                    self.stop_wakers.drain(..).for_each(Waker::wake);
                }
                message::CLOCK => {
                    if let (Some(tsc), Some(unix_ns)) = (word(0), word(8)) {
                        clock::set_wall_clock(Tsc(tsc), unix_ns);
                    }
                }
                message::ASSIGN => {
                    // What follows is the instance's, and for whoever reads it then.
                    self.is_assigned = true;
                    return None;
                }
                message::RANGES_DISCARDED => heap::free_memory_discarded(),
                message::HANDLER_READ | message::HANDLER_WRITE | message::CONFIGURE | message::STATISTICS => {
                    return Some((fields.kind, fields.id, payload));
                }
                _ => {}
            }
        }
    }
}

/// A number in decimal, without the formatting machinery.
fn decimal(mut number: usize, digits: &mut [u8; 20]) -> &[u8] {
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &digits[at..];
        }
    }
}

static CONTROL: Global<Control> = Global::new(Control::new());

/// Sets up the guest's side of the control ring.
///
/// # Safety
/// `page` is the boot page's control page, and this is called once.
#[cfg_attr(test, allow(dead_code))]
pub(crate) unsafe fn init(page: u64) {
    let page = page as *mut ControlPage;
    // SAFETY: the monitor has laid out the page and both rings, for this side's use as long as the guest runs.
    let (out, to_guest) = unsafe {
        let (to_host, to_guest) = ((*page).to_host_bytes, (*page).to_guest_bytes);
        (
            Producer::new(&raw mut (*page).to_host, to_host.base as *mut u8, to_host.length),
            Consumer::new(&raw mut (*page).to_guest, to_guest.base as *mut u8, to_guest.length),
        )
    };
    CONTROL.with(|control| (control.to_host, control.to_guest) = (out, to_guest));
}

/// Reads what has arrived, has requests handled, and writes replies that waited. Returns whether anything had arrived.
pub fn poll(handler: &mut dyn RequestHandler) -> bool {
    let mut worked = false;
    loop {
        let request = CONTROL.with(|control| {
            control.flush_backlog();
            worked |= control.waiting() > 0;
            control.next_request()
        });
        let Some((kind, id, payload)) = request else { break };
        let reply = match payload.as_deref().map(|p| parse(kind, p)) {
            Some(Ok(request)) => handler.handle(request),
            Some(Err(why)) => Reply::refused(message::STATUS_REFUSED, why),
            None => Reply::refused(
                message::STATUS_REFUSED,
                "the guest has too little free memory for this request",
            ),
        };
        if id != 0 {
            CONTROL.with(|control| control.reply(id, &reply));
        }
    }
    CONTROL.with(Control::ring);
    worked
}

/// Sleeps until the monitor says that the boot page is complete. Nobody can have sent a request before.
#[cfg_attr(test, allow(dead_code))]
pub(crate) fn await_assignment() {
    loop {
        let is_assigned = CONTROL.with(|control| {
            while !control.is_assigned && control.next_request().is_some() {}
            control.is_assigned
        });
        if is_assigned {
            return;
        }
        want_wakeup(true);
        // `want_wakeup` ends in a full fence: whoever publishes from here on sees that a wake-up is wanted.
        if !has_work() {
            registers::yield_until(None);
        }
        want_wakeup(false);
    }
}

/// Rings the doorbell if something was published and the monitor waits for it.
pub(crate) fn flush_doorbell() {
    CONTROL.with(Control::ring);
}

/// Whether something has arrived, or the backlog can be written.
pub(crate) fn has_work() -> bool {
    CONTROL.with(|c| c.waiting() > 0 || (!c.backlog.is_empty() && c.room() > 0))
}

/// Asks the monitor for a wake-up when [`has_work`] becomes true, or takes that back.
pub(crate) fn want_wakeup(wanted: bool) {
    CONTROL.with(|c| {
        c.to_guest.set_waiting(wanted);
        c.to_host.set_waiting(wanted && !c.backlog.is_empty());
    });
}

/// Rings the doorbell at [`poll`] and [`crate::idle::wait`] from now on, not at each line. A guest that ends at once
/// need not ring at all: its last words are read anyway.
pub fn defer_doorbell(deferred: bool) {
    CONTROL.with(|control| {
        control.doorbell_deferred = deferred;
        if !deferred {
            control.ring();
        }
    });
}

/// Sends console text; see [`crate::console`].
pub(crate) fn console(text: &[u8]) {
    // In use already: a panic in this module. Its report is lost, its exit code is not.
    let _ = CONTROL.try_with(|control| control.console(text));
}

/// Waits up to 100 ms until the ring has room for some lines, so that a guest's last output is not dropped.
#[cfg_attr(test, allow(dead_code))]
pub(crate) fn drain_before_exit() {
    let deadline = clock::now() + Duration::from_millis(100);
    let full = || {
        CONTROL.try_with(|control| {
            control.to_host.set_waiting(true);
            control.flush_backlog();
            let full = control.room() < EXIT_MESSAGE_ROOM;
            if full {
                control.doorbell_pending = true;
                control.ring();
            }
            full
        })
    };
    while full() == Some(true) && clock::now() < deadline {
        registers::yield_until(Some(clock::tsc_at(deadline)));
    }
}

/// Sends ranges of the heap that hold nothing; `false` if the ring has no room for them now.
pub(crate) fn send_free_ranges(ranges: &[u8]) -> bool {
    CONTROL.with(|control| {
        if !control.backlog.is_empty() || control.room() < HEADER + ranges.len() {
            return false;
        }
        control.write(&header(ranges.len(), message::FREE_RANGES, 0, 1));
        control.write(ranges);
        control.publish();
        control.ring();
        true
    })
}

/// When the guest has to have ended, once the operator has asked it to.
pub fn stop_deadline() -> Option<Instant> {
    CONTROL.with(|control| control.stop_deadline)
}

/// Waits until the operator asks the guest to stop; says by when it has to have ended.
pub async fn stop_requested() -> Instant {
    core::future::poll_fn(|context: &mut Context<'_>| {
        CONTROL.with(|control| match control.stop_deadline {
            Some(deadline) => Poll::Ready(deadline),
            None => {
                if !control.stop_wakers.iter().any(|w| w.will_wake(context.waker())) {
                    control.stop_wakers.push(context.waker().clone());
                }
                Poll::Pending
            }
        })
    })
    .await
}

/// Reads console input that has arrived; 0: none has.
pub(crate) fn read_input(bytes: &mut [u8]) -> usize {
    CONTROL.with(|control| {
        let n = bytes.len().min(control.console_input.len());
        for (to, from) in bytes.iter_mut().zip(control.console_input.drain(..n)) {
            *to = from;
        }
        n
    })
}

/// Keeps the waker until console input arrives.
pub(crate) fn await_input(waker: &Waker) {
    CONTROL.with(|control| control.console_waker = Some(waker.clone()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use abi::control::RingPositions;

    /// Both ends of one stream of `size` bytes.
    fn pair(size: usize) -> (Producer, Consumer) {
        // SAFETY: words of integers.
        let positions: *mut RingPositions = Box::leak(Box::new(unsafe { core::mem::zeroed() }));
        let bytes = vec![0u8; size].leak().as_mut_ptr();
        // SAFETY: leaked just now, so there for good; one producer, one consumer.
        unsafe {
            (Producer::new(positions, bytes, size as u64), Consumer::new(positions, bytes, size as u64))
        }
    }

    /// A guest's end, and the monitor's ends of both streams.
    fn control(size: usize) -> (Control, Consumer, Producer) {
        let (out, host_in) = pair(size);
        let (host_out, to_guest) = pair(4096);
        (Control { to_host: out, to_guest, ..Control::new() }, host_in, host_out)
    }

    fn read(ring: &mut Consumer) -> Vec<u8> {
        let mut bytes = vec![0; 1 << 16];
        let n = ring.read(&mut bytes).unwrap();
        bytes.truncate(n);
        bytes
    }

    #[test]
    fn a_line_is_one_message() {
        let (mut control, mut host, _) = control(256);
        control.console(b"hello\n");
        assert_eq!(read(&mut host), [&header(6, message::CONSOLE_OUTPUT, 0, 0)[..], b"hello\n"].concat());
    }

    #[test]
    fn text_that_does_not_fit_is_counted_and_told() {
        let (mut control, mut host, _) = control(64);
        control.console(&[b'x'; 40]);
        control.console(&[b'y'; 40]);
        assert_eq!(control.dropped_bytes, 40);
        assert_eq!(read(&mut host).len(), HEADER + 40);
        control.flush_backlog();
        let note = read(&mut host);
        assert_eq!(&note[HEADER..], b"[40 bytes of console output lost]\n");
        assert_eq!(control.dropped_bytes, 0);
    }

    #[test]
    fn a_reply_longer_than_the_ring_arrives_whole_and_text_stays_behind_it() {
        let (mut control, mut host, _) = control(64);
        control.reply(9, &Reply::ok(vec![7; 1000]));
        control.console(b"later");
        let mut got = Vec::new();
        while got.len() < HEADER + 1000 + HEADER + 5 {
            let before = got.len();
            got.extend(read(&mut host));
            control.flush_backlog();
            assert!(got.len() > before);
        }
        assert_eq!(got[..HEADER], header(1000, message::REPLY, 0, 9));
        assert!(got.ends_with(b"later"));
    }

    #[test]
    fn messages_in_pieces_come_together() {
        let (mut control, _, mut host) = control(64);
        let bytes = [
            &header(3, message::HANDLER_WRITE, 0, 5)[..],
            b"a\0b",
            &header(2, message::CONSOLE_INPUT, 0, 0),
            b"hi",
        ]
        .concat();
        let mut requests = Vec::new();
        for byte in bytes {
            host.write(&[byte]).unwrap();
            host.publish();
            requests.extend(control.next_request());
        }
        assert_eq!(requests, [(message::HANDLER_WRITE, 5, Some(b"a\0b".to_vec()))]);
        assert_eq!(control.console_input, b"hi");
    }

    #[test]
    fn what_is_unknown_or_too_long_is_skipped() {
        let (mut control, _, mut host) = control(64);
        let long = MESSAGE_MAXIMUM as usize + 1;
        host.write(&header(4, 999, 0, 1)).unwrap();
        host.write(b"what").unwrap();
        host.write(&header(long, message::CONFIGURE, 0, 2)).unwrap();
        host.publish();
        assert_eq!(control.next_request(), None);
        let mut left = long;
        let mut found = None;
        while found.is_none() {
            left -= host.write(&vec![0; left.min(4096)]).unwrap();
            host.publish();
            found = control.next_request();
        }
        assert_eq!((found, left), (Some((message::CONFIGURE, 2, None)), 0));
    }
}
