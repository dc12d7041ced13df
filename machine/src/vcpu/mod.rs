//! State and sleep of vCPU threads: [`VcpuState`] is shared with the other threads, and [`Calls`] are eventfds of other processes
//! that end a sleep.

mod exit;
mod sleep;
mod state;

pub use exit::{Unhandled, unhandled};
pub use sleep::{Calls, sleep};
pub use state::VcpuState;
