//! Where things lie in the guest's physical address space. Memory is one range from 0 on: there is no PCI, so that the
//! hole below 4 GiB begins only at the virtio devices, and one range is all that devices and back ends have to know.

/// Bytes of a page.
pub const PAGE: u64 = 4096;
/// Global descriptor table at entry.
pub const GDT: u64 = 0x500;
/// The kernel's `boot_params`, the "zero page".
pub const ZERO_PAGE: u64 = 0x7000;
/// Stack at entry: its top.
pub const STACK_TOP: u64 = 0x8ff0;
/// Page tables at entry: a root, a directory of pointers, and a directory for each of four GiB.
pub const PAGE_TABLES: u64 = 0x9000;
/// The command line.
pub const COMMAND_LINE: u64 = 0x2_0000;
/// Longest command line, bytes, with its end.
pub const COMMAND_LINE_MAXIMUM: usize = 2048;
/// End of low memory, where a BIOS would have its data.
pub const LOW_END: u64 = 0x9_fc00;
/// ACPI tables, where a kernel looks for them.
pub const ACPI: u64 = 0xe_0000;
/// Where a processor begins after a reset in real mode: kernels jump there to restart by the BIOS.
pub const BIOS_ENTRY: u64 = 0xf_fff0;
/// End of the ACPI tables' room, and where the kernel is loaded.
pub const HIGH: u64 = 0x10_0000;
/// Registers of the virtio devices, a page each. Memory ends below.
pub const DEVICES: u64 = 0xfe00_0000;
/// The machine's own registers: see [`crate::registers`].
pub const REGISTERS: u64 = 0xfe0f_0000;
/// I/O interrupt controller.
pub const IO_APIC: u32 = 0xfec0_0000;
/// Local interrupt controllers.
pub const LOCAL_APIC: u32 = 0xfee0_0000;
/// A page that KVM needs on some hosts, and three for its task state segment behind it.
pub const KVM_IDENTITY_MAP: u64 = 0xfffb_c000;
/// See [`KVM_IDENTITY_MAP`].
pub const KVM_TSS: u64 = KVM_IDENTITY_MAP + PAGE;

/// Least and most guest memory, bytes.
pub const MEMORY_MINIMUM: u64 = 32 << 20;
/// See [`MEMORY_MINIMUM`].
pub const MEMORY_MAXIMUM: u64 = DEVICES;

/// Interrupt of the serial port.
pub const SERIAL_INTERRUPT: u32 = 4;
/// Interrupt of the power button.
pub const BUTTON_INTERRUPT: u32 = 5;
/// Interrupt of the first virtio device; each has one.
pub const DEVICE_INTERRUPTS: u32 = 6;
/// As many virtio devices as the interrupt controller has pins for.
pub const DEVICES_MAXIMUM: usize = 24 - DEVICE_INTERRUPTS as usize;

/// First port of the serial port.
pub const SERIAL_PORT: u16 = 0x3f8;
/// ACPI's sleep control register; its sleep status register is the next, its reset register the one after.
pub const SLEEP_PORT: u16 = 0x600;
/// ACPI's reset register.
pub const RESET_PORT: u16 = SLEEP_PORT + 2;
/// Command and status port of a keyboard controller, of which nothing is there but its reset: a kernel tries it where it
/// does not use ACPI's.
pub const KEYBOARD_PORT: u16 = 0x64;
