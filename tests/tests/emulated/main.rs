//! What needs a host with hardware virtualisation, under stock `kvm_amd` in an emulated AMD host. Each such host has this one
//! to itself.

mod linux;
mod linux_hostile;
mod linux_node;
mod svm;
mod switch;
