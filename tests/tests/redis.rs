//! Redis as a guest, tried with what others wrote: redis-server, redis-cli, redis-benchmark, clients in two languages.

#[path = "redis/differential.rs"]
mod differential;
#[path = "redis/host.rs"]
mod host;
#[path = "redis/hostile.rs"]
mod hostile;
#[path = "redis/load.rs"]
mod load;
#[path = "redis/memory.rs"]
mod memory;
#[path = "redis/scenarios.rs"]
mod scenarios;
#[path = "redis/tools.rs"]
mod tools;
