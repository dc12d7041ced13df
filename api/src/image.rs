//! Guest images.

use serde::{Deserialize, Serialize};

/// Longest image that can be imported, bytes.
pub const LONGEST: usize = 512 << 20;

/// Which kind of guest an image is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A program in ring 3, without a kernel.
    #[default]
    #[serde(rename = "ring-3")]
    Ring3,
    /// A Linux kernel, with what it is started with.
    Linux,
}

/// A guest image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Image {
    /// Name.
    pub name: String,
    /// Which kind of guest it is.
    #[serde(default)]
    pub kind: Kind,
    /// SHA-256 of its bytes, in hexadecimal.
    pub id: String,
    /// Its bytes.
    pub size: u64,
    /// Whether it comes with MicroVisor.
    pub built_in: bool,
    /// Memory that it gets unless told otherwise, MiB.
    pub memory_mib: u64,
    /// What its configuration is written in; empty if it takes none.
    pub config_format: String,
    /// Virtual processors that it gets unless told otherwise.
    #[serde(default = "one")]
    pub vcpus: u8,
    /// Length of its disk, bytes; 0 without one.
    #[serde(default)]
    pub disk_bytes: u64,
}

fn one() -> u8 {
    1
}
