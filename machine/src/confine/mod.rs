//! What a monitor gives up, and how it hears signals once it has.

pub mod privileges;
pub mod seccomp;
pub mod signals;
