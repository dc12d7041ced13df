//! Click in guests, with real hosts before and behind them.

mod clickos;
mod dialect;
mod examples;
mod function;
