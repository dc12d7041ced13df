//! How an instance ended, and what a guest fault looked like.

use crate::status;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The end of an instance.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "end", rename_all = "kebab-case")]
pub enum Ending {
    /// The guest exited by itself.
    Exit {
        /// Its code.
        code: u32,
    },
    /// The guest broke its contract.
    Fault(Box<Fault>),
    /// The guest was ended: its grace period ran out, or a second signal came.
    Killed,
    /// The monitor could not go on.
    Monitor {
        /// Why.
        message: String,
    },
}

impl Ending {
    /// Exit status for it, given the signal that asked for the end, if one did.
    pub fn status(&self, signal: Option<i32>) -> u8 {
        let by_signal = |n: i32| status::SIGNAL.wrapping_add(n as u8);
        match (self, signal) {
            (Ending::Fault(_), _) => status::GUEST_FAULT,
            (Ending::Monitor { .. }, _) => status::MONITOR,
            (Ending::Exit { .. } | Ending::Killed, Some(n)) => by_signal(n),
            (Ending::Killed, None) => by_signal(libc::SIGKILL),
            (Ending::Exit { code }, None) => (*code).min(status::GUEST_MAXIMUM.into()) as u8,
        }
    }
}

/// A guest fault. Registers are the guest's own claim: it can reach its fault stack.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Fault {
    /// What happened, in words.
    pub what: String,
    /// x86 vector, if the processor raised it.
    pub vector: Option<u8>,
    /// Error code of the vector, where it has one.
    pub error_code: Option<u64>,
    /// Address that a page fault was about.
    pub address: Option<u64>,
    /// The registers, where the host still has them.
    pub registers: Option<Registers>,
}

/// General registers at the fault.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Registers {
    pub rip: u64,
    pub rsp: u64,
    pub rflags: u64,
    pub rax: u64,
    pub rbx: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rsi: u64,
    pub rdi: u64,
    pub rbp: u64,
    pub r8: u64,
    pub r9: u64,
    pub r10: u64,
    pub r11: u64,
    pub r12: u64,
    pub r13: u64,
    pub r14: u64,
    pub r15: u64,
}

impl From<kvm_bindings::kvm_regs> for Registers {
    fn from(r: kvm_bindings::kvm_regs) -> Self {
        Self {
            rip: r.rip,
            rsp: r.rsp,
            rflags: r.rflags,
            rax: r.rax,
            rbx: r.rbx,
            rcx: r.rcx,
            rdx: r.rdx,
            rsi: r.rsi,
            rdi: r.rdi,
            rbp: r.rbp,
            r8: r.r8,
            r9: r.r9,
            r10: r.r10,
            r11: r.r11,
            r12: r.r12,
            r13: r.r13,
            r14: r.r14,
            r15: r.r15,
        }
    }
}

/// The processor's name for a vector.
pub fn vector_name(vector: u8) -> &'static str {
    match vector {
        0 => "division error (#DE)",
        1 => "debug (#DB)",
        3 => "breakpoint (#BP)",
        4 => "overflow (#OF)",
        5 => "bound range (#BR)",
        6 => "invalid instruction (#UD)",
        7 => "no floating point (#NM)",
        8 => "double fault (#DF)",
        10 => "invalid task state (#TS)",
        11 => "segment not present (#NP)",
        12 => "stack fault (#SS)",
        13 => "general protection (#GP)",
        14 => "page fault (#PF)",
        16 => "floating point (#MF)",
        17 => "alignment (#AC)",
        19 => "SIMD floating point (#XM)",
        21 => "control protection (#CP)",
        _ => "exception",
    }
}

/// Whether the processor pushes an error code for a vector.
pub fn has_error_code(vector: u8) -> bool {
    matches!(vector, 8 | 10..=14 | 17 | 21 | 29 | 30)
}

/// What a page fault was about (Intel SDM volume 3, 4.7).
pub fn page_fault_text(error: u64, address: u64) -> String {
    let access = match (error & 16 != 0, error & 2 != 0) {
        (true, _) => "executing",
        (_, true) => "writing",
        _ => "reading",
    };
    let why = if error & 1 != 0 { "not allowed there" } else { "nothing is mapped there" };
    format!("page fault (#PF) {access} {address:#x}: {why}")
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "guest fault: {}", self.what)?;
        if let Some(error) = self.error_code {
            write!(f, " (error code {error:#x})")?;
        }
        let Some(r) = self.registers else {
            return write!(f, "\n  the host has kept no registers");
        };
        write!(f, "\n  rip {:016x}  rsp {:016x}  rflags {:08x}", r.rip, r.rsp, r.rflags)?;
        let named = [
            [("rax", r.rax), ("rbx", r.rbx), ("rcx", r.rcx), ("rdx", r.rdx)],
            [("rsi", r.rsi), ("rdi", r.rdi), ("rbp", r.rbp), ("r8 ", r.r8)],
            [("r9 ", r.r9), ("r10", r.r10), ("r11", r.r11), ("r12", r.r12)],
        ];
        for row in named {
            f.write_str("\n ")?;
            for (name, value) in row {
                write!(f, " {name} {value:016x} ")?;
            }
        }
        write!(f, "\n  r13 {:016x}  r14 {:016x}  r15 {:016x}", r.r13, r.r14, r.r15)
    }
}
