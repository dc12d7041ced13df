//! The machine as ACPI describes it (ACPI 6.5): hardware-reduced, so that no legacy device is looked for. Processors and
//! the interrupt controller (MADT); power button, serial port and virtio devices (DSDT); registers that end or reset the
//! machine (FADT).

use crate::layout::*;
use crate::memory::Memory;
use acpi_tables::Aml;
use acpi_tables::aml::*;
use acpi_tables::madt::{EnabledStatus, IoApic, LocalInterruptController, MADT, ProcessorLocalApic};
use acpi_tables::rsdp::Rsdp;
use acpi_tables::sdt::{GenericAddress, Sdt};
use acpi_tables::xsdt::XSDT;
use machine::error::Error;
use machine::memory::GuestPhys;

const OEM: [u8; 6] = *b"MICROV";
const TABLE: [u8; 8] = *b"MVLINUX ";
/// SLP_TYP of the state S5: powered off.
pub const OFF: u8 = 5;
/// What a write to the reset register has to be.
pub const RESET: u8 = 1;
/// FADT: no VGA, no MSI, no ASPM, no CMOS clock; and no keyboard controller.
const BOOT_FLAGS: u16 = 1 << 2 | 1 << 3 | 1 << 4 | 1 << 5;
/// FADT: power and sleep button are no fixed hardware, there is a reset register, the machine is hardware-reduced.
const FLAGS: u32 = 1 << 4 | 1 << 5 | 1 << 10 | 1 << 20;

/// Writes the tables, for so many processors and virtio devices.
pub fn write(memory: &Memory, cpus: u8, devices: usize) -> Result<(), Error> {
    let mut at = ACPI + Rsdp::len() as u64;
    let mut place = |table: &[u8]| -> Result<u64, Error> {
        let start = at.next_multiple_of(16);
        at = start + table.len() as u64;
        if at > BIOS_ENTRY {
            return Err(Error::Configuration("too many devices for the ACPI tables' room".into()));
        }
        memory.region.write(GuestPhys(start), table)?;
        Ok(start)
    };
    let dsdt = place(&dsdt(devices))?;
    let fadt = place(fadt(dsdt).as_slice())?;
    let madt = place(&bytes(&madt(cpus)))?;
    let mut xsdt = XSDT::new(OEM, TABLE, 1);
    xsdt.add_entry(fadt);
    xsdt.add_entry(madt);
    let xsdt = place(&bytes(&xsdt))?;
    memory.region.write(GuestPhys(ACPI), &bytes(&Rsdp::new(OEM, xsdt)))?;
    Ok(())
}

fn bytes(table: &dyn Aml) -> Vec<u8> {
    let mut bytes = Vec::new();
    table.to_aml_bytes(&mut bytes);
    bytes
}

fn fadt(dsdt: u64) -> Sdt {
    let mut fadt = Sdt::new(*b"FACP", 276, 6, OEM, TABLE, 1);
    fadt.write(109, BOOT_FLAGS);
    fadt.write(112, FLAGS);
    fadt.write(116, GenericAddress::io_port_address::<u8>(RESET_PORT));
    fadt.write_u8(128, RESET);
    // Minor version.
    fadt.write_u8(131, 5);
    fadt.write_u64(140, dsdt);
    fadt.write(244, GenericAddress::io_port_address::<u8>(SLEEP_PORT));
    fadt.write(256, GenericAddress::io_port_address::<u8>(SLEEP_PORT + 1));
    fadt.update_checksum();
    fadt
}

fn madt(cpus: u8) -> MADT {
    let mut madt = MADT::new(OEM, TABLE, 1, LocalInterruptController::Address(LOCAL_APIC));
    for cpu in 0..cpus {
        madt.add_structure(ProcessorLocalApic::new(cpu, cpu, EnabledStatus::Enabled));
    }
    madt.add_structure(IoApic::new(0, IO_APIC, 0));
    madt
}

/// An edge-triggered interrupt, active high.
fn edge(number: u32) -> Interrupt {
    Interrupt::new(true, true, false, false, number)
}

fn dsdt(devices: usize) -> Vec<u8> {
    let mut body = Vec::new();
    let mut add = |aml: &dyn Aml| aml.to_aml_bytes(&mut body);
    add(&Name::new("_S5_".into(), &Package::new(vec![&OFF, &ZERO, &ZERO, &ZERO])));
    add(&Device::new(
        "\\_SB_.PWRB".into(),
        vec![&Name::new("_HID".into(), &EISAName::new("PNP0C0C")), &Name::new("_UID".into(), &ZERO)],
    ));
    // The generic event device: its one interrupt is the power button's.
    add(&Device::new(
        "\\_SB_.GED_".into(),
        vec![
            &Name::new("_HID".into(), &"ACPI0013"),
            &Name::new("_UID".into(), &ZERO),
            &Name::new("_CRS".into(), &ResourceTemplate::new(vec![&edge(BUTTON_INTERRUPT)])),
            &Method::new("_EVT".into(), 1, true, vec![&Notify::new(&Path::new("\\_SB_.PWRB"), &0x80u8)]),
        ],
    ));
    add(&Device::new(
        "\\_SB_.COM1".into(),
        vec![
            &Name::new("_HID".into(), &EISAName::new("PNP0501")),
            &Name::new("_UID".into(), &ZERO),
            &Name::new(
                "_CRS".into(),
                &ResourceTemplate::new(vec![
                    &edge(SERIAL_INTERRUPT),
                    &IO::new(SERIAL_PORT, SERIAL_PORT, 0, 8),
                ]),
            ),
        ],
    ));
    for number in 0..devices {
        let base = DEVICES as u32 + number as u32 * PAGE as u32;
        add(&Device::new(
            format!("\\_SB_.V{number:03}").as_str().into(),
            vec![
                &Name::new("_HID".into(), &"LNRO0005"),
                &Name::new("_UID".into(), &(number as u8)),
                &Name::new("_CCA".into(), &ONE),
                &Name::new(
                    "_CRS".into(),
                    &ResourceTemplate::new(vec![
                        &Memory32Fixed::new(true, base, PAGE as u32),
                        &edge(DEVICE_INTERRUPTS + number as u32),
                    ]),
                ),
            ],
        ));
    }
    let mut dsdt = Sdt::new(*b"DSDT", 36, 6, OEM, TABLE, 1);
    dsdt.append_slice(&body);
    dsdt.as_slice().to_vec()
}
