//! The channel between monitor and guest that the I/O thread serves: the console (serial port or virtio), the power button,
//! which asks the guest to shut down, and the boot marks.

use crate::platform::Shared;
use crate::virtio::console::ConsoleBuffers;
use machine::control::RefusalKind;
use machine::io::{Broken, Channel, FromGuest, Received, ToGuest};
use machine::timeline::{Phase, Span, Timeline, Tsc};
use machine::vcpu::VcpuState;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The reply to requests that only guests with a Click router answer.
const NO_HANDLERS: &[u8] = b"a Linux guest has no handlers";

/// The channel to a Linux guest.
pub struct GuestChannel {
    shared: Arc<Shared>,
    console: Arc<ConsoleBuffers>,
    /// The monitor's own phases, up to `load`.
    spawn: Timeline,
    /// Time stamp counter at the guest's entry; 0 before.
    entered: Arc<AtomicU64>,
    /// Requests that will be answered with a refusal.
    rejected: Vec<u64>,
}

impl GuestChannel {
    /// `spawn` are the monitor's phases except `enter`, which ends when `entered` is set.
    pub fn new(
        shared: Arc<Shared>,
        console: Arc<ConsoleBuffers>,
        spawn: Timeline,
        entered: Arc<AtomicU64>,
    ) -> Self {
        Self { shared, console, spawn, entered, rejected: Vec::new() }
    }

    fn entered(&self) -> Tsc {
        Tsc(self.entered.load(Ordering::Acquire))
    }
}

impl Channel for GuestChannel {
    fn send(&mut self, message: ToGuest<'_>) -> bool {
        match message {
            // To where the guest reads: it has spoken by virtio, or it has not.
            ToGuest::ConsoleInput(bytes) if self.console.is_used() => self.console.write_input(bytes),
            ToGuest::ConsoleInput(bytes) => self.shared.serial.write_input(bytes),
            ToGuest::Stop(_) => {
                self.shared.button.signal();
                true
            }
            ToGuest::Request(id, _) => {
                self.rejected.push(id);
                self.shared.state.doorbell.signal();
                true
            }
        }
    }

    fn flush(&mut self) -> Result<bool, Broken> {
        Ok(false)
    }

    fn receive(&mut self, each: &mut dyn FnMut(FromGuest<'_>)) -> Result<Received, Broken> {
        for bytes in [self.shared.serial.take_output(), self.console.take_output()] {
            if !bytes.is_empty() {
                each(FromGuest::ConsoleOutput(&bytes));
            }
        }
        for id in self.rejected.drain(..) {
            let outcome = Some(Err(RefusalKind::Unsupported));
            each(FromGuest::Reply { id, bytes: NO_HANDLERS, outcome });
        }
        Ok(Received { wake: false, more: false })
    }

    fn timeline(&self, state: &VcpuState) -> Timeline {
        let mut timeline = self.spawn.clone();
        let entered = self.entered();
        if entered == Tsc(0) {
            return timeline;
        }
        let last = timeline.spans.iter().flat_map(|s| &s.inside).map(|s| s.end_ns).max().unwrap_or(0);
        let enter = timeline.span(Phase::Enter, entered, entered);
        if let Some(spawn) = timeline.spans.iter_mut().find(|s| s.phase == Phase::Spawn) {
            spawn.end_ns = enter.end_ns;
            spawn.inside.push(Span { start_ns: last, ..enter });
        }
        let (init, ready) = (self.shared.registers.init(), state.ready());
        let Some(end) = ready.or(init) else { return timeline };
        let mut inside = Vec::new();
        if let Some(init) = init {
            inside.push(timeline.span(Phase::Kernel, entered, init));
            inside.extend(ready.map(|ready| timeline.span(Phase::Init, init, ready)));
        }
        let boot = Span { inside, ..timeline.span(Phase::Boot, entered, end) };
        timeline.spans.push(boot);
        timeline.spans.extend(ready.map(|ready| timeline.span(Phase::Ready, ready, ready)));
        timeline
    }

    fn up_ns(&self) -> u64 {
        Tsc::now().since(self.entered(), self.spawn.tsc_hz)
    }

    fn counters(&self) -> Vec<u64> {
        Vec::new()
    }
}
