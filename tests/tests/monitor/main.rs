//! The monitor: its process, its guests, its devices.

mod faults;
mod guests;
mod images;
mod prepared;
mod process;
mod vhost_user;
