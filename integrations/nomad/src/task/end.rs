//! How tasks end.

use super::now;
use crate::proto::drivers::ExitResult;
use api::instance::{Instance, State};

/// The end of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Exit status of the guest.
    pub status: i32,
    /// What went wrong, if something did.
    pub reason: Option<String>,
    /// When it was noticed, nanoseconds since 1970.
    pub at_unix_ns: u64,
}

/// The monitor's own exit status for a guest's fault; the node says 1 of what was killed.
const FAILED: i32 = 1;

impl Ended {
    /// How an instance ended, if it has. The first packet may start one that waits.
    pub fn of(instance: &Instance) -> Option<Self> {
        let status = instance.status.map(i32::from);
        match instance.state {
            State::Stopped => Some(Self { status: status.unwrap_or(0), reason: None, at_unix_ns: now() }),
            State::Failed => Some(Self {
                // A failure is none of success's numbers.
                status: status.filter(|&s| s != 0).unwrap_or(FAILED),
                reason: instance.reason.clone().or_else(|| Some("the instance failed".into())),
                at_unix_ns: now(),
            }),
            State::Starting | State::Ready | State::Paused | State::Stopping | State::Waiting => None,
        }
    }

    /// Somebody removed it.
    pub fn removed() -> Self {
        Self {
            status: FAILED,
            reason: Some("its instance was removed from the node".into()),
            at_unix_ns: now(),
        }
    }

    /// Nobody saw its end.
    pub fn unknown() -> Self {
        Self { status: FAILED, reason: Some("nobody saw its end".into()), at_unix_ns: now() }
    }

    /// As Nomad has it.
    pub fn result(&self) -> ExitResult {
        ExitResult { exit_code: self.status, signal: 0, oom_killed: false }
    }
}
