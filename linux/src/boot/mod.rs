//! What is in memory when the guest begins: [`kernel`] loads kernel and initial file system ([`info`] reads what a kernel needs), [`parameters`] tells the
//! kernel of them and of memory, [`acpi`] describes the machine. A reset does all of it again.

pub mod acpi;
pub mod info;
pub mod kernel;
pub mod parameters;

use crate::memory::Memory;
use machine::error::Error;
use std::fs::File;

/// What a guest is started from.
pub struct Boot {
    /// The kernel: a bzImage, or a vmlinux.
    pub kernel: File,
    /// The kernel's name, for messages.
    pub name: String,
    /// The initial file system, if there is one.
    pub initrd: Option<File>,
    /// The command line.
    pub command_line: String,
    /// How many processors there are.
    pub cpus: u8,
    /// How many virtio devices there are.
    pub devices: usize,
}

impl Boot {
    /// Fills memory; where the kernel is entered. All of memory reads as zeros before.
    pub fn load(&mut self, memory: &Memory) -> Result<u64, Error> {
        let loaded = kernel::load(memory, &mut self.kernel, &self.name)?;
        let initrd =
            self.initrd.as_mut().map(|file| kernel::load_initrd(memory, file, &loaded)).transpose()?;
        acpi::write(memory, self.cpus, self.devices)?;
        parameters::write(memory, &loaded, initrd.unwrap_or_default(), &self.command_line)?;
        Ok(loaded.entry)
    }
}
