//! What the guest sees of the processor: what KVM supports on this host, less what names the host, and with each virtual
//! processor's own number.

use kvm_bindings::{CpuId, KVM_MAX_CPUID_ENTRIES};
use kvm_ioctls::{Cap, Kvm};
use machine::error::Error;

/// The TSC deadline timer, which KVM leaves to its user to announce.
const TSC_DEADLINE: u32 = 1 << 24;
const HYPERVISOR: u32 = 1 << 31;
/// Several logical processors in leaf 1.
const HTT: u32 = 1 << 28;
/// Virtualisation of its own: not for guests.
const VMX: u32 = 1 << 5;
const SVM: u32 = 1 << 2;
/// The processor's name as guests see it, in three leaves.
const BRAND: &[u8; 48] = b"MicroVisor virtual processor\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

/// The table that all virtual processors' are made from.
pub struct Template(CpuId);

impl Template {
    /// Asks KVM.
    pub fn new(kvm: &Kvm) -> Result<Self, Error> {
        let table = kvm.get_supported_cpuid(KVM_MAX_CPUID_ENTRIES);
        let mut table = table.map_err(Error::kvm("ask what KVM supports of the processor"))?;
        let deadline = kvm.check_extension(Cap::TscDeadlineTimer);
        // Leaves that name or describe the host: serial number, caches and their sharing, extended topology, power and
        // performance, resource control, the host's clocks, nested virtualisation.
        let host = [
            3,
            4,
            5,
            6,
            9,
            0xa,
            0xf,
            0x10,
            0x12,
            0x15,
            0x16,
            0x17,
            0x18,
            0x1a,
            0x1f,
            0x8000_0005,
            0x8000_0006,
            0x8000_000a,
            0x8000_001b,
            0x8000_001c,
            0x8000_001d,
            0x8000_001e,
            0x8000_001f,
            0x8000_0020,
            0x8000_0026,
        ];
        for entry in table.as_mut_slice() {
            match entry.function {
                1 => {
                    entry.ecx = (entry.ecx & !VMX) | HYPERVISOR;
                    if deadline {
                        entry.ecx |= TSC_DEADLINE;
                    }
                }
                0x8000_0001 => entry.ecx &= !SVM,
                leaf @ 0x8000_0002..=0x8000_0004 => {
                    let at = (leaf - 0x8000_0002) as usize * 16;
                    let word =
                        |i: usize| u32::from_le_bytes(*BRAND[at + 4 * i..].first_chunk().expect("48 bytes"));
                    (entry.eax, entry.ebx, entry.ecx, entry.edx) = (word(0), word(1), word(2), word(3));
                }
                0x8000_0008 => entry.ecx = 0,
                leaf if host.contains(&leaf) => {
                    (entry.eax, entry.ebx, entry.ecx, entry.edx) = (0, 0, 0, 0);
                }
                _ => {}
            }
        }
        Ok(Self(table))
    }

    /// The table of the virtual processor `id` of `count`: each is a package of its own.
    pub fn of(&self, id: u8, count: u8) -> CpuId {
        let mut table = self.0.clone();
        for entry in table.as_mut_slice() {
            match entry.function {
                1 => {
                    entry.ebx = (entry.ebx & 0xffff) | u32::from(id) << 24 | u32::from(count) << 16;
                    entry.edx &= !HTT;
                }
                0xb => {
                    // No level of sharing, and the number.
                    (entry.eax, entry.ebx, entry.ecx) = (0, 0, entry.index);
                    entry.edx = id.into();
                }
                _ => {}
            }
        }
        table
    }
}
