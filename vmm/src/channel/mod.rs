//! Between monitor and guest: [`control_ring`] carries messages both ways, [`marks`] are the guest's time stamps, and
//! [`GuestChannel`] is both as the I/O thread sees them.

pub mod control_ring;
mod free_memory;
mod guest;
pub mod marks;

pub use free_memory::FreeMemory;
pub use guest::GuestChannel;
