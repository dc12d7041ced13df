//! The ELF note that makes an ELF64 executable a MicroVisor image.
//!
//! An image is static and non-PIE, with one `PT_LOAD` segment a permission: read-only and read-execute segments
//! from [`crate::layout::IMAGE_BASE`], read-write ones from [`crate::layout::DATA_BASE`], none both writable and
//! executable. Every read-only segment has the same distance between file offset and address, so that one
//! mapping of the file serves all instances of the image.

/// Name of the note (its terminating zero included, as ELF counts it).
pub const NOTE_NAME: [u8; 11] = *b"MicroVisor\0";
/// Type of the note.
pub const NOTE_TYPE: u32 = 1;

/// Descriptor of the note: what the image is and wants.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageNote {
    /// [`crate::VERSION_MAJOR`] that the image was built for.
    pub version_major: u16,
    /// [`crate::VERSION_MINOR`] that the image was built for.
    pub version_minor: u16,
    /// x86-64 microarchitecture level that the code needs: 1 (baseline, SSE2), 2 (SSE4.2, POPCNT), 3 (AVX2, BMI2).
    pub cpu_level: u32,
    /// Least guest memory the image runs in, bytes.
    pub memory_minimum: u64,
    /// Guest memory the image is given when nobody says otherwise, bytes.
    pub memory_default: u64,
    /// Size of the stack, bytes, a multiple of the page size.
    pub stack_size: u64,
    /// How much of the heap boot touches, bytes: the monitor populates that much ahead.
    pub heap_touched: u64,
    /// virtio-net feature bits that the image's driver knows how to use ([`crate::net`]).
    pub net_features: u64,
    /// Least number of net devices the image runs with.
    pub net_minimum: u16,
    /// Most net devices the image can use.
    pub net_maximum: u16,
    /// What configuration the image takes: one of the `CONFIG_` constants.
    pub config: u32,
    /// Language of the configuration, zero padded ASCII: `click` is checked by the host before start.
    pub config_format: [u8; 16],
    /// The image's own name, zero padded ASCII.
    pub name: [u8; 32],
    /// What the image can do beside running: the `ABILITY_` constants. A note from before version 1.2 ends before this.
    pub abilities: u32,
    /// Zero.
    pub reserved: u32,
}

/// Length of a note from before version 1.2, which says nothing of abilities, bytes.
pub const NOTE_MINIMUM: usize = 104;
/// In [`ImageNote::abilities`]: it can be prepared ([`crate::boot::FLAG_PREPARED`]).
pub const ABILITY_PREPARE: u32 = 1;

/// The image takes no configuration.
pub const CONFIG_NONE: u32 = 0;
/// The image runs with or without a configuration.
pub const CONFIG_OPTIONAL: u32 = 1;
/// The image does nothing without a configuration.
pub const CONFIG_REQUIRED: u32 = 2;

/// Pads a name with zeros, for the text fields of [`ImageNote`]. Longer text is cut.
pub const fn text<const N: usize>(name: &str) -> [u8; N] {
    let bytes = name.as_bytes();
    let mut padded = [0; N];
    let mut i = 0;
    while i < bytes.len() && i < N {
        padded[i] = bytes[i];
        i += 1;
    }
    padded
}

const _: () = assert!(size_of::<ImageNote>() == NOTE_MINIMUM + 8);
