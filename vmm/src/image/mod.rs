//! Guest images: an ELF64 executable with a MicroVisor note, checked before anything is built from it.

pub mod builtin;
pub mod large_pages;

use abi::image::{ABILITY_PREPARE, CONFIG_REQUIRED, ImageNote, NOTE_MINIMUM, NOTE_NAME, NOTE_TYPE};
use abi::layout::{DATA_BASE, IMAGE_BASE, IMAGE_END, PAGE_SIZE};
use machine::error::Error;
use machine::memory::LARGE_PAGE;
use object::LittleEndian as LE;
use object::elf::{self, FileHeader64, ProgramHeader64};
use object::pod;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Access to the pages of a segment, in addition to reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read only: constants.
    Read,
    /// Execute: text.
    Execute,
    /// Write: data.
    Write,
}

/// A loadable segment. `file_length` bytes come from the file, zeros follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Guest address of the first byte.
    pub address: u64,
    /// Bytes in memory.
    pub length: u64,
    /// Offset in the file.
    pub offset: u64,
    /// Bytes in the file.
    pub file_length: u64,
    /// Access to its pages.
    pub access: Access,
}

impl Segment {
    /// First address after the segment, rounded up to a page.
    pub fn page_end(&self) -> u64 {
        (self.address + self.length).next_multiple_of(PAGE_SIZE)
    }
}

/// An image that passed all checks that do not depend on an instance.
#[derive(Debug)]
pub struct Image {
    /// The open file.
    pub file: File,
    /// Length of the file, bytes.
    pub file_length: u64,
    /// Path, for messages.
    pub path: PathBuf,
    /// Properties and requirements of the image, from its note.
    pub note: ImageNote,
    /// Entry address.
    pub entry: u64,
    /// Loadable segments by address: read-only ones first.
    pub segments: Vec<Segment>,
}

/// Bytes at the start of the file that must hold program headers and notes.
const HEAD: usize = 8192;
/// Most loadable segments.
const SEGMENTS_MAXIMUM: usize = 16;

impl Image {
    /// Opens and checks an image.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let file = File::open(path).map_err(|e| match e.kind() {
            std::io::ErrorKind::PermissionDenied => Error::Permission {
                doing: format!("read {}", path.display()),
                hint: "make the image readable for you".into(),
            },
            _ => Error::image(format!("{}: {e}", path.display())),
        })?;
        Self::from_file(file, path.to_owned())
    }

    /// Checks an image that is open.
    pub fn from_file(file: File, path: PathBuf) -> Result<Self, Error> {
        let name = path.display().to_string();
        Self::check(file, path).map_err(|why| Error::image(format!("{name}: {why}")))
    }

    fn check(file: File, path: PathBuf) -> Result<Self, String> {
        let length = file.metadata().map_err(|e| e.to_string())?.len();
        let mut head = vec![0; HEAD.min(length as usize)];
        file.read_exact_at(&mut head, 0).map_err(|e| e.to_string())?;
        let Parsed { note, entry, segments } = parse(&head, length)?;
        Ok(Self { file, file_length: length, path, note, entry, segments })
    }

    /// Segments mapped from the file.
    pub fn read_only(&self) -> impl Iterator<Item = &Segment> {
        self.segments.iter().filter(|s| s.access != Access::Write)
    }

    /// Segments copied to guest memory.
    pub fn writable(&self) -> impl Iterator<Item = &Segment> {
        self.segments.iter().filter(|s| s.access == Access::Write)
    }

    /// Bytes of the file that are mapped at [`IMAGE_BASE`].
    pub fn mapped_length(&self) -> u64 {
        self.read_only().map(Segment::page_end).max().unwrap_or(IMAGE_BASE) - IMAGE_BASE
    }

    /// The same in whole large pages.
    pub fn large_length(&self) -> u64 {
        self.mapped_length().next_multiple_of(LARGE_PAGE)
    }

    /// First page of guest memory behind data and bss.
    pub fn data_end(&self) -> u64 {
        self.writable().map(Segment::page_end).max().unwrap_or(DATA_BASE)
    }

    /// The image's own name.
    pub fn name(&self) -> String {
        text(&self.note.name)
    }

    /// Language of the configuration.
    pub fn config_format(&self) -> String {
        text(&self.note.config_format)
    }

    /// Whether guests of this image can be prepared before they are requested.
    pub fn can_be_prepared(&self) -> bool {
        self.note.abilities & ABILITY_PREPARE != 0
    }

    /// Fails if this image cannot run with these options.
    pub fn accepts(&self, memory: u64, nets: usize, config: bool) -> Result<(), Error> {
        self.accepts_size(memory, nets)?;
        self.accepts_config(config)
    }

    /// Fails if this image cannot run with this memory, in bytes, or this number of net devices.
    pub fn accepts_size(&self, memory: u64, nets: usize) -> Result<(), Error> {
        let note = &self.note;
        if memory < note.memory_minimum {
            return Err(Error::image(format!(
                "{} needs {} KiB of memory, not {}",
                self.name(),
                note.memory_minimum >> 10,
                memory >> 10
            )));
        }
        if nets < note.net_minimum.into() || nets > note.net_maximum.into() {
            return Err(Error::Configuration(format!(
                "{} runs with {} to {} net devices, not {nets}",
                self.name(),
                note.net_minimum,
                note.net_maximum
            )));
        }
        Ok(())
    }

    /// Fails if there is a configuration and this image takes none, or if it needs one and there is none.
    pub fn accepts_config(&self, config: bool) -> Result<(), Error> {
        let note = &self.note;
        if note.config == CONFIG_REQUIRED && !config {
            return Err(Error::Configuration(format!("{} needs a configuration", self.name())));
        }
        if note.config == abi::image::CONFIG_NONE && config {
            return Err(Error::Configuration(format!("{} takes no configuration", self.name())));
        }
        Ok(())
    }
}

fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
    bytes[..end].iter().map(|&b| if b.is_ascii_graphic() { b as char } else { '?' }).collect()
}

/// The result of [`parse`].
#[derive(Debug)]
pub struct Parsed {
    /// Properties and requirements of the image, from its note.
    pub note: ImageNote,
    /// Entry address.
    pub entry: u64,
    /// Loadable segments by address.
    pub segments: Vec<Segment>,
}

/// Checks the head of an image file of `length` bytes.
pub fn parse(head: &[u8], length: u64) -> Result<Parsed, String> {
    let (header, _) =
        pod::from_bytes::<FileHeader64<LE>>(head).map_err(|()| "is too short for an ELF header")?;
    let ident = &header.e_ident;
    if ident.magic != elf::ELFMAG {
        return Err("is not an ELF file".into());
    }
    if ident.class != elf::ELFCLASS64 || ident.data != elf::ELFDATA2LSB {
        return Err("is not a 64-bit little-endian ELF file".into());
    }
    if header.e_machine.get(LE) != elf::EM_X86_64 {
        return Err("is not for x86-64".into());
    }
    if header.e_type.get(LE) != elf::ET_EXEC {
        return Err("is not a static, non-PIE executable".into());
    }
    if usize::from(header.e_phentsize.get(LE)) != size_of::<ProgramHeader64<LE>>() {
        return Err("has program headers of an unknown size".into());
    }
    let headers = usize::try_from(header.e_phoff.get(LE))
        .ok()
        .and_then(|offset| head.get(offset..))
        .and_then(|rest| {
            pod::slice_from_bytes::<ProgramHeader64<LE>>(rest, header.e_phnum.get(LE).into()).ok()
        })
        .ok_or("has its program headers beyond its first 8 KiB, or is truncated")?
        .0;

    let mut note = None;
    let mut segments = Vec::new();
    for p in headers {
        match p.p_type.get(LE) {
            elf::PT_LOAD if p.p_memsz.get(LE) > 0 => segments.push(segment(p, length)?),
            elf::PT_NOTE => note = note.or(find_note(head, p)),
            elf::PT_INTERP | elf::PT_DYNAMIC => return Err("is dynamically linked".into()),
            elf::PT_TLS => return Err("has thread-local storage, which guests have not".into()),
            _ => {}
        }
    }
    let note = note.ok_or("has no MicroVisor note: it is not a guest image")?;
    check_note(&note)?;
    check_segments(&mut segments)?;
    let entry = header.e_entry.get(LE);
    let in_text =
        |s: &Segment| s.access == Access::Execute && (s.address..s.address + s.length).contains(&entry);
    if !segments.iter().any(in_text) {
        return Err(format!("has its entry {entry:#x} outside its text"));
    }
    Ok(Parsed { note, entry, segments })
}

fn segment(p: &ProgramHeader64<LE>, file: u64) -> Result<Segment, String> {
    let flags = p.p_flags.get(LE);
    let access = match (flags.0 & elf::PF_W.0 != 0, flags.0 & elf::PF_X.0 != 0) {
        (true, true) => return Err("has a segment that is both writable and executable".into()),
        (true, false) => Access::Write,
        (false, true) => Access::Execute,
        (false, false) => Access::Read,
    };
    let s = Segment {
        address: p.p_vaddr.get(LE),
        length: p.p_memsz.get(LE),
        offset: p.p_offset.get(LE),
        file_length: p.p_filesz.get(LE),
        access,
    };
    if s.file_length > s.length {
        return Err(format!("has a segment at {:#x} longer in the file than in memory", s.address));
    }
    if s.offset.checked_add(s.file_length).is_none_or(|end| end > file) {
        return Err(format!("is truncated: its segment at {:#x} ends beyond the file", s.address));
    }
    if !s.address.is_multiple_of(PAGE_SIZE) {
        return Err(format!("has a segment at {:#x}, not at a page boundary", s.address));
    }
    let (base, end) = match access {
        Access::Write => (DATA_BASE, DATA_BASE + abi::layout::MEMORY_MAX),
        _ => (IMAGE_BASE, IMAGE_END),
    };
    if s.address < base || s.address.checked_add(s.length).is_none_or(|e| e > end) {
        return Err(format!("has a segment at {:#x}, outside {base:#x} to {end:#x}", s.address));
    }
    if access != Access::Write && (s.offset != s.address - IMAGE_BASE || s.file_length != s.length) {
        return Err(format!(
            "has a read-only segment at {:#x} that a mapping of the file cannot serve",
            s.address
        ));
    }
    Ok(s)
}

fn find_note(head: &[u8], p: &ProgramHeader64<LE>) -> Option<ImageNote> {
    let offset = usize::try_from(p.p_offset.get(LE)).ok()?;
    let end = offset.checked_add(usize::try_from(p.p_filesz.get(LE)).ok()?)?;
    let mut rest = head.get(offset..end)?;
    while rest.len() >= 12 {
        let word = |at: usize| u32::from_le_bytes([rest[at], rest[at + 1], rest[at + 2], rest[at + 3]]);
        let (name_length, length, kind) = (word(0) as usize, word(4) as usize, word(8));
        let name = rest.get(12..12usize.checked_add(name_length)?)?;
        let start = 12 + name_length.next_multiple_of(4);
        let bytes = rest.get(start..start.checked_add(length)?)?;
        if name == NOTE_NAME && kind == NOTE_TYPE && length >= NOTE_MINIMUM {
            return Some(decode_note(bytes));
        }
        rest = rest.get(start + length.next_multiple_of(4)..)?;
    }
    None
}

fn decode_note(bytes: &[u8]) -> ImageNote {
    let u16_at = |at: usize| u16::from_le_bytes(bytes[at..at + 2].try_into().expect("two bytes"));
    let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    let u64_at = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
    ImageNote {
        version_major: u16_at(0),
        version_minor: u16_at(2),
        cpu_level: u32_at(4),
        memory_minimum: u64_at(8),
        memory_default: u64_at(16),
        stack_size: u64_at(24),
        heap_touched: u64_at(32),
        net_features: u64_at(40),
        net_minimum: u16_at(48),
        net_maximum: u16_at(50),
        config: u32_at(52),
        config_format: bytes[56..72].try_into().expect("16 bytes"),
        name: bytes[72..104].try_into().expect("32 bytes"),
        abilities: if bytes.len() < NOTE_MINIMUM + 4 { 0 } else { u32_at(104) },
        reserved: 0,
    }
}

fn check_note(note: &ImageNote) -> Result<(), String> {
    if note.version_major != abi::VERSION_MAJOR || note.version_minor > abi::VERSION_MINOR {
        return Err(format!(
            "was built for guest ABI {}.{}; this monitor has {}.{}",
            note.version_major,
            note.version_minor,
            abi::VERSION_MAJOR,
            abi::VERSION_MINOR
        ));
    }
    let sizes = [note.memory_minimum, note.memory_default, note.stack_size, note.heap_touched];
    if sizes.iter().any(|&s| s > abi::layout::MEMORY_MAX)
        || note.stack_size == 0
        || !note.stack_size.is_multiple_of(PAGE_SIZE)
        || note.memory_default < note.memory_minimum
    {
        return Err("asks for impossible sizes in its note".into());
    }
    if note.net_minimum > note.net_maximum || usize::from(note.net_maximum) > abi::boot::NET_MAXIMUM {
        return Err("asks for an impossible number of net devices in its note".into());
    }
    if !(1..=4).contains(&note.cpu_level) || note.config > CONFIG_REQUIRED {
        return Err("has values in its note that no version defines".into());
    }
    Ok(())
}

fn check_segments(segments: &mut [Segment]) -> Result<(), String> {
    if segments.len() > SEGMENTS_MAXIMUM {
        return Err(format!("has more than {SEGMENTS_MAXIMUM} segments"));
    }
    segments.sort_by_key(|s| s.address);
    if segments.windows(2).any(|w| w[0].page_end() > w[1].address) {
        return Err("has segments that share a page".into());
    }
    Ok(())
}
