//! `microvisor` and what is installed, as a person uses them.

mod declared;
mod faults;
mod manual;
mod packaging;
mod remote;
mod usage;
