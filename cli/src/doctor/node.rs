//! The node of this host, if it has one: its version, the processors of its switch, the uplinks of its networks.

use super::{Check, State};
use crate::node::instances;
use crate::output::Failure;
use api::client::Client;
use api::network::Network;
use api::status::Status;
use std::fs;
use std::path::Path;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What there is of the node.
pub fn checks() -> Vec<Check> {
    let client = match instances::expected() {
        Ok(Some(client)) => client,
        Ok(None) => return vec![Check::ok("node", "none here; `microvisor run` needs none")],
        Err(Failure::Message { message, hint, .. }) => {
            let next = hint.unwrap_or_else(|| "start it: microvisor node".into());
            return vec![Check::new("node", State::Warning, message, &next)];
        }
        Err(_) => return Vec::new(),
    };
    let status: Status = match client.get("/v1/status") {
        Ok(status) => status,
        Err(e) => {
            return vec![Check::new(
                "node",
                State::Warning,
                e.to_string(),
                "see its log: journalctl -u microvisor-node",
            )];
        }
    };
    let mut checks = vec![version(&status.version)];
    // What lies on another host is that host's doctor's.
    if client.run_folder().is_some() {
        checks.push(switch(&status, Path::new("/")));
        checks.extend(uplinks(&client));
    }
    checks
}

fn version(of_node: &str) -> Check {
    match of_node == VERSION {
        true => Check::ok("node", format!("version {VERSION} answers")),
        false => {
            let found = format!("version {of_node} answers, and this command is of version {VERSION}");
            let next = "start it again with the installed version: systemctl restart microvisor-node";
            Check::new("node", State::Warning, found, next)
        }
    }
}

/// Where the switch's threads may run. Threads that share processors with everybody lose packets when others are busy.
fn switch(status: &Status, root: &Path) -> Check {
    let Some(pid) = status.switch else {
        return Check::new(
            "switch",
            State::Warning,
            "it does not run",
            "see switch.log in the node's run folder",
        );
    };
    let mut pinned = Vec::new();
    for task in fs::read_dir(root.join(format!("proc/{pid}/task"))).into_iter().flatten().flatten() {
        let text = fs::read_to_string(task.path().join("status")).unwrap_or_default();
        let allowed =
            text.lines().find_map(|l| l.strip_prefix("Cpus_allowed_list:")).unwrap_or_default().trim();
        if allowed.parse::<usize>().is_ok() {
            pinned.push(allowed.to_owned());
        }
    }
    pinned.sort_unstable();
    pinned.dedup();
    let isolated = fs::read_to_string(root.join("sys/devices/system/cpu/isolated")).unwrap_or_default();
    match (pinned.is_empty(), isolated.trim()) {
        (true, _) if status.host.cpus < 4 => Check::ok("switch", "runs on any processor"),
        (true, _) => {
            let found = "runs on any processor, so that other programs delay packets";
            let next = "give it its own: switch-cpus in node.toml, and isolcpus= for the kernel";
            Check::new("switch", State::Warning, found, next)
        }
        (false, "") => Check::ok("switch", format!("has processors {}", pinned.join(", "))),
        (false, isolated) => {
            Check::ok("switch", format!("has processors {}; isolated are {isolated}", pinned.join(", ")))
        }
    }
}

/// Uplinks in this namespace: whether they are there and up, and take packets as large as their network's.
fn uplinks(client: &Client) -> Vec<Check> {
    let networks: Vec<Network> = client.get("/v1/networks").unwrap_or_default();
    let here =
        networks.iter().filter_map(|n| Some((n, n.uplink.as_ref()?))).filter(|(_, u)| u.netns.is_none());
    here.flat_map(|(network, uplink)| {
        uplink
            .interfaces
            .iter()
            .map(|interface| self::uplink(&network.name, network.mtu, interface, Path::new("/")))
    })
    .collect()
}

fn uplink(network: &str, mtu: u16, interface: &str, root: &Path) -> Check {
    let folder = root.join("sys/class/net").join(interface);
    let read = |file: &str| fs::read_to_string(folder.join(file)).unwrap_or_default().trim().to_owned();
    let warn = |found: String, next: &str| Check::new("uplink", State::Warning, found, next);
    let Ok(largest) = read("mtu").parse::<u32>() else {
        let found = format!("{interface}, of network {network}, is not there");
        return warn(found, &format!("make it, or delete the network: microvisor net rm {network}"));
    };
    if largest < u32::from(mtu) {
        let found = format!("{interface} takes packets of {largest} bytes, and network {network} has {mtu}");
        return warn(found, &format!("ip link set {interface} mtu {mtu}"));
    }
    match read("operstate").as_str() {
        "down" | "lowerlayerdown" => {
            let next = format!("ip link set {interface} up, and look at its cable and its peer");
            warn(format!("{interface}, of network {network}, is down"), &next)
        }
        _ => Check::ok("uplink", format!("{interface}, of network {network}: packets of {largest} bytes")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uplinks_are_there_and_large_enough() {
        let root = std::env::temp_dir().join(format!("doctor-uplinks-{}", std::process::id()));
        for (name, mtu, state) in [("eth1", "9000", "up"), ("eth2", "1500", "up"), ("eth3", "9000", "down")] {
            let folder = root.join("sys/class/net").join(name);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("mtu"), mtu).unwrap();
            fs::write(folder.join("operstate"), state).unwrap();
        }
        let of = |interface| uplink("blue", 9000, interface, &root);
        assert_eq!(of("eth1").state, State::Ok);
        let faults = [
            ("eth2", "takes packets of 1500 bytes", "ip link set eth2 mtu 9000"),
            ("eth3", "is down", "ip link set eth3 up"),
            ("eth4", "is not there", "microvisor net rm blue"),
        ];
        for (interface, found, next) in faults {
            let check = of(interface);
            assert!(
                check.found.contains(found) && check.next.as_ref().is_some_and(|n| n.contains(next)),
                "{check:?}"
            );
        }
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn another_version_is_worth_a_warning() {
        assert_eq!(version(VERSION).state, State::Ok);
        assert_eq!(version("0.0.1").state, State::Warning);
    }
}
