//! A thread of the data plane with devices that fail.

use super::wake::{Wake, event_fd};
use super::*;
use crate::counters::Shared;
use crate::forward::tables::PortEntry;
use crate::frame::Outgoing;
use std::io;
use std::sync::mpsc::{Sender, channel, sync_channel};

/// A device that is gone: every call of the kernel fails.
struct Gone;

impl Device for Gone {
    fn receive(&mut self, _: &mut Batch) -> Result<(), PortError> {
        Err(io::Error::from_raw_os_error(libc::EBADFD).into())
    }

    fn send(&mut self, _: &Batch, _: &[Outgoing], _: &Shared) -> Result<usize, PortError> {
        Err(io::Error::from_raw_os_error(libc::EBADFD).into())
    }

    fn arm(&mut self, _: &Wake) -> Result<bool, PortError> {
        Err(io::Error::from_raw_os_error(libc::EBADFD).into())
    }

    fn is_up(&self) -> bool {
        true
    }

    fn begin(&mut self, _: &Wake) -> io::Result<()> {
        Ok(())
    }

    fn disconnect(&mut self, _: &Wake) {}
}

fn entry() -> PortEntry {
    PortEntry { name: "p".to_owned(), mtu: 1500, ..PortEntry::default() }
}

/// A thread with one port, whose link and errors are told to `events`.
struct Started {
    commands: Sender<Command>,
    command_pending: Arc<AtomicBool>,
    wakeup: std::os::fd::OwnedFd,
    events: Receiver<PortEvent>,
    thread: std::thread::JoinHandle<()>,
    _kept: (Receiver<SlowPathMessage>, Receiver<Box<dyn std::any::Any + Send>>),
}

impl Started {
    fn tell(&self, command: Command) {
        self.commands.send(command).unwrap();
        self.command_pending.store(true, Ordering::Release);
        wake::signal(&self.wakeup).unwrap();
    }
}

fn start(entry: PortEntry, device: Box<dyn Device>) -> Started {
    let (commands, received) = channel();
    let (events_in, events) = sync_channel(events::EVENTS);
    let (slow_path, slow) = sync_channel(8);
    let (retired, gone) = channel();
    let wake = Wake::new(retired).unwrap();
    let wakeup = wake.wakeup().unwrap();
    let command_pending = Arc::new(AtomicBool::new(false));
    let worker = Worker {
        index: 0,
        commands: received,
        command_pending: command_pending.clone(),
        events: events_in,
        slow_path,
        manager_wakeup: event_fd().unwrap(),
        wake,
        sleeping: Arc::default(),
        notifying: Arc::default(),
        poll: Poll::For(0),
        outboxes: vec![None],
        inboxes: Vec::new(),
        keys: [1, 3],
    };
    let thread = std::thread::spawn(move || worker.run());
    let running = Started { commands, command_pending, wakeup, events, thread, _kept: (slow, gone) };
    let (done, changed) = channel();
    let tables = Arc::new(Tables { ports: vec![Some(entry)], ..Tables::default() });
    let added: Vec<(PortId, Box<dyn Device>)> = vec![(PortId(0), device)];
    running.tell(Command::Change(Change { tables, added, removed: Vec::new(), done }));
    changed.recv_timeout(Duration::from_secs(10)).unwrap();
    running
}

/// A device that always has a packet.
struct Busy(Sender<i32>);

impl Device for Busy {
    fn receive(&mut self, batch: &mut Batch) -> Result<(), PortError> {
        batch.push_bytes(&[0; 60], Default::default());
        Ok(())
    }

    fn send(&mut self, _: &Batch, which: &[Outgoing], _: &Shared) -> Result<usize, PortError> {
        Ok(which.len())
    }

    fn arm(&mut self, _: &Wake) -> Result<bool, PortError> {
        Ok(true)
    }

    fn is_up(&self) -> bool {
        true
    }

    fn begin(&mut self, _: &Wake) -> io::Result<()> {
        let _ = self.0.send(rustix::thread::gettid().as_raw_nonzero().get());
        Ok(())
    }

    fn disconnect(&mut self, _: &Wake) {}
}

#[test]
fn a_port_over_its_rate_lets_its_thread_sleep() {
    let (to, thread) = channel();
    let mut entry = entry();
    entry.rate_in.packets = 10;
    let started = start(entry, Box::new(Busy(to)));
    let path = format!("/proc/self/task/{}/schedstat", thread.recv().unwrap());
    let used = || {
        let text = std::fs::read_to_string(&path).unwrap();
        text.split(' ').next().unwrap().parse::<u64>().unwrap()
    };
    std::thread::sleep(Duration::from_millis(200));
    let before = used();
    std::thread::sleep(Duration::from_secs(2));
    // Nanoseconds of a CPU.
    assert!(used() - before < 200_000_000, "{}", used() - before);
    started.tell(Command::End);
    started.thread.join().unwrap();
}

#[test]
fn a_device_that_is_gone_is_told_of_once_and_the_thread_goes_on() {
    let started = start(entry(), Box::new(Gone));
    std::thread::sleep(Duration::from_millis(200));
    // What the kernel says of the interface does not bring a dead descriptor back.
    started.tell(Command::Carrier(PortId(0), true));
    let (to, known) = channel();
    started.tell(Command::Probe(to));
    known.recv_timeout(Duration::from_secs(10)).unwrap();
    started.tell(Command::End);
    started.thread.join().unwrap();
    let errors = started.events.try_iter().filter(|e| matches!(e, PortEvent::PortError(..))).count();
    assert_eq!(errors, 1);
}
