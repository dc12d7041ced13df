//! RESP2 and RESP3 on the wire: requests are found in the bytes as they arrive ([`parse`]), replies are written as the
//! client's version of the protocol has them ([`reply`]).

pub(crate) mod parse;
pub(crate) mod reply;
