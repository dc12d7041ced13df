//! The node, through its API, with real guests and packets. One program: many of these tests mostly wait, and wait together.

mod access;
mod api;
mod faults;
mod instances;
mod linux;
mod monitors;
mod recovery;
