//! The virtual processor: [`processor`] sets up its registers and CPUID, [`vcpu`] runs it.

pub mod processor;
pub mod vcpu;
