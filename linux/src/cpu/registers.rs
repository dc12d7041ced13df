//! What is in a virtual processor at entry: the first in 64-bit mode at the kernel's entry, the others as hardware
//! leaves them, waiting for the first to start them. After a reset it is the same again.

use crate::layout::*;
use crate::memory::Memory;
use kvm_bindings::*;
use kvm_ioctls::VcpuFd;
use machine::error::Error;
use machine::memory::GuestPhys;

/// Descriptors of the flat 64-bit code segment and the flat data segment, and the table with them, whose first entry
/// is empty. 64-bit boot protocol: `__BOOT_CS` is 0x10, `__BOOT_DS` 0x18.
const DESCRIPTORS: [u64; 4] = [0, 0, 0x00af_9b00_0000_ffff, 0x00cf_9300_0000_ffff];
const CODE: u16 = 0x10;
const DATA: u16 = 0x18;

const CR0: u64 = 1 << 31 | 1 << 4 | 1;
const CR4_PAE: u64 = 1 << 5;
const EFER_LONG_MODE: u64 = 1 << 8 | 1 << 10;

/// Registers that a guest's kernel sets and KVM does not forget by itself. The clock's would have KVM write into memory
/// that the next kernel uses for something else.
const MSRS: [u32; 21] = [
    0x10,  // time stamp counter
    0x174, // SYSENTER: code segment, stack, entry
    0x175,
    0x176,
    0x1a0,       // miscellaneous: fast strings
    0x277,       // page attributes
    0x2ff,       // memory types
    0xc000_0081, // SYSCALL: segments, entries, flags
    0xc000_0082,
    0xc000_0083,
    0xc000_0084,
    0xc000_0102, // kernel's base of GS
    0x4b56_4d00, // KVM: wall clock, clock, page faults, stolen time
    0x4b56_4d01,
    0x4b56_4d02,
    0x4b56_4d03,
    0x4b56_4d04, // end of interrupt
    0x4b56_4d05, // polling
    0x4b56_4d06, // page faults, by interrupt
    0x6e0,       // deadline of the local timer
    0x48,        // speculation
];
/// What some of them are at a reset.
const VALUES: [(u32, u64); 4] =
    [(0x4b56_4d05, 1), (0x1a0, 1), (0x277, 0x0007_0406_0007_0406), (0x2ff, 1 << 11 | 6)];

/// A virtual processor as it was made, to be made so again.
pub struct Initial {
    sregs: kvm_sregs,
    lapic: kvm_lapic_state,
    events: kvm_vcpu_events,
    debug: kvm_debugregs,
    fpu: kvm_fpu,
    xcrs: Option<kvm_xcrs>,
    msrs: Msrs,
    mp_state: kvm_mp_state,
}

impl Initial {
    /// Takes down what a new processor has.
    pub fn of(vcpu: &VcpuFd) -> Result<Self, Error> {
        let failed = Error::kvm("read a processor's registers");
        let mut msrs = Vec::new();
        for index in MSRS {
            let data = VALUES.iter().find(|v| v.0 == index).map_or(0, |v| v.1);
            let msr = kvm_msr_entry { index, data, ..Default::default() };
            // A host that lacks one has nothing of it to reset.
            let one = Msrs::from_entries(&[msr]).map_err(|_| Error::Configuration("MSRs".into()))?;
            if matches!(vcpu.set_msrs(&one), Ok(1)) {
                msrs.push(msr);
            }
        }
        Ok(Self {
            sregs: vcpu.get_sregs().map_err(&failed)?,
            lapic: vcpu.get_lapic().map_err(&failed)?,
            events: vcpu.get_vcpu_events().map_err(&failed)?,
            debug: vcpu.get_debug_regs().map_err(&failed)?,
            fpu: vcpu.get_fpu().map_err(&failed)?,
            xcrs: vcpu.get_xcrs().ok(),
            msrs: Msrs::from_entries(&msrs).map_err(|_| Error::Configuration("too many MSRs".into()))?,
            mp_state: vcpu.get_mp_state().map_err(&failed)?,
        })
    }

    /// Makes a processor as it was. Its own number says whether it is the first, which `entry` is for.
    pub fn restore(&self, vcpu: &VcpuFd, entry: Option<u64>) -> Result<(), Error> {
        let failed = Error::kvm("set a processor's registers");
        vcpu.set_mp_state(self.mp_state).map_err(&failed)?;
        let (regs, sregs) = match entry {
            Some(entry) => (entry_registers(entry), entry_system_registers(self.sregs)),
            None => (kvm_regs { rip: 0xfff0, rflags: 2, ..Default::default() }, self.sregs),
        };
        vcpu.set_sregs(&sregs).map_err(&failed)?;
        vcpu.set_regs(&regs).map_err(&failed)?;
        vcpu.set_fpu(&self.fpu).map_err(&failed)?;
        if let Some(xcrs) = &self.xcrs {
            vcpu.set_xcrs(xcrs).map_err(&failed)?;
        }
        vcpu.set_debug_regs(&self.debug).map_err(&failed)?;
        vcpu.set_lapic(&self.lapic).map_err(&failed)?;
        vcpu.set_msrs(&self.msrs).map_err(&failed)?;
        vcpu.set_vcpu_events(&self.events).map_err(&failed)
    }
}

/// Registers at the kernel's 64-bit entry.
fn entry_registers(entry: u64) -> kvm_regs {
    kvm_regs { rip: entry, rsi: ZERO_PAGE, rsp: STACK_TOP, rflags: 2, ..Default::default() }
}

fn entry_system_registers(mut s: kvm_sregs) -> kvm_sregs {
    let flat = kvm_segment { limit: u32::MAX, present: 1, s: 1, g: 1, ..Default::default() };
    s.cs = kvm_segment { selector: CODE, type_: 11, l: 1, ..flat };
    let data = kvm_segment { selector: DATA, type_: 3, db: 1, ..flat };
    (s.ds, s.es, s.fs, s.gs, s.ss) = (data, data, data, data, data);
    s.tr = kvm_segment { type_: 11, present: 1, limit: 0x67, ..Default::default() };
    s.gdt = kvm_dtable { base: GDT, limit: size_of_val(&DESCRIPTORS) as u16 - 1, ..Default::default() };
    s.idt = kvm_dtable::default();
    (s.cr0, s.cr3, s.cr4, s.efer) = (CR0, PAGE_TABLES, CR4_PAE, EFER_LONG_MODE);
    s
}

/// Writes the descriptor table that the entry's segments are from.
pub fn write_descriptors(memory: &Memory) -> Result<(), Error> {
    for (at, descriptor) in (GDT..).step_by(8).zip(&DESCRIPTORS) {
        memory.region.write_value(GuestPhys(at), descriptor)?;
    }
    Ok(())
}
