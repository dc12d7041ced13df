//! Open vSwitch with DPDK, in a folder of its own, ended with this.

use crate::{eventually, huge_pages, run, unique};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Its daemons, and a bridge with ports to which it connects as a vhost-user back end.
pub struct OpenVswitch {
    /// Where its sockets are, among them those of its ports.
    pub folder: PathBuf,
    /// Its bridge, a network interface of this name.
    pub bridge: String,
}

impl OpenVswitch {
    fn vsctl(&self, arguments: &[&str]) {
        let mut command = Command::new("ovs-vsctl");
        command
            .arg(format!("--db=unix:{}/db.sock", self.folder.display()))
            .args(["-t", "15"])
            .args(arguments);
        let outcome = run(&mut command);
        assert_eq!(outcome.status, 0, "{arguments:?}: {outcome:?}");
    }

    fn daemon(&self, name: &str, arguments: &[String]) {
        let at = |suffix: &str| format!("{}/{name}{suffix}", self.folder.display());
        // Debian's two switches of this name are alternatives; the one with DPDK is wanted whichever is chosen.
        let with_dpdk = "/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk";
        let mut command = Command::new(if name == "ovs-vswitchd" { with_dpdk } else { name });
        command.args(arguments).arg(format!("--pidfile={}", at(".pid")));
        command.args(["--detach", "--no-chdir"]).arg(format!("--log-file={}", at(".log")));
        command.arg(format!("--unixctl={}", at(".ctl"))).env("OVS_RUNDIR", &self.folder);
        let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        assert!(status.is_ok_and(|s| s.success()), "{name}: see {}", at(".log"));
    }

    /// Starts it with ports to these sockets in its folder, which their peers listen on; `cpu` polls them, or whichever
    /// it likes.
    pub fn new(ports: &[&str], cpu: Option<u32>) -> Self {
        huge_pages();
        let new = Self { folder: std::env::temp_dir().join(unique("ovs")), bridge: unique("b") };
        fs::create_dir(&new.folder).expect("new");
        let folder = new.folder.display().to_string();
        let schema = "/usr/share/openvswitch/vswitch.ovsschema";
        let made = run(Command::new("ovsdb-tool").args(["create", &format!("{folder}/conf.db"), schema]));
        assert_eq!(made.status, 0, "{made:?}");
        new.daemon(
            "ovsdb-server",
            &[format!("{folder}/conf.db"), format!("--remote=punix:{folder}/db.sock")],
        );
        new.vsctl(&["--no-wait", "init"]);
        // No device of this host is its business.
        let extra = format!("other_config:dpdk-extra=--no-pci --no-telemetry --file-prefix={}", new.bridge);
        let settings = ["other_config:dpdk-init=true", "other_config:dpdk-socket-mem=128", &extra];
        new.vsctl(&[&["--no-wait", "set", "Open_vSwitch", "."][..], &settings].concat());
        if let Some(cpu) = cpu {
            let mask = format!("other_config:pmd-cpu-mask={:x}", 1u64 << cpu);
            new.vsctl(&["--no-wait", "set", "Open_vSwitch", ".", &mask]);
        }
        new.daemon("ovs-vswitchd", &[format!("unix:{folder}/db.sock")]);
        new.vsctl(&["add-br", &new.bridge, "--", "set", "bridge", &new.bridge, "datapath_type=netdev"]);
        for (index, socket) in ports.iter().enumerate() {
            let (name, path) = (format!("vu{index}"), format!("options:vhost-server-path={folder}/{socket}"));
            let number = format!("ofport_request={}", index + 1);
            let port = ["--", "set", "Interface", &name, "type=dpdkvhostuserclient", &path, &number];
            new.vsctl(&[&["add-port", &new.bridge, &name][..], &port].concat());
        }
        new
    }

    /// What comes in at the first of two ports goes out at the second, and back; nothing else is done.
    pub fn wire(&self) {
        let bridge = format!("unix:{}/{}.mgmt", self.folder.display(), self.bridge);
        for arguments in [
            &["del-flows", &bridge][..],
            &["add-flow", &bridge, "in_port=1,actions=output:2"],
            &["add-flow", &bridge, "in_port=2,actions=output:1"],
        ] {
            let outcome = run(Command::new("ovs-ofctl").args(arguments));
            assert_eq!(outcome.status, 0, "{arguments:?}: {outcome:?}");
        }
    }
}

impl Drop for OpenVswitch {
    fn drop(&mut self) {
        for name in ["ovs-vswitchd", "ovsdb-server"] {
            let pid = fs::read_to_string(self.folder.join(format!("{name}.pid"))).unwrap_or_default();
            if let Ok(pid) = pid.trim().parse::<u32>() {
                run(Command::new("kill").arg(pid.to_string()));
                eventually("Open vSwitch ends", || !Path::new(&format!("/proc/{pid}")).exists());
            }
        }
        run(Command::new("ip").args(["link", "del", &self.bridge]));
        let _ = fs::remove_dir_all(&self.folder);
    }
}
