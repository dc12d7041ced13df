//! The virtio net device (virtio 1.2, 5.1) on a TAP: packets go from the queues to the kernel and back by the device that
//! every kind of machine has ([`TapNet`]).

use super::device::{Broken, Device, QueueSetup, Served, Source};
use super::transport::event_token;
use crate::memory::Memory;
use abi::boot::Queue;
use abi::net::{FEATURE_EVENT_IDX, FEATURE_VERSION_1};
use machine::io::{Interest, Tokens, WatchSet};
use machine::net::device::{Progress, TapNet};
use machine::net::options::DeviceOptions;
use machine::net::{Counters, FEATURES, negotiate_features, tap};
use machine::vcpu::VcpuState;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use virtqueue::{Addresses, Parts};

/// Entries of each queue.
pub const QUEUE: u16 = 256;
const RECEIVE: usize = 0;
const TRANSMIT: usize = 1;
/// The TAP, among the device's own descriptors.
const TAP: u64 = 0;

/// The device.
pub struct Net {
    number: usize,
    mac: [u8; 6],
    mtu: u16,
    offered: u64,
    tap_state: TapState,
    /// Of earlier drivers.
    counters: Counters,
    /// Is told of the guest's first packet.
    state: Arc<VcpuState>,
}

/// Where the TAP is.
enum TapState {
    /// In the device, which has no driver.
    Idle(OwnedFd),
    /// At work.
    Active(Box<TapNet>),
    /// Nowhere: only while it goes from one to the other.
    Moving,
}

/// The configuration space of a net device.
pub fn config(mac: [u8; 6], mtu: u16) -> Vec<u8> {
    // Address, status (not offered), pairs of queues (not offered), MTU.
    [&mac[..], &[0; 4], &mtu.to_le_bytes()].concat()
}

/// The queues that a driver has set up, each of which lies in memory as it has to.
pub fn queues(setups: &[QueueSetup], memory: &Memory) -> Result<[Queue; 2], Broken> {
    let [receive, transmit] = setups else { return Err(Broken("a net device has two queues".into())) };
    let queue = |setup: &QueueSetup| {
        let queue = Queue {
            size: setup.size.min(QUEUE).into(),
            descriptors: setup.descriptors,
            available: setup.available,
            used: setup.used,
            ..Default::default()
        };
        let parts = Parts::locate(&*memory.region, queue.size, Addresses::from(&queue));
        parts.map(|_| queue).map_err(|e| Broken(e.to_string()))
    };
    Ok([queue(receive)?, queue(transmit)?])
}

impl Net {
    /// A device on an open TAP.
    pub fn new(number: usize, tap: OwnedFd, options: &DeviceOptions, state: &Arc<VcpuState>) -> Self {
        // The transport offers what every device has.
        let offered = negotiate_features(FEATURES, FEATURES, options.offload)
            & !(FEATURE_EVENT_IDX | FEATURE_VERSION_1);
        let (mac, mtu, state) = (options.mac(), options.mtu, state.clone());
        Self {
            number,
            mac,
            mtu,
            offered,
            tap_state: TapState::Idle(tap),
            counters: Counters::default(),
            state,
        }
    }

    fn receive(&mut self, tokens: Tokens, watch: &mut WatchSet) -> Result<Served, Broken> {
        let TapState::Active(device) = &mut self.tap_state else { return Ok(Served::default()) };
        if device.counters.lost {
            return Ok(Served::default());
        }
        let (progress, call) = device.receive()?;
        let own = event_token(tokens, TAP);
        match progress {
            Progress::More => watch.mark_ready(own),
            // The device waits for the guest alone.
            Progress::NoBuffers => watch.remove(own),
            // It was waited for before, and can be again.
            Progress::Idle => drop(watch.set(own, device.tap(), Interest::Read)),
            Progress::Lost(e) => return Ok(self.lost(call, &e, tokens, watch)),
        }
        Ok(Served::with_call(call))
    }

    fn transmit(&mut self, tokens: Tokens, watch: &mut WatchSet) -> Result<Served, Broken> {
        let TapState::Active(device) = &mut self.tap_state else { return Ok(Served::default()) };
        let (progress, call) = if device.counters.lost { device.discard()? } else { device.transmit()? };
        if device.counters.transmitted > 0 {
            self.state.packet_sent();
        }
        match progress {
            Progress::More => watch.mark_ready(tokens.token(TRANSMIT as u64)),
            Progress::NoBuffers | Progress::Idle => {}
            Progress::Lost(e) => return Ok(self.lost(call, &e, tokens, watch)),
        }
        Ok(Served::with_call(call))
    }

    /// The TAP is gone: what the guest transmits is thrown away from now on.
    fn lost(&mut self, call: bool, e: &std::io::Error, tokens: Tokens, watch: &mut WatchSet) -> Served {
        if let TapState::Active(device) = &mut self.tap_state {
            device.counters.lost = true;
        }
        watch.remove(event_token(tokens, TAP));
        watch.mark_ready(tokens.token(TRANSMIT as u64));
        Served { call, more: false, failure: Some(format!("its TAP is gone: {e}")) }
    }
}

impl Device for Net {
    fn kind(&self) -> u32 {
        1
    }

    fn features(&self) -> u64 {
        self.offered
    }

    fn queues(&self) -> &'static [u16] {
        &[QUEUE; 2]
    }

    fn config(&self) -> Vec<u8> {
        config(self.mac, self.mtu)
    }

    fn activate(&mut self, features: u64, setups: &[QueueSetup], memory: &Memory) -> Result<(), Broken> {
        // Checked here already, so that the device below cannot fail, and keep the TAP.
        let queues = queues(setups, memory)?;
        let TapState::Idle(tap) = std::mem::replace(&mut self.tap_state, TapState::Moving) else {
            return Err(Broken("a net device that is at work already".into()));
        };
        // A TAP that is gone takes none, and is found to be gone when it is read.
        let _ = tap::set_offloads(&tap, features);
        let device = TapNet::new(tap, &memory.region, queues, features);
        let mut device = device.map_err(|e| Broken(e.to_string()))?;
        device.counters = self.counters;
        self.tap_state = TapState::Active(Box::new(device));
        Ok(())
    }

    fn reset(&mut self) {
        self.tap_state = match std::mem::replace(&mut self.tap_state, TapState::Moving) {
            TapState::Active(device) => {
                self.counters = device.counters;
                TapState::Idle(device.into_tap())
            }
            other => other,
        };
    }

    fn watch(&mut self, tokens: Tokens, watch: &mut WatchSet) {
        match &self.tap_state {
            // A TAP that is gone shows itself when it is read.
            TapState::Active(device) if !device.counters.lost => {
                let _ = watch.set(event_token(tokens, TAP), device.tap(), Interest::Read);
            }
            _ => watch.remove(event_token(tokens, TAP)),
        }
    }

    fn serve(&mut self, source: Source, tokens: Tokens, watch: &mut WatchSet) -> Result<Served, Broken> {
        match source {
            Source::Queue(TRANSMIT) => self.transmit(tokens, watch),
            Source::Queue(RECEIVE) | Source::Event(_) => self.receive(tokens, watch),
            Source::Queue(_) => Ok(Served::default()),
        }
    }

    fn finish(&mut self) {
        if let TapState::Active(device) = &mut self.tap_state {
            // What a broken queue holds no longer matters.
            let _ = device.transmit();
        }
    }

    fn counters(&self) -> Option<(usize, Counters)> {
        let counters = match &self.tap_state {
            TapState::Active(device) => device.counters,
            _ => self.counters,
        };
        Some((self.number, counters))
    }
}
