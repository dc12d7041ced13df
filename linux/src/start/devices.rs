//! The virtio devices of a machine, in the order of their addresses, and what works on their queues in other processes.

use crate::memory::Memory;
use crate::options::Options;
use crate::virtio::balloon::Balloon;
use crate::virtio::block::{Block, Disk};
use crate::virtio::console::{Console, ConsoleBuffers};
use crate::virtio::device::Device;
use crate::virtio::net::Net;
use crate::virtio::rng::Rng;
use crate::virtio::transport::Slot;
use crate::virtio::vhost_net::VhostNet;
use machine::confine::signals;
use machine::error::Error;
use machine::io::VhostPort;
use machine::net::back_end::{NetBackEnd, await_session, vhost_error};
use machine::net::options::DeviceOptions;
use machine::net::tap;
use machine::vcpu::VcpuState;
use machine::vhost::endpoint::Endpoint;
use machine::vhost::managed::{Driver, ManagedDevice};
use machine::vhost::negotiation::{self, Session};
use machine::vhost::thread::Health;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

/// Devices, and who works on them.
#[derive(Default)]
pub struct Devices {
    /// All devices.
    pub slots: Vec<Arc<Slot>>,
    /// How net devices over vhost-user are doing.
    pub vhosts: Vec<VhostPort>,
    /// Threads for these, not started yet.
    pub driven: Vec<ManagedDevice>,
}

/// What the devices of every machine are made of.
pub struct Parts {
    /// The console's end.
    pub console: Arc<ConsoleBuffers>,
    /// Entropy.
    pub rng: Rng,
    /// The other ends of the net devices, in their order.
    pub back_ends: Vec<NetBackEnd>,
    /// Disks, in their order.
    pub disks: Vec<Disk>,
}

impl Devices {
    /// Makes all devices. Switches are met here, for the first time, and waited for until a signal asks for the end.
    pub fn new(
        o: &Options,
        parts: Parts,
        memory: &Memory,
        state: &Arc<VcpuState>,
        signals: &OwnedFd,
    ) -> Result<Self, Error> {
        let Parts { console, rng, back_ends, disks } = parts;
        let mut devices = Self::default();
        devices.add(Box::new(Console::new(console)), memory)?;
        devices.add(Box::new(rng), memory)?;
        devices.add(Box::new(Balloon::default()), memory)?;
        let stop = || signals::next(signals).and_then(|signal| u8::try_from(signal).ok());
        for (number, (end, options)) in back_ends.into_iter().zip(&o.nets).enumerate() {
            match end {
                NetBackEnd::Tap(tap) => {
                    tap::set_offloads(&tap, 0)?;
                    let net = Net::new(number, tap, options, state);
                    devices.add(Box::new(net), memory)?;
                }
                NetBackEnd::Vhost(endpoint, pending) => {
                    let wait = Duration::from_secs(options.wait);
                    let session = await_session(&endpoint, pending, wait, &stop);
                    let session = session.map_err(|e| vhost_error(number, &e))?;
                    devices.add_vhost(number, options, endpoint, session, memory, state)?;
                }
            }
        }
        for (number, disk) in disks.into_iter().enumerate() {
            devices.add(Box::new(Block::new(number, disk)), memory)?;
        }
        Ok(devices)
    }

    fn add(&mut self, device: Box<dyn Device>, memory: &Memory) -> Result<Arc<Slot>, Error> {
        let slot = Arc::new(Slot::new(device, memory)?);
        self.slots.push(slot.clone());
        Ok(slot)
    }

    fn add_vhost(
        &mut self,
        number: usize,
        options: &DeviceOptions,
        endpoint: Endpoint,
        session: Session,
        memory: &Memory,
        state: &Arc<VcpuState>,
    ) -> Result<(), Error> {
        let driver = Driver::new()?;
        let slot = self.add(Box::new(VhostNet::new(options, session.offered, driver.clone())), memory)?;
        let [receive, transmit] = &slot.kicks[..] else {
            return Err(Error::Configuration("a net device has two queues".into()));
        };
        let device = negotiation::Device {
            memory: memory.region.clone(),
            file: memory.file.clone(),
            queues: Default::default(),
            features: 0,
            mtu: options.mtu,
            kicks: [receive.to_file()?, transmit.to_file()?],
            call: slot.interrupt.to_file()?,
            inflight: None,
        };
        let health = Arc::new(Health::default());
        self.vhosts.push(VhostPort { number, health: health.clone() });
        let state = state.clone();
        self.driven.push(ManagedDevice { number, endpoint, session, device, driver, health, state });
        Ok(())
    }
}
