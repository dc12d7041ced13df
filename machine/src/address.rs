//! Addresses of guest memory, and ranges that are not in it.

/// An address in the guest-physical space (and, the map being an identity, in the guest's virtual space).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GuestPhys(pub u64);

impl GuestPhys {
    /// The address `bytes` further on; saturates, and what saturates lies in no region.
    pub fn offset(self, bytes: u64) -> Self {
        GuestPhys(self.0.saturating_add(bytes))
    }
}

impl std::fmt::Display for GuestPhys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// A range that is not all in the region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{address} + {length} bytes is not in guest memory")]
pub struct Outside {
    /// First byte of the range.
    pub address: GuestPhys,
    /// Its length.
    pub length: u64,
}
