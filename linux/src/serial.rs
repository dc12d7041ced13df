//! The serial port (`vm-superio`'s), the early console of every kernel. The vCPU threads write to it; the I/O thread serves the
//! other end of the console.

use machine::error::Error;
use machine::eventfd::EventFd;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use vm_superio::Trigger;
use vm_superio::serial::NoEvents;

/// Most bytes that are buffered in each direction for a slow reader.
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

/// Output of the guest that the I/O thread has not taken yet.
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
    /// Input that is not in the port's buffer yet.
    pending_input: VecDeque<u8>,
}

impl Port {
    fn new(raise: Arc<EventFd>) -> Self {
        Self {
            port: vm_superio::Serial::new(InterruptTrigger(raise), Output::default()),
            pending_input: VecDeque::new(),
        }
    }

    /// Moves input into the port's buffer, as far as there is room.
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
    /// A port after reset.
    pub fn new() -> Result<Self, Error> {
        let interrupt = Arc::new(EventFd::new()?);
        Ok(Self { port: Mutex::new(Port::new(interrupt.clone())), interrupt })
    }

    fn lock(&self) -> MutexGuard<'_, Port> {
        self.port.lock().expect("no thread panics with the lock")
    }

    /// Handles a write of the guest. Returns whether it made the output non-empty, so that the I/O thread must be woken.
    pub fn write(&self, offset: u8, value: u8) -> bool {
        let mut port = self.lock();
        let before = port.port.writer().0.len();
        // Cannot fail: the writer and the trigger cannot.
        let _ = port.port.write(offset, value);
        before == 0 && !port.port.writer().0.is_empty()
    }

    /// Handles a read of the guest.
    pub fn read(&self, offset: u8) -> u8 {
        let mut port = self.lock();
        let value = port.port.read(offset);
        port.fill_fifo();
        value
    }

    /// Takes the output of the guest.
    pub fn take_output(&self) -> Vec<u8> {
        self.lock().port.writer_mut().0.drain(..).collect()
    }

    /// Adds input; `false` if the buffer is full.
    pub fn write_input(&self, bytes: &[u8]) -> bool {
        let mut port = self.lock();
        if port.pending_input.len() + bytes.len() > BUFFER_MAXIMUM {
            return false;
        }
        port.pending_input.extend(bytes);
        port.fill_fifo();
        true
    }

    /// Resets the port. Output that was not taken is kept.
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
