//! Tests that measure, or that load the host: they take turns (`e2e::turns`).

mod first_connection;
mod iperf;
mod netpipe;
mod soak;
mod tcp;
mod tcp_loss;
