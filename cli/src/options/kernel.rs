//! `--kernel` and what belongs to it: a Linux guest.

use clap::Args;
use linux::options::CPUS_MAXIMUM;
use std::path::PathBuf;

/// Options of a Linux guest.
#[derive(Args, Clone, Debug)]
pub struct KernelOptions {
    /// Run this Linux kernel, a bzImage or a vmlinux, on a host with VT-x or SVM
    #[arg(long, value_name = "FILE", conflicts_with_all = ["config", "set", "network"])]
    pub kernel: Option<PathBuf>,
    /// Initial file system of the kernel
    #[arg(long, value_name = "FILE", requires = "kernel")]
    pub initrd: Option<PathBuf>,
    /// Command line of the kernel [default: console=ttyS0 panic=-1]
    #[arg(long, value_name = "TEXT", requires = "kernel", allow_hyphen_values = true)]
    pub cmdline: Option<String>,
    /// Attach a disk to a Linux guest: FILE[,ro], a raw file or a block device; may be repeated
    #[arg(long, value_name = "FILE", requires = "kernel")]
    pub disk: Vec<String>,
    /// Virtual processors of a Linux guest [default: 1]
    #[arg(long, value_name = "N", requires = "kernel", value_parser = clap::value_parser!(u8).range(1..=CPUS_MAXIMUM as i64))]
    pub cpus: Option<u8>,
}
