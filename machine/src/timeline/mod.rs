//! The instantiation model: how an instance came to be, as a tree of timed phases with fixed names.
//!
//! `request → authorize → schedule → image → network → spawn(create, memory, load, enter) → boot(runtime, devices,
//! configure) → ready → first-packet`
//!
//! The boot of a guest with a kernel of its own has the parts `kernel` and `init` instead. Of a guest that
//! was prepared, `spawn` has the part `assign` alone; how it was prepared is a tree of its own, whose boot has the parts
//! `runtime` and `prepare`.

mod clock;

pub use clock::{Tsc, unix_ns};

use serde::{Deserialize, Serialize};

/// A phase of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// The request is read and understood.
    Request,
    /// Who asks, and may they.
    Authorize,
    /// Where it shall run.
    Schedule,
    /// The image and configuration are found and checked.
    Image,
    /// The instance's network devices are made.
    Network,
    /// The monitor works until the guest's first instruction.
    Spawn,
    /// In `spawn`: process, virtual machine and vCPU.
    Create,
    /// In `spawn`: guest memory.
    Memory,
    /// In `spawn`: the image and all that the guest finds.
    Load,
    /// In `spawn`: privileges dropped, filters in force, up to the first entry.
    Enter,
    /// In `spawn`: a prepared guest is told who it is.
    Assign,
    /// The guest works until it can do its job.
    Boot,
    /// In `boot`: heap, clock, console.
    Runtime,
    /// In `boot`: net devices.
    Devices,
    /// In `boot`: the configuration.
    Configure,
    /// In `boot`, of a guest with a kernel of its own: from its entry to the beginning of init.
    Kernel,
    /// In `boot`, of a guest with a kernel of its own: from the beginning of init until it can do its job.
    Init,
    /// In `boot`, of a prepared guest before anybody has asked for it: it does what it can do ahead.
    Prepare,
    /// From the end of boot to the guest's word that it is ready.
    Ready,
    /// From ready to the first packet forwarded or answered.
    FirstPacket,
}

impl Phase {
    /// All, in the order of the model: those inside another after it.
    pub const ALL: [Phase; 20] = [
        Phase::Request,
        Phase::Authorize,
        Phase::Schedule,
        Phase::Image,
        Phase::Network,
        Phase::Spawn,
        Phase::Create,
        Phase::Memory,
        Phase::Load,
        Phase::Enter,
        Phase::Assign,
        Phase::Boot,
        Phase::Runtime,
        Phase::Devices,
        Phase::Configure,
        Phase::Kernel,
        Phase::Init,
        Phase::Prepare,
        Phase::Ready,
        Phase::FirstPacket,
    ];

    /// The phase that it is a part of.
    pub fn within(self) -> Option<Phase> {
        match self {
            Phase::Create | Phase::Memory | Phase::Load | Phase::Enter | Phase::Assign => Some(Phase::Spawn),
            Phase::Runtime | Phase::Devices | Phase::Configure => Some(Phase::Boot),
            Phase::Kernel | Phase::Init | Phase::Prepare => Some(Phase::Boot),
            _ => None,
        }
    }

    /// The name as the model writes it.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Request => "request",
            Phase::Authorize => "authorize",
            Phase::Schedule => "schedule",
            Phase::Image => "image",
            Phase::Network => "network",
            Phase::Spawn => "spawn",
            Phase::Create => "create",
            Phase::Memory => "memory",
            Phase::Load => "load",
            Phase::Enter => "enter",
            Phase::Assign => "assign",
            Phase::Boot => "boot",
            Phase::Runtime => "runtime",
            Phase::Devices => "devices",
            Phase::Configure => "configure",
            Phase::Kernel => "kernel",
            Phase::Init => "init",
            Phase::Prepare => "prepare",
            Phase::Ready => "ready",
            Phase::FirstPacket => "first-packet",
        }
    }
}

/// A phase that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// Which one.
    pub phase: Phase,
    /// When it began, nanoseconds from the timeline's origin.
    pub start_ns: u64,
    /// When it ended, likewise.
    pub end_ns: u64,
    /// Phases inside it. They may overlap: the monitor prepares memory while the kernel makes the VM.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inside: Vec<Span>,
}

/// The tree of an instantiation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeline {
    /// Time stamp counter at nanosecond 0.
    pub origin: Tsc,
    /// Frequency of the time stamp counter, Hz.
    pub tsc_hz: u64,
    /// Phases by their beginning.
    pub spans: Vec<Span>,
    /// How the guest was prepared before anybody had asked for it, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preparation: Option<Box<Timeline>>,
}

impl Timeline {
    /// A timeline from `origin` on, empty.
    pub fn new(origin: Tsc, tsc_hz: u64) -> Self {
        Self { origin, tsc_hz, spans: Vec::new(), preparation: None }
    }

    /// A phase between two readings.
    pub fn span(&self, phase: Phase, start: Tsc, end: Tsc) -> Span {
        let start_ns = start.since(self.origin, self.tsc_hz);
        let end_ns = end.since(self.origin, self.tsc_hz).max(start_ns);
        Span { phase, start_ns, end_ns, inside: Vec::new() }
    }

    /// Takes another's phases in, moved to this one's origin.
    pub fn append(&mut self, other: Timeline) {
        let shift = other.origin.since(self.origin, self.tsc_hz);
        self.spans.extend(other.spans.into_iter().map(|s| s.shifted(shift)));
        self.preparation = self.preparation.take().or(other.preparation);
    }

    /// From the origin to the end of the last phase, nanoseconds.
    pub fn total_ns(&self) -> u64 {
        self.spans.iter().map(|s| s.end_ns).max().unwrap_or(0)
    }
}

impl Span {
    fn shifted(self, by: u64) -> Self {
        Span {
            start_ns: self.start_ns + by,
            end_ns: self.end_ns + by,
            inside: self.inside.into_iter().map(|s| s.shifted(by)).collect(),
            ..self
        }
    }

    /// How long it took, nanoseconds.
    pub fn length_ns(&self) -> u64 {
        self.end_ns - self.start_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn appended_phases_keep_their_place_in_time() {
        let mut early = Timeline::new(Tsc(1000), 1_000_000_000);
        let mut late = Timeline::new(Tsc(1500), 1_000_000_000);
        late.spans.push(late.span(Phase::Spawn, Tsc(1500), Tsc(1700)));
        early.append(late);
        assert_eq!((early.spans[0].start_ns, early.spans[0].end_ns), (500, 700));
        assert_eq!(early.total_ns(), 700);
    }
}
