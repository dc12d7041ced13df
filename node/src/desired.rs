//! What an instance shall be, as the store keeps it, and the next step towards that. `docs/node.md` draws the machine.

use api::instance::State;
use serde::{Deserialize, Serialize};

/// What an instance shall become, as it was last asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Goal {
    /// Its guest runs.
    Running,
    /// It has a monitor, and its guest does not run.
    Paused,
    /// It does not run until a packet comes for it.
    Waiting,
    /// It does not run.
    Stopped,
    /// It is not there.
    Deleted,
}

/// The desired state of an instance. It is written to the store before anything is done for it, so that a daemon that
/// is started after a crash goes on with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Desired {
    /// What it shall become.
    pub goal: Goal,
    /// Whether the present run has to end first: a reboot.
    pub fresh_run: bool,
    /// Time that its guest has to stop, milliseconds.
    pub grace_ms: u32,
    /// Before this time it is not started again, nanoseconds since 1970; 0: it may be started at once.
    pub not_before_unix_ns: u64,
    /// How long the next restart by policy has to wait, milliseconds; 0: as short as it can be.
    pub pause_ms: u32,
    /// The configuration before the one in the specification, until the running guest has taken that.
    pub replaced_config: Option<String>,
}

/// What the actor sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observed {
    /// The state that the API shows.
    pub state: State,
    /// Whether there is a monitor.
    pub runs: bool,
    /// Whether this daemon has asked that monitor to stop, or has killed it.
    pub ending: bool,
}

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing: it is as desired, or will be when its monitor has reported something.
    Nothing,
    /// Start a monitor, once [`Desired::not_before_unix_ns`] is past.
    Start,
    /// Ask the monitor to stop.
    Stop,
    /// Kill the monitor.
    Kill,
    /// Have the guest wait.
    Pause,
    /// Let the guest run on.
    Resume,
    /// Give the guest the configuration of the specification.
    Configure,
    /// Have the switch say when a packet comes.
    Announce,
    /// Show it as stopped.
    Rest,
    /// Forget it.
    Remove,
}

impl Desired {
    /// A goal without anything that is to be done before.
    pub fn new(goal: Goal) -> Self {
        Self {
            goal,
            fresh_run: false,
            grace_ms: 2000,
            not_before_unix_ns: 0,
            pause_ms: 0,
            replaced_config: None,
        }
    }

    /// Of a row that was written before there were desired states.
    pub fn of(state: State) -> Self {
        Self::new(match state {
            State::Starting | State::Ready => Goal::Running,
            State::Paused => Goal::Paused,
            State::Waiting => Goal::Waiting,
            State::Stopping | State::Stopped | State::Failed => Goal::Stopped,
        })
    }

    /// Whether there shall be a monitor.
    pub fn runs(&self) -> bool {
        matches!(self.goal, Goal::Running | Goal::Paused)
    }

    /// Whether a present run shall end.
    pub fn ends_run(&self) -> bool {
        !self.runs() || self.fresh_run
    }

    /// The next step.
    pub fn step(&self, now: Observed) -> Step {
        let Observed { state, runs, ending } = now;
        match (self.goal, runs) {
            (Goal::Deleted, false) => Step::Remove,
            (_, true) if ending => Step::Nothing,
            (Goal::Deleted, true) => Step::Kill,
            // A stop that a former daemon has begun is brought to its end.
            (_, true) if self.ends_run() || state == State::Stopping => Step::Stop,
            (Goal::Stopped, _) => match state {
                State::Stopped | State::Failed => Step::Nothing,
                _ => Step::Rest,
            },
            (Goal::Waiting, _) => match state {
                State::Waiting => Step::Nothing,
                _ => Step::Announce,
            },
            (Goal::Running | Goal::Paused, false) => Step::Start,
            (Goal::Paused, true) if state == State::Ready => Step::Pause,
            (Goal::Running, true) if state == State::Paused => Step::Resume,
            (_, true) if state == State::Ready && self.replaced_config.is_some() => Step::Configure,
            _ => Step::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [State; 7] = [
        State::Starting,
        State::Ready,
        State::Paused,
        State::Stopping,
        State::Waiting,
        State::Stopped,
        State::Failed,
    ];

    /// An instance with the parts that a step changes, and a monitor that does as it is told.
    #[derive(Clone, Debug)]
    struct World {
        desired: Desired,
        now: Observed,
        removed: bool,
        starts: u32,
    }

    impl World {
        /// What the actor does and stores.
        fn act(&mut self, step: Step) {
            match step {
                Step::Nothing => {}
                Step::Start => {
                    assert!(!self.now.runs, "doubled");
                    (self.now.runs, self.now.ending, self.now.state) = (true, false, State::Starting);
                    (self.desired.fresh_run, self.desired.replaced_config) = (false, None);
                    self.starts += 1;
                }
                Step::Stop => (self.now.ending, self.now.state) = (true, State::Stopping),
                Step::Kill => self.now.ending = true,
                Step::Pause => self.now.state = State::Paused,
                Step::Resume => self.now.state = State::Ready,
                Step::Configure => self.desired.replaced_config = None,
                Step::Announce => self.now.state = State::Waiting,
                Step::Rest => self.now.state = State::Stopped,
                Step::Remove => self.removed = true,
            }
        }

        /// What the monitor does by itself.
        fn pass(&mut self) {
            if self.now.ending {
                (self.now.runs, self.now.ending, self.now.state) = (false, false, State::Stopped);
            } else if self.now.runs && self.now.state == State::Starting {
                self.now.state = State::Ready;
            }
        }

        /// The next daemon sees what is there and remembers nothing.
        fn crash(&mut self) {
            self.now.ending = false;
            if !self.now.runs && self.now.state.runs() {
                self.now.state = State::Stopped;
            }
        }

        fn is_settled(&self) -> bool {
            match self.desired.goal {
                Goal::Running => self.now.runs && self.now.state == State::Ready,
                Goal::Paused => self.now.runs && self.now.state == State::Paused,
                Goal::Waiting => !self.now.runs && self.now.state == State::Waiting,
                Goal::Stopped => !self.now.runs && matches!(self.now.state, State::Stopped | State::Failed),
                Goal::Deleted => self.removed,
            }
        }
    }

    /// Every desired state from every observed one, with a crash after each step in turn, or none.
    #[test]
    fn every_desired_state_is_reached_whatever_step_the_daemon_dies_after() {
        for goal in [Goal::Running, Goal::Paused, Goal::Waiting, Goal::Stopped, Goal::Deleted] {
            for (state, runs) in STATES.iter().flat_map(|&s| [(s, false), (s, true)]) {
                if runs != state.runs() && runs {
                    continue;
                }
                for (fresh_run, swap, crash_after) in (0..8)
                    .flat_map(|after| [(false, false, after), (true, false, after), (false, true, after)])
                {
                    let replaced_config = swap.then(String::new);
                    let desired = Desired { fresh_run, replaced_config, ..Desired::new(goal) };
                    let now = Observed { state, runs, ending: false };
                    let mut world = World { desired, now, removed: false, starts: 0 };
                    world.crash();
                    for step in 0..12 {
                        if world.removed {
                            break;
                        }
                        world.act(world.desired.step(world.now));
                        if step == crash_after {
                            world.crash();
                        }
                        world.pass();
                    }
                    assert!(world.is_settled(), "{goal:?} from {now:?}, fresh_run {fresh_run}: {world:?}");
                    assert!(world.starts <= 1, "{world:?}");
                    // A paused guest takes its configuration when it is resumed.
                    let is_taken = world.desired.replaced_config.is_none() || goal == Goal::Paused;
                    assert!(is_taken || !world.desired.runs(), "{world:?}");
                }
            }
        }
    }

    #[test]
    fn what_has_reached_its_goal_is_left_alone() {
        for (goal, state, runs) in [
            (Goal::Running, State::Ready, true),
            (Goal::Running, State::Starting, true),
            (Goal::Paused, State::Paused, true),
            (Goal::Waiting, State::Waiting, false),
            (Goal::Stopped, State::Stopped, false),
            (Goal::Stopped, State::Failed, false),
        ] {
            let now = Observed { state, runs, ending: false };
            assert_eq!(Desired::new(goal).step(now), Step::Nothing, "{goal:?} {state:?}");
        }
    }

    #[test]
    fn rows_of_former_versions_have_a_desired_state() {
        assert!(STATES.iter().all(|s| Desired::of(*s).runs() == (s.runs() && *s != State::Stopping)));
    }
}
