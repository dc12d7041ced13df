//! Numbers of ports.

/// A port's number, for as long as it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortId(pub u16);

impl PortId {
    /// As an index.
    #[inline]
    pub fn index(self) -> usize {
        self.0.into()
    }
}
