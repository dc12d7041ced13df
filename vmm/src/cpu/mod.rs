//! The virtual processor: [`processor`] says what it is, [`vcpu`] runs it.

pub mod processor;
pub mod vcpu;
