//! A thread of the data plane with devices that fail.

use super::wake::{Wake, event_fd};
use super::*;
use crate::counters::Shared;
use crate::forward::tables::PortEntry;
use std::io;
use std::sync::mpsc::{channel, sync_channel};

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
    PortEntry {
        name: "p".to_owned(),
        thread: 0,
        shared: Arc::default(),
        native: None,
        trunk: Vec::new(),
        bound_to: None,
        mtu: 1500,
        bond: None,
        master: None,
        mirror: None,
        assigned: false,
        rate_in: Default::default(),
        rate_out: Default::default(),
    }
}

#[test]
fn a_device_that_is_gone_is_told_of_once_and_the_thread_goes_on() {
    let (commands, received) = channel();
    let (events_in, events) = channel();
    let (slow_path, _slow_path) = sync_channel(8);
    let (retired, _retired) = channel();
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
    let tell = |command| {
        commands.send(command).unwrap();
        command_pending.store(true, Ordering::Release);
        wake::signal(&wakeup).unwrap();
    };
    let (done, changed) = channel();
    let tables = Arc::new(Tables { ports: vec![Some(entry())], ..Tables::default() });
    let added: Vec<(PortId, Box<dyn Device>)> = vec![(PortId(0), Box::new(Gone))];
    tell(Command::Change(Change { tables, added, removed: Vec::new(), done }));
    changed.recv_timeout(Duration::from_secs(10)).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    // What the kernel says of the interface does not bring a dead descriptor back.
    tell(Command::Carrier(PortId(0), true));
    let (to, known) = channel();
    tell(Command::Probe(to));
    known.recv_timeout(Duration::from_secs(10)).unwrap();
    tell(Command::End);
    thread.join().unwrap();
    let errors = events.try_iter().filter(|e| matches!(e, PortEvent::PortError(..))).count();
    assert_eq!(errors, 1);
}
