//! Virtual processors: what the guest sees of the processor ([`cpuid`]), what is in the registers at entry and after a
//! reset ([`registers`]), how all start anew ([`restart`]), the thread that runs it ([`thread`]).

pub mod cpuid;
pub mod registers;
pub mod restart;
pub mod thread;
