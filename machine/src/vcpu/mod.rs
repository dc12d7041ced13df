//! The vCPU thread as the other threads see it: [`VcpuState`] is what they share, [`Calls`] what ends its sleep from
//! another process.

mod exit;
mod sleep;
mod state;

pub use exit::{Unhandled, unhandled};
pub use sleep::{Calls, sleep};
pub use state::VcpuState;
