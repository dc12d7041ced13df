//! Prepared monitors: a process that has its virtual machine, its threads and its confinement, and waits for what it
//! shall run. Whoever started it holds the other end of a socket: it sends a start request, or closes the socket, and
//! the process ends.
//!
//! A start request is a command line of the monitor in pieces: of each word its length and its bytes, so that no byte of a
//! word can begin another. The last piece comes with the open image, a socket that listens for each net device, and, if there is
//! one, the open configuration: a process without a file system cannot open them.

use crate::options::{self, Command, Options};
use machine::error::Error;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use vhost_user::message::{DESCRIPTORS_MAXIMUM, PAYLOAD_MAXIMUM};
use vhost_user::socket::{Connection, Error as SocketError};

/// A piece of the command line.
const PIECE: u32 = 1;
/// Its last piece.
const LAST: u32 = 2;
/// Longest command line, bytes.
const LINE_MAXIMUM: usize = 1 << 20;

/// Files that came open with a start request.
pub struct Files {
    /// The image.
    pub image: File,
    /// The configuration.
    pub config: Option<File>,
    /// Sockets that listen for the switch, one a net device.
    pub listeners: Vec<OwnedFd>,
}

/// Most net devices of a start request: as many as have room in a message beside image and configuration.
pub const DEVICES_MAXIMUM: usize = DESCRIPTORS_MAXIMUM - 2;

/// Has a prepared monitor run a guest. `arguments` are as on the command line, without `--image` and `--config`.
pub fn request_start(
    monitor: &UnixStream,
    arguments: &[String],
    image: &File,
    config: Option<&File>,
    listeners: &[OwnedFd],
) -> io::Result<()> {
    let failed = |e: SocketError| match e {
        SocketError::Socket(e) => e,
        e => io::Error::other(e.to_string()),
    };
    let connection = Connection::new(monitor.try_clone()?);
    let mut line = Vec::new();
    for word in arguments {
        let length = u32::try_from(word.len()).map_err(io::Error::other)?;
        line.extend(length.to_le_bytes());
        line.extend(word.bytes());
    }
    let last = line.len().saturating_sub(1) / PAYLOAD_MAXIMUM * PAYLOAD_MAXIMUM;
    for piece in line[..last].chunks(PAYLOAD_MAXIMUM) {
        connection.send(PIECE, piece, &[], false).map_err(failed)?;
    }
    let mut descriptors = vec![image.as_fd()];
    descriptors.extend(listeners.iter().map(AsFd::as_fd));
    descriptors.extend(config.map(AsFd::as_fd));
    connection.send(LAST, &line[last..], &descriptors, false).map_err(failed)
}

/// Waits for the start request; `None` if none will come.
pub fn wait(socket: UnixStream) -> Result<Option<(Options, Files)>, Error> {
    let mut connection = Connection::new(socket);
    let mut line = Vec::new();
    let broken = |what: &str| Error::Configuration(format!("start request: {what}"));
    loop {
        let mut message = match connection.receive() {
            Ok(Some(message)) => message,
            Ok(None) => continue,
            Err(SocketError::Closed) if line.is_empty() => return Ok(None),
            Err(e) => return Err(broken(&e.to_string())),
        };
        line.extend(&message.payload);
        if line.len() > LINE_MAXIMUM {
            return Err(broken("the command line is too long"));
        }
        if message.code != LAST {
            continue;
        }
        let words = words(&line).ok_or_else(|| broken("its words are not whole"))?;
        let words = ["microvisor-vmm", "--image", "handed over"].into_iter().chain(words);
        let Command::Run(options) = options::parse(words.map(Into::into))? else {
            return Err(broken("it asks for something else"));
        };
        let mut received = message.descriptors.drain(..);
        let Some(image) = received.next() else { return Err(broken("no image came with it")) };
        let listeners: Vec<OwnedFd> = received.by_ref().take(options.nets.len()).collect();
        if listeners.len() < options.nets.len() || options.nets.iter().any(|net| !net.server) {
            return Err(broken("a socket that listens comes with each device"));
        }
        let files = Files { image: image.into(), config: received.next().map(File::from), listeners };
        return Ok(Some((*options, files)));
    }
}

/// The words of a command line, each behind its length.
fn words(mut line: &[u8]) -> Option<Vec<&str>> {
    let mut words = Vec::new();
    while !line.is_empty() {
        let (length, rest) = line.split_first_chunk::<4>()?;
        let (word, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        words.push(std::str::from_utf8(word).ok()?);
        line = rest;
    }
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_request_arrives_whole() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let image = File::open("/proc/self/exe").unwrap();
        let long = format!("A={}", "x".repeat(2000));
        request_start(
            &ours,
            &["--set".into(), long.clone(), "--memory".into(), "8".into()],
            &image,
            None,
            &[],
        )
        .unwrap();
        let (options, files) = wait(theirs).unwrap().unwrap();
        assert_eq!((options.words, options.memory), (vec![long], Some(8 << 20)));
        assert!(files.config.is_none());
    }

    #[test]
    fn no_byte_of_a_word_begins_another() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let image = File::open("/proc/self/exe").unwrap();
        let lines = "A=x\n--poll\nalways".to_owned();
        request_start(&ours, &["--set".into(), lines.clone()], &image, None, &[]).unwrap();
        let (options, _) = wait(theirs).unwrap().unwrap();
        assert_eq!((options.words, options.poll_ns), (vec![lines], 50_000));
        let (ours, theirs) = UnixStream::pair().unwrap();
        request_start(&ours, &["--set".into(), "A=x\0--poll\0always".into()], &image, None, &[]).unwrap();
        assert!(matches!(wait(theirs), Err(Error::Configuration(_))));
        for line in [&[1, 0, 0][..], &[5, 0, 0, 0, b'x'], &[255, 255, 255, 255], &[1, 0, 0, 0, 0xff]] {
            assert!(words(line).is_none(), "{line:?}");
        }
    }

    #[test]
    fn each_device_comes_with_its_socket() {
        let image = File::open("/proc/self/exe").unwrap();
        let net = |options: &str| ["--net".to_owned(), format!("vhost-user=/s{options}")];
        let sockets: Vec<OwnedFd> = UnixStream::pair().map(|(a, b)| vec![a.into(), b.into()]).unwrap();
        let cases =
            [(",server=on", 1, true), (",server=on", 0, false), ("", 1, false), (",server=on", 2, true)];
        for (options, given, is_right) in cases {
            let (ours, theirs) = UnixStream::pair().unwrap();
            request_start(&ours, &net(options), &image, None, &sockets[..given]).unwrap();
            assert_eq!(wait(theirs).is_ok(), is_right, "{options} {given}");
        }
    }

    #[test]
    fn a_starter_that_is_gone_requests_nothing() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(ours);
        assert!(wait(theirs).unwrap().is_none());
    }
}
