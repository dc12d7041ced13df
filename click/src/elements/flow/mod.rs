//! What holds packets, chooses where they go, and when.

mod bandwidth_rated_splitter;
mod bandwidth_rated_unqueue;
mod bandwidth_shaper;
mod block;
mod burster;
mod bypass;
mod codel;
mod delay_shaper;
mod delay_unqueue;
mod discard;
mod drr_sched;
mod ensure_dpdk_buffer;
mod front_drop_queue;
mod hash_switch;
mod hub;
mod idle;
mod input_switch;
mod link_unqueue;
mod meter;
mod mixed_queue;
mod null;
mod paint_switch;
mod prio_sched;
mod pull_switch;
mod pull_tee;
mod queue;
mod random_sample;
mod random_switch;
mod rated_splitter;
mod rated_unqueue;
mod red;
mod replay_unqueue;
mod round_robin_sched;
mod round_robin_switch;
mod round_robin_unqueue;
mod shaper;
mod simple_queue;
mod static_pull_switch;
mod static_switch;
mod stride_sched;
mod stride_switch;
mod suppressor;
mod switch;
mod tee;
mod time_sorted_sched;
mod timed_sink;
mod timed_unqueue;
mod unqueue;

pub use bandwidth_rated_splitter::BandwidthRatedSplitter;
pub use bandwidth_rated_unqueue::BandwidthRatedUnqueue;
pub use bandwidth_shaper::BandwidthShaper;
pub use block::Block;
pub use burster::Burster;
pub use bypass::Bypass;
pub use codel::CoDel;
pub use delay_shaper::DelayShaper;
pub use delay_unqueue::DelayUnqueue;
pub use discard::Discard;
pub use drr_sched::DRRSched;
pub use ensure_dpdk_buffer::EnsureDPDKBuffer;
pub use front_drop_queue::FrontDropQueue;
pub use hash_switch::HashSwitch;
pub use hub::Hub;
pub use idle::Idle;
pub use input_switch::InputSwitch;
pub use link_unqueue::LinkUnqueue;
pub use meter::{BandwidthMeter, Meter};
pub use mixed_queue::MixedQueue;
pub use null::Null;
pub use paint_switch::PaintSwitch;
pub use prio_sched::PrioSched;
pub use pull_switch::PullSwitch;
pub use pull_tee::PullTee;
pub use queue::Queue;
pub(crate) use queue::{queue_downstream, room_downstream};
pub use random_sample::RandomSample;
pub use random_switch::RandomSwitch;
pub use rated_splitter::RatedSplitter;
pub use rated_unqueue::RatedUnqueue;
pub use red::RED;
pub use replay_unqueue::ReplayUnqueue;
pub use round_robin_sched::RoundRobinSched;
pub use round_robin_switch::RoundRobinSwitch;
pub use round_robin_unqueue::RoundRobinUnqueue;
pub use shaper::Shaper;
pub use simple_queue::SimpleQueue;
pub use static_pull_switch::StaticPullSwitch;
pub use static_switch::StaticSwitch;
pub use stride_sched::StrideSched;
pub use stride_switch::StrideSwitch;
pub use suppressor::Suppressor;
pub use switch::Switch;
pub use tee::Tee;
pub use time_sorted_sched::TimeSortedSched;
pub use timed_sink::TimedSink;
pub use timed_unqueue::TimedUnqueue;
pub use unqueue::Unqueue;

use crate::args::{Args, Bandwidth, Time};
use crate::element::{Context, Nanos};
use crate::handlers::parse;
use crate::packet::Batch;
use alloc::format;
use alloc::string::String;

const SECOND: u128 = 1_000_000_000;

/// Tokens that arrive at a rate and can be saved up: packets or bytes that may go now.
pub(crate) struct TokenBucket {
    /// Tokens a second.
    pub(super) rate: u64,
    /// Tokens times nanoseconds in a second; below zero after more was taken than was there.
    level: i128,
    burst: BurstLimit,
    /// Highest level that `rate` and `saved` come to.
    most: i128,
    last_fill: Nanos,
}

/// How much can be saved up.
#[derive(Clone, Copy)]
pub(crate) enum BurstLimit {
    /// What arrives in that time.
    Time(Nanos),
    Tokens(u64),
}

impl BurstLimit {
    /// Highest level of a bucket, one token at least.
    fn most(self, rate: u64) -> i128 {
        let tokens = match self {
            BurstLimit::Time(time) => u128::from(rate) * u128::from(time) / SECOND,
            BurstLimit::Tokens(tokens) => tokens.into(),
        };
        (tokens.max(1) * SECOND) as i128
    }
}

/// What is saved up unless something else is asked for: a fiftieth of a second's.
pub(super) const SAVED: BurstLimit = BurstLimit::Time(20_000_000);

impl TokenBucket {
    /// A full one.
    pub(crate) fn new(rate: u64, saved: BurstLimit) -> Self {
        let most = saved.most(rate);
        Self { rate, level: most, burst: saved, most, last_fill: 0 }
    }

    /// One as its element's arguments describe it: `RATE`, by a reader of its own, `BURST_DURATION`, and tokens under
    /// another keyword.
    fn from_args(args: &mut Args<'_>, rate: u64, tokens: &str) -> Self {
        let saved = match (args.key::<Time>("BURST_DURATION"), args.key::<u64>(tokens)) {
            (None, None) => SAVED,
            (Some(time), None) => BurstLimit::Time(time.0),
            (None, Some(tokens)) => BurstLimit::Tokens(tokens),
            (Some(_), Some(_)) => {
                args.error(format!("cannot specify both BURST_DURATION and {tokens}"));
                SAVED
            }
        };
        Self::new(rate, saved)
    }

    /// A bucket of packets.
    pub(super) fn of_packets(args: &mut Args<'_>) -> Self {
        let rate = args.required("RATE");
        Self::from_args(args, rate, "BURST_SIZE")
    }

    /// A bucket of bytes.
    pub(super) fn of_bytes(args: &mut Args<'_>) -> Self {
        let rate = args.required::<Bandwidth>("RATE").0;
        Self::from_args(args, rate, "BURST_BYTES")
    }

    /// Nothing is saved up any more.
    pub(super) fn reset(&mut self) {
        self.level = self.level.min(SECOND as i128);
    }

    /// From now on: nothing is owed for the time before.
    pub(super) fn start(&mut self, now: Nanos) {
        self.last_fill = now;
    }

    /// Another rate.
    pub(super) fn set(&mut self, rate: u64) {
        (self.rate, self.most) = (rate, self.burst.most(rate));
        self.level = self.level.min(self.most);
    }

    /// Whole tokens that are there now.
    pub(crate) fn fill(&mut self, now: Nanos) -> u64 {
        let passed = now.saturating_sub(self.last_fill);
        self.last_fill = now;
        self.level = (self.level + i128::from(passed) * i128::from(self.rate)).min(self.most);
        u64::try_from(self.level / SECOND as i128).unwrap_or(0)
    }

    /// Takes tokens, whether they are there or not.
    pub(crate) fn take(&mut self, tokens: u64) {
        self.level -= i128::from(tokens) * SECOND as i128;
    }

    /// When it can be looked at for the next token, the moment after it is whole; `None`: never.
    pub(super) fn next(&self) -> Option<Nanos> {
        Some(self.next_token_at()?.saturating_add(1))
    }

    /// When the next token is whole; `None`: never.
    pub(crate) fn next_token_at(&self) -> Option<Nanos> {
        let missing = (SECOND as i128 - self.level).max(0);
        let wait = (missing as u128).div_ceil(u128::from(self.rate).max(1));
        (self.rate > 0).then(|| self.last_fill.saturating_add(wait.try_into().unwrap_or(Nanos::MAX)))
    }
}

/// Refuses another number of outputs than the argument `N` announces.
fn check_outputs(args: &mut Args<'_>) {
    let outputs = args.outputs;
    if let Some(n) = args.next::<usize>("N")
        && n != outputs
    {
        args.error(format!("{n} outputs were announced, and {outputs} are used"));
    }
}

/// The argument `INPUT`: an input, or negative for none.
fn input(args: &mut Args<'_>, names: &[&str]) -> i32 {
    let input = args.either(names).unwrap_or(0);
    if input >= args.inputs as i32 {
        args.error(format!("INPUT: input {input} does not exist ({} are connected)", args.inputs));
    }
    input
}

/// The same written to a handler.
fn new_input(cx: &Context<'_>, value: &str) -> Result<i32, String> {
    let input: i32 = parse(cx, value)?;
    if input >= cx.inputs() as i32 { Err(format!("input {input} does not exist")) } else { Ok(input) }
}

/// Pulls packets whose timestamp is `delay` old, with the next one in `held` until then; sets the timer.
fn pull_late(cx: &mut Context<'_>, held: &mut Batch, delay: Nanos, most: usize) -> Batch {
    let wall = cx.host.wall_clock();
    let mut batch = Batch::new();
    while batch.len() < most {
        if held.is_empty() {
            *held = cx.pull(0, 1);
            held.each(|packet| {
                // A time in the future would be waited for too long; one within the first second of 1970 is none.
                if packet.timestamp() < 1_000_000_000 || packet.timestamp() > wall {
                    packet.set_timestamp(wall);
                }
            });
        }
        let Some(first) = held.first() else { break };
        let due = first.timestamp().saturating_add(delay);
        if due > wall {
            cx.wake_at(cx.now().saturating_add(due - wall));
            break;
        }
        batch.append(core::mem::take(held));
    }
    batch
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_rate_on_average() {
        let mut bucket = TokenBucket::new(333, BurstLimit::Tokens(10));
        let (mut now, mut given) = (0, 0);
        while now < 30_000_000_000 {
            let n = bucket.fill(now);
            bucket.take(n);
            given += n;
            now = bucket.next().unwrap();
        }
        assert!((9990..=10_010).contains(&given), "{given}");
    }
}
