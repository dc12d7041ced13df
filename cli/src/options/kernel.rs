//! `--kernel` and what belongs to it: a Linux guest.

use clap::Args;
use linux::options::CPUS_MAXIMUM;
use machine::error::Error;
use std::path::PathBuf;

/// Options of a Linux guest.
#[derive(Args, Clone, Debug)]
pub struct KernelOptions {
    /// Run this Linux kernel, a bzImage or a vmlinux, on a host with VT-x or SVM
    #[arg(long, value_name = "FILE", conflicts_with_all = ["config", "network"])]
    pub kernel: Option<PathBuf>,
    /// Initial file system of the kernel
    #[arg(long, value_name = "FILE", requires = "kernel")]
    pub initrd: Option<PathBuf>,
    /// Command line of the kernel [default: the bundle's, or console=ttyS0 panic=-1]
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub cmdline: Option<String>,
    /// Attach a disk to a Linux guest: FILE[,ro], a raw file or a block device; may be repeated
    #[arg(long, value_name = "FILE")]
    pub disk: Vec<String>,
    /// Virtual processors of a Linux guest [default: the bundle's, or 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=CPUS_MAXIMUM as i64))]
    pub cpus: Option<u8>,
}

impl KernelOptions {
    /// Refuses them for a guest that is no Linux guest.
    pub fn refuse(&self) -> Result<(), Error> {
        let given = [
            ("--cmdline", self.cmdline.is_some()),
            ("--disk", !self.disk.is_empty()),
            ("--cpus", self.cpus.is_some()),
        ];
        match given.iter().find(|(_, given)| *given) {
            Some((option, _)) => {
                let problem =
                    format!("{option} is for Linux guests: --kernel FILE, or a bundle, FOLDER.image");
                Err(Error::Configuration(problem))
            }
            None => Ok(()),
        }
    }
}
