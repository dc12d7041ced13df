//! A vhost-user back end for one network device with one queue pair: any front end (MicroVisor's monitor, QEMU, DPDK's
//! virtio-user) connects, shares its memory, and its rings are served. `session` has the conversation, `memory` and
//! `guard` the peer's memory, `chain` the buffers of one packet, `outbound` what is written to the peer, `cut_through`
//! what the kernel reads straight to it, `wire` what goes from one peer's ring to another's.
#![allow(unsafe_code)]

mod chain;
mod cut_through;
mod guard;
mod memory;
mod outbound;
mod ring_copy;
mod session;

pub use memory::MemoryError;
pub use ring_copy::Broken;
pub use session::Refused;
pub use virtqueue::RingError;

use super::tap::received;
use super::{CutThrough, CutThroughSource, Device, PortError};
use crate::counters::Shared;
use crate::frame::{BATCH, Batch, HEAD, Outgoing, Piece};
use crate::offload::{Abilities, Offload};
use crate::worker::wake::{Interest, Wake};
use chain::Chain;
use cut_through::{CutThroughReader, Peer};
use outbound::Outbound;
use ring_copy::RingCopyBuffers;
use session::Session;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;
use virtqueue::Buffer;

/// The queue that the guest receives from.
const TO_GUEST: usize = 0;
/// The queue that the guest transmits to.
const FROM_GUEST: usize = 1;

const CONNECTION: u16 = 0;
const KICK: u16 = 1;
/// Longest packet with its header.
const LONGEST: usize = crate::frame::LARGEST;
/// Messages handled before other ports have their turn.
const MESSAGES: usize = 8;
/// Most pieces that a packet is handed on in: 64 KiB in pages, with some to spare. One in more buffers is put together.
const PIECES: usize = 64;

/// A vhost-user port.
pub struct Vhost {
    session: Option<Session>,
    settings: Settings,
    /// Heads of the chains that the last batch came in.
    taken: Vec<u16>,
    chain: Chain,
    buffers: Vec<Buffer>,
    /// Pieces of the packet at hand.
    pieces: Vec<Piece>,
    outbound: Outbound,
    cut_through: CutThroughReader,
    ring_copy: RingCopyBuffers,
}

/// What a port offers to its peer.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Checksums and large segments.
    pub offload: bool,
    /// What the thread is doing while it calls a peer, for whoever watches over it.
    pub notifying: Arc<AtomicU64>,
    /// The port's number.
    pub port: super::PortId,
}

impl Vhost {
    /// A port without a peer.
    pub fn new(settings: Settings) -> Self {
        Self {
            session: None,
            settings,
            taken: Vec::with_capacity(BATCH),
            chain: Chain::default(),
            buffers: Vec::with_capacity(BATCH),
            pieces: Vec::with_capacity(PIECES),
            outbound: Outbound::default(),
            cut_through: CutThroughReader::default(),
            ring_copy: RingCopyBuffers::default(),
        }
    }
}

impl Device for Vhost {
    fn receive(&mut self, batch: &mut Batch) -> Result<(), PortError> {
        let Some(session) = self.session.as_mut() else {
            return Ok(());
        };
        let header_bytes = session.header_bytes();
        let Some((ring, memory)) = session.ring(FROM_GUEST) else {
            return Ok(());
        };
        let count = ring.waiting()?.min(batch.room() as u16);
        if count == 0 {
            return Ok(());
        }
        let (mut malformed, mut descriptors, before) = (0, 0, self.taken.len());
        ring.prefetch_chains(memory, count, &mut self.buffers)?;
        // The pieces stay mapped: the memory changes only when messages are handled, which is never between `receive` and
        // `release`.
        for (ahead, buffer) in self.buffers.iter().enumerate() {
            let chain = &mut self.chain;
            if buffer.start.is_null() {
                chain.read(ring, memory, ahead as u16)?;
                descriptors += chain.count();
                if descriptors > ring.size().into() {
                    // No two chains that are available share a descriptor.
                    return Err(RingError::Loop(chain.head).into());
                }
            } else {
                // SAFETY: `prefetch_chains` has found it in the peer's memory just now.
                unsafe { chain.set_single(buffer) };
            }
            let length = chain.length();
            if length < header_bytes || length > LONGEST {
                return Err(RingError::Length { head: chain.head, length: length as u64 }.into());
            }
            let bytes = length - header_bytes;
            let header = outbound::read_header(chain, header_bytes);
            let Some(offload) = Offload::from_header(&header) else {
                malformed += 1;
                self.taken.push(chain.head);
                continue;
            };
            if bytes <= HEAD {
                batch.push(offload, bytes, |to| chain.read_at(header_bytes, to), &[]);
            } else if chain.count() <= PIECES {
                self.pieces.clear();
                chain.pieces(header_bytes + HEAD, &mut self.pieces);
                batch.push(offload, HEAD, |to| chain.read_at(header_bytes, to), &self.pieces);
            } else {
                // Where there is no room, it begins the next batch.
                let Some(room) = batch.arena.room(0) else { break };
                chain.read_at(header_bytes, &mut room[..bytes]);
                received(batch, bytes, &header);
            }
            self.taken.push(chain.head);
        }
        ring.take((self.taken.len() - before) as u16);
        session.malformed += malformed;
        Ok(())
    }

    fn release(&mut self) {
        let ring = self.session.as_mut().and_then(|s| s.ring(FROM_GUEST));
        if let Some((ring, _)) = ring
            && !self.taken.is_empty()
        {
            for &head in &self.taken {
                ring.add_used(head, 0);
            }
            ring.publish();
        }
        self.taken.clear();
    }

    fn send(&mut self, batch: &Batch, which: &[Outgoing], shared: &Shared) -> Result<usize, PortError> {
        match self.session.as_mut() {
            Some(session) => self.outbound.send(session, batch, which, shared),
            None => Ok(0),
        }
    }

    fn cut_through_from(
        &mut self,
        source: &CutThroughSource<'_>,
        longest: usize,
        shared: &Shared,
    ) -> Option<Result<CutThrough, PortError>> {
        let session = self.session.as_mut()?;
        let (abilities, mergeable) = (session.abilities(), session.is_mergeable());
        if abilities != Abilities::ALL || session.header_bytes() != size_of::<abi::net::NetHeader>() {
            return None;
        }
        let (ring, memory) = session.ring(TO_GUEST)?;
        let mut to = Peer { ring, memory, abilities, mergeable };
        Some(self.cut_through.read(&mut to, source, longest, shared))
    }

    fn as_vhost(&mut self) -> Option<&mut Vhost> {
        Some(self)
    }

    fn flush(&mut self, shared: &Shared) -> Result<bool, PortError> {
        let Some(session) = self.session.as_mut() else {
            return Ok(false);
        };
        let malformed = std::mem::take(&mut session.malformed);
        if malformed > 0 {
            shared.count_drops(crate::counters::Reason::Malformed, malformed);
        }
        session.call_where_wanted(&self.settings, shared)?;
        if session.memory_is_broken() { Err(PortError::Shrank) } else { Ok(false) }
    }

    fn room(&self) -> usize {
        self.session.as_ref().map_or(0, Session::room)
    }

    fn forget_position(&mut self) {
        self.outbound.forget_position();
    }

    fn arm(&mut self, _: &Wake) -> Result<bool, PortError> {
        match self.session.as_mut().and_then(|s| s.ring(FROM_GUEST)) {
            Some((ring, _)) => Ok(ring.arm(0)?),
            None => Ok(false),
        }
    }

    fn disarm(&mut self) {
        if let Some((ring, _)) = self.session.as_mut().and_then(|s| s.ring(FROM_GUEST)) {
            ring.disarm();
        }
    }

    fn is_up(&self) -> bool {
        self.session.as_ref().is_some_and(Session::is_running)
    }

    fn event(&mut self, token: u16, wake: &Wake, shared: &Shared) -> Result<(), PortError> {
        let Some(session) = self.session.as_mut() else {
            return Ok(());
        };
        if token == KICK {
            shared.queues[FROM_GUEST].kicks.add(1);
            return Ok(());
        }
        for _ in 0..MESSAGES {
            if !session.converse(&self.settings, wake)? {
                break;
            }
        }
        Ok(())
    }

    fn message_deadline(&self) -> Option<Instant> {
        self.session.as_ref()?.message_deadline
    }

    fn begin(&mut self, _: &Wake) -> io::Result<()> {
        Ok(())
    }

    fn connected(&mut self, stream: UnixStream, wake: &Wake) -> io::Result<()> {
        self.disconnect(wake);
        stream.set_nonblocking(true)?;
        let session = Session::new(stream);
        wake.add(session.as_fd(), Interest::Level, self.settings.port, CONNECTION)?;
        self.session = Some(session);
        Ok(())
    }

    fn disconnect(&mut self, wake: &Wake) {
        self.taken.clear();
        self.outbound.forget_position();
        if let Some(session) = self.session.take() {
            session.close(wake);
        }
    }
}
