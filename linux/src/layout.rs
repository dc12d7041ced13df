//! The layout of the guest's physical address space. Memory is one range that starts at 0. There is no PCI, so the hole below
//! 4 GiB begins only at the virtio devices, and devices and back ends need only one memory region.

/// Bytes of a page.
pub const PAGE: u64 = 4096;
/// Address of the global descriptor table at entry.
pub const GDT: u64 = 0x500;
/// Address of the kernel's `boot_params`, the "zero page".
pub const ZERO_PAGE: u64 = 0x7000;
/// Top of the stack at entry.
pub const STACK_TOP: u64 = 0x8ff0;
/// Address of the page tables at entry: PML4, page directory pointer table, and a page directory for each of four GiB.
pub const PAGE_TABLES: u64 = 0x9000;
/// Address of the kernel command line.
pub const COMMAND_LINE: u64 = 0x2_0000;
/// Longest command line with its terminating zero, bytes.
pub const COMMAND_LINE_MAXIMUM: usize = 2048;
/// End of low memory; a BIOS would keep its data there.
pub const LOW_END: u64 = 0x9_fc00;
/// Address of the ACPI tables, where a kernel looks for them.
pub const ACPI: u64 = 0xe_0000;
/// The reset vector in real mode. Kernels jump there to restart through the BIOS.
pub const BIOS_ENTRY: u64 = 0xf_fff0;
/// End of the space for ACPI tables, and load address of the kernel.
pub const HIGH: u64 = 0x10_0000;
/// Address of the registers of the virtio devices, one page per device. Memory ends below it.
pub const DEVICES: u64 = 0xfe00_0000;
/// Address of MicroVisor's own registers: see [`crate::registers`].
pub const REGISTERS: u64 = 0xfe0f_0000;
/// Address of the I/O APIC.
pub const IO_APIC: u32 = 0xfec0_0000;
/// Address of the local APICs.
pub const LOCAL_APIC: u32 = 0xfee0_0000;
/// Address of a page that KVM needs on some hosts; three pages for its task state segment follow.
pub const KVM_IDENTITY_MAP: u64 = 0xfffb_c000;
/// See [`KVM_IDENTITY_MAP`].
pub const KVM_TSS: u64 = KVM_IDENTITY_MAP + PAGE;

/// Least and most guest memory, bytes.
pub const MEMORY_MINIMUM: u64 = 32 << 20;
/// See [`MEMORY_MINIMUM`].
pub const MEMORY_MAXIMUM: u64 = DEVICES;

/// Interrupt number of the serial port.
pub const SERIAL_INTERRUPT: u32 = 4;
/// Interrupt number of the power button (ACPI SCI).
pub const BUTTON_INTERRUPT: u32 = 5;
/// Interrupt number of the first virtio device; each device has its own.
pub const DEVICE_INTERRUPTS: u32 = 6;
/// Most virtio devices: the I/O APIC has no more pins.
pub const DEVICES_MAXIMUM: usize = 24 - DEVICE_INTERRUPTS as usize;

/// First port of the serial port.
pub const SERIAL_PORT: u16 = 0x3f8;
/// Port of ACPI's sleep control register; the sleep status register is the next port, the reset register the one after.
pub const SLEEP_PORT: u16 = 0x600;
/// Port of ACPI's reset register.
pub const RESET_PORT: u16 = SLEEP_PORT + 2;
/// Command and status port of a keyboard controller. Only its reset command works; kernels that do not use ACPI's reset try it.
pub const KEYBOARD_PORT: u16 = 0x64;
