//! First stage: opens everything that has a path or a name, or needs a privilege. Reads nothing.

use super::inputs::Files;
use crate::options::Options;
use kvm_ioctls::Kvm;
use machine::confine::{privileges, signals};
use machine::control;
use machine::error::Error;
use machine::host;
use machine::net::back_end::NetBackEnd;
use machine::vhost::connector::Connector;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;

/// Everything that was opened before privileges are dropped.
pub struct Opened {
    /// KVM.
    pub(super) kvm: Kvm,
    /// The process that connects to the switch's sockets later.
    pub(super) connector: Option<Arc<Connector>>,
    /// The back ends of the net devices, in their order; empty for a prepared guest.
    pub(super) back_ends: Vec<Option<NetBackEnd>>,
    /// The control socket.
    pub(super) listener: Option<UnixListener>,
    /// Signals that end the process.
    pub(super) signals: Option<OwnedFd>,
    /// Random bytes for the guest.
    pub(super) random: [u8; 32],
}

/// [`Opened`], after privileges were dropped: the process can open nothing more.
pub struct Unprivileged(pub(super) Opened);

impl Opened {
    /// Opens everything that the options name, including image and configuration.
    pub fn open(options: &Options) -> Result<(Self, Files), Error> {
        let devices = || options.nets.iter().map(|net| &net.device);
        let mut opened = Self::new(options, || NetBackEnd::connector(devices()))?;
        let config = options.config.as_ref().map(|path| {
            File::open(path).map_err(|e| Error::Configuration(format!("{}: {e}", path.display())))
        });
        let files = Files::new(open_image(&options.image)?, config.transpose()?);
        let ends = NetBackEnd::open_all(devices(), opened.connector.as_ref())?;
        opened.back_ends = ends.into_iter().map(Some).collect();
        Ok((opened, files))
    }

    /// Opens the inputs of a prepared guest. The back ends of its devices are opened later.
    pub fn open_prepared(options: &Options) -> Result<(Self, Files), Error> {
        let mut opened = Self::new(options, || Ok(None))?;
        opened.back_ends = options.nets.iter().map(|_| None).collect();
        Ok((opened, Files::new(open_image(&options.image)?, None)))
    }

    /// `connector` starts the process that connects to the switch's sockets.
    fn new(
        options: &Options,
        connector: impl FnOnce() -> Result<Option<Arc<Connector>>, Error>,
    ) -> Result<Self, Error> {
        let kvm = host::open_kvm()?;
        privileges::limit_arenas();
        // Before any thread: the connector is a process forked from this one.
        let connector = connector()?;
        let listener = options.common.control.as_deref().map(control::listen).transpose()?;
        let mut random = [0; 32];
        // Without it a guest's secrets would be guessed.
        File::open("/dev/urandom")
            .and_then(|mut f| f.read_exact(&mut random))
            .map_err(|source| Error::System { doing: "read random bytes", source })?;
        let signals = Some(signals::stop_requests()?);
        Ok(Self { kvm, connector, back_ends: Vec::new(), listener, signals, random })
    }

    /// Drops all privileges.
    pub fn drop_privileges(self, options: &Options) -> Result<Unprivileged, Error> {
        options.common.drop_privileges()?;
        Ok(Unprivileged(self))
    }
}

fn open_image(path: &Path) -> Result<File, Error> {
    File::open(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::PermissionDenied => Error::Permission {
            doing: format!("read {}", path.display()),
            hint: "make the image readable for you".into(),
        },
        _ => Error::image(format!("{}: {e}", path.display())),
    })
}
