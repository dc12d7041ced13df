//! TCP (RFC 9293) with window scaling and time stamps (RFC 7323), selective acknowledgements (RFC 2018, RFC 2883), losses
//! found by RACK and tail probes (RFC 8985), CUBIC (RFC 9438), and resets and SYNs as RFC 5961 wants them.
//!
//! A segment goes from the device through [`frame`] to [`connections`], which finds its [`connection`]; [`input`] takes it
//! in: data goes to [`receive`], acknowledgements to [`sender`]. [`output`] sends, from [`send`], what [`sender`] chooses by
//! its [`scoreboard`], [`rack`], [`cubic`] and [`rtt`]. Nothing here knows of sockets, wakes the device or allocates what it
//! could not do without: memory that is not there is a segment lost.

pub mod connection;
pub mod connections;
mod cubic;
pub(super) mod frame;
mod index;
mod input;
pub mod output;
mod rack;
mod receive;
mod ring;
mod rtt;
mod scoreboard;
pub mod segment;
mod send;
mod sender;
pub mod seq;
#[cfg(test)]
mod tests;
mod time_wait;
mod timers;
