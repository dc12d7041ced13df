//! Messages of DHCP (RFC 2131, options of RFC 2132).

use crate::headers::four;
use alloc::vec::Vec;

/// Port of servers and relays.
pub(super) const SERVER: u16 = 67;
/// Port of clients.
pub(super) const CLIENT: u16 = 68;
/// Bytes in front of the options.
const FIXED: usize = 240;
/// Shortest message that every client takes (RFC 1542, section 2.1).
const SHORTEST: usize = 300;
const COOKIE: [u8; 4] = [99, 130, 83, 99];
/// Longest option of a relay that is sent back.
const RELAY_LONGEST: usize = 255;

pub(super) const DISCOVER: u8 = 1;
pub(super) const OFFER: u8 = 2;
pub(super) const REQUEST: u8 = 3;
pub(super) const DECLINE: u8 = 4;
pub(super) const ACK: u8 = 5;
pub(super) const NAK: u8 = 6;
pub(super) const RELEASE: u8 = 7;
pub(super) const INFORM: u8 = 8;

/// What a client says.
pub(super) struct Request<'a> {
    /// Which message it is.
    pub kind: u8,
    /// The client's Ethernet address.
    pub client: [u8; 6],
    /// Its address, if it has one already.
    pub current: Option<[u8; 4]>,
    /// The relay that sent this here.
    pub relay: Option<[u8; 4]>,
    /// It wants broadcasts.
    pub broadcast: bool,
    /// The address that it asks for.
    pub requested: Option<[u8; 4]>,
    /// The server that it chose.
    pub server: Option<[u8; 4]>,
    /// What the relay wants back (RFC 3046).
    agent: Option<&'a [u8]>,
    fixed: &'a [u8],
}

/// Options by number, until their end or something that is none.
fn options(mut bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    core::iter::from_fn(move || {
        loop {
            match *bytes {
                [0, ref rest @ ..] => bytes = rest,
                [255, ..] => return None,
                [code, length, ref rest @ ..] if rest.len() >= usize::from(length) => {
                    let (value, rest) = rest.split_at(length.into());
                    bytes = rest;
                    return Some((code, value));
                }
                _ => return None,
            }
        }
    })
}

impl<'a> Request<'a> {
    /// Reads a message to a server from a host with an Ethernet address.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let (fixed, rest) = bytes.split_at_checked(FIXED)?;
        // BOOTREQUEST, Ethernet, addresses of six bytes.
        if fixed[..3] != [1, 1, 6] || fixed[236..] != COOKIE {
            return None;
        }
        let set = |address: [u8; 4]| Some(address).filter(|a| *a != [0; 4]);
        let mut request = Self {
            kind: 0,
            client: core::array::from_fn(|i| fixed[28 + i]),
            current: four(fixed, 12).and_then(set),
            relay: four(fixed, 24).and_then(set),
            broadcast: fixed[10] & 0x80 != 0,
            requested: None,
            server: None,
            agent: None,
            fixed,
        };
        for (code, value) in options(rest) {
            match (code, value) {
                (50, _) => request.requested = four(value, 0).and_then(set),
                (53, &[kind]) => request.kind = kind,
                (54, _) => request.server = four(value, 0),
                (82, _) if value.len() <= RELAY_LONGEST => request.agent = Some(value),
                _ => {}
            }
        }
        (request.kind != 0).then_some(request)
    }

    /// The answer, with an address for the client and with options.
    pub(super) fn answer(
        &self,
        kind: u8,
        address: [u8; 4],
        server: [u8; 4],
        more: &[(u8, &[u8])],
    ) -> Vec<u8> {
        let mut bytes = self.fixed.to_vec();
        (bytes[0], bytes[3]) = (2, 0);
        bytes[8..10].fill(0);
        if kind == NAK {
            bytes[12..16].fill(0);
        }
        bytes[16..20].copy_from_slice(&address);
        bytes[20..24].fill(0);
        // Names of servers and files.
        bytes[44..236].fill(0);
        let mut add = |code: u8, value: &[u8]| {
            bytes.extend([code, value.len() as u8]);
            bytes.extend(value);
        };
        add(53, &[kind]);
        add(54, &server);
        for (code, value) in more.iter().filter(|(_, value)| !value.is_empty() && value.len() < 256) {
            add(*code, value);
        }
        if let Some(agent) = self.agent {
            add(82, agent);
        }
        bytes.push(255);
        bytes.resize(bytes.len().max(SHORTEST), 0);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn options_are_read_and_their_end_is_kept() {
        let mut bytes = alloc::vec![0; FIXED];
        bytes[..3].copy_from_slice(&[1, 1, 6]);
        bytes[28..34].copy_from_slice(&[2, 0, 0, 0, 0, 9]);
        bytes[236..].copy_from_slice(&COOKIE);
        bytes.extend([0, 53, 1, REQUEST, 50, 4, 10, 0, 0, 7, 82, 2, 1, 0, 255, 54, 4, 1, 1, 1, 1]);
        let request = Request::read(&bytes).unwrap();
        assert_eq!((request.kind, request.requested, request.server), (REQUEST, Some([10, 0, 0, 7]), None));
        let answer = request.answer(ACK, [10, 0, 0, 7], [10, 0, 0, 1], &[(3, &[]), (1, &[255, 0, 0, 0])]);
        assert_eq!(answer.len(), SHORTEST);
        let all: Vec<_> = options(&answer[FIXED..]).map(|(code, value)| (code, value.to_vec())).collect();
        let expected: [(u8, &[u8]); 4] =
            [(53, &[ACK]), (54, &[10, 0, 0, 1]), (1, &[255, 0, 0, 0]), (82, &[1, 0])];
        assert_eq!(all, expected.map(|(code, value)| (code, value.to_vec())));
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_or_not(mut bytes in proptest::collection::vec(any::<u8>(), 0..400), cut in 0usize..8) {
            if bytes.len() >= FIXED {
                bytes[..3].copy_from_slice(&[1, 1, 6]);
                bytes[236..240].copy_from_slice(&COOKIE);
            }
            let end = bytes.len().saturating_sub(cut);
            if let Some(request) = Request::read(&bytes[..end]) {
                let answer = request.answer(OFFER, [1; 4], [2; 4], &[]);
                prop_assert!(answer.len() >= SHORTEST && answer.len() < 600 && answer.contains(&255));
            }
        }
    }
}
