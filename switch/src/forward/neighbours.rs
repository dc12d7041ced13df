//! Answers to ARP requests and neighbour solicitations for assigned addresses, so that no guest need be woken for them.

use super::fdb::SegmentId;
use super::tables::Tables;
use crate::headers::arp::Arp;
use crate::headers::ndp::Solicitation;
use crate::headers::{ETHERTYPE_ARP, ETHERTYPE_IPV6, Mac};
use std::net::IpAddr;

/// A question about an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// ARP.
    Arp(Arp),
    /// Neighbour discovery.
    Neighbour(Solicitation),
}

impl Question {
    /// Reads one from a frame to a group address, if it is one that somebody else can answer: not one that announces
    /// the asker's own address.
    pub fn parse(head: &[u8], ethertype: u16) -> Option<Self> {
        match ethertype {
            ETHERTYPE_ARP => {
                Arp::parse(head).filter(|a| a.request && a.sender.1 != a.target.1).map(Question::Arp)
            }
            ETHERTYPE_IPV6 => Solicitation::parse(head).map(Question::Neighbour),
            _ => None,
        }
    }

    /// The address that is asked for.
    pub fn target(&self) -> IpAddr {
        match self {
            Question::Arp(a) => a.target.1.into(),
            Question::Neighbour(s) => s.target.into(),
        }
    }

    /// The answer, as a frame.
    pub fn answer(&self, mac: Mac) -> Vec<u8> {
        match self {
            Question::Arp(a) => a.answer(mac).emit(mac, a.sender.0).to_vec(),
            Question::Neighbour(s) => s.answer(mac).to_vec(),
        }
    }

    /// Who asks.
    fn asker(&self) -> Mac {
        match self {
            Question::Arp(a) => a.sender.0,
            Question::Neighbour(s) => s.mac,
        }
    }

    /// Who has the address that is asked for, if that is somebody else.
    pub fn owner(&self, tables: &Tables, segment: SegmentId) -> Option<Mac> {
        let mac = tables.neighbour(segment, self.target())?;
        (mac != self.asker()).then_some(mac)
    }
}
