//! Linux guests: what is refused before anything is made for one, and what its monitor is told.

use crate::node::Node;
use api::Problem;
use api::flavor::Flavor;
use api::instance::{Device, Instance, InstanceSpec};
use bundle::Bundle;
use linux::options::ATTACHED_MAXIMUM;
use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

/// Bytes of a command line that are kept for each device's address.
const ADDRESS_ROOM: usize = 144;

/// A Linux guest's size, and what its kernel is told, but for its addresses.
pub struct LinuxPlan {
    bundle: Arc<Bundle>,
    vcpus: u8,
    command_line: String,
    /// Length of its disk, bytes; 0 without one.
    disk: u64,
}

impl LinuxPlan {
    /// Refuses what cannot run.
    pub fn new(
        bundle: &Arc<Bundle>,
        spec: &InstanceSpec,
        flavor: Option<&Flavor>,
        memory_mib: u64,
    ) -> Result<Self, Problem> {
        linux::host::require_hardware().map_err(|e| {
            let problem = Problem::hardware(e.to_string());
            e.hint().map_or_else(|| problem.clone(), |hint| problem.clone().hint(hint))
        })?;
        if spec.config.is_some() {
            return Err(Problem::invalid("a Linux guest has no configuration").hint("leave config out"));
        }
        let vcpus = flavor.and_then(|f| f.vcpus).unwrap_or(bundle.description.cpus);
        bundle::check_size(memory_mib, vcpus).map_err(Problem::invalid)?;
        bundle.check_memory(memory_mib).map_err(Problem::invalid)?;
        let has = bundle.disk_length()?;
        let most = ATTACHED_MAXIMUM - usize::from(has > 0);
        if spec.devices.len() > most {
            return Err(Problem::invalid(format!("this Linux guest has at most {most} net devices")));
        }
        let command_line = bundle::append_words(&bundle.description.cmdline, &spec.variables);
        let command_line = command_line.map_err(Problem::invalid)?;
        let longest = format!("{command_line}{}", " ".repeat(ADDRESS_ROOM * spec.devices.len()));
        bundle::check_command_line(&longest)
            .map_err(|e| Problem::invalid(format!("{e}, of which each device takes {ADDRESS_ROOM}")))?;
        let wanted = flavor.and_then(|f| f.disk_mib).map_or(has, |mib| mib << 20);
        if has > 0 && wanted < has {
            let least = has.div_ceil(1 << 20);
            return Err(Problem::invalid(format!("disk_mib: the image's disk has {least} MiB")));
        }
        let disk = if has > 0 { wanted } else { 0 };
        Ok(Self { bundle: bundle.clone(), vcpus, command_line, disk })
    }

    /// Makes the guest's files, as far as they are its own.
    pub fn files(&self, node: &Node, instance: &Instance) -> Result<LinuxFiles<'_>, Problem> {
        let make = |image: &File| node.disks.of(instance.id, image, self.disk);
        // It may take a while.
        let disk = tokio::task::block_in_place(|| self.bundle.disk.as_ref().map(make).transpose())?;
        Ok(LinuxFiles { bundle: &self.bundle, disk })
    }

    /// What its monitor is told beyond what every monitor is.
    pub fn arguments(&self, instance: &Instance) -> Vec<String> {
        let mut line = self.command_line.clone();
        for (number, device) in instance.devices.iter().enumerate() {
            line += &address(device, number, &instance.name);
        }
        let vcpus = self.vcpus.to_string();
        vec![format!("--cmdline={line}"), "--cpus".into(), vcpus, "--name".into(), instance.image.clone()]
    }
}

/// A device's address as kernels and initial file systems are told it (Documentation/admin-guide/nfs/nfsroot.rst).
fn address(device: &Device, number: usize, host: &str) -> String {
    let (Some(address), Some(prefix)) = (device.address, device.prefix) else { return String::new() };
    let mask = u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0);
    let gateway = device.gateway.map_or_else(String::new, |gateway| gateway.to_string());
    format!(" ip={address}::{gateway}:{}:{host}:eth{number}:off", Ipv4Addr::from(mask))
}

/// A guest's files, open.
pub struct LinuxFiles<'a> {
    bundle: &'a Bundle,
    disk: Option<File>,
}

impl LinuxFiles<'_> {
    /// Options of the monitor with their files.
    pub fn options(&self) -> Vec<(&'static str, BorrowedFd<'_>)> {
        let files = [
            ("--kernel", Some(&self.bundle.kernel)),
            ("--initrd", self.bundle.initrd.as_ref()),
            ("--disk", self.disk.as_ref()),
        ];
        files.into_iter().filter_map(|(option, file)| Some((option, file?.as_fd()))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_is_told_its_addresses() {
        let device = serde_json::json!({
            "network": "blue", "port": "p", "mac": "02:00:00:00:00:01", "address": "10.0.0.5", "prefix": 24,
            "gateway": "10.0.0.1", "anti_spoofing": true,
        });
        let mut device: Device = serde_json::from_value(device).unwrap();
        assert_eq!(address(&device, 1, "web"), " ip=10.0.0.5::10.0.0.1:255.255.255.0:web:eth1:off");
        device.gateway = None;
        device.prefix = Some(0);
        assert_eq!(address(&device, 0, "web"), " ip=10.0.0.5:::0.0.0.0:web:eth0:off");
        let longest = Device {
            address: Some("255.255.255.255".parse().unwrap()),
            gateway: Some("255.255.255.255".parse().unwrap()),
            prefix: Some(32),
            ..device.clone()
        };
        assert!(address(&longest, 14, &"x".repeat(63)).len() <= ADDRESS_ROOM);
        device.address = None;
        assert_eq!(address(&device, 0, "web"), "");
    }
}
