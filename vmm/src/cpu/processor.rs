//! Setup of the vCPU: 64-bit mode at privilege level 3 from the first instruction, with a short fixed CPUID.

use crate::memory_map::descriptor_tables as tables;
use crate::memory_map::page_tables;
use abi::boot::BootPage;
use kvm_bindings::{
    CpuId, KVM_CPUID_FLAG_SIGNIFCANT_INDEX, kvm_cpuid_entry2, kvm_dtable, kvm_regs, kvm_segment, kvm_sregs,
    kvm_xcrs,
};
use kvm_ioctls::VcpuFd;
use machine::error::Error;
use machine::host::ioctls::share_tsc;
use std::arch::x86_64::{__cpuid_count, CpuidResult};

const LEAF_1_EDX: u32 = 1 << 0 // x87
    | 1 << 3 // large pages
    | 1 << 4 // TSC
    | 1 << 6 // PAE
    | 1 << 8 // CMPXCHG8B
    | 1 << 13 // global pages
    | 1 << 15 // CMOV
    | 1 << 19 // CLFLUSH
    | 1 << 23 // MMX
    | 1 << 24 // FXSAVE
    | 1 << 25 // SSE
    | 1 << 26; // SSE2
const LEVEL_2_ECX: u32 = 1 << 0 | 1 << 9 | 1 << 13 | 1 << 19 | 1 << 20 | 1 << 23;
const XSAVE: u32 = 1 << 26;
const OSXSAVE: u32 = 1 << 27;
const AVX: u32 = 1 << 28;
const LEVEL_3_ECX: u32 = 1 << 12 | 1 << 22 | XSAVE | AVX | 1 << 29; // FMA, MOVBE, F16C
const OTHER_ECX: u32 = 1 << 1 | 1 << 25 | 1 << 30; // PCLMULQDQ, AES, RDRAND
const SMEP: u32 = 1 << 7;
const LEVEL_3_EBX: u32 = 1 << 3 | 1 << 5 | 1 << 8; // BMI1, AVX2, BMI2
const OTHER_EBX: u32 = 1 << 9 | 1 << 18 | 1 << 19 | 1 << 29; // ERMS, RDSEED, ADX, SHA
const UMIP: u32 = 1 << 2;
const LEVEL_2_EXTENDED_ECX: u32 = 1 << 0; // LAHF
const LEVEL_3_EXTENDED_ECX: u32 = 1 << 5; // LZCNT
const EXTENDED_EDX: u32 = 1 << 20 | 1 << 29; // no-execute, long mode

const EFER_LONG_MODE: u64 = 1 << 8 | 1 << 10;
/// No-execute. SYSCALL (bit 0) stays off: it would enter ring 0.
const EFER_NXE: u64 = 1 << 11;
const CR0: u64 = 1 << 31 | 1 << 18 | 1 << 16 | 1 << 5 | 1 << 4 | 1 << 1 | 1;
const CR4_BASE: u64 = 1 << 5 | 1 << 9 | 1 << 10;
const CR4_UMIP: u64 = 1 << 11;
const CR4_OSXSAVE: u64 = 1 << 18;
const CR4_SMEP: u64 = 1 << 20;

/// Instruction sets of this host that guests may use.
#[derive(Clone, Debug)]
pub struct Processor {
    vendor: CpuidResult,
    signature: u32,
    leaf_1_ecx: u32,
    leaf_7_ebx: u32,
    leaf_7_ecx: u32,
    extended_ecx: u32,
}

impl Processor {
    /// Reads CPUID. Only four leaves are read, because each takes up to 40 µs on a virtual host.
    pub fn host() -> Self {
        let (one, seven) = (__cpuid_count(1, 0), __cpuid_count(7, 0));
        Self {
            vendor: __cpuid_count(0, 0),
            signature: one.eax,
            leaf_1_ecx: one.ecx & (LEVEL_2_ECX | LEVEL_3_ECX | OTHER_ECX),
            leaf_7_ebx: seven.ebx & (LEVEL_3_EBX | OTHER_EBX | SMEP),
            leaf_7_ecx: seven.ecx & UMIP,
            extended_ecx: __cpuid_count(0x8000_0001, 0).ecx & (LEVEL_2_EXTENDED_ECX | LEVEL_3_EXTENDED_ECX),
        }
    }

    /// x86-64 level (psABI microarchitecture level) of guests: 1 to 3.
    pub fn level(&self) -> u32 {
        let all = |value: u32, wanted: u32| value & wanted == wanted;
        let two = all(self.leaf_1_ecx, LEVEL_2_ECX) && all(self.extended_ecx, LEVEL_2_EXTENDED_ECX);
        let three = all(self.leaf_1_ecx, LEVEL_3_ECX)
            && all(self.leaf_7_ebx, LEVEL_3_EBX)
            && all(self.extended_ecx, LEVEL_3_EXTENDED_ECX);
        match (two, three) {
            (true, true) => 3,
            (true, false) => 2,
            _ => 1,
        }
    }

    fn has_avx(&self) -> bool {
        self.leaf_1_ecx & (XSAVE | AVX) == XSAVE | AVX
    }

    fn cpuid(&self) -> Result<CpuId, Error> {
        let leaf = |function, eax, ebx, ecx, edx| kvm_cpuid_entry2 {
            function,
            eax,
            ebx,
            ecx,
            edx,
            ..Default::default()
        };
        let indexed = |entry| kvm_cpuid_entry2 { flags: KVM_CPUID_FLAG_SIGNIFCANT_INDEX, ..entry };
        let osxsave = if self.has_avx() { OSXSAVE } else { 0 };
        let v = self.vendor;
        let mut leaves = vec![
            leaf(0, if self.has_avx() { 0xd } else { 7 }, v.ebx, v.ecx, v.edx),
            leaf(1, self.signature, 0, self.leaf_1_ecx | osxsave, LEAF_1_EDX),
            indexed(leaf(7, 0, self.leaf_7_ebx, self.leaf_7_ecx, 0)),
            leaf(0x8000_0000, 0x8000_0001, 0, 0, 0),
            leaf(0x8000_0001, 0, 0, self.extended_ecx, EXTENDED_EDX),
        ];
        if self.has_avx() {
            leaves.push(indexed(leaf(0xd, 7, 832, 832, 0)));
        }
        CpuId::from_entries(&leaves).map_err(|_| Error::Configuration("CPUID table too long".into()))
    }

    /// Sets up everything of the vCPU that does not depend on the instance.
    pub fn prepare(&self, vcpu: &VcpuFd) -> Result<(), Error> {
        vcpu.set_cpuid2(&self.cpuid()?).map_err(Error::kvm("set CPUID"))?;
        share_tsc(vcpu).map_err(|_| Error::Host {
            problem: "KVM cannot give guests the host's time stamp counter (KVM_VCPU_TSC_OFFSET)".into(),
            hint: "Linux 5.16 or newer is needed".into(),
        })?;
        if self.has_avx() {
            let mut xcrs = kvm_xcrs { nr_xcrs: 1, ..Default::default() };
            xcrs.xcrs[0].value = 7;
            vcpu.set_xcrs(&xcrs).map_err(Error::kvm("enable AVX"))?;
        }
        let mut sregs = vcpu.get_sregs().map_err(Error::kvm("read system registers"))?;
        self.system_registers(&mut sregs);
        let set = vcpu.set_sregs(&sregs);
        if set.is_err() && sregs.cr4 & CR4_UMIP != 0 {
            // A host may have UMIP and yet not let guests switch it on.
            sregs.cr4 &= !CR4_UMIP;
            return vcpu.set_sregs(&sregs).map_err(Error::kvm("set system registers"));
        }
        set.map_err(Error::kvm("set system registers"))
    }

    fn system_registers(&self, s: &mut kvm_sregs) {
        let when = |present: bool, bit: u64| if present { bit } else { 0 };
        s.cr0 = CR0;
        s.cr3 = page_tables::ROOT;
        // No SMAP: it guards ring-0 code, and there is none (SMEP stops its first instruction). KVM on PVM delivers
        // faults with a supervisor's stores to the fault stack, a user page, and SMAP turns each into a triple fault.
        s.cr4 = CR4_BASE
            | when(self.has_avx(), CR4_OSXSAVE)
            | when(self.leaf_7_ebx & SMEP != 0, CR4_SMEP)
            | when(self.leaf_7_ecx & UMIP != 0, CR4_UMIP);
        s.efer = EFER_LONG_MODE | EFER_NXE;
        let flat = kvm_segment { limit: u32::MAX, present: 1, dpl: 3, s: 1, g: 1, ..Default::default() };
        s.cs = kvm_segment { selector: tables::CODE_SELECTOR, type_: 11, l: 1, ..flat };
        let data = kvm_segment { selector: tables::DATA_SELECTOR, type_: 3, db: 1, ..flat };
        (s.ds, s.es, s.fs, s.gs, s.ss) = (data, data, data, data, data);
        s.tr = kvm_segment {
            base: tables::TSS,
            limit: tables::TSS_LIMIT,
            selector: tables::TSS_SELECTOR,
            type_: 11,
            present: 1,
            ..Default::default()
        };
        s.ldt = kvm_segment { unusable: 1, ..Default::default() };
        let table = |base, bytes: u64| kvm_dtable { base, limit: bytes as u16 - 1, ..Default::default() };
        s.gdt = table(tables::GDT, tables::GDT_BYTES);
        s.idt = table(tables::IDT, tables::IDT_BYTES);
    }
}

/// Registers at entry: see `abi::boot`.
pub fn entry_registers(entry: u64, boot_page: u64, stack_top: u64) -> kvm_regs {
    kvm_regs { rip: entry, rdi: boot_page, rsp: stack_top, rflags: 2, ..Default::default() }
}

/// The boot page fits the page kept for it.
const _: () = assert!(size_of::<BootPage>() <= 4096);
