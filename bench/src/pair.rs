//! Two guests at the ends of a wire: on CPU 0 the switch and, each time, the client; on CPU 1 the servers.

use crate::figures::load::latencies;
use crate::guests::{NEAR, Running, WIRE, guest};
use crate::stop;
use e2e::switch::Switch;
use e2e::{program, root, run};
use std::process::{Command, Stdio};

/// Images, each with a wire of its own; the servers' arguments, and the clients'.
const NETPIPE: (&str, &str, &str) = ("netpipe", "10.75.0", "-l 64 -p 0");
const IPERF: (&str, &str, &str) = ("iperf", "10.76.0", "");

/// The switch with both wires, and the servers.
pub struct Pair {
    switch: Switch,
    _servers: [Running; 2],
}

impl Pair {
    /// Starts the servers.
    pub fn new() -> Self {
        let mut config = format!("[switch]\ncpus = [{NEAR}]\n");
        for (image, ..) in [NETPIPE, IPERF] {
            config += &format!("[segments.{image}]\n{WIRE}");
            for end in ["server", "client"] {
                config += &format!(
                    "[ports.{image}-{end}]\nsegment = \"{image}\"\n\
                     device = {{ vhost-user = {{ path = \"@/{image}-{end}.sock\" }} }}\n"
                );
            }
        }
        let switch = Switch::new(&config);
        let servers = [NETPIPE, IPERF].map(|(image, net, arguments)| {
            let device = switch.here(&format!("vhost-user=@/{image}-server.sock,ipv4={net}.1/24"));
            guest(image, &device, &["--set", &format!("args={arguments}")])
        });
        Self { switch, _servers: servers }
    }

    /// What a client says.
    fn client(&self, (image, net, _): (&str, &str, &str), arguments: &str) -> String {
        let mut command = Command::new("taskset");
        command.args(["-c", NEAR]).arg(program("microvisor-vmm"));
        command.arg("--image").arg(root().join("target/images").join(image));
        let device = format!("vhost-user=@/{image}-client.sock,ipv4={net}.2/24");
        command.args(["--net", &self.switch.here(&device)]);
        command.args(["--set", &format!("args={arguments}")]).stdin(Stdio::null());
        let outcome = run(&mut command);
        format!("{}{}", outcome.out, outcome.err)
    }

    /// Microseconds one way for 64 bytes.
    pub fn latency(&self) -> f64 {
        let said = self.client(NETPIPE, "-h 10.75.0.1 -l 64 -u 64 -p 0");
        match latencies(&said) {
            Ok(all) if !all.is_empty() => all[0].1,
            _ => stop(&format!("guest to guest: {said}"), 1),
        }
    }

    /// Gigabits a second of 8 streams.
    pub fn rate(&self) -> f64 {
        let said = self.client(IPERF, "-c 10.76.0.1 -P 8 -t 1");
        let line = said.lines().find_map(|l| l.strip_prefix("receiver: "));
        let rate = line.and_then(|l| l.rsplit_once(", ")?.1.split(' ').next()?.parse::<f64>().ok());
        rate.map_or_else(|| stop(&format!("guest to guest: {said}"), 1), |megabits| megabits / 1e3)
    }
}
