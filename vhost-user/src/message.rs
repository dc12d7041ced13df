//! Requests and their payloads. Words are in the host's byte order, as the protocol defines.

/// Most regions in one `SET_MEM_TABLE`.
pub const REGIONS_MAXIMUM: usize = 8;
/// Longest accepted payload, bytes. The longest valid payload is a full memory table.
pub const PAYLOAD_MAXIMUM: usize = 512;
/// Most descriptors that come with one message.
pub const DESCRIPTORS_MAXIMUM: usize = 8;
/// Length of the header before every payload, bytes.
pub const HEADER_BYTES: usize = 12;

/// Version 1, in the low two bits of the flags.
pub const VERSION: u32 = 1;
const VERSION_MASK: u32 = 3;
/// The message is an answer.
pub const REPLY: u32 = 1 << 2;
/// The sender wants an acknowledgement of a request that has no answer.
pub const NEED_REPLY: u32 = 1 << 3;

/// The header before every payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageHeader {
    /// Number of the request.
    pub code: u32,
    /// Version (low two bits) and flags.
    pub flags: u32,
    /// Length of the payload that follows, bytes.
    pub length: u32,
}

impl MessageHeader {
    /// Reads a header.
    pub fn parse(bytes: &[u8; HEADER_BYTES]) -> Result<Self, Malformed> {
        let word = |at: usize| u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let header = MessageHeader { code: word(0), flags: word(4), length: word(8) };
        if header.flags & VERSION_MASK != VERSION {
            return Err(Malformed::Version(header.flags & VERSION_MASK));
        }
        if header.length as usize > PAYLOAD_MAXIMUM {
            return Err(Malformed::TooLong { code: header.code, length: header.length });
        }
        Ok(header)
    }

    /// Writes the header.
    pub fn emit(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..4].copy_from_slice(&self.code.to_ne_bytes());
        bytes[4..8].copy_from_slice(&self.flags.to_ne_bytes());
        bytes[8..].copy_from_slice(&self.length.to_ne_bytes());
        bytes
    }
}

/// What is wrong with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Another version of the protocol.
    #[error("protocol version {0}, not 1")]
    Version(u32),
    /// The payload is longer than that of any request.
    #[error("request {code} with {length} bytes of payload")]
    TooLong {
        /// Number of the request.
        code: u32,
        /// Length that the header announces, bytes.
        length: u32,
    },
    /// A request that this side does not know.
    #[error("request {0} is unknown")]
    Unknown(u32),
    /// A payload of the wrong length.
    #[error("request {code} with {length} bytes of payload, not {wanted}")]
    Length {
        /// Request.
        code: u32,
        /// Length of the received payload, bytes.
        length: usize,
        /// Length that the request requires, bytes.
        wanted: usize,
    },
    /// Too many or too few descriptors.
    #[error("request {code} with {came} descriptors, not {wanted}")]
    Descriptors {
        /// Request.
        code: u32,
        /// Number of received descriptors.
        came: usize,
        /// Number that the request requires.
        wanted: usize,
    },
    /// More descriptors than any message has, before the message is complete.
    #[error("{0} descriptors with one message")]
    TooManyDescriptors(usize),
    /// A memory table with more regions than a message holds.
    #[error("a memory table of {0} regions")]
    Regions(u32),
}

/// A range of the guest's memory. The receiver maps it with the descriptor that comes with the message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryRegion {
    /// Guest-physical address of the first byte.
    pub guest_address: u64,
    /// Length, bytes.
    pub length: u64,
    /// Address of the first byte in the front end's address space, in which ring addresses are given.
    pub user_address: u64,
    /// Offset of the first byte in the file of the descriptor, bytes.
    pub offset: u64,
}

/// Addresses of a queue's parts, in the front end's address space.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RingAddresses {
    /// Number of the queue.
    pub index: u32,
    /// Flags; bit 0 requests logging.
    pub flags: u32,
    /// Descriptor table.
    pub descriptors: u64,
    /// Used ring.
    pub used: u64,
    /// Available ring.
    pub available: u64,
    /// Guest address of the log; unused.
    pub log: u64,
}

/// A queue with a value: its size, its base index, or whether it is enabled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RingState {
    /// Number of the queue.
    pub index: u32,
    /// The value; its meaning depends on the request.
    pub value: u32,
}

/// A queue and whether an eventfd for it comes with the message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RingEvent {
    /// Number of the queue.
    pub index: u8,
    /// No descriptor comes with the message: the queue is polled.
    pub no_descriptor: bool,
}

/// The shared memory area in which a back end records the descriptors in use (Inflight I/O tracking).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Inflight {
    /// Length, bytes.
    pub size: u64,
    /// Offset in the file of the descriptor, bytes.
    pub offset: u64,
    /// Number of queues.
    pub queues: u16,
    /// Entries of each queue.
    pub queue_size: u16,
}

/// Bit in the word of a [`RingEvent`]: no descriptor comes with the message.
const NO_DESCRIPTOR: u64 = 1 << 8;

/// A front end's request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Asks for the features that the device offers; the answer is a word.
    GetFeatures,
    /// Sets the features in use.
    SetFeatures(u64),
    /// Makes this connection the owner of the device.
    SetOwner,
    /// Gives up ownership. Deprecated and ignored.
    ResetOwner,
    /// Sets all memory regions, with one descriptor each.
    SetMemoryTable(Vec<MemoryRegion>),
    /// Sets the number of entries of a queue.
    SetRingSize(RingState),
    /// Sets the addresses of a queue.
    SetRingAddresses(RingAddresses),
    /// Sets the available index to continue from.
    SetRingBase(RingState),
    /// Stops a queue; the answer is its available index.
    GetRingBase(RingState),
    /// Sets the kick eventfd of a queue, and starts the queue.
    SetRingKick(RingEvent),
    /// Sets the call eventfd of a queue, which notifies the guest.
    SetRingCall(RingEvent),
    /// Sets the eventfd that signals an error of a queue.
    SetRingError(RingEvent),
    /// Asks for the supported protocol features; the answer is a word.
    GetProtocolFeatures,
    /// Sets the protocol features in use.
    SetProtocolFeatures(u64),
    /// Asks for the number of queues; the answer is a word.
    GetQueueCount,
    /// Enables or disables a queue.
    SetRingEnable(RingState),
    /// Asks the back end to announce the guest's MAC address after a migration.
    SendRarp(u64),
    /// Sets the guest's MTU, bytes.
    SetMtu(u64),
    /// Asks for a new inflight area; the answer has its description and a descriptor.
    GetInflight(Inflight),
    /// Sets the inflight area, with a descriptor.
    SetInflight(Inflight),
    /// Resets the device.
    ResetDevice,
    /// Asks for the maximum number of memory regions; the answer is a word.
    GetMaximumRegions,
    /// Adds a memory region, with a descriptor.
    AddRegion(MemoryRegion),
    /// Removes a memory region. A descriptor may come with it, and is ignored.
    RemoveRegion(MemoryRegion),
    /// Sets the device status (virtio 1.2 section 2.1).
    SetStatus(u64),
    /// Asks for the device status; the answer is a word.
    GetStatus,
}

mod code {
    pub const GET_FEATURES: u32 = 1;
    pub const SET_FEATURES: u32 = 2;
    pub const SET_OWNER: u32 = 3;
    pub const RESET_OWNER: u32 = 4;
    pub const SET_MEM_TABLE: u32 = 5;
    pub const SET_VRING_NUM: u32 = 8;
    pub const SET_VRING_ADDR: u32 = 9;
    pub const SET_VRING_BASE: u32 = 10;
    pub const GET_VRING_BASE: u32 = 11;
    pub const SET_VRING_KICK: u32 = 12;
    pub const SET_VRING_CALL: u32 = 13;
    pub const SET_VRING_ERR: u32 = 14;
    pub const GET_PROTOCOL_FEATURES: u32 = 15;
    pub const SET_PROTOCOL_FEATURES: u32 = 16;
    pub const GET_QUEUE_NUM: u32 = 17;
    pub const SET_VRING_ENABLE: u32 = 18;
    pub const SEND_RARP: u32 = 19;
    pub const NET_SET_MTU: u32 = 20;
    pub const GET_INFLIGHT_FD: u32 = 31;
    pub const SET_INFLIGHT_FD: u32 = 32;
    pub const RESET_DEVICE: u32 = 34;
    pub const GET_MAX_MEM_SLOTS: u32 = 36;
    pub const ADD_MEM_REG: u32 = 37;
    pub const REM_MEM_REG: u32 = 38;
    pub const SET_STATUS: u32 = 39;
    pub const GET_STATUS: u32 = 40;
}

/// Reads the words of a payload of known length.
struct PayloadReader<'a> {
    code: u32,
    rest: &'a [u8],
}

impl<'a> PayloadReader<'a> {
    fn new(code: u32, payload: &'a [u8], wanted: usize) -> Result<Self, Malformed> {
        if payload.len() != wanted {
            return Err(Malformed::Length { code, length: payload.len(), wanted });
        }
        Ok(Self { code, rest: payload })
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (word, rest) = self.rest.split_first_chunk::<N>().ok_or(Malformed::Length {
            code: self.code,
            length: self.rest.len(),
            wanted: N,
        })?;
        self.rest = rest;
        Ok(*word)
    }

    fn u16(&mut self) -> Result<u16, Malformed> {
        self.take().map(u16::from_ne_bytes)
    }

    fn u32(&mut self) -> Result<u32, Malformed> {
        self.take().map(u32::from_ne_bytes)
    }

    fn u64(&mut self) -> Result<u64, Malformed> {
        self.take().map(u64::from_ne_bytes)
    }

    fn state(code: u32, payload: &'a [u8]) -> Result<RingState, Malformed> {
        let mut w = Self::new(code, payload, 8)?;
        Ok(RingState { index: w.u32()?, value: w.u32()? })
    }

    fn word(code: u32, payload: &'a [u8]) -> Result<u64, Malformed> {
        Self::new(code, payload, 8)?.u64()
    }

    fn region(&mut self) -> Result<MemoryRegion, Malformed> {
        Ok(MemoryRegion {
            guest_address: self.u64()?,
            length: self.u64()?,
            user_address: self.u64()?,
            offset: self.u64()?,
        })
    }

    fn single_region(code: u32, payload: &'a [u8]) -> Result<MemoryRegion, Malformed> {
        let mut w = Self::new(code, payload, 40)?;
        w.u64()?;
        w.region()
    }

    fn inflight(code: u32, payload: &'a [u8]) -> Result<Inflight, Malformed> {
        // Front ends pad this structure to its alignment, or not.
        let wanted = if payload.len() == 24 { 24 } else { 20 };
        let mut w = Self::new(code, payload, wanted)?;
        Ok(Inflight { size: w.u64()?, offset: w.u64()?, queues: w.u16()?, queue_size: w.u16()? })
    }
}

impl Request {
    /// Parses a request that came with `descriptors` descriptors.
    pub fn parse(code: u32, payload: &[u8], descriptors: usize) -> Result<Self, Malformed> {
        let nothing = || PayloadReader::new(code, payload, 0);
        let word = || PayloadReader::word(code, payload);
        let state = || PayloadReader::state(code, payload);
        let event = |w: u64| RingEvent { index: w as u8, no_descriptor: w & NO_DESCRIPTOR != 0 };
        let request = match code {
            code::GET_FEATURES => nothing().map(|_| Request::GetFeatures)?,
            code::SET_FEATURES => Request::SetFeatures(word()?),
            code::SET_OWNER => nothing().map(|_| Request::SetOwner)?,
            code::RESET_OWNER => nothing().map(|_| Request::ResetOwner)?,
            code::SET_MEM_TABLE => Request::SetMemoryTable(Self::table(payload)?),
            code::SET_VRING_NUM => Request::SetRingSize(state()?),
            code::SET_VRING_ADDR => {
                let mut w = PayloadReader::new(code, payload, 40)?;
                Request::SetRingAddresses(RingAddresses {
                    index: w.u32()?,
                    flags: w.u32()?,
                    descriptors: w.u64()?,
                    used: w.u64()?,
                    available: w.u64()?,
                    log: w.u64()?,
                })
            }
            code::SET_VRING_BASE => Request::SetRingBase(state()?),
            code::GET_VRING_BASE => Request::GetRingBase(state()?),
            code::SET_VRING_KICK => Request::SetRingKick(event(word()?)),
            code::SET_VRING_CALL => Request::SetRingCall(event(word()?)),
            code::SET_VRING_ERR => Request::SetRingError(event(word()?)),
            code::GET_PROTOCOL_FEATURES => nothing().map(|_| Request::GetProtocolFeatures)?,
            code::SET_PROTOCOL_FEATURES => Request::SetProtocolFeatures(word()?),
            code::GET_QUEUE_NUM => nothing().map(|_| Request::GetQueueCount)?,
            code::SET_VRING_ENABLE => Request::SetRingEnable(state()?),
            code::SEND_RARP => Request::SendRarp(word()?),
            code::NET_SET_MTU => Request::SetMtu(word()?),
            code::GET_INFLIGHT_FD => Request::GetInflight(PayloadReader::inflight(code, payload)?),
            code::SET_INFLIGHT_FD => Request::SetInflight(PayloadReader::inflight(code, payload)?),
            code::RESET_DEVICE => nothing().map(|_| Request::ResetDevice)?,
            code::GET_MAX_MEM_SLOTS => nothing().map(|_| Request::GetMaximumRegions)?,
            code::ADD_MEM_REG => Request::AddRegion(PayloadReader::single_region(code, payload)?),
            code::REM_MEM_REG => Request::RemoveRegion(PayloadReader::single_region(code, payload)?),
            code::SET_STATUS => Request::SetStatus(word()?),
            code::GET_STATUS => nothing().map(|_| Request::GetStatus)?,
            other => return Err(Malformed::Unknown(other)),
        };
        let wanted = request.descriptors();
        let superfluous = matches!(request, Request::RemoveRegion(_)) && descriptors == 1;
        if descriptors != wanted && !superfluous {
            return Err(Malformed::Descriptors { code, came: descriptors, wanted });
        }
        Ok(request)
    }

    fn table(payload: &[u8]) -> Result<Vec<MemoryRegion>, Malformed> {
        let code = code::SET_MEM_TABLE;
        let too_short = Malformed::Length { code, length: payload.len(), wanted: 8 };
        let count = payload.first_chunk::<4>().map(|c| u32::from_ne_bytes(*c)).ok_or(too_short)?;
        if count as usize > REGIONS_MAXIMUM {
            return Err(Malformed::Regions(count));
        }
        // QEMU sends the whole table, others only what is filled.
        let filled = 8 + 32 * count as usize;
        let whole = 8 + 32 * REGIONS_MAXIMUM;
        let mut w = PayloadReader::new(code, payload, if payload.len() == whole { whole } else { filled })?;
        w.u64()?;
        (0..count).map(|_| w.region()).collect()
    }

    /// The request's number.
    pub fn code(&self) -> u32 {
        match self {
            Request::GetFeatures => code::GET_FEATURES,
            Request::SetFeatures(_) => code::SET_FEATURES,
            Request::SetOwner => code::SET_OWNER,
            Request::ResetOwner => code::RESET_OWNER,
            Request::SetMemoryTable(_) => code::SET_MEM_TABLE,
            Request::SetRingSize(_) => code::SET_VRING_NUM,
            Request::SetRingAddresses(_) => code::SET_VRING_ADDR,
            Request::SetRingBase(_) => code::SET_VRING_BASE,
            Request::GetRingBase(_) => code::GET_VRING_BASE,
            Request::SetRingKick(_) => code::SET_VRING_KICK,
            Request::SetRingCall(_) => code::SET_VRING_CALL,
            Request::SetRingError(_) => code::SET_VRING_ERR,
            Request::GetProtocolFeatures => code::GET_PROTOCOL_FEATURES,
            Request::SetProtocolFeatures(_) => code::SET_PROTOCOL_FEATURES,
            Request::GetQueueCount => code::GET_QUEUE_NUM,
            Request::SetRingEnable(_) => code::SET_VRING_ENABLE,
            Request::SendRarp(_) => code::SEND_RARP,
            Request::SetMtu(_) => code::NET_SET_MTU,
            Request::GetInflight(_) => code::GET_INFLIGHT_FD,
            Request::SetInflight(_) => code::SET_INFLIGHT_FD,
            Request::ResetDevice => code::RESET_DEVICE,
            Request::GetMaximumRegions => code::GET_MAX_MEM_SLOTS,
            Request::AddRegion(_) => code::ADD_MEM_REG,
            Request::RemoveRegion(_) => code::REM_MEM_REG,
            Request::SetStatus(_) => code::SET_STATUS,
            Request::GetStatus => code::GET_STATUS,
        }
    }

    /// Number of descriptors that come with the request.
    pub fn descriptors(&self) -> usize {
        match self {
            Request::SetMemoryTable(regions) => regions.len(),
            Request::SetRingKick(e) | Request::SetRingCall(e) | Request::SetRingError(e) => {
                usize::from(!e.no_descriptor)
            }
            Request::SetInflight(_) | Request::AddRegion(_) => 1,
            _ => 0,
        }
    }

    /// Whether the request always has an answer, even without [`NEED_REPLY`].
    pub fn needs_answer(&self) -> bool {
        matches!(
            self,
            Request::GetFeatures
                | Request::GetRingBase(_)
                | Request::GetProtocolFeatures
                | Request::GetQueueCount
                | Request::GetInflight(_)
                | Request::GetMaximumRegions
                | Request::GetStatus
        )
    }

    /// Writes the payload.
    pub fn emit(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self {
            Request::GetFeatures
            | Request::SetOwner
            | Request::ResetOwner
            | Request::GetProtocolFeatures
            | Request::GetQueueCount
            | Request::ResetDevice
            | Request::GetMaximumRegions
            | Request::GetStatus => {}
            Request::SetFeatures(word)
            | Request::SetProtocolFeatures(word)
            | Request::SendRarp(word)
            | Request::SetMtu(word)
            | Request::SetStatus(word) => bytes.extend(word.to_ne_bytes()),
            Request::SetMemoryTable(regions) => {
                bytes.extend((regions.len() as u64).to_ne_bytes());
                for r in regions {
                    emit_region(&mut bytes, r);
                }
            }
            Request::SetRingSize(s)
            | Request::SetRingBase(s)
            | Request::GetRingBase(s)
            | Request::SetRingEnable(s) => bytes.extend(s.emit()),
            Request::SetRingAddresses(a) => {
                bytes.extend(a.index.to_ne_bytes());
                bytes.extend(a.flags.to_ne_bytes());
                for word in [a.descriptors, a.used, a.available, a.log] {
                    bytes.extend(word.to_ne_bytes());
                }
            }
            Request::SetRingKick(e) | Request::SetRingCall(e) | Request::SetRingError(e) => {
                let word = u64::from(e.index) | if e.no_descriptor { NO_DESCRIPTOR } else { 0 };
                bytes.extend(word.to_ne_bytes());
            }
            Request::GetInflight(i) | Request::SetInflight(i) => bytes.extend(i.emit()),
            Request::AddRegion(r) | Request::RemoveRegion(r) => {
                bytes.extend(0u64.to_ne_bytes());
                emit_region(&mut bytes, r);
            }
        }
        bytes
    }
}

fn emit_region(bytes: &mut Vec<u8>, r: &MemoryRegion) {
    for word in [r.guest_address, r.length, r.user_address, r.offset] {
        bytes.extend(word.to_ne_bytes());
    }
}

impl RingState {
    /// Reads an answer.
    pub fn parse(payload: &[u8]) -> Result<Self, Malformed> {
        PayloadReader::state(code::GET_VRING_BASE, payload)
    }

    /// Writes one.
    pub fn emit(&self) -> [u8; 8] {
        let mut bytes = [0; 8];
        bytes[..4].copy_from_slice(&self.index.to_ne_bytes());
        bytes[4..].copy_from_slice(&self.value.to_ne_bytes());
        bytes
    }
}

impl Inflight {
    /// Reads an answer.
    pub fn parse(payload: &[u8]) -> Result<Self, Malformed> {
        PayloadReader::inflight(code::GET_INFLIGHT_FD, payload)
    }

    /// Writes one, padded to its alignment.
    pub fn emit(&self) -> [u8; 24] {
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(&self.size.to_ne_bytes());
        bytes[8..16].copy_from_slice(&self.offset.to_ne_bytes());
        bytes[16..18].copy_from_slice(&self.queues.to_ne_bytes());
        bytes[18..20].copy_from_slice(&self.queue_size.to_ne_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Request> {
        let state = RingState { index: 1, value: 256 };
        let region =
            MemoryRegion { guest_address: 1 << 28, length: 1 << 20, user_address: 1 << 28, offset: 4096 };
        let inflight = Inflight { size: 4096, offset: 0, queues: 2, queue_size: 256 };
        vec![
            Request::GetFeatures,
            Request::SetFeatures(1 << 32),
            Request::SetOwner,
            Request::ResetOwner,
            Request::SetMemoryTable(vec![region; 2]),
            Request::SetRingSize(state),
            Request::SetRingAddresses(RingAddresses {
                index: 1,
                flags: 0,
                descriptors: 2,
                used: 3,
                available: 4,
                log: 0,
            }),
            Request::SetRingBase(state),
            Request::GetRingBase(state),
            Request::SetRingKick(RingEvent { index: 1, no_descriptor: false }),
            Request::SetRingCall(RingEvent { index: 0, no_descriptor: true }),
            Request::SetRingError(RingEvent { index: 0, no_descriptor: false }),
            Request::GetProtocolFeatures,
            Request::SetProtocolFeatures(8),
            Request::GetQueueCount,
            Request::SetRingEnable(state),
            Request::SendRarp(7),
            Request::SetMtu(9000),
            Request::GetInflight(inflight),
            Request::SetInflight(inflight),
            Request::ResetDevice,
            Request::GetMaximumRegions,
            Request::AddRegion(region),
            Request::RemoveRegion(region),
            Request::SetStatus(15),
            Request::GetStatus,
        ]
    }

    #[test]
    fn what_is_emitted_is_parsed() {
        for request in all() {
            let again = Request::parse(request.code(), &request.emit(), request.descriptors());
            assert_eq!(again, Ok(request));
        }
    }

    #[test]
    fn a_wrong_length_is_refused() {
        for request in all() {
            let mut payload = request.emit();
            payload.push(0);
            assert!(Request::parse(request.code(), &payload, request.descriptors()).is_err(), "{request:?}");
        }
    }

    #[test]
    fn a_wrong_number_of_descriptors_is_refused() {
        for request in all() {
            let wrong = request.descriptors() + 2;
            assert!(Request::parse(request.code(), &request.emit(), wrong).is_err(), "{request:?}");
        }
    }

    #[test]
    fn a_whole_memory_table_may_be_filled_in_part() {
        let mut payload = Request::SetMemoryTable(vec![MemoryRegion::default()]).emit();
        payload.resize(8 + 32 * REGIONS_MAXIMUM, 0);
        let request = Request::parse(5, &payload, 1);
        assert_eq!(request, Ok(Request::SetMemoryTable(vec![MemoryRegion::default()])));
    }

    #[test]
    fn another_version_is_refused() {
        let bytes = MessageHeader { code: 1, flags: 2, length: 0 }.emit();
        assert_eq!(MessageHeader::parse(&bytes), Err(Malformed::Version(2)));
    }
}
