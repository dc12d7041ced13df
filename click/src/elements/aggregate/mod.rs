//! The aggregate annotation: a number for what a packet belongs to, such as its flow, an address or a length; who sets it,
//! and who counts, chooses and keeps packets by it. Some that are for traces exist on a host only.

mod aggregate_counter;
mod aggregate_filter;
#[cfg(feature = "host")]
mod aggregate_first;
mod aggregate_ip;
#[cfg(feature = "host")]
mod aggregate_ip_addr_pair;
#[cfg(feature = "host")]
mod aggregate_ip_flows;
#[cfg(feature = "host")]
mod aggregate_last;
mod aggregate_length;
#[cfg(feature = "host")]
mod aggregate_packet_counter;
mod aggregate_paint;
mod field;
#[cfg(feature = "host")]
mod fragments;
#[cfg(feature = "host")]
mod notifier;
#[cfg(feature = "host")]
mod seeded;

pub use aggregate_counter::AggregateCounter;
pub use aggregate_filter::AggregateFilter;
#[cfg(feature = "host")]
pub use aggregate_first::AggregateFirst;
pub use aggregate_ip::AggregateIP;
#[cfg(feature = "host")]
pub use aggregate_ip_addr_pair::AggregateIPAddrPair;
#[cfg(feature = "host")]
pub use aggregate_ip_flows::AggregateIPFlows;
#[cfg(feature = "host")]
pub use aggregate_last::AggregateLast;
pub use aggregate_length::AggregateLength;
#[cfg(feature = "host")]
pub use aggregate_packet_counter::AggregatePacketCounter;
pub use aggregate_paint::AggregatePaint;
