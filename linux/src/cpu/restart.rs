//! A reset: all processors stop, the first puts memory and devices back to what they were, and all begin anew. The
//! instance stays, with its devices' other ends.

use super::registers::write_descriptors;
use crate::boot::Boot;
use crate::memory::Memory;
use crate::platform::Shared;
use kvm_bindings::kvm_irqchip;
use kvm_ioctls::VmFd;
use machine::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::Duration;

/// Between two looks whether the guest was ended meanwhile.
const KILL_CHECK_INTERVAL: Duration = Duration::from_millis(20);

/// How processors start anew together.
pub struct Restart {
    requested: AtomicBool,
    round: Mutex<Round>,
    changed: Condvar,
    /// How many processors there are.
    count: usize,
}

struct Round {
    /// Processors that have stopped.
    stopped: usize,
    /// Resets so far.
    done: u64,
    /// Where the kernel is entered.
    entry: u64,
    machine: Machine,
}

/// What a reset works on.
pub struct Machine {
    /// The virtual machine.
    pub vm: VmFd,
    /// Guest memory.
    pub memory: Memory,
    /// What the guest is started from.
    pub boot: Boot,
    /// The interrupt controllers as they were made.
    pub controllers: Vec<kvm_irqchip>,
}

impl Machine {
    /// Takes down the interrupt controllers of a new machine.
    pub fn new(vm: VmFd, memory: Memory, boot: Boot) -> Result<Self, Error> {
        let controllers = (0..3).map(|chip_id| {
            let mut controller = kvm_irqchip { chip_id, ..Default::default() };
            vm.get_irqchip(&mut controller).map(|()| controller)
        });
        let controllers = controllers.collect::<Result<_, _>>();
        let controllers = controllers.map_err(Error::kvm("read the interrupt controllers"))?;
        Ok(Self { vm, memory, boot, controllers })
    }

    /// Fills memory; where the kernel is entered.
    pub fn load(&mut self) -> Result<u64, Error> {
        write_descriptors(&self.memory)?;
        self.boot.load(&self.memory)
    }

    fn reset(&mut self, shared: &Shared) -> Result<u64, Error> {
        shared.reset();
        for controller in &self.controllers {
            self.vm.set_irqchip(controller).map_err(Error::kvm("reset the interrupt controllers"))?;
        }
        self.memory.discard_all()?;
        self.load()
    }
}

impl Restart {
    /// For so many processors of a machine.
    pub fn new(count: u8, machine: Machine) -> Self {
        let round = Round { stopped: 0, done: 0, entry: 0, machine };
        Self {
            requested: AtomicBool::new(false),
            round: Mutex::new(round),
            changed: Condvar::new(),
            count: count.into(),
        }
    }

    /// Has all processors start anew, once they have left the guest.
    pub fn request(&self) {
        self.requested.store(true, Ordering::SeqCst);
    }

    /// Whether a processor has to take part in a reset.
    pub fn is_requested(&self) -> bool {
        self.requested.load(Ordering::SeqCst)
    }

    /// Stops with the other processors until the first has done the reset. Where the kernel is entered; none if the guest
    /// was ended meanwhile.
    pub fn join(&self, id: u8, shared: &Shared) -> Result<Option<u64>, Error> {
        let mut round = self.round.lock().expect("no thread panics with the lock");
        let done = round.done;
        round.stopped += 1;
        self.changed.notify_all();
        loop {
            if shared.state.is_killed() {
                return Ok(None);
            }
            if round.done != done {
                return Ok(Some(round.entry));
            }
            if id == 0 && round.stopped == self.count {
                round.entry = round.machine.reset(shared)?;
                round.stopped = 0;
                round.done += 1;
                self.requested.store(false, Ordering::SeqCst);
                self.changed.notify_all();
                return Ok(Some(round.entry));
            }
            round = self
                .changed
                .wait_timeout(round, KILL_CHECK_INTERVAL)
                .expect("no thread panics with the lock")
                .0;
        }
    }
}
