//! Guest images.

use serde::{Deserialize, Serialize};

/// Longest image that can be imported, bytes.
pub const LONGEST: usize = 256 << 20;

/// A guest image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Image {
    /// Name.
    pub name: String,
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
}
