//! The devices of a machine that its threads share, and the dispatch of the guest's port and memory-mapped I/O.

use crate::boot::acpi;
use crate::layout::*;
use crate::registers::Registers;
use crate::serial::Serial;
use crate::virtio::transport::Slot;
use machine::ending::Ending;
use machine::error::Error;
use machine::eventfd::EventFd;
use machine::vcpu::VcpuState;
use std::sync::Arc;

/// The shared state of a machine.
pub struct Shared {
    /// State of the vCPU threads.
    pub state: Arc<VcpuState>,
    /// The serial port.
    pub serial: Serial,
    /// The power button.
    pub button: EventFd,
    /// Marks and exit status.
    pub registers: Registers,
    /// The virtio devices, in the order of their addresses.
    pub devices: Vec<Arc<Slot>>,
}

/// The effect of a store on the machine.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// The processor continues.
    None,
    /// The guest is powered off.
    Off,
    /// The guest restarts.
    Reset,
}

impl Shared {
    /// A machine with these devices.
    pub fn new(state: Arc<VcpuState>, devices: Vec<Arc<Slot>>) -> Result<Self, Error> {
        let (serial, button) = (Serial::new()?, EventFd::new()?);
        Ok(Self { state, serial, button, registers: Registers::default(), devices })
    }

    /// Writes to an I/O port.
    pub fn port_write(&self, port: u16, data: &[u8]) -> Event {
        match (port, data) {
            (SERIAL_PORT..=0x3ff, [value]) if self.serial.write((port - SERIAL_PORT) as u8, *value) => {
                self.state.doorbell.signal();
            }
            // SLP_EN with SLP_TYP (ACPI 6.5, 4.8.3.7).
            (SLEEP_PORT, [value]) if *value == 1 << 5 | acpi::OFF << 2 => return Event::Off,
            (RESET_PORT, [acpi::RESET]) | (KEYBOARD_PORT, [0xfe]) => return Event::Reset,
            _ => {}
        }
        Event::None
    }

    /// Reads an I/O port. A port without a device reads as all ones.
    pub fn port_read(&self, port: u16, data: &mut [u8]) {
        data.fill(0xff);
        match (port, data) {
            (SERIAL_PORT..=0x3ff, [value]) => *value = self.serial.read((port - SERIAL_PORT) as u8),
            (SLEEP_PORT..=RESET_PORT | KEYBOARD_PORT, [value]) => *value = 0,
            _ => {}
        }
    }

    /// The device with a register at an address, and the register's offset.
    fn device(&self, address: u64) -> Option<(&Slot, u64)> {
        let offset = address.checked_sub(DEVICES)?;
        Some((self.devices.get((offset / PAGE) as usize)?, offset % PAGE))
    }

    /// Writes to an address outside memory.
    pub fn write(&self, address: u64, data: &[u8]) {
        if let Some((device, offset)) = self.device(address) {
            device.write(offset, data);
        } else if let (Some(offset), Some(word)) = (Registers::offset(address), data.first_chunk()) {
            self.registers.write(offset, u32::from_le_bytes(*word), &self.state);
        }
    }

    /// Reads an address outside memory. An address without a device reads as all ones.
    pub fn read(&self, address: u64, data: &mut [u8]) {
        data.fill(0xff);
        if let Some((device, offset)) = self.device(address) {
            device.read(offset, data);
        } else if let (Some(offset), Some(word)) = (Registers::offset(address), data.first_chunk_mut()) {
            *word = self.registers.read(offset).to_le_bytes();
        }
    }

    /// How a guest that powered off has ended.
    pub fn exit(&self) -> Ending {
        Ending::Exit { code: self.registers.status() }
    }

    /// Resets all devices; memory and processors are not touched.
    pub fn reset(&self) {
        self.serial.reset();
        for device in &self.devices {
            device.reset();
        }
    }
}
