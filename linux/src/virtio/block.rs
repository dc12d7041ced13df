//! The virtio block device (virtio 1.2, 5.2) on a file. A request is done when it is given back: what was flushed before
//! is on the disk, whatever happens to this process.
#![allow(unsafe_code)]

use super::device::{Broken, Device, QueueSetup, Served, Source};
use super::ring::{Chain, Ring};
use crate::memory::{Buffer, Memory};
use machine::error::Error;
use machine::io::{Tokens, WatchSet};
use rustix::fs::{FallocateFlags, FlockOperation, fallocate, fdatasync, flock};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::fd::AsRawFd;
use std::path::Path;

const QUEUE: u16 = 256;
/// Bytes of a sector, the unit of everything here.
const SECTOR: u64 = 512;
/// Buffers of one request, beside header and status.
const SEGMENTS: u32 = 126;
/// Sectors that one request may discard or zero.
const RANGE_MAXIMUM: u32 = 1 << 21;

const FEATURE_SEG_MAX: u64 = 1 << 2;
const FEATURE_RO: u64 = 1 << 5;
const FEATURE_FLUSH: u64 = 1 << 9;
const FEATURE_DISCARD: u64 = 1 << 13;
const FEATURE_WRITE_ZEROES: u64 = 1 << 14;
const FEATURE_INDIRECT: u64 = 1 << 28;

const READ: u32 = 0;
const WRITE: u32 = 1;
const FLUSH: u32 = 4;
const IDENTITY: u32 = 8;
const DISCARD: u32 = 11;
const WRITE_ZEROES: u32 = 13;

const OK: u8 = 0;
const FAILED: u8 = 1;
const UNSUPPORTED: u8 = 2;

/// A path, for people: of a descriptor that was handed over, the file behind it.
fn shown(path: &Path) -> String {
    let is_descriptor = path.starts_with("/proc/self/fd") || path.starts_with("/dev/fd");
    let behind = if is_descriptor { std::fs::read_link(path).ok() } else { None };
    behind.as_deref().unwrap_or(path).display().to_string()
}

/// A disk's file.
pub struct Disk {
    file: File,
    writable: bool,
    /// Sectors, when it was opened: it never grows beyond.
    sectors: u64,
}

impl Disk {
    /// Opens a disk, for this process alone if it may write to it.
    pub fn open(path: &Path, writable: bool) -> Result<Self, Error> {
        let name = shown(path);
        let mut file = File::options().read(true).write(writable).open(path).map_err(|e| match e.kind() {
            io::ErrorKind::PermissionDenied => Error::Permission {
                doing: format!("open disk {name}"),
                hint: "give your user access to it, or attach it read-only: FILE,ro".into(),
            },
            _ => Error::Configuration(format!("disk {name}: {e}")),
        })?;
        let kind = if writable {
            FlockOperation::NonBlockingLockExclusive
        } else {
            FlockOperation::NonBlockingLockShared
        };
        flock(&file, kind).map_err(|_| Error::Host {
            problem: format!("disk {name} is in use by another instance"),
            hint: "stop that instance, or attach it read-only to both: FILE,ro".into(),
        })?;
        let length =
            file.seek(SeekFrom::End(0)).map_err(|e| Error::Configuration(format!("disk {name}: {e}")))?;
        if length < SECTOR {
            return Err(Error::Configuration(format!("disk {name} is shorter than a sector")));
        }
        Ok(Self { file, writable, sectors: length / SECTOR })
    }

    /// Its length, bytes.
    pub fn length(&self) -> u64 {
        self.sectors * SECTOR
    }

    /// Where so many bytes from a sector on lie in the file, if the disk has them.
    fn offset(&self, sector: u64, length: u64) -> Option<u64> {
        let start = sector.checked_mul(SECTOR)?;
        (start.checked_add(length)? <= self.length()).then_some(start)
    }

    /// Reads or writes buffers at a place; what is not there is an error.
    fn transfer(
        &self,
        memory: &Memory,
        buffers: &VecDeque<Buffer>,
        mut at: u64,
        write: bool,
    ) -> io::Result<()> {
        let vectors = buffers.iter().map(|buffer| {
            let pointer = memory.pointer(buffer).ok_or(io::ErrorKind::InvalidInput)?;
            Ok(libc::iovec { iov_base: pointer.cast(), iov_len: buffer.length as usize })
        });
        let mut vectors = vectors.collect::<io::Result<Vec<_>>>()?;
        let mut rest = &mut vectors[..];
        while !rest.is_empty() {
            let (fd, count, offset) = (self.file.as_raw_fd(), rest.len() as i32, at as libc::off_t);
            // SAFETY: each vector is a range of guest memory, which is mapped and which the kernel may read and write.
            let done = unsafe {
                if write {
                    libc::pwritev(fd, rest.as_ptr(), count, offset)
                } else {
                    libc::preadv(fd, rest.as_ptr(), count, offset)
                }
            };
            let mut done = match done {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n if n > 0 => n as usize,
                _ if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => continue,
                _ => return Err(io::Error::last_os_error()),
            };
            at += done as u64;
            while let Some(first) = rest.first_mut() {
                if done < first.iov_len {
                    first.iov_base = first.iov_base.wrapping_byte_add(done);
                    first.iov_len -= done;
                    break;
                }
                done -= first.iov_len;
                rest = &mut rest[1..];
            }
        }
        Ok(())
    }

    /// Discards or zeroes the ranges that a request names: sector, count and flags of each.
    fn ranges(&self, bytes: &[u8], zeroes: bool) -> u8 {
        if bytes.is_empty() || !bytes.len().is_multiple_of(16) {
            return FAILED;
        }
        for range in bytes.chunks_exact(16) {
            let word = |at: usize| u32::from_le_bytes(*range[at..].first_chunk().expect("16 bytes"));
            let sector = u64::from(word(0)) | u64::from(word(4)) << 32;
            let (count, flags) = (word(8), word(12));
            // Only zeroing knows a flag: that the space may be given back.
            if flags & !u32::from(zeroes) != 0 {
                return UNSUPPORTED;
            }
            let length = u64::from(count) * SECTOR;
            let place = self.offset(sector, length).filter(|_| (1..=RANGE_MAXIMUM).contains(&count));
            let Some(start) = place else { return FAILED };
            let kind =
                if zeroes && flags == 0 { FallocateFlags::ZERO_RANGE } else { FallocateFlags::PUNCH_HOLE };
            match fallocate(&self.file, kind | FallocateFlags::KEEP_SIZE, start, length) {
                Ok(()) => {}
                // A discard is a hint.
                Err(rustix::io::Errno::OPNOTSUPP) if !zeroes => {}
                Err(rustix::io::Errno::OPNOTSUPP) => return UNSUPPORTED,
                Err(_) => return FAILED,
            }
        }
        OK
    }
}

/// The device.
pub struct Block {
    number: usize,
    disk: Disk,
    ring: Option<Ring>,
}

impl Block {
    /// A device on a disk; `number` is its place among the disks.
    pub fn new(number: usize, disk: Disk) -> Self {
        Self { number, disk, ring: None }
    }
}

/// Does a request; how many bytes were filled in.
fn request(disk: &Disk, number: usize, memory: &Memory, chain: Chain) -> Result<u32, Broken> {
    let malformed = || Broken(format!("disk {number}: a request without header or status"));
    let (mut input, mut output): (VecDeque<_>, VecDeque<_>) =
        chain.buffers.into_iter().partition(|b| !b.writable);
    let header = take(memory, &mut input, 16).ok_or_else(malformed)?;
    let last = output.back_mut().filter(|buffer| buffer.length > 0).ok_or_else(malformed)?;
    last.length -= 1;
    let status_at = Buffer { address: last.address + u64::from(last.length), length: 1, writable: true };
    output.retain(|buffer| buffer.length > 0);
    let word = |at: usize| u32::from_le_bytes(*header[at..].first_chunk().expect("16 bytes"));
    let sector = u64::from(word(8)) | u64::from(word(12)) << 32;
    let sum = |buffers: &VecDeque<Buffer>| buffers.iter().map(|b| u64::from(b.length)).sum::<u64>();
    let outcome = |done: io::Result<()>| if done.is_ok() { OK } else { FAILED };
    let mut written = 0;
    let status = match word(0) {
        READ => match disk.offset(sector, sum(&output)) {
            Some(at) => {
                let status = outcome(disk.transfer(memory, &output, at, false));
                written = if status == OK { sum(&output) as u32 } else { 0 };
                status
            }
            None => FAILED,
        },
        WRITE | DISCARD | WRITE_ZEROES if !disk.writable => FAILED,
        WRITE => match disk.offset(sector, sum(&input)) {
            Some(at) => outcome(disk.transfer(memory, &input, at, true)),
            None => FAILED,
        },
        FLUSH => outcome(fdatasync(&disk.file).map_err(io::Error::from)),
        IDENTITY => {
            let name = format!("microvisor-{number}\0");
            written = output.front().map_or(0, |buffer| memory.fill(buffer, name.as_bytes())) as u32;
            OK
        }
        kind @ (DISCARD | WRITE_ZEROES) => {
            let length = sum(&input).min(16 * u64::from(SEGMENTS)) as usize;
            match take(memory, &mut input, length) {
                Some(bytes) => disk.ranges(&bytes, kind == WRITE_ZEROES),
                None => FAILED,
            }
        }
        _ => UNSUPPORTED,
    };
    memory.fill(&status_at, &[status]);
    Ok(written + 1)
}

/// Takes so many bytes from the front of buffers.
fn take(memory: &Memory, buffers: &mut VecDeque<Buffer>, length: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length {
        let front = buffers.front_mut()?;
        let part = memory.bytes(front, length - bytes.len());
        front.address += part.len() as u64;
        front.length -= part.len() as u32;
        if front.length == 0 {
            buffers.pop_front();
        }
        bytes.extend(part);
    }
    Some(bytes)
}

impl Device for Block {
    fn kind(&self) -> u32 {
        2
    }

    fn features(&self) -> u64 {
        let always = FEATURE_SEG_MAX | FEATURE_FLUSH | FEATURE_INDIRECT;
        always | if self.disk.writable { FEATURE_DISCARD | FEATURE_WRITE_ZEROES } else { FEATURE_RO }
    }

    fn queues(&self) -> &'static [u16] {
        &[QUEUE]
    }

    fn config(&self) -> Vec<u8> {
        let mut config = vec![0; 60];
        config[..8].copy_from_slice(&self.disk.sectors.to_le_bytes());
        let words =
            [(12, SEGMENTS), (36, RANGE_MAXIMUM), (40, 1), (44, 1), (48, RANGE_MAXIMUM), (52, 1), (56, 1)];
        for (at, word) in words {
            config[at..at + 4].copy_from_slice(&word.to_le_bytes());
        }
        config
    }

    fn activate(&mut self, features: u64, queues: &[QueueSetup], memory: &Memory) -> Result<(), Broken> {
        let [queue] = queues else { return Err(Broken("a disk has one queue".into())) };
        self.ring = Some(Ring::new(queue, QUEUE, features, memory)?);
        Ok(())
    }

    fn reset(&mut self) {
        self.ring = None;
    }

    fn serve(&mut self, _: Source, _: Tokens, _: &mut WatchSet) -> Result<Served, Broken> {
        let Some(ring) = &mut self.ring else { return Ok(Served::default()) };
        let (disk, number) = (&self.disk, self.number);
        ring.serve(|memory, chain| request(disk, number, memory, chain))
    }
}
