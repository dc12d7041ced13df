//! What the monitor needs of the host's KVM, and what to say when it is not there.

pub mod ioctls;

use crate::error::Error;
use kvm_ioctls::{Cap, Kvm};
use std::os::fd::FromRawFd;

const REQUIRED_CAPABILITIES: [(Cap, &str); 4] = [
    (Cap::UserMemory, "user memory (KVM_CAP_USER_MEMORY)"),
    (Cap::Ioeventfd, "doorbells (KVM_CAP_IOEVENTFD)"),
    (Cap::ImmediateExit, "interrupting a guest (KVM_CAP_IMMEDIATE_EXIT)"),
    (Cap::Xcrs, "extended registers (KVM_CAP_XCRS)"),
];

/// Opens KVM.
#[allow(unsafe_code)]
pub fn open_kvm() -> Result<Kvm, Error> {
    let fd = Kvm::open_with_cloexec(true).map_err(|e| match e.errno() {
        libc::EACCES | libc::EPERM => Error::Permission {
            doing: "open /dev/kvm".into(),
            hint: "run as root, or add your user to the group that owns /dev/kvm".into(),
        },
        libc::ENOENT | libc::ENXIO | libc::ENODEV => Error::Host {
            problem: "this host has no KVM: /dev/kvm is missing or dead".into(),
            hint: "enable virtualisation in the firmware (or nested virtualisation in the cloud) and load \
                   kvm_intel, kvm_amd or kvm_pvm"
                .into(),
        },
        _ => Error::kvm("open /dev/kvm")(e),
    })?;
    // SAFETY: `open_with_cloexec` just returned this descriptor and nobody else owns it.
    let kvm = unsafe { Kvm::from_raw_fd(fd) };
    let version = kvm.get_api_version();
    if version != 12 {
        return Err(missing(&format!("API version 12, but has {version}")));
    }
    for (capability, what) in REQUIRED_CAPABILITIES {
        if !kvm.check_extension(capability) {
            return Err(missing(what));
        }
    }
    Ok(kvm)
}

fn missing(what: &str) -> Error {
    Error::Host {
        problem: format!("this host's KVM lacks something: {what}"),
        hint: "Linux 5.16 or newer is needed".into(),
    }
}
