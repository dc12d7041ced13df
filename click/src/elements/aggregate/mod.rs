//! The aggregate annotation: a number for what a packet belongs to, such as its flow, an address or a length; who sets it,
//! and who counts, chooses and keeps packets by it. Some that are for traces exist on a host only.

mod aggregate_counter;
mod aggregate_filter;
mod aggregate_first;
mod aggregate_ip;
#[cfg(feature = "host")]
mod aggregate_ip_addr_pair;
mod aggregate_ip_flows;
mod aggregate_last;
mod aggregate_length;
#[cfg(feature = "host")]
mod aggregate_packet_counter;
mod aggregate_paint;
mod field;
mod fragments;
mod notifier;

pub use aggregate_counter::AggregateCounter;
pub use aggregate_filter::AggregateFilter;
pub use aggregate_first::AggregateFirst;
pub use aggregate_ip::AggregateIP;
#[cfg(feature = "host")]
pub use aggregate_ip_addr_pair::AggregateIPAddrPair;
pub use aggregate_ip_flows::AggregateIPFlows;
pub use aggregate_last::AggregateLast;
pub use aggregate_length::AggregateLength;
#[cfg(feature = "host")]
pub use aggregate_packet_counter::AggregatePacketCounter;
pub use aggregate_paint::AggregatePaint;
