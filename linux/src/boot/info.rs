//! What a kernel's file says of itself, without loading it: read from its headers, of which nothing is believed but their
//! form.

use super::kernel::{ENTRY_64, PROTOCOL, refused};
use crate::layout::HIGH;
use machine::error::Error;
use serde::Serialize;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// Where the setup header of a bzImage ends, at most (Documentation/arch/x86/boot.rst).
const HEADER: usize = 0x268;
/// Longest version that is shown, bytes.
const VERSION_MAXIMUM: usize = 128;
/// Bytes of an ELF header and of a program header (ELF-64).
const ELF_HEADER: usize = 64;
const PROGRAM_HEADER: usize = 56;
/// Program headers that are looked at.
const SEGMENTS: u16 = 64;
/// `PT_LOAD`.
const LOAD: u32 = 1;
/// `ET_EXEC`, `ET_DYN`; `EM_X86_64`.
const KINDS: [u16; 2] = [2, 3];
const X86_64: u16 = 62;

/// How a kernel is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// A bzImage, which unpacks itself.
    BzImage,
    /// An ELF file.
    Vmlinux,
}

/// What a kernel says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KernelInfo {
    /// How it is packed.
    pub format: Format,
    /// Its version, as it calls itself; only a bzImage does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// End of the memory that it needs before it has set up its own, from address 0 on, bytes.
    pub end: u64,
}

/// Looks at a file that should be a kernel.
pub fn read_kernel_info(file: &File, name: &str) -> Result<KernelInfo, Error> {
    let mut header = [0; HEADER];
    let read = file.read_exact_at(&mut header, 0);
    read.map_err(|_| refused(name, "neither a bzImage nor a vmlinux: it is too short"))?;
    if header[0x1fe..0x200] == 0xaa55u16.to_le_bytes() && header[0x202..0x206] == *b"HdrS" {
        return bzimage(file, &header, name);
    }
    match &header[..4] {
        b"\x7fELF" => vmlinux(file, &header[..ELF_HEADER], name),
        _ => Err(refused(name, "neither a bzImage nor a vmlinux")),
    }
}

/// A number of so many bytes, little-endian, from a place on.
fn number(bytes: &[u8], at: usize, length: usize) -> u64 {
    bytes[at..at + length].iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

fn bzimage(file: &File, header: &[u8; HEADER], name: &str) -> Result<KernelInfo, Error> {
    let (protocol, flags) = (number(header, 0x206, 2), number(header, 0x236, 2));
    if protocol < u64::from(PROTOCOL) || flags & u64::from(ENTRY_64) == 0 {
        return Err(refused(name, "not a 64-bit kernel"));
    }
    let (preferred, size) = (number(header, 0x258, 8), number(header, 0x260, 4));
    let unpacked = if header[0x234] != 0 { preferred.max(HIGH) } else { preferred };
    let end = unpacked.checked_add(size).ok_or_else(|| refused(name, "malformed"))?;
    let version = match number(header, 0x20e, 2) {
        0 => None,
        at => version(file, at + 0x200),
    };
    Ok(KernelInfo { format: Format::BzImage, version, end })
}

/// The first words at a place, as far as they are printable.
fn version(file: &File, at: u64) -> Option<String> {
    let mut bytes = [0; VERSION_MAXIMUM];
    let read = file.read_at(&mut bytes, at).ok()?;
    let text: String =
        bytes[..read].iter().take_while(|b| matches!(b, 0x20..0x7f)).map(|&b| b as char).collect();
    text.split_whitespace().next().map(str::to_owned)
}

fn vmlinux(file: &File, header: &[u8], name: &str) -> Result<KernelInfo, Error> {
    let malformed = || refused(name, "not a vmlinux for this kind of processor");
    // 64-bit, little-endian.
    let is_ours = header[4] == 2 && header[5] == 1 && number(header, 18, 2) == u64::from(X86_64);
    if !is_ours || !KINDS.map(u64::from).contains(&number(header, 16, 2)) {
        return Err(malformed());
    }
    let (table, count) = (number(header, 32, 8), number(header, 56, 2));
    if number(header, 54, 2) != PROGRAM_HEADER as u64 || count == 0 || count > u64::from(SEGMENTS) {
        return Err(malformed());
    }
    let mut end = 0;
    for index in 0..count {
        let mut segment = [0; PROGRAM_HEADER];
        let at = table.checked_add(index * PROGRAM_HEADER as u64).ok_or_else(malformed)?;
        file.read_exact_at(&mut segment, at).map_err(|_| malformed())?;
        if number(&segment, 0, 4) == u64::from(LOAD) {
            let (start, length) = (number(&segment, 24, 8), number(&segment, 40, 8));
            end = start.checked_add(length).ok_or_else(malformed)?.max(end);
        }
    }
    if end < HIGH {
        return Err(refused(name, "a vmlinux that has nothing above the first MiB"));
    }
    Ok(KernelInfo { format: Format::Vmlinux, version: None, end })
}
