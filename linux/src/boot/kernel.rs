//! Loads a kernel, by `linux-loader`, and its initial file system. Both are untrusted: nothing is believed of them but
//! that they are files.

use crate::layout::{HIGH, PAGE};
use crate::memory::Memory;
use linux_loader::bootparam::setup_header;
use linux_loader::loader::bzimage::BzImage;
use linux_loader::loader::elf::Elf;
use linux_loader::loader::{KernelLoader, KernelLoaderResult};
use machine::error::Error;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use vm_memory::{Bytes, GuestAddress};

/// `XLF_KERNEL_64`: the kernel has an entry for 64-bit mode.
pub(super) const ENTRY_64: u16 = 1;
/// Where it is, from the kernel's beginning.
const ENTRY_64_OFFSET: u64 = 0x200;
/// First version of the boot protocol that has `xloadflags`.
pub(super) const PROTOCOL: u16 = 0x20c;
/// Highest address of an initial file system, for a kernel that does not say.
const INITRD_TOP: u64 = 0x7fff_ffff;
/// `type_of_loader`: none that has a number.
const LOADER: u8 = 0xff;

/// A kernel in memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kernel {
    /// Where it is entered, in 64-bit mode.
    pub entry: u64,
    /// First byte that it does not need until it has set up its own memory.
    pub end: u64,
    /// Its setup header; a default one for a vmlinux, which has none.
    pub header: setup_header,
}

pub(super) fn refused(name: &str, why: impl std::fmt::Display) -> Error {
    Error::image(format!("{name}: {why}"))
}

/// What `linux-loader` says, without the names of its parts in front.
fn reason(e: &linux_loader::loader::Error) -> String {
    let text = e.to_string();
    text.rsplit(": ").next().unwrap_or_default().to_owned()
}

/// Loads a bzImage or a vmlinux.
pub fn load(memory: &Memory, file: &mut File, name: &str) -> Result<Kernel, Error> {
    let mut magic = [0; 4];
    let read = file.rewind().and_then(|()| file.read_exact(&mut magic));
    read.map_err(|_| refused(name, "neither a bzImage nor a vmlinux: it is too short"))?;
    let high = Some(GuestAddress(HIGH));
    let view = memory.view();
    let kernel = if magic == *b"\x7fELF" {
        let loaded = Elf::load(view, None, file, high);
        let loaded = loaded
            .map_err(|e| refused(name, format!("not a vmlinux that fits into memory: {}", reason(&e))))?;
        let header = setup_header { header: 0x5372_6448, kernel_alignment: 0x100_0000, ..Default::default() };
        Kernel { entry: loaded.kernel_load.0, end: loaded.kernel_end, header }
    } else {
        let loaded = BzImage::load(view, high, file, high);
        let loaded = loaded.map_err(|e| {
            refused(name, format!("neither a vmlinux nor a bzImage that fits into memory: {}", reason(&e)))
        })?;
        bzimage(&loaded, name)?
    };
    if kernel.entry < HIGH || kernel.entry >= memory.length() || kernel.end > memory.length() {
        let mib = memory.length() >> 20;
        return Err(refused(name, format!("does not fit into {mib} MiB of memory")));
    }
    Ok(kernel)
}

fn bzimage(loaded: &KernelLoaderResult, name: &str) -> Result<Kernel, Error> {
    let header = loaded.setup_header.ok_or_else(|| refused(name, "a bzImage without its header"))?;
    if header.version < PROTOCOL || header.xloadflags & ENTRY_64 == 0 {
        return Err(refused(name, "not a 64-bit kernel"));
    }
    // It unpacks itself to where it prefers to be, and needs `init_size` bytes there.
    let unpacked = if header.relocatable_kernel != 0 {
        header.pref_address.max(loaded.kernel_load.0)
    } else {
        header.pref_address
    };
    let end = unpacked.checked_add(header.init_size.into()).ok_or_else(|| refused(name, "malformed"))?;
    let header = setup_header { type_of_loader: LOADER, ..header };
    Ok(Kernel { entry: loaded.kernel_load.0 + ENTRY_64_OFFSET, end: end.max(loaded.kernel_end), header })
}

/// Loads an initial file system as high as it may be; where it lies.
pub fn load_initrd(memory: &Memory, file: &mut File, kernel: &Kernel) -> Result<Range<u64>, Error> {
    let failed = |source| Error::System { doing: "read the initial file system", source };
    let length = file.seek(SeekFrom::End(0)).map_err(failed)?;
    file.rewind().map_err(failed)?;
    let most = match kernel.header.initrd_addr_max {
        0 => INITRD_TOP,
        most => most.into(),
    };
    let top = memory.length().min(most + 1);
    let start = top.checked_sub(length).map(|start| start & !(PAGE - 1)).filter(|&start| start >= kernel.end);
    let start = start.ok_or_else(|| {
        let (needed, mib) = ((kernel.end + length).div_ceil(1 << 20), memory.length() >> 20);
        Error::image(format!(
            "kernel and initial file system need {needed} MiB of memory, and there are {mib}"
        ))
    })?;
    let read = memory.view().read_exact_volatile_from(GuestAddress(start), file, length as usize);
    read.map_err(|e| Error::image(format!("the initial file system cannot be read: {e}")))?;
    Ok(start..start + length)
}
