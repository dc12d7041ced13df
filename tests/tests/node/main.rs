//! The node, through its API, with real guests and packets. One program: many of these tests mostly wait, and wait together.

mod access;
mod api;
mod changes;
mod commands;
mod confinement;
mod faults;
mod health;
mod images;
mod instances;
mod ipv6;
mod linux;
mod monitoring;
mod monitors;
mod otlp;
mod page;
mod prepared;
mod recovery;
mod site;
mod vlan;
