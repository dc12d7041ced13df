//! The virtio net device (virtio 1.2, 5.1) on a switch, by vhost-user: packets pass this process nowhere. Its doorbells are
//! the switch's kicks, and the switch's calls raise its interrupt.

use super::device::{Broken, Device, QueueSetup, Served, Source};
use super::net::{QUEUE, config, queues};
use crate::memory::Memory;
use abi::net::{FEATURE_EVENT_IDX, FEATURE_VERSION_1};
use machine::io::{Tokens, WatchSet};
use machine::net::negotiate_features;
use machine::net::options::DeviceOptions;
use machine::vhost::managed::{Driver, Rings};
use machine::vhost::usable;

/// The device.
pub struct VhostNet {
    mac: [u8; 6],
    mtu: u16,
    offered: u64,
    driver: Driver,
}

impl VhostNet {
    /// A device whose first back end offers so much. Its thread hears of its driver by `driver`.
    pub fn new(options: &DeviceOptions, offered: u64, driver: Driver) -> Self {
        let usable = usable(offered);
        let offered = negotiate_features(usable, usable, options.offload) & !FEATURE_VERSION_1;
        Self { mac: options.mac(), mtu: options.mtu, offered, driver }
    }
}

impl Device for VhostNet {
    fn kind(&self) -> u32 {
        1
    }

    fn features(&self) -> u64 {
        self.offered & !FEATURE_EVENT_IDX
    }

    fn has_event_index(&self) -> bool {
        self.offered & FEATURE_EVENT_IDX != 0
    }

    fn is_external(&self) -> bool {
        true
    }

    fn queues(&self) -> &'static [u16] {
        &[QUEUE; 2]
    }

    fn config(&self) -> Vec<u8> {
        config(self.mac, self.mtu)
    }

    fn activate(&mut self, features: u64, setups: &[QueueSetup], memory: &Memory) -> Result<(), Broken> {
        self.driver.begin(Rings { queues: queues(setups, memory)?, features });
        Ok(())
    }

    fn reset(&mut self) {
        self.driver.end();
    }

    fn serve(&mut self, _: Source, _: Tokens, _: &mut WatchSet) -> Result<Served, Broken> {
        Ok(Served::default())
    }
}
