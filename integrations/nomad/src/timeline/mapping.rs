//! Nomad's phases by their names in timelines. What each is in the general model is in the node's table of components
//! (`microvisor-bench fig11`), by the name up to a colon.

use api::timeline::External;

/// As the source of phases is called.
pub const SOURCE: &str = "nomad";

/// A phase of Nomad's.
#[derive(Clone, Copy, Debug)]
pub struct Phase {
    /// Its name in timelines.
    pub name: &'static str,
    /// From when to when.
    pub what: &'static str,
}

const fn phase(name: &'static str, what: &'static str) -> Phase {
    Phase { name, what }
}

impl Phase {
    /// The phase as the node takes it, moments in nanoseconds since 1970.
    pub fn external(&self, start_unix_ns: u64, end_unix_ns: u64) -> External {
        // Clocks of two hosts may differ.
        let end_unix_ns = end_unix_ns.max(start_unix_ns);
        External { source: SOURCE.into(), name: self.name.into(), start_unix_ns, end_unix_ns }
    }
}

/// The server's and the client's phases, in order; hooks lie in the client's, the last two in the driver's.
pub const PHASES: [Phase; 10] =
    [REGISTER, QUEUE, SCHEDULER, PLAN, NOTICE, ALLOCATION, TASK, DRIVER, START, NODE];
/// The API's request.
pub const REGISTER: Phase = phase("register", "the request to the server's API: checked, written by Raft");
/// The evaluation waits.
pub const QUEUE: Phase = phase("evaluation", "from its creation until a worker of the server takes it");
/// The scheduler works.
pub const SCHEDULER: Phase = phase("scheduler", "the worker finds a client with room");
/// The plan is applied.
pub const PLAN: Phase = phase("plan", "the leader checks the plan and writes it by Raft");
/// The client hears of it.
pub const NOTICE: Phase =
    phase("client: notice", "from the plan until the client has the allocation and says that it does");
/// Hooks of the allocation.
pub const ALLOCATION: Phase = phase("client: allocation hooks", "all that is done once for a group");
/// Hooks of the task.
pub const TASK: Phase =
    phase("client: task hooks", "all that is done for the task before its driver is asked");
/// The driver.
pub const DRIVER: Phase = phase(
    "driver",
    "from the last hook until the task is said to have started: StartTask, and in it the node",
);

/// The driver's own part.
pub const START: Phase =
    phase("driver: start task", "StartTask, from its arrival in the plugin until its answer");
/// The node's part of that.
pub const NODE: Phase = phase(
    "driver: node",
    "from the driver's request to the node until the node has answered that the guest is ready",
);

/// Hooks that are more than the client's own housekeeping.
const HOOKS: [(&str, &str); 5] = [
    ("network", "network-hook"),
    ("artifacts", "artifact"),
    ("template", "template"),
    ("logmon", "client: logmon"),
    ("alloc_dir", "client: folder"),
];
/// Longest name that the node takes, bytes.
const NAME: usize = 64;

/// A hook's phase: one that is not known here has its own name.
pub fn hook(name: &str) -> String {
    let known = HOOKS.iter().find(|(hook, _)| *hook == name).map(|(_, phase)| (*phase).to_owned());
    let mut phase = known.unwrap_or_else(|| format!("client: {}", name.replace(char::is_control, "")));
    while phase.len() > NAME {
        phase.pop();
    }
    phase
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phase_is_in_the_general_model() {
        let nomad = api::phases::orchestrator(SOURCE).unwrap();
        for phase in PHASES.iter().map(|p| p.name).chain(HOOKS.iter().map(|(_, phase)| *phase)) {
            assert!(nomad.phase(phase).is_some(), "{phase}");
        }
        assert!(nomad.phase(&hook("a hook of tomorrow's")).is_some());
    }

    #[test]
    fn a_hook_that_is_not_known_keeps_its_name() {
        assert_eq!(hook("wrangler"), "client: wrangler");
        assert!(hook(&"x".repeat(100)).len() <= NAME);
    }
}
