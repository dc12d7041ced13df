//! The serial port, early console of every kernel: `vm-superio`'s, between the vCPU threads, which store to it, and the
//! I/O thread, which has the console's other end.

use machine::error::Error;
use machine::eventfd::EventFd;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use vm_superio::Trigger;
use vm_superio::serial::NoEvents;

/// Bytes kept of either direction, for a reader that is slow.
const BUFFER_MAXIMUM: usize = 64 << 10;

/// Raises the port's interrupt.
struct InterruptTrigger(Arc<EventFd>);

impl Trigger for InterruptTrigger {
    type E = Infallible;

    fn trigger(&self) -> Result<(), Infallible> {
        self.0.signal();
        Ok(())
    }
}

/// What the guest has sent and nobody has taken.
#[derive(Default)]
struct Output(VecDeque<u8>);

impl io::Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let over = (self.0.len() + bytes.len()).saturating_sub(BUFFER_MAXIMUM);
        self.0.drain(..over.min(self.0.len()));
        self.0.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Port {
    port: vm_superio::Serial<InterruptTrigger, NoEvents, Output>,
    /// Typed, and not yet in the port.
    pending_input: VecDeque<u8>,
}

impl Port {
    fn new(raise: Arc<EventFd>) -> Self {
        Self {
            port: vm_superio::Serial::new(InterruptTrigger(raise), Output::default()),
            pending_input: VecDeque::new(),
        }
    }

    /// Moves what was typed into the port, as far as there is room.
    fn fill_fifo(&mut self) {
        let room = self.port.fifo_capacity().min(self.pending_input.len());
        if room > 0 {
            let bytes: Vec<u8> = self.pending_input.drain(..room).collect();
            // Cannot fail: there is room, and the trigger cannot fail.
            let _ = self.port.enqueue_raw_bytes(&bytes);
        }
    }
}

/// The serial port.
pub struct Serial {
    port: Mutex<Port>,
    /// Raises its interrupt.
    pub interrupt: Arc<EventFd>,
}

impl Serial {
    /// One that nothing was sent to.
    pub fn new() -> Result<Self, Error> {
        let interrupt = Arc::new(EventFd::new()?);
        Ok(Self { port: Mutex::new(Port::new(interrupt.clone())), interrupt })
    }

    fn lock(&self) -> MutexGuard<'_, Port> {
        self.port.lock().expect("no thread panics with the lock")
    }

    /// A store of the guest; whether it was the first byte that waits for the console.
    pub fn write(&self, offset: u8, value: u8) -> bool {
        let mut port = self.lock();
        let before = port.port.writer().0.len();
        // Cannot fail: the writer and the trigger cannot.
        let _ = port.port.write(offset, value);
        before == 0 && !port.port.writer().0.is_empty()
    }

    /// A load of the guest.
    pub fn read(&self, offset: u8) -> u8 {
        let mut port = self.lock();
        let value = port.port.read(offset);
        port.fill_fifo();
        value
    }

    /// Takes what the guest has sent.
    pub fn take_output(&self) -> Vec<u8> {
        self.lock().port.writer_mut().0.drain(..).collect()
    }

    /// Types; `false` if too much waits already.
    pub fn write_input(&self, bytes: &[u8]) -> bool {
        let mut port = self.lock();
        if port.pending_input.len() + bytes.len() > BUFFER_MAXIMUM {
            return false;
        }
        port.pending_input.extend(bytes);
        port.fill_fifo();
        true
    }

    /// As it was made, but for what waits for the console.
    pub fn reset(&self) {
        let mut port = self.lock();
        let waiting = std::mem::take(port.port.writer_mut());
        *port = Port::new(self.interrupt.clone());
        *port.port.writer_mut() = waiting;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_bounded_and_its_end_is_kept() {
        let serial = Serial::new().unwrap();
        for _ in 0..2 * BUFFER_MAXIMUM {
            serial.write(0, b'a');
        }
        serial.write(0, b'!');
        let output = serial.take_output();
        assert_eq!((output.len(), output.last()), (BUFFER_MAXIMUM, Some(&b'!')));
        assert!(serial.take_output().is_empty());
    }

    #[test]
    fn what_is_typed_arrives_in_order_however_long_it_is() {
        let serial = Serial::new().unwrap();
        let typed: Vec<u8> = (0..1000u32).map(|i| i as u8).collect();
        assert!(serial.write_input(&typed));
        let read: Vec<u8> = typed.iter().map(|_| serial.read(0)).collect();
        assert_eq!(read, typed);
        assert!(!serial.write_input(&vec![0; BUFFER_MAXIMUM + 1]));
    }
}
