//! A running configuration: built, initialized, run, asked through handlers, replaced.

use crate::build::{Built, build};
use crate::diagnostic::{Diagnostics, Source};
use crate::element::{DeviceInfo, Host, Nanos};
use crate::elements::Library;
pub use crate::engine::Engine;
pub use crate::handlers::HandlerError;
use crate::host::numbered_devices;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// What a router needs next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// To be called again at once.
    Busy,
    /// Nothing until a packet arrives, a device that was full has room, or a time comes.
    Idle {
        /// On the clock of [`Host::now`].
        until: Option<Nanos>,
    },
    /// Nothing any more.
    Stopped,
}

/// A configuration that was found right.
#[derive(Clone, Debug)]
pub struct Checked {
    devices: Vec<String>,
    warnings: Diagnostics,
}

impl Checked {
    /// Devices that it uses, in the order of their first use; `0` and `eth0` are one.
    pub fn devices(&self) -> &[String] {
        &self.devices
    }

    /// What can run and is probably not as meant.
    pub fn warnings(&self) -> &Diagnostics {
        &self.warnings
    }
}

/// Why a configuration does not fit a machine.
#[derive(Debug)]
pub enum Misfit {
    /// It is wrong in itself.
    Configuration(Diagnostics),
    /// It uses more net devices than there are. The message says which, and begins with the name of its source.
    Devices(String),
    /// It is right, but for a device's address that it uses and the device does not have.
    Addresses(Diagnostics),
}

/// Of which families a net device has an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Addressed {
    /// It has an IPv4 address.
    pub ipv4: bool,
    /// It has an IPv6 address.
    pub ipv6: bool,
}

/// Checks a configuration as [`check`] does, for a machine with these net devices.
pub fn check_for(
    source: &Source<'_>,
    variables: &[(String, String)],
    addressed: &[Addressed],
) -> Result<Checked, Misfit> {
    let checked = check(source, variables).map_err(Misfit::Configuration)?;
    let used = checked.devices();
    let given = addressed.len();
    if used.len() > given {
        let s = if used.len() == 1 { "" } else { "s" };
        let are = if given == 1 { "is" } else { "are" };
        let names = used.join(", ");
        return Err(Misfit::Devices(format!(
            "{} uses {} net device{s} ({names}), but {given} {are} given",
            source.name,
            used.len(),
        )));
    }
    let facts = |name: &str| {
        let number: usize = name.trim_start_matches("eth").parse().ok()?;
        let device = addressed.get(number).copied().unwrap_or(Addressed { ipv4: true, ipv6: true });
        Some(DeviceInfo {
            ipv4: PLACEHOLDER.ipv4.filter(|_| device.ipv4),
            ipv6: PLACEHOLDER.ipv6.filter(|_| device.ipv6),
            gateway: PLACEHOLDER.gateway.filter(|_| device.ipv4),
            ..PLACEHOLDER
        })
    };
    build(source, variables, Library::default(), &numbered_devices(&mut |name| facts(name)))
        .map_err(Misfit::Addresses)?;
    Ok(checked)
}

/// What a device has of which nothing is known yet.
const PLACEHOLDER: DeviceInfo = DeviceInfo {
    mac: [2, 0, 0, 0, 0, 0],
    ipv4: Some(([192, 0, 2, 1], 24)),
    ipv6: Some(([0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], 64)),
    gateway: Some([192, 0, 2, 254]),
};

/// Checks a configuration without running it: everything but whether its devices are there, for which it assumes some
/// address.
pub fn check(source: &Source<'_>, variables: &[(String, String)]) -> Result<Checked, Diagnostics> {
    let devices = numbered_devices(&mut |_| Some(PLACEHOLDER));
    let built = build(source, variables, Library::default(), &devices)?;
    let canonical = |name: &str| match name.parse::<usize>() {
        Ok(n) => format!("eth{n}"),
        Err(_) => name.to_string(),
    };
    let mut devices: Vec<String> = Vec::new();
    for name in built.elements.iter().filter_map(|e| e.device()).map(canonical) {
        if !devices.contains(&name) {
            devices.push(name);
        }
    }
    Ok(Checked { devices, warnings: built.warnings })
}

/// A running configuration.
pub struct Router {
    pub(crate) engine: Engine,
}

impl Router {
    /// Builds a router and initializes its elements.
    pub fn new(
        source: &Source<'_>,
        variables: &[(String, String)],
        host: &mut dyn Host,
    ) -> Result<Self, Diagnostics> {
        let library = Library { host: host.classes() };
        let built = build(source, variables, library, &host.named_devices())?;
        if !built.warnings.is_empty() {
            host.warn(&built.warnings);
        }
        let Built { ref flat, .. } = built;
        let spans: Vec<_> = flat.elements.iter().map(|e| e.span.clone()).collect();
        let mut router = Self { engine: Engine::assemble(built, source.text, host) };
        let mut order: Vec<usize> = (0..spans.len()).collect();
        order.sort_by_key(|&id| router.engine.phase(id));
        let mut d = Diagnostics::default();
        for id in order {
            let result = router.engine.with(host, id, |e, cx| e.initialize(cx));
            if let Some(Err(message)) = result {
                d.add_late(source, spans[id].clone(), format!("{}: {message}", router.engine.label(id)));
            }
        }
        router.engine.deliver(host);
        let mut warnings = Diagnostics::default();
        for (id, message) in core::mem::take(&mut router.engine.warnings) {
            warnings.warn_late(source, spans[id].clone(), format!("{}: {message}", router.engine.label(id)));
        }
        if !warnings.is_empty() {
            host.warn(&warnings);
        }
        if d.is_empty() { Ok(router) } else { Err(d) }
    }

    /// Works for a while: at most `rounds` rounds, in each of which devices are asked for packets, timers that are due
    /// fire, and tasks work once.
    pub fn run(&mut self, host: &mut dyn Host, rounds: usize) -> Progress {
        self.engine.run(host, rounds)
    }

    /// Value of a handler: `ELEMENT.HANDLER`, or one of the router's own; arguments may follow.
    pub fn read(&mut self, host: &mut dyn Host, handler: &str) -> Result<String, HandlerError> {
        self.engine.now = host.now();
        let value = self.engine.read_and_hear(host, handler);
        self.engine.deliver(host);
        value
    }

    /// Writes a handler.
    pub fn write(&mut self, host: &mut dyn Host, handler: &str, value: &str) -> Result<(), HandlerError> {
        self.engine.now = host.now();
        let done = self.engine.write_and_hear(host, handler, value);
        self.engine.deliver(host);
        done
    }

    /// Handlers of an element, one a line with `r` and `w`.
    pub fn handlers(&self, element: &str) -> Result<String, HandlerError> {
        self.engine.handlers(element)
    }

    /// Whether a handler can be read, and whether it can be written.
    #[cfg(feature = "host")]
    pub fn permissions(&self, host: &dyn Host, handler: &str) -> Result<(bool, bool), HandlerError> {
        self.engine.permissions(host, handler)
    }

    /// Names of the elements and of their classes, in the order of their declaration.
    pub fn elements(&self) -> impl Iterator<Item = (&str, &'static str)> {
        self.engine.slots.iter().map(|s| (s.name.as_str(), s.class.name))
    }

    /// Counts cycles per element from now on, or no longer; see the handler `profile`.
    pub fn set_profiling(&mut self, on: bool) {
        self.engine.profiling = on;
    }

    /// Has every element do what belongs to the end, after the last packet.
    pub fn finish(&mut self, host: &mut dyn Host) {
        self.engine.finish(host);
    }

    /// Takes over the state of elements of the same name and class from a router that ends.
    pub fn take_over(&mut self, mut old: Router) {
        self.engine.take_over(&mut old.engine);
    }
}
