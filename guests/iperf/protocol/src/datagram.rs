//! Datagrams: their header, and what a receiver learns of loss, order and jitter.

/// By which a client says that it is there, in its own byte order; iperf3 is at home on little endian.
pub const CONNECT: [u8; 4] = *b"9876";
/// The server's answer.
pub const CONNECTED: [u8; 4] = *b"6789";
/// [`CONNECT`] and [`CONNECTED`] of iperf3 before 3.10: 123456789 and 987654321.
pub const CONNECT_OLD: [u8; 4] = 123_456_789u32.to_le_bytes();
/// See [`CONNECT_OLD`].
pub const CONNECTED_OLD: [u8; 4] = 987_654_321u32.to_le_bytes();

/// Ahead of a datagram's payload: when it was sent, and its number from 1 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Seconds on the sender's clock.
    pub seconds: u32,
    /// Microseconds.
    pub micros: u32,
    /// Number.
    pub number: u64,
}

/// Length of a header whose number has 64 bits, or 32.
pub const fn header_bytes(counters_64bit: bool) -> usize {
    if counters_64bit { 16 } else { 12 }
}

impl Header {
    /// Reads one.
    pub fn parse(bytes: &[u8], counters_64bit: bool) -> Option<Self> {
        let word = |at: usize| Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?));
        let number = if counters_64bit {
            u64::from_be_bytes(*bytes.get(8..)?.first_chunk()?)
        } else {
            word(8)?.into()
        };
        Some(Self { seconds: word(0)?, micros: word(4)?, number })
    }

    /// Writes one to the beginning of a datagram that has room for it.
    pub fn emit(&self, to: &mut [u8], counters_64bit: bool) {
        to[..4].copy_from_slice(&self.seconds.to_be_bytes());
        to[4..8].copy_from_slice(&self.micros.to_be_bytes());
        if counters_64bit {
            to[8..16].copy_from_slice(&self.number.to_be_bytes());
        } else {
            to[8..12].copy_from_slice(&(self.number as u32).to_be_bytes());
        }
    }
}

/// What a receiver has seen of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Arrivals {
    /// Highest number: so many were sent.
    pub highest: u64,
    /// Missing so far.
    pub lost: i64,
    /// Came after one with a higher number.
    pub late: u64,
    /// Interarrival jitter as in RFC 1889 section 6.3.1, seconds.
    pub jitter: f64,
    transit: Option<f64>,
}

impl Arrivals {
    /// A datagram has come at a time on the receiver's clock, seconds.
    pub fn record_arrival(&mut self, header: &Header, now: f64) {
        if header.number > self.highest {
            self.lost = self.lost.saturating_add_unsigned(header.number - self.highest - 1);
            self.highest = header.number;
        } else {
            // It was counted as lost when its successor came.
            self.late += 1;
            self.lost = (self.lost - 1).max(0);
        }
        let transit = now - (f64::from(header.seconds) + f64::from(header.micros) * 1e-6);
        if let Some(before) = self.transit.replace(transit) {
            self.jitter += ((transit - before).abs() - self.jitter) / 16.0;
        }
    }

    /// What came since `earlier`, with the jitter of now.
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            highest: self.highest - earlier.highest,
            lost: self.lost - earlier.lost,
            late: self.late - earlier.late,
            ..*self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn header(number: u64) -> Header {
        Header { seconds: 7, micros: number as u32 * 1000, number }
    }

    #[test]
    fn headers_of_both_widths_round_trip() {
        for counters_64bit in [false, true] {
            let mut bytes = vec![0; header_bytes(counters_64bit)];
            header(5).emit(&mut bytes, counters_64bit);
            assert_eq!(Header::parse(&bytes, counters_64bit), Some(header(5)));
            assert_eq!(Header::parse(&bytes[..bytes.len() - 1], counters_64bit), None);
        }
    }

    #[test]
    fn loss_and_order_are_counted() {
        let mut arrivals = Arrivals::default();
        for number in [1, 2, 5, 4, 7] {
            arrivals.record_arrival(&header(number), 7.0);
        }
        assert_eq!((arrivals.highest, arrivals.lost, arrivals.late), (7, 2, 1));
    }

    #[test]
    fn even_arrivals_have_no_jitter_and_uneven_ones_have() {
        let (mut even, mut uneven) = (Arrivals::default(), Arrivals::default());
        for number in 1..100u32 {
            let sent = 7.0 + f64::from(number) * 1e-3;
            even.record_arrival(&header(number.into()), sent + 0.5);
            uneven.record_arrival(&header(number.into()), sent + 0.5 + f64::from(number % 2) * 1e-3);
        }
        assert!(even.jitter < 1e-9, "{even:?}");
        assert!((uneven.jitter - 1e-3).abs() < 1e-4, "{uneven:?}");
    }

    #[test]
    fn a_hostile_number_does_not_overflow() {
        let mut arrivals = Arrivals::default();
        for number in [0, u64::MAX, 0, 1, u64::MAX] {
            arrivals.record_arrival(&Header { seconds: u32::MAX, micros: u32::MAX, number }, 0.0);
        }
        assert!(arrivals.lost >= 0);
    }
}
