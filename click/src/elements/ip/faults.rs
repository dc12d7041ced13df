use crate::args::Args;
use crate::element::Context;
use crate::packet::{Batch, Packet};
use alloc::format;
use alloc::string::{String, ToString};

/// What stands in front of what an element says of a packet.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Label {
    /// Its name.
    Name,
    /// Its name and its class.
    Declaration,
    /// Nothing.
    None,
}

/// What elements that check packets have in common: reasons, how often each was found, and where bad packets go.
pub(crate) struct Faults<const N: usize> {
    /// Whose header it is.
    header: &'static str,
    label: Label,
    reasons: [&'static str; N],
    counts: [u64; N],
    verbose: bool,
}

impl<const N: usize> Faults<N> {
    /// With the arguments `VERBOSE` and `DETAILS`. `header`: whose header it is.
    pub(crate) fn new(
        args: &mut Args<'_>,
        header: &'static str,
        label: Label,
        reasons: [&'static str; N],
    ) -> Self {
        let _counted_anyway = args.key::<bool>("DETAILS");
        Self { header, label, reasons, counts: [0; N], verbose: args.key("VERBOSE").unwrap_or(false) }
    }

    /// Keeps good packets; bad ones go out of output 1.
    #[inline]
    pub(crate) fn sift(
        &mut self,
        cx: &mut Context<'_>,
        batch: &mut Batch,
        mut check: impl FnMut(&mut Packet) -> Result<(), usize>,
    ) {
        let mut bad = Batch::new();
        batch.retain_or_else(
            |packet| match check(packet) {
                Ok(()) => true,
                Err(reason) => {
                    if self.verbose || self.counts == [0; N] {
                        let name = match self.label {
                            Label::Name => format!("{}: ", cx.name()),
                            Label::Declaration => format!("{}: ", cx.declaration()),
                            Label::None => String::new(),
                        };
                        let (header, reason) = (self.header, self.reasons[reason]);
                        cx.print(&format!("{name}{header} header check failed: {reason}"));
                    }
                    self.counts[reason] += 1;
                    false
                }
            },
            |packet| bad.push(packet),
        );
        cx.output(1, bad);
    }

    /// `drops`, or `drop_details`.
    pub(crate) fn read(&self, handler: &str) -> String {
        if handler == "drops" {
            return self.counts.iter().sum::<u64>().to_string();
        }
        self.reasons.iter().zip(self.counts).map(|(reason, n)| format!("{n}\t{reason}\n")).collect()
    }

    pub(crate) fn reset(&mut self) {
        self.counts = [0; N];
    }
}
