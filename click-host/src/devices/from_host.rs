use super::kernel_tun::{host_prefix, mark};
use super::tunnel::{Settings, Tunnel, open};
use click::args::{Args, Ethernet, Ipv4};
use click::element::{Context, Element, read, write};
use click::packet::{BURST, Batch};
use std::any::Any;
use std::sync::Arc;

click::element! {
    /// Makes a device on the host, and pushes what the host sends to it.
    ///
    /// A `ToHost` with the same device name hands packets to the host. Needs the right to make devices
    /// (`CAP_NET_ADMIN`).
    ///
    /// # Arguments
    /// `DEVNAME`: the device's name. `DST` or `PREFIX`: the host's address on it, with a prefix length. `TYPE` (ETHER): `ETHER`,
    /// frames, or `IP`, packets. `ETHER`: the host's Ethernet address. `GATEWAY`: the host's default route leads there.
    /// `MTU`: longest packet. `BURST` (32): packets at once. `HEADROOM`, `CLEAR` are accepted.
    ///
    /// # Handlers
    /// `count`: packets so far. `dev_name`: the device's name. `signal`: false, for there is nothing that waits.
    /// `reset_counts`: sets the count to 0.
    FromHost "0/1-2" "/h"
    keywords ["DEVNAME", "DST", "PREFIX", "TYPE", "ETHER", "GATEWAY", "MTU", "BURST", "HEADROOM", "CLEAR"]
    handlers [read("count"), read("dev_name"), read("signal"), write("reset_counts")]
    { settings: Settings, burst: usize, tunnel: Option<Arc<Tunnel>>, count: u64 }
}

impl FromHost {
    fn new(args: &mut Args<'_>) -> Self {
        let name = args.required::<String>("DEVNAME");
        let address = args.either::<String>(&["DST", "PREFIX"]).and_then(|text| {
            let prefix = host_prefix(&text, args);
            if prefix.is_none() {
                args.error(format!("DST: expected an IP prefix, not '{text}'"));
            }
            prefix
        });
        let tap = match args.key::<String>("TYPE").as_deref() {
            None | Some("ETHER") => true,
            Some("IP") => false,
            Some(other) => {
                args.error(format!("TYPE: expected 'ETHER' or 'IP', not '{other}'"));
                true
            }
        };
        args.key::<u32>("HEADROOM");
        args.key::<bool>("CLEAR");
        let settings = Settings {
            name,
            tap,
            address,
            gateway: args.key::<Ipv4>("GATEWAY").map(|g| g.0),
            ethernet: args.key::<Ethernet>("ETHER").map(|e| e.to_string().replace('-', ":")),
            mtu: args.key("MTU"),
        };
        let burst = args.key::<usize>("BURST").unwrap_or(BURST).max(1);
        Self { settings, burst, tunnel: None, count: 0 }
    }
}

impl Element for FromHost {
    // A ToHost looks for the device.
    fn phase(&self) -> i32 {
        -1
    }

    fn initialize(&mut self, _: &mut Context<'_>) -> Result<(), String> {
        self.tunnel = Some(open(&self.settings)?);
        Ok(())
    }

    fn is_poller(&self) -> bool {
        true
    }

    fn run_task(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(tunnel) = &self.tunnel else { return false };
        let mut batch = tunnel.receive(self.burst);
        let any = !batch.is_empty();
        self.count += batch.len() as u64;
        let (now, tap) = (cx.host.wall_clock(), self.settings.tap);
        let mut others = Batch::new();
        batch.retain_or_else(|packet| mark(packet, now, tap), |packet| others.push(packet));
        cx.output(0, batch);
        cx.output(1, others);
        any
    }

    fn take_over(&mut self, old: &mut dyn Element) {
        if let Some(old) = (old as &mut dyn Any).downcast_mut::<FromHost>() {
            self.count = old.count;
        }
    }

    fn read(&mut self, _: &mut Context<'_>, handler: &str, _: &str) -> Result<String, String> {
        Ok(match handler {
            "dev_name" => self.settings.name.clone(),
            "signal" => "false".to_string(),
            _ => self.count.to_string(),
        })
    }

    fn write(&mut self, _: &mut Context<'_>, _: &str, _: &str) -> Result<(), String> {
        self.count = 0;
        Ok(())
    }
}
