use crate::args::Args;
use crate::element::Element;

crate::element! {
    /// Passes packets on as they are: all buffers can be sent by every device.
    ///
    /// # Arguments
    /// `EXTRA_HEADROOM`, `FAIL`, `FORCE_COPY`, `LOCK`, and others without a name, are accepted.
    EnsureDPDKBuffer "1/1" "a/a"
    keywords ["EXTRA_HEADROOM", "FAIL", "FORCE_COPY", "LOCK"]
    {}
}

impl EnsureDPDKBuffer {
    fn new(args: &mut Args<'_>) -> Self {
        args.rest();
        for name in ["EXTRA_HEADROOM", "FAIL", "FORCE_COPY", "LOCK"] {
            args.ignored(name);
        }
        Self {}
    }
}

impl Element for EnsureDPDKBuffer {}
