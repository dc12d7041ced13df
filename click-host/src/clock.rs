//! What time it is: the system's, or simulated.

use click::Nanos;
use std::cell::Cell;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How far simulated time goes on each time it is looked at, so that who waits for it without a timer sees it pass.
const TICK: Nanos = 1_000;

/// A clock that never goes back.
pub(crate) enum Clock {
    /// The system's; when it was started.
    System(Instant),
    /// Simulated time passes when nobody has anything to do before.
    Simulated {
        /// When it began, nanoseconds since 1970.
        begin: Nanos,
        /// How much has passed, from 1 on.
        passed: Cell<Nanos>,
    },
}

impl Clock {
    /// The same clock for another thread; `None`: simulated time is one thread's.
    pub(crate) fn share(&self) -> Option<Self> {
        match self {
            Self::System(began) => Some(Self::System(*began)),
            Self::Simulated { .. } => None,
        }
    }

    pub(crate) fn simulated(begin: Nanos) -> Self {
        Self::Simulated { begin, passed: Cell::new(1) }
    }

    pub(crate) fn now(&self) -> Nanos {
        match self {
            // From 1 on, so that no time is before the beginning.
            Self::System(began) => nanos(began.elapsed()).saturating_add(1),
            Self::Simulated { passed, .. } => {
                let now = passed.get();
                passed.set(now.saturating_add(TICK));
                now
            }
        }
    }

    pub(crate) fn wall(&self) -> Nanos {
        match self {
            Self::System(_) => nanos(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()),
            Self::Simulated { begin, passed } => begin.saturating_add(passed.get() - 1),
        }
    }

    /// How long to wait until a time; simulated time has come then.
    pub(crate) fn until(&self, time: Nanos) -> Duration {
        match self {
            Self::System(_) => Duration::from_nanos(time.saturating_sub(self.now())),
            Self::Simulated { passed, .. } => {
                passed.set(passed.get().max(time));
                Duration::ZERO
            }
        }
    }
}

fn nanos(time: Duration) -> Nanos {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
