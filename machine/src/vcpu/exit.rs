//! Exits from a guest that all machines handle in the same way.

use crate::ending::Ending;
use kvm_ioctls::VcpuExit;

/// The meaning of an exit that the machine has not handled itself.
pub enum Unhandled {
    /// Another thread wants the vCPU out of the guest.
    Interrupted,
    /// A guest fault, described in words.
    Fault(String),
    /// The guest cannot be run any more.
    End(Ending),
}

/// The meaning of an unhandled exit.
pub fn unhandled(exit: Result<VcpuExit<'_>, kvm_ioctls::Error>) -> Unhandled {
    Unhandled::Fault(match exit {
        Ok(VcpuExit::Intr) => return Unhandled::Interrupted,
        Ok(VcpuExit::Shutdown) => "a fault while a fault was being delivered; the processor shut down".into(),
        Ok(VcpuExit::InternalError) => "an instruction that KVM cannot carry out there".into(),
        Ok(VcpuExit::FailEntry(reason, _)) => format!("entry refused by the processor ({reason:#x})"),
        Ok(other) => format!("an exit that no guest has reason for: {other:?}"),
        Err(e) => match e.errno() {
            libc::EINTR | libc::EAGAIN => return Unhandled::Interrupted,
            libc::EFAULT => "touched memory that the host could not provide".into(),
            errno => {
                let e = std::io::Error::from_raw_os_error(errno);
                return Unhandled::End(Ending::Monitor { message: format!("cannot run the guest: {e}") });
            }
        },
    })
}
