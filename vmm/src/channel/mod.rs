//! Communication with the guest: [`control_ring`] carries messages in both directions, [`marks`] are the time stamps of its
//! start. The I/O thread uses both through [`GuestChannel`].

pub mod control_ring;
mod free_memory;
mod guest;
pub mod marks;

pub use free_memory::FreeMemory;
pub use guest::GuestChannel;
