//! A bundle: a folder with a kernel, an initial file system, a disk, and a description of what they want. It comes from
//! anybody. Its description names files of the folder itself and nothing else: no paths, no links, no devices; and no
//! more of them is read than their headers.

#![deny(unsafe_code)]

pub mod archive;

use linux::boot::info::{KernelInfo, read_kernel_info};
use linux::layout::COMMAND_LINE_MAXIMUM;
use linux::options::{
    COMMAND_LINE, CPUS_MAXIMUM, MEMORY_DEFAULT_MIB, MEMORY_MAXIMUM_MIB, MEMORY_MINIMUM_MIB,
};
use machine::error::Error;
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, openat2};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Ending of a bundle's name.
pub const EXTENSION: &str = "image";
/// File of the folder that describes it.
pub const DESCRIPTION: &str = "image.toml";
/// Longest description, bytes.
const DESCRIPTION_MAXIMUM: u64 = 64 << 10;
/// Longest name of a file, bytes.
const NAME_MAXIMUM: usize = 255;
/// Bytes of a sector: a disk has one at least.
const SECTOR: u64 = 512;

/// What a folder has, and what its guest wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Description {
    /// File of the kernel: a bzImage, or a vmlinux with a 64-bit entry.
    pub kernel: String,
    /// File of the initial file system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initrd: Option<String>,
    /// File of the disk, raw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<String>,
    /// Command line of the kernel.
    #[serde(default = "command_line")]
    pub cmdline: String,
    /// Virtual processors, 1 to 32.
    #[serde(default = "one")]
    pub cpus: u8,
    /// Guest memory, MiB: 32 to 4064.
    #[serde(default = "memory")]
    pub memory_mib: u64,
}

fn command_line() -> String {
    COMMAND_LINE.into()
}

fn one() -> u8 {
    1
}

fn memory() -> u64 {
    MEMORY_DEFAULT_MIB
}

/// A bundle whose files are open.
#[derive(Debug)]
pub struct Bundle {
    /// What it says of itself.
    pub description: Description,
    /// What its kernel says of itself.
    pub facts: KernelInfo,
    /// The kernel.
    pub kernel: File,
    /// The initial file system.
    pub initrd: Option<File>,
    /// The disk.
    pub disk: Option<File>,
}

fn refused(why: impl std::fmt::Display) -> Error {
    Error::image(why.to_string())
}

/// Whether a path is a bundle's, from what is there.
pub fn is_bundle(path: &Path) -> bool {
    path.join(DESCRIPTION).is_file()
}

impl Bundle {
    /// Opens a bundle and checks all that can be known of it. `writable`: its disk is opened for writing, too.
    pub fn open(folder: &Path, writable: bool) -> Result<Self, Error> {
        let name = folder.display().to_string();
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = openat2(CWD, folder, flags, Mode::empty(), ResolveFlags::empty());
        let opened = opened.map_err(|e| refused(format!("{name}: {e}")))?;
        let description = description(&opened, &name)?;
        let kernel = open_file(&opened, &name, &description.kernel, false)?;
        let other = |file: &Option<String>, writable| {
            file.as_ref().map(|file| open_file(&opened, &name, file, writable)).transpose()
        };
        let (initrd, disk) = (other(&description.initrd, false)?, other(&description.disk, writable)?);
        let facts = read_kernel_info(&kernel, &format!("{name}/{}", description.kernel))?;
        let bundle = Self { description, facts, kernel, initrd, disk };
        bundle.check(&name)?;
        Ok(bundle)
    }

    fn check(&self, name: &str) -> Result<(), Error> {
        check_size(self.description.memory_mib, self.description.cpus)
            .map_err(|e| refused(format!("{name}/{DESCRIPTION}: {e}")))?;
        check_command_line(&self.description.cmdline)
            .map_err(|e| refused(format!("{name}/{DESCRIPTION}: cmdline: {e}")))?;
        self.check_memory(self.description.memory_mib).map_err(|e| refused(format!("{name}: {e}")))?;
        match &self.disk {
            Some(disk) if length(disk)? < SECTOR => {
                Err(refused(format!("{name}: its disk is shorter than a sector")))
            }
            _ => Ok(()),
        }
    }

    /// Least memory that its kernel and its initial file system need before they run, bytes.
    pub fn memory_needed(&self) -> Result<u64, Error> {
        let initrd = self.initrd.as_ref().map(length).transpose()?.unwrap_or(0);
        Ok(self.facts.end.saturating_add(initrd))
    }

    /// Refuses memory that they have no room in.
    pub fn check_memory(&self, memory_mib: u64) -> Result<(), String> {
        let needs = self.memory_needed().map_err(|e| e.to_string())?;
        if needs > memory_mib << 20 {
            let least = needs.div_ceil(1 << 20);
            return Err(format!(
                "kernel and initial file system need {least} MiB of memory, and there are {memory_mib}"
            ));
        }
        Ok(())
    }

    /// Length of the disk, bytes; 0 without one.
    pub fn disk_length(&self) -> Result<u64, Error> {
        Ok(self.disk.as_ref().map(length).transpose()?.unwrap_or(0))
    }
}

/// Refuses what no Linux guest has.
pub fn check_size(memory_mib: u64, cpus: u8) -> Result<(), String> {
    if !(MEMORY_MINIMUM_MIB..=MEMORY_MAXIMUM_MIB).contains(&memory_mib) {
        return Err(format!(
            "memory: a Linux guest has from {MEMORY_MINIMUM_MIB} to {MEMORY_MAXIMUM_MIB} MiB"
        ));
    }
    if !(1..=CPUS_MAXIMUM).contains(&cpus) {
        return Err(format!("a Linux guest has from 1 to {CPUS_MAXIMUM} virtual processors"));
    }
    Ok(())
}

/// Refuses what is no command line.
pub fn check_command_line(line: &str) -> Result<(), String> {
    if line.len() >= COMMAND_LINE_MAXIMUM {
        return Err(format!("a command line has at most {} bytes", COMMAND_LINE_MAXIMUM - 1));
    }
    match line.chars().find(|c| c.is_control()) {
        Some(c) => Err(format!("{c:?} has no place in a command line")),
        None => Ok(()),
    }
}

/// A command line with these words behind it, as a kernel reads them: a value with blanks is quoted.
pub fn append_words<'a>(
    line: &str,
    words: impl IntoIterator<Item = (&'a String, &'a String)>,
) -> Result<String, String> {
    let mut whole = line.to_owned();
    for (name, value) in words {
        if name.contains(['"', ' ']) || value.contains('"') {
            return Err(format!("{name}={value}: a kernel cannot be told names with blanks, or quotes"));
        }
        whole +=
            &if value.contains(' ') { format!(" {name}=\"{value}\"") } else { format!(" {name}={value}") };
    }
    check_command_line(&whole).map(|()| whole)
}

fn length(file: &File) -> Result<u64, Error> {
    let length = file.metadata().map(|m| m.len());
    length.map_err(|source| Error::System { doing: "look at a file of the bundle", source })
}

fn description(folder: &OwnedFd, name: &str) -> Result<Description, Error> {
    let wrong = |e: &dyn std::fmt::Display| refused(format!("{name}/{DESCRIPTION}: {e}"));
    let file = open_file(folder, name, DESCRIPTION, false)?;
    let mut text = String::new();
    file.take(DESCRIPTION_MAXIMUM + 1).read_to_string(&mut text).map_err(|e| wrong(&e))?;
    if text.len() as u64 > DESCRIPTION_MAXIMUM {
        return Err(wrong(&format!("longer than {} KiB", DESCRIPTION_MAXIMUM >> 10)));
    }
    parse(&text).map_err(|e| wrong(&e))
}

/// Reads a description.
pub fn parse(text: &str) -> Result<Description, String> {
    toml::from_str(text).map_err(|e| e.to_string().trim_end().to_owned())
}

/// Whether a name is a file's of a folder, and cannot be anything else.
pub fn is_file_name(name: &str) -> bool {
    let is_dots = name == "." || name == "..";
    !name.is_empty() && name.len() <= NAME_MAXIMUM && !is_dots && !name.contains(['/', '\0'])
}

/// Opens a file of the folder. A link, a device or a pipe is none.
fn open_file(folder: &OwnedFd, bundle: &str, name: &str, writable: bool) -> Result<File, Error> {
    let wrong = |e: &dyn std::fmt::Display| refused(format!("{bundle}/{name}: {e}"));
    if !is_file_name(name) {
        return Err(refused(format!("{bundle}/{DESCRIPTION}: {name:?} names no file of the folder")));
    }
    let access = if writable { OFlags::RDWR } else { OFlags::RDONLY };
    // A pipe that nobody writes to would be waited for.
    let flags = access | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let within = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let file = openat2(folder.as_fd(), name, flags, Mode::empty(), within).map_err(|e| match e {
        rustix::io::Errno::LOOP => wrong(&"a bundle has no links"),
        rustix::io::Errno::ACCESS => Error::Permission {
            doing: format!("open {bundle}/{name}"),
            hint: "give your user access to it".into(),
        },
        e => wrong(&e),
    })?;
    let kind = fstat(&file).map(|s| FileType::from_raw_mode(s.st_mode)).map_err(|e| wrong(&e))?;
    if kind != FileType::RegularFile {
        return Err(wrong(&"not a regular file"));
    }
    Ok(file.into())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    /// The header of a bzImage that needs so much memory.
    fn kernel(init_size: u32) -> Vec<u8> {
        let mut bytes = vec![0; 4096];
        bytes[0x1fe..0x200].copy_from_slice(&0xaa55u16.to_le_bytes());
        bytes[0x202..0x206].copy_from_slice(b"HdrS");
        bytes[0x206..0x208].copy_from_slice(&0x20fu16.to_le_bytes());
        bytes[0x234] = 1;
        bytes[0x236] = 1;
        bytes[0x260..0x264].copy_from_slice(&init_size.to_le_bytes());
        bytes
    }

    pub fn folder(description: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(DESCRIPTION), description).unwrap();
        fs::write(folder.path().join("k"), kernel(16 << 20)).unwrap();
        fs::write(folder.path().join("i"), [1; 100]).unwrap();
        fs::write(folder.path().join("d"), [2; 1024]).unwrap();
        folder
    }

    fn refusal(folder: &tempfile::TempDir) -> String {
        Bundle::open(folder.path(), false).expect_err("refused").to_string()
    }

    #[test]
    fn a_bundle_says_what_it_wants() {
        let full = "kernel = 'k'\ninitrd = 'i'\ndisk = 'd'\ncmdline = 'quiet'\ncpus = 2\nmemory-mib = 64\n";
        let full = folder(full);
        let bundle = Bundle::open(full.path(), true).unwrap();
        assert_eq!((bundle.description.cpus, bundle.description.memory_mib), (2, 64));
        assert_eq!(
            (bundle.disk_length().unwrap(), bundle.memory_needed().unwrap()),
            (1024, (17 << 20) + 100)
        );
        let least = folder("kernel = 'k'");
        let bundle = Bundle::open(least.path(), false).unwrap();
        assert_eq!(bundle.description.cmdline, COMMAND_LINE);
        assert!(bundle.initrd.is_none() && bundle.disk.is_none());
    }

    #[test]
    fn what_is_no_description_is_refused() {
        for (text, says) in [
            ("", "missing field `kernel`"),
            ("kernel = 'k'\nkernal = 'k'", "unknown field"),
            ("kernel = 7", "invalid type"),
            ("kernel = 'k'\ncpus = 0", "virtual processors"),
            ("kernel = 'k'\ncpus = 33", "virtual processors"),
            ("kernel = 'k'\nmemory-mib = 31", "MiB"),
            ("kernel = 'k'\nmemory-mib = 18446744073709551615", "memory"),
            ("kernel = 'k'\ncmdline = \"a\\nb\"", "no place"),
            ("kernel = 'absent'", "No such file"),
            ("kernel = 'i'", "neither a bzImage nor a vmlinux"),
            ("kernel = 'd'", "neither a bzImage nor a vmlinux"),
        ] {
            let message = refusal(&folder(text));
            assert!(message.contains(says), "{text}: {message}");
        }
        let long = format!("kernel = 'k'\ncmdline = '{}'", "x".repeat(2048));
        assert!(refusal(&folder(&long)).contains("at most 2047 bytes"));
        let endless = format!("kernel = 'k' #{}", "x".repeat(1 << 20));
        assert!(refusal(&folder(&endless)).contains("longer than 64 KiB"));
    }

    #[test]
    fn nothing_outside_the_folder_is_opened() {
        for name in ["/etc/passwd", "../k", "a/../k", ".", "..", "", "k/", "a\\u0000b"] {
            let message = refusal(&folder(&format!("kernel = \"{name}\"")));
            assert!(message.contains("names no file of the folder"), "{name}: {message}");
        }
        let links = folder("kernel = 'link'");
        symlink("/etc/passwd", links.path().join("link")).unwrap();
        assert!(refusal(&links).contains("has no links"));
        let own = folder("kernel = 'link'");
        symlink("k", own.path().join("link")).unwrap();
        assert!(refusal(&own).contains("has no links"));
        let described = tempfile::tempdir().unwrap();
        symlink("/etc/passwd", described.path().join(DESCRIPTION)).unwrap();
        assert!(refusal(&described).contains("has no links"));
    }

    #[test]
    fn devices_pipes_and_folders_are_no_files() {
        let odd = folder("kernel = 'k'\ndisk = 'odd'");
        fs::create_dir(odd.path().join("odd")).unwrap();
        assert!(refusal(&odd).contains("not a regular file"));
        fs::remove_dir(odd.path().join("odd")).unwrap();
        let mode = Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(CWD, odd.path().join("odd"), FileType::Fifo, mode, 0).unwrap();
        // Which nobody writes to: it is not waited for.
        assert!(refusal(&odd).contains("not a regular file"));
    }

    #[test]
    fn words_are_as_a_kernel_reads_them() {
        let line = |name: &str, value: &str| append_words("quiet", [(&name.to_owned(), &value.to_owned())]);
        assert_eq!(line("a", "b").unwrap(), "quiet a=b");
        assert_eq!(line("a", "b c=d").unwrap(), "quiet a=\"b c=d\"");
        for (name, value) in [("a b", "c"), ("a", "b\"c"), ("a", "b\nc"), ("a", &"x".repeat(2048))] {
            assert!(line(name, value).is_err(), "{name}={value}");
        }
    }

    #[test]
    fn a_kernel_that_does_not_fit_is_refused() {
        let huge = folder("kernel = 'k'\nmemory-mib = 32");
        fs::write(huge.path().join("k"), kernel(u32::MAX)).unwrap();
        assert!(refusal(&huge).contains("need 4097 MiB"), "{}", refusal(&huge));
        let sparse = folder("kernel = 'k'\ninitrd = 'i'");
        File::create(sparse.path().join("i")).unwrap().set_len(1 << 40).unwrap();
        assert!(refusal(&sparse).contains("MiB of memory"));
        let short = folder("kernel = 'k'\ndisk = 'd'");
        fs::write(short.path().join("d"), "x").unwrap();
        assert!(refusal(&short).contains("shorter than a sector"));
    }
}
