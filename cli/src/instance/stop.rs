//! `microvisor stop`

use super::{Refusal, call, is_local};
use crate::local::list;
use crate::node::instances;
use crate::output::{self, Failure};
use machine::control::{CallError, Request};
use machine::status;
use std::time::Duration;

/// How long an instance may take to disappear after its grace period.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Asks instances to stop, and waits until they are gone.
pub fn stop(names: &[String], grace: Duration) -> Result<(), Failure> {
    output::each(names, |name| {
        if !is_local(name) && instances::has(name) {
            return instances::stop(name, grace);
        }
        let grace_ms = grace.as_millis().min(u32::MAX.into()) as u32;
        match call(name, &Request::Stop { grace_ms }) {
            // It may be gone before it could answer.
            Ok(_) | Err(Refusal::Call(_, CallError::Ended)) => {}
            Err(e) => return Err(e.into()),
        }
        if list::wait_gone(name, grace + TIMEOUT) {
            return Ok(());
        }
        Err(Failure::new(format!("{name} is still running"), status::MONITOR)
            .hint("kill its process; microvisor ps shows its PID"))
    })
}
