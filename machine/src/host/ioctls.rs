//! The KVM calls that `kvm-ioctls` does not offer for this architecture, or not in the form needed.
#![allow(unsafe_code)]
// The macro writes functions without documentation.
#![allow(missing_docs)]

use crate::eventfd::EventFd;
use kvm_bindings::{
    KVM_VCPU_TSC_CTRL, KVM_VCPU_TSC_OFFSET, KVMIO, kvm_device_attr, kvm_ioeventfd as IoEventFd,
    kvm_ioeventfd_flag_nr_datamatch, kvm_irqfd,
};
use kvm_ioctls::{VcpuFd, VmFd};
use std::io;
use std::os::fd::AsRawFd;
use vmm_sys_util::ioctl::ioctl_with_ref;
use vmm_sys_util::ioctl_iow_nr;

ioctl_iow_nr!(KVM_IOEVENTFD, KVMIO, 0x79, IoEventFd);
ioctl_iow_nr!(KVM_IRQFD, KVMIO, 0x76, kvm_irqfd);
ioctl_iow_nr!(KVM_SET_DEVICE_ATTR, KVMIO, 0xe1, kvm_device_attr);

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Has stores of exactly four bytes to `address` signal an eventfd.
pub fn connect_doorbell(vm: &VmFd, address: u64, event: &EventFd) -> io::Result<()> {
    let request = IoEventFd { addr: address, len: 4, fd: event.as_raw_fd(), ..Default::default() };
    // SAFETY: the kernel reads `request` and nothing else.
    check(unsafe { ioctl_with_ref(vm, KVM_IOEVENTFD(), &request) })
}

/// Makes the guest's time stamp counter the host's.
pub fn share_tsc(vcpu: &VcpuFd) -> io::Result<()> {
    let offset = 0u64;
    let attribute = kvm_device_attr {
        group: KVM_VCPU_TSC_CTRL,
        attr: KVM_VCPU_TSC_OFFSET.into(),
        addr: &raw const offset as u64,
        ..Default::default()
    };
    // SAFETY: the kernel reads `attribute` and the eight bytes of `offset`, both alive.
    check(unsafe { ioctl_with_ref(vcpu, KVM_SET_DEVICE_ATTR(), &attribute) })
}

/// Has stores of the four bytes of `value` to `address` signal an eventfd.
pub fn connect_queue(vm: &VmFd, address: u64, value: u32, event: &EventFd) -> io::Result<()> {
    let request = IoEventFd {
        addr: address,
        len: 4,
        fd: event.as_raw_fd(),
        datamatch: value.into(),
        flags: 1 << kvm_ioeventfd_flag_nr_datamatch,
        ..Default::default()
    };
    // SAFETY: the kernel reads `request` and nothing else.
    check(unsafe { ioctl_with_ref(vm, KVM_IOEVENTFD(), &request) })
}

/// Has an eventfd raise an interrupt, as an edge of the interrupt controller's pin `pin`.
pub fn connect_interrupt(vm: &VmFd, event: &EventFd, pin: u32) -> io::Result<()> {
    let request = kvm_irqfd { fd: event.as_raw_fd() as u32, gsi: pin, ..Default::default() };
    // SAFETY: the kernel reads `request` and nothing else.
    check(unsafe { ioctl_with_ref(vm, KVM_IRQFD(), &request) })
}
