//! Nothing that a guest can execute takes it out of ring 3, or to a port or a register of the processor. Ends by a
//! fault.
//!
//! Cases: an instruction each, and `far-return` and `interrupt-return`, which name a code segment of ring 0.
#![no_std]
#![no_main]

use core::arch::asm;

minios::image! { name: "leaves-ring-3", main: main }

/// One instruction (or a few) a case, with `rax`, `rcx` and `rdx` zero.
macro_rules! cases {
    ($case:expr, $($name:literal: $($line:literal),+;)*) => {
        match $case {
            $($name => asm!($($line),+, inout("rax") 0u64 => _, inout("rcx") 0u64 => _, inout("rdx") 0u64 => _),)*
            _ => return tests::no_such_case(),
        }
    };
}

fn main() -> minios::ExitCode {
    // SAFETY: not at all: this is the attack.
    unsafe {
        cases! { tests::case(),
            "ud2": "ud2";
            "divide": "div rcx";
            "int0": "int 0";
            "int1": "int 1";
            "int3": "int3";
            "int8": "int 8";
            "int14": "int 14";
            "int32": "int 32";
            "int80": "int 0x80";
            "int255": "int 255";
            "icebp": ".byte 0xf1";
            "syscall": "push r11", "syscall", "pop r11";
            "sysenter": "sysenter";
            "in": "in eax, dx";
            "in60": "in al, 0x60";
            "out": "out dx, eax";
            "outs": "push rsi", "mov rsi, rsp", "outsb", "pop rsi";
            "hlt": "hlt";
            "cli": "cli";
            "sti": "sti";
            "read-cr0": "mov rax, cr0";
            "write-cr0": "mov cr0, rax";
            "read-cr3": "mov rax, cr3";
            "write-cr3": "mov cr3, rax";
            "write-cr4": "mov cr4, rax";
            "write-cr8": "mov cr8, rax";
            "write-dr7": "mov dr7, rax";
            "rdmsr": "rdmsr";
            "wrmsr": "mov ecx, 0xc0000080", "wrmsr";
            "wrmsr-lstar": "mov ecx, 0xc0000082", "wrmsr";
            "xsetbv": "xsetbv";
            "clts": "clts";
            "invlpg": "invlpg [rax]";
            "wbinvd": "wbinvd";
            "swapgs": "swapgs";
            "sysret": "sysretq";
            "monitor": "monitor";
            "mwait": "mwait";
            "vmrun": "vmrun rax";
            "vmxoff": "vmxoff";
            "far-return": "lea rax, [rip + 2f]", "push 8", "push rax", "retfq", "2: mov rax, cr0", "add rsp, 16";
            "far-return-16": "lea rax, [rip + 2f]", "push 16", "push rax", "retfq", "2: mov rax, cr0", "add rsp, 16";
            "interrupt-return": "lea rax, [rip + 2f]", "mov rdx, rsp", "push 16", "push rdx", "push 2", "push 8",
                "push rax", "iretq", "2: mov rax, cr0";
            "load-ss": "mov eax, 16", "mov ss, eax";
            "io-privilege": "pushfq", "pop rax", "or rax, 0x3000", "push rax", "popfq", "xor eax, eax", "in eax, dx";
        }
    }
    tests::survived()
}
