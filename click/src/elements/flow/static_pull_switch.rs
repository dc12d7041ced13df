use crate::args::Args;
use crate::element::{Context, Element};
use crate::packet::Batch;

crate::element! {
    /// Pulls from one of its inputs, for good.
    ///
    /// # Arguments
    /// `INPUT`: the input; negative: nothing is pulled.
    StaticPullSwitch "-/1" "l/l"
    keywords ["INPUT"]
    { input: i32 }
}

impl StaticPullSwitch {
    fn new(args: &mut Args<'_>) -> Self {
        Self { input: super::input(args, &["INPUT"]) }
    }
}

impl Element for StaticPullSwitch {
    fn owns_pull(&self) -> bool {
        true
    }

    fn pull(&mut self, cx: &mut Context<'_>, _: usize, most: usize) -> Batch {
        usize::try_from(self.input).map_or(Batch::new(), |input| cx.pull(input, most))
    }
}
