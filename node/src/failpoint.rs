//! Places where a test has the daemon die: between what is written to the store and what is done. Without the feature
//! `failpoints`, which only tests build with, there is nothing of them in the program.

/// Dies here if the environment variable `FAILPOINTS` says `name=return` (see the crate `fail`): at once, as if killed.
#[cfg(feature = "failpoints")]
pub fn reach(name: &'static str) {
    fail::eval(name, |_| std::process::abort());
}

/// Nothing: this program has no failpoints.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn reach(_name: &'static str) {}

/// Reads which failpoints are set, before anything is begun.
#[cfg(feature = "failpoints")]
pub fn set_up() {
    // They stay set for as long as the process lives.
    std::mem::forget(fail::FailScenario::setup());
}

/// Nothing: this program has no failpoints.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn set_up() {}
