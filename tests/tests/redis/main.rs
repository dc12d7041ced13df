//! Redis as a guest, tried with what others wrote: redis-server, redis-cli, redis-benchmark, clients in two languages.

mod differential;
mod host;
mod hostile;
mod load;
mod memory;
mod scenarios;
mod tools;
