//! States of a test, named on the control connection by one byte, and the numbers by which a server refuses.

/// A state, or an event that ends a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub enum State {
    /// The streams are there, a test starts.
    TestStart = 1,
    /// Data flows.
    TestRunning = 2,
    /// Client: enough.
    TestEnd = 4,
    /// Server: send the parameters.
    ParameterExchange = 9,
    /// Server: open the streams.
    CreateStreams = 10,
    /// The server stops in the middle.
    ServerTerminate = 11,
    /// The client stops in the middle.
    ClientTerminate = 12,
    /// Server: send your results, and get mine.
    ExchangeResults = 13,
    /// Server: that was all.
    DisplayResults = 14,
    /// Client: goodbye.
    Done = 16,
    /// Server: another test is running.
    AccessDenied = -1,
    /// Server: no; two words follow, a [`Refusal`] and a system's error number.
    ServerError = -2,
}

impl State {
    /// The state that a byte names.
    pub fn from_byte(byte: u8) -> Option<Self> {
        use State::*;
        let all = [
            TestStart,
            TestRunning,
            TestEnd,
            ParameterExchange,
            CreateStreams,
            ServerTerminate,
            ClientTerminate,
            ExchangeResults,
            DisplayResults,
            Done,
            AccessDenied,
            ServerError,
        ];
        all.into_iter().find(|&state| state.byte() == byte)
    }

    /// The byte that names it.
    pub fn byte(self) -> u8 {
        self as i8 as u8
    }
}

/// Why a server refuses, by iperf3's error numbers: the client prints the text that belongs to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Refusal {
    /// Too many streams.
    Streams = 6,
    /// The block is too large, or empty.
    Block = 7,
    /// Not implemented here.
    Unimplemented = 13,
    /// No SCTP.
    NoSctp = 18,
    /// A datagram that is too long for the link or too short for its header.
    Datagram = 20,
    /// The parameters could not be read.
    Parameters = 114,
    /// The results could not be read.
    Results = 117,
    /// The segment size cannot be chosen.
    SegmentSize = 123,
    /// The type of service cannot be chosen.
    TypeOfService = 125,
    /// The flow label cannot be chosen.
    FlowLabel = 127,
    /// The congestion control cannot be chosen.
    Congestion = 134,
    /// The kernel's pacing cannot be chosen: there is no kernel.
    Pacing = 140,
    /// The streams did not come.
    StreamAccept = 204,
}

impl Refusal {
    /// The refusal as it follows [`State::ServerError`].
    pub fn bytes(self) -> [u8; 8] {
        let mut bytes = [0; 8];
        bytes[..4].copy_from_slice(&(self as u32).to_be_bytes());
        bytes
    }

    /// What it means.
    pub fn text(self) -> &'static str {
        match self {
            Self::Streams => "too many parallel streams",
            Self::Block => "the block is too large or empty",
            Self::Unimplemented => "not implemented here",
            Self::NoSctp => "no SCTP",
            Self::Datagram => "the datagrams do not fit the link",
            Self::Parameters => "the parameters cannot be read",
            Self::Results => "the results cannot be read",
            Self::SegmentSize => "the segment size cannot be chosen",
            Self::TypeOfService => "the type of service cannot be chosen",
            Self::FlowLabel => "the flow label cannot be chosen",
            Self::Congestion => "the congestion control cannot be chosen",
            Self::Pacing => "the kernel's pacing cannot be chosen",
            Self::StreamAccept => "the streams did not come",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_have_the_bytes_of_iperf3() {
        assert_eq!(State::from_byte(9), Some(State::ParameterExchange));
        assert_eq!(State::from_byte(0xff), Some(State::AccessDenied));
        assert_eq!(State::from_byte(0xfe), Some(State::ServerError));
        assert_eq!(State::from_byte(3), None);
    }
}
