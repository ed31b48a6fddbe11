//! A process of its own for the conformance suite, on the backend of `examples/backend.rs` in the
//! file of the first argument.

#[expect(dead_code, reason = "the example's own program is not run here")]
#[path = "../../../crates/larder/examples/backend.rs"]
mod journal;

use std::sync::Arc;

fn main() -> std::io::Result<()> {
    let mut args = std::env::args().skip(1);
    let backend = journal::Journal::open(args.next().unwrap_or_default().as_ref())?;
    larder_testkit::conformance::peer(Arc::new(backend), args)
}
