//! An emulated AMD host in which Debian's stock kernel is the host's kernel and its Linux guests' (`scripts/svm-host`).

use crate::{Outcome, finish_within, program, root, start, turns, unique};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Modules of the guest, in the order in which they are loaded.
const GUEST_MODULES: &str = "virtio_ring virtio virtio_mmio virtio_console failover net_failover virtio_net virtio_blk \
                             virtio-rng virtio_balloon button evdev";

/// The guest's init: says that it has begun, and runs what the kernel's command line names.
const INIT: &str = r#"#!/bin/busybox sh
export PATH=/bin
mount -t devtmpfs dev /dev
[ "$marks" = off ] || devmem 0xfe0f0000 32 1
mount -t proc proc /proc
mount -t sysfs sys /sys
for module in $(cat /modules/order); do insmod /modules/$module.ko; done
try() { name=$1; shift; "$@" >/tmp/out 2>&1; status=$?; echo "$name $status"; [ $status = 0 ] || cat /tmp/out; }
ready() { devmem 0xfe0f0000 32 2; }
off() { devmem 0xfe0f0004 32 $1; poweroff -f; }
. /$case
"#;

/// A folder for an emulated host, with what its guests find.
pub struct Job(PathBuf);

impl Job {
    /// One whose guests' init runs one of these scripts: the one that the kernel's command line names by `case`.
    pub fn new(cases: &[(&str, &str)]) -> Self {
        let job = Self(std::env::temp_dir().join(unique("linux")));
        let guest = job.guest();
        fs::create_dir_all(&guest).expect("new");
        for (file, text) in [("init", INIT)].iter().chain(cases) {
            fs::write(guest.join(file), text).expect("written");
        }
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(guest.join("init"), executable).expect("ours");
        job.take("microvisor-linux");
        job
    }

    /// The folder itself.
    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// The root folder of its guests.
    pub fn guest(&self) -> PathBuf {
        self.0.join("guest")
    }

    /// Takes a program along that needs nothing.
    pub fn take(&self, name: &str) {
        fs::copy(program(name), self.0.join(name)).expect("copied");
    }

    /// Runs a script in the emulated host; its lines `NAME STATUS`.
    pub fn run(&self, script: &str) -> Lines {
        fs::write(self.0.join("script"), script).expect("written");
        // Longer than any other command: a whole host boots in software, and a guest in it.
        let _turn = turns::alone();
        let mut command = Command::new("timeout");
        command.arg("590").arg(root().join("scripts/svm-host")).arg(&self.0).args(["sh", "script"]);
        command.env("SVM_HOST_GUEST_MODULES", GUEST_MODULES).env("SVM_HOST_SECONDS", "580");
        Lines(finish_within(start(&mut command), Duration::from_secs(600)))
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What an emulated host has printed.
pub struct Lines(Outcome);

impl Lines {
    /// Checks that each of these has come, always with this status.
    #[track_caller]
    pub fn have(&self, names: &str, status: &str) {
        let Self(outcome) = self;
        for name in names.split_whitespace() {
            let lines = outcome.out.lines().filter_map(|line| line.split_once(' '));
            let found: Vec<&str> = lines.filter(|line| line.0 == name).map(|line| line.1).collect();
            assert!(!found.is_empty(), "{name} is missing: {}\n{}", outcome.out, outcome.err);
            assert!(found.iter().all(|s| *s == status), "{name}: {}", outcome.out);
        }
    }
}
