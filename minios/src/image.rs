//! The note that makes a guest's executable a MicroVisor image.

use abi::image::{ImageNote, NOTE_NAME, NOTE_TYPE};

/// An ELF note with its header, as `image!` lays it into `.note.microvisor`.
#[doc(hidden)]
#[repr(C, align(8))]
pub struct Note {
    name_length: u32,
    length: u32,
    kind: u32,
    name: [u8; 12],
    note: ImageNote,
}

impl Note {
    #[doc(hidden)]
    pub const fn new(note: ImageNote) -> Self {
        let mut name = [0; 12];
        let mut i = 0;
        while i < NOTE_NAME.len() {
            name[i] = NOTE_NAME[i];
            i += 1;
        }
        Self {
            name_length: NOTE_NAME.len() as u32,
            length: size_of::<ImageNote>() as u32,
            kind: NOTE_TYPE,
            name,
            note,
        }
    }

    /// What `image!` starts from: a guest without devices or configuration in 1 MiB.
    #[doc(hidden)]
    pub const fn plain(name: &str) -> ImageNote {
        ImageNote {
            version_major: abi::VERSION_MAJOR,
            // What is newer is used only if the monitor has it.
            version_minor: 0,
            cpu_level: if cfg!(target_feature = "avx2") {
                3
            } else if cfg!(target_feature = "sse4.2") {
                2
            } else {
                1
            },
            memory_minimum: 1 << 20,
            memory_default: 1 << 20,
            stack_size: 64 << 10,
            heap_touched: 0,
            net_features: abi::net::FEATURE_VERSION_1
                | abi::net::FEATURE_MAC
                | abi::net::FEATURE_MTU
                | abi::net::FEATURE_EVENT_IDX,
            net_minimum: 0,
            net_maximum: 0,
            config: abi::image::CONFIG_NONE,
            config_format: [0; 16],
            name: abi::image::text(name),
            abilities: abi::image::ABILITY_PREPARE,
            reserved: 0,
        }
    }
}

/// Makes the program an image, and `main` its main function.
///
/// `name` and `main` are needed; any other field of [`abi::image::ImageNote`] may follow them, as in
/// `image! { name: "clickos", main: main, net_maximum: 16, memory_default: 8 << 20 }`. What is not given: 1 MiB of
/// memory, a 64 KiB stack, no net devices (and no offloads if there are some), no configuration. `main` returns `()`,
/// an [`crate::ExitCode`], or a `Result<(), E>` whose error is printed.
///
/// `prepare: function` may follow `main`: what a prepared guest does before anybody has asked for it. There is no identity,
/// no configuration and no random number yet, devices must not be opened, and nothing that the function does may be seen
/// later, except that memory which was touched once is faster.
#[macro_export]
macro_rules! image {
    { name: $name:expr, main: $main:path, prepare: $prepare:path $(, $field:ident : $value:expr)* $(,)? } => {
        #[used]
        #[unsafe(link_section = ".note.microvisor")]
        static MICROVISOR_NOTE: $crate::Note = $crate::Note::new($crate::abi::image::ImageNote {
            $($field: $value,)*
            ..$crate::Note::plain($name)
        });

        #[unsafe(no_mangle)]
        fn __minios_main() -> u32 {
            $crate::entry::Termination::code($main()).0
        }

        #[unsafe(no_mangle)]
        fn __minios_prepare() {
            $prepare();
        }
    };
    { name: $name:expr, main: $main:path $(, $field:ident : $value:expr)* $(,)? } => {
        $crate::image! { name: $name, main: $main, prepare: $crate::nothing $(, $field: $value)* }
    };
}

/// What most guests do ahead.
#[doc(hidden)]
pub const fn nothing() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_laid_out_as_elf_wants_it() {
        assert_eq!(core::mem::offset_of!(Note, name), 12);
        assert_eq!(core::mem::offset_of!(Note, note), 24);
        assert_eq!(size_of::<Note>(), 24 + size_of::<ImageNote>());
        assert_eq!(Note::new(Note::plain("x")).name, *b"MicroVisor\0\0");
    }
}
