//! Checks that the host can run a guest with its own kernel: the processor must have hardware virtualisation, and KVM must use it.

use kvm_ioctls::{Cap, Kvm};
use machine::error::Error;
use std::arch::x86_64::__cpuid;
use std::path::Path;

/// KVM capabilities that Linux guests need in addition to those that every monitor needs.
const NEEDED: [(Cap, &str); 5] = [
    (Cap::Irqchip, "interrupt controllers (KVM_CAP_IRQCHIP)"),
    (Cap::Irqfd, "interrupts by descriptor (KVM_CAP_IRQFD)"),
    (Cap::SetTssAddr, "a task state segment (KVM_CAP_SET_TSS_ADDR)"),
    (Cap::MpState, "several processors (KVM_CAP_MP_STATE)"),
    (Cap::VcpuEvents, "a processor's events (KVM_CAP_VCPU_EVENTS)"),
];

/// The hardware virtualisation of the processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hardware {
    /// Intel VT-x.
    Vmx,
    /// AMD SVM.
    Svm,
}

impl Hardware {
    /// Reads it from CPUID.
    pub fn of_processor() -> Option<Self> {
        if __cpuid(1).ecx & 1 << 5 != 0 {
            return Some(Self::Vmx);
        }
        let extended = __cpuid(0x8000_0000).eax >= 0x8000_0001;
        (extended && __cpuid(0x8000_0001).ecx & 1 << 2 != 0).then_some(Self::Svm)
    }

    /// Name of the KVM kernel module that uses it.
    fn module(self) -> &'static str {
        match self {
            Self::Vmx => "kvm_intel",
            Self::Svm => "kvm_amd",
        }
    }
}

/// Fails if the host would emulate the guest's kernel, or cannot run it. `modules` is the folder in which the kernel lists its
/// modules, including built-in ones.
fn check(hardware: Option<Hardware>, modules: &Path) -> Result<(), Error> {
    let emulated = ["kvm_pvm"].into_iter().find(|module| modules.join(module).exists());
    let used = hardware.is_some_and(|hardware| modules.join(hardware.module()).exists());
    let problem = match (hardware, emulated) {
        // Without the list nothing speaks against it.
        (Some(_), _) if used || !modules.exists() => return Ok(()),
        (Some(hardware), _) => {
            format!("its KVM does not use the processor's: {} is not loaded", hardware.module())
        }
        (None, Some(module)) => format!("there is none here, and {module} runs ring 0 by emulation"),
        (None, None) => "there is none here".into(),
    };
    Err(Error::Host {
        problem: format!("Linux guests need hardware virtualisation, VT-x or SVM: {problem}"),
        hint: "use a host with VT-x or SVM, or enable it in the firmware, or nested virtualisation in the cloud; guests \
               in ring 3, such as Click files, run here"
            .into(),
    })
}

/// Fails if the host cannot run Linux guests. Creates nothing.
pub fn require_hardware() -> Result<(), Error> {
    check(Hardware::of_processor(), Path::new("/sys/module"))
}

/// Fails if KVM lacks a capability that is needed.
pub fn require_capabilities(kvm: &Kvm, cpus: u8) -> Result<(), Error> {
    for (capability, what) in NEEDED {
        if !kvm.check_extension(capability) {
            return Err(Error::Host {
                problem: format!("this host's KVM lacks something: {what}"),
                hint: "Linux 5.16 or newer is needed".into(),
            });
        }
    }
    let most = kvm.get_max_vcpus();
    if usize::from(cpus) > most {
        return Err(Error::Configuration(format!("this host's KVM has at most {most} virtual processors")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_that_do_not_run_ring_0_by_hardware_are_refused() {
        let folder = std::env::temp_dir().join(format!("modules-{}", std::process::id()));
        let refused = |hardware, loaded: &[&str]| {
            let _ = std::fs::remove_dir_all(&folder);
            std::fs::create_dir(&folder).unwrap();
            for module in loaded {
                std::fs::create_dir(folder.join(module)).unwrap();
            }
            let outcome = check(hardware, &folder);
            std::fs::remove_dir_all(&folder).unwrap();
            outcome.err().map(|e| e.to_string())
        };
        assert_eq!(refused(Some(Hardware::Svm), &["kvm", "kvm_amd"]), None);
        assert_eq!(refused(Some(Hardware::Vmx), &["kvm", "kvm_intel"]), None);
        for (hardware, modules, says) in [
            (None, &["kvm", "kvm_pvm"][..], "kvm_pvm runs ring 0 by emulation"),
            (None, &["kvm"], "there is none here"),
            (Some(Hardware::Svm), &["kvm", "kvm_pvm"], "kvm_amd is not loaded"),
            (Some(Hardware::Vmx), &["kvm"], "kvm_intel is not loaded"),
        ] {
            let message = refused(hardware, modules).expect("refused");
            assert!(message.contains(says), "{message}");
        }
        assert_eq!(check(Some(Hardware::Svm), &folder).err().map(|e| e.to_string()), None);
    }
}
