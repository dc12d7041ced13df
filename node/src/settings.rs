//! What a daemon is told: flags, and a TOML file with the same names.

use clap::Args;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use vmm::start::prepared::DEVICES_MAXIMUM;

/// Where everything is. Flags win over the file.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Settings {
    /// Configuration file (TOML), with these same names
    #[arg(long, short, value_name = "FILE")]
    #[serde(skip)]
    pub config: Option<PathBuf>,
    /// Folder of what outlives the host's start: the store and imported images [default: /var/lib/microvisor]
    #[arg(long, value_name = "FOLDER")]
    pub state: Option<PathBuf>,
    /// Folder of sockets and what belongs to running instances [default: /run/microvisor/node]
    #[arg(long, value_name = "FOLDER")]
    pub run: Option<PathBuf>,
    /// The API's socket [default: api.sock in the run folder]
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// Serve the API over TCP too, to who has a token; beyond this host only with TLS
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,
    /// Certificate for TLS, with its chain, PEM
    #[arg(long, value_name = "FILE", requires_all = ["listen", "tls_key"])]
    pub tls_certificate: Option<PathBuf>,
    /// Its private key, PEM
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    pub tls_key: Option<PathBuf>,
    /// CPUs of the switch's threads, one each [default: one thread, anywhere]
    #[arg(long, value_name = "CPU", value_delimiter = ',')]
    pub switch_cpus: Vec<usize>,
    /// Guests of ClickOS with one device that are kept prepared, so that a start need only say who they are [default: 2]
    #[arg(long, value_name = "COUNT")]
    pub prepared: Option<usize>,
    /// Guests of other shapes that are kept prepared
    #[arg(skip)]
    pub prepared_guests: Vec<PreparedSetting>,
    /// Events kept in the store [default: 100000]
    #[arg(long, value_name = "COUNT")]
    pub events: Option<u64>,
    /// Write each request that changes something, or is refused, to this file, a line of JSON each
    #[arg(long, value_name = "FILE")]
    pub audit_log: Option<PathBuf>,
    /// Send a trace of each start to the OpenTelemetry collector at this URL (OTLP over HTTP): http://127.0.0.1:4318, say
    #[arg(long, value_name = "URL")]
    pub otlp: Option<String>,
}

/// Guests that are kept prepared.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PreparedSetting {
    /// Their image, by name or id.
    pub image: String,
    /// Memory of each, MiB; what the image asks for without it.
    #[serde(default)]
    pub memory_mib: Option<u64>,
    /// Net devices of each.
    #[serde(default = "one")]
    pub devices: usize,
    /// Entries of each queue; 256 without it.
    #[serde(default)]
    pub queue: Option<u32>,
    /// How many there shall be.
    pub count: usize,
    /// With fewer, more are prepared until there are `count`; `count` without it.
    #[serde(default)]
    pub low: Option<usize>,
}

fn one() -> usize {
    1
}

/// Why settings are refused.
#[derive(Debug, thiserror::Error)]
pub enum BadSettings {
    /// The file cannot be read.
    #[error("{0}: {1}")]
    File(PathBuf, std::io::Error),
    /// It says something that is not understood.
    #[error("{0}: {1}")]
    Text(PathBuf, toml::de::Error),
    /// What it says cannot be.
    #[error("{0}")]
    Invalid(&'static str),
    /// A socket's path would be longer than the kernel takes.
    #[error("{0}: too long for the sockets in it; choose a shorter run folder")]
    TooLong(PathBuf),
}

/// Longest path of a Unix socket that the kernel takes.
const SOCKET_PATH_MAXIMUM: usize = 107;
/// Prepared guests of ClickOS, if nobody says otherwise: the next start is a quick one, for 2.5 MiB.
const PREPARED: usize = 2;
/// Most prepared guests.
const PREPARED_MAXIMUM: usize = 1000;
/// The longest name in an instance's folder, its own number included.
const LONGEST: &str = "i/00000000-0000-0000-0000-000000000000/control.sock";

impl Settings {
    /// Reads the file, if one is named.
    pub fn read(self) -> Result<Self, BadSettings> {
        let mut settings = match &self.config {
            None => self,
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(|e| BadSettings::File(path.clone(), e))?;
                let file: Self = toml::from_str(&text).map_err(|e| BadSettings::Text(path.clone(), e))?;
                Self {
                    state: self.state.or(file.state),
                    run: self.run.or(file.run),
                    socket: self.socket.or(file.socket),
                    listen: self.listen.or(file.listen),
                    tls_certificate: self.tls_certificate.or(file.tls_certificate),
                    tls_key: self.tls_key.or(file.tls_key),
                    switch_cpus: if self.switch_cpus.is_empty() {
                        file.switch_cpus
                    } else {
                        self.switch_cpus
                    },
                    prepared: self.prepared.or(file.prepared),
                    prepared_guests: file.prepared_guests,
                    events: self.events.or(file.events),
                    audit_log: self.audit_log.or(file.audit_log),
                    otlp: self.otlp.or(file.otlp),
                    config: self.config,
                }
            }
        };
        let run = settings.run.get_or_insert_with(|| "/run/microvisor/node".into());
        if run.join(LONGEST).as_os_str().len() > SOCKET_PATH_MAXIMUM {
            return Err(BadSettings::TooLong(run.clone()));
        }
        let counts = settings.prepared_guests.iter().map(|setting| setting.count).chain(settings.prepared);
        if counts.fold(0, usize::saturating_add) > PREPARED_MAXIMUM {
            return Err(BadSettings::Invalid("prepared: at most 1000"));
        }
        let fits = |setting: &PreparedSetting| {
            let queue = setting.queue.unwrap_or(256);
            setting.devices <= DEVICES_MAXIMUM && queue.is_power_of_two() && (8..=1024).contains(&queue)
        };
        if !settings.prepared_guests.iter().all(fits) {
            return Err(BadSettings::Invalid(
                "prepared-guests: at most 7 devices, and queues of a power of two from 8 to 1024 entries",
            ));
        }
        let is_url = |url: &String| url.starts_with("http://") || url.starts_with("https://");
        if !settings.otlp.as_ref().is_none_or(is_url) {
            return Err(BadSettings::Invalid("otlp: a URL that begins with http:// or https://"));
        }
        if settings.tls_certificate.is_some() != settings.tls_key.is_some() {
            return Err(BadSettings::Invalid("TLS takes both tls-certificate and tls-key"));
        }
        if settings.listen.is_some_and(|a| !a.ip().is_loopback()) && settings.tls_key.is_none() {
            return Err(BadSettings::Invalid(
                "listen: an address other than localhost needs tls-certificate and tls-key",
            ));
        }
        Ok(settings)
    }

    /// Keys of these settings that differ from those of a running daemon, and are in force with its next start only:
    /// all but the files of TLS.
    pub fn in_force_later(&self, running: &Self) -> Vec<&'static str> {
        let differ = [
            ("state", self.state != running.state),
            ("run", self.run != running.run),
            ("socket", self.socket != running.socket),
            ("listen", self.listen != running.listen),
            ("switch-cpus", self.switch_cpus != running.switch_cpus),
            ("prepared", self.prepared != running.prepared),
            ("prepared-guests", self.prepared_guests != running.prepared_guests),
            ("events", self.events != running.events),
            ("audit-log", self.audit_log != running.audit_log),
            ("otlp", self.otlp != running.otlp),
        ];
        differ.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
    }

    /// Folder of what outlives the host's start.
    pub fn state(&self) -> &Path {
        self.state.as_deref().unwrap_or(Path::new("/var/lib/microvisor"))
    }

    /// Folder of what does not.
    pub fn run(&self) -> &Path {
        self.run.as_deref().unwrap_or(Path::new("/run/microvisor/node"))
    }

    /// All guests that are kept prepared. `image` is that of the ones that are only counted, `is_there` whether this host has it.
    pub fn all_prepared(&self, image: &str, is_there: bool) -> Vec<PreparedSetting> {
        let count = self.prepared.unwrap_or(if is_there { PREPARED } else { 0 });
        let counted = PreparedSetting {
            image: image.into(),
            memory_mib: None,
            devices: 1,
            queue: None,
            count,
            low: None,
        };
        [counted].into_iter().chain(self.prepared_guests.iter().cloned()).collect()
    }

    /// The API's socket.
    pub fn socket(&self) -> PathBuf {
        self.socket.clone().unwrap_or_else(|| self.run().join("api.sock"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The file that packages install.
    const INSTALLED: &str = include_str!("../../packaging/node.toml");

    #[test]
    fn the_installed_file_names_every_key_and_changes_nothing() {
        let command = Settings::augment_args(clap::Command::new("node"));
        let keys = command.get_arguments().filter_map(|a| a.get_long()).filter(|&key| key != "config");
        for key in keys {
            assert!(INSTALLED.contains(&format!("\n#{key} = ")), "{key} is missing");
        }
        let nothing: Settings = toml::from_str(INSTALLED).unwrap();
        assert!(nothing.in_force_later(&Settings::default()).is_empty());
        // With its keys in force it is understood, too.
        let all: String = INSTALLED
            .lines()
            .filter_map(|l| l.strip_prefix('#').filter(|l| !l.starts_with(' ')))
            .fold(String::new(), |text, line| text + line + "\n");
        let all: Settings = toml::from_str(&all).unwrap();
        assert_eq!(
            (all.state(), all.run(), all.events),
            (Settings::default().state(), Settings::default().run(), Some(100_000))
        );
    }
}
