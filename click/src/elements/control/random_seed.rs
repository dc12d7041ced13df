use crate::args::Args;
use crate::element::{Context, Element, write};
use crate::handlers::parse;
use alloc::string::String;

crate::element! {
    /// Makes random numbers the same in every run, or different.
    ///
    /// # Arguments
    /// `SEED`: where the sequence of numbers begins; without it, somewhere that nobody can guess.
    ///
    /// # Handlers
    /// `seed`: begins anew from there.
    RandomSeed "0/0" "a/a"
    keywords ["SEED"]
    handlers [write("seed")]
    { seed: Option<u64> }
}

impl RandomSeed {
    fn new(args: &mut Args<'_>) -> Self {
        Self { seed: args.next("SEED") }
    }
}

impl Element for RandomSeed {
    // Before those that draw numbers.
    fn phase(&self) -> i32 {
        -1
    }

    fn initialize(&mut self, cx: &mut Context<'_>) -> Result<(), String> {
        let seed = self.seed.unwrap_or_else(|| cx.host.random_seed());
        cx.seed(seed);
        Ok(())
    }

    fn write(&mut self, cx: &mut Context<'_>, _: &str, value: &str) -> Result<(), String> {
        let seed = parse(cx, value)?;
        cx.seed(seed);
        Ok(())
    }
}
