//! Threads of our own, which no signal is delivered to: the program's handlers, and those who wait
//! for a signal with `sigtimedwait`, expect the program's own threads. A thread inherits the mask
//! of the one that starts it.

use std::{io, thread};

use nix::sys::signal::{SigSet, SigmaskHow};

/// Starts a thread that takes no signals.
///
/// # Errors
/// If the operating system gives none.
pub(crate) fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    without_signals(|| thread::Builder::new().name(name.to_owned()).spawn(work).map(drop))?
}

/// Blocks all signals for this thread while `start` runs, so that the threads that it starts take
/// none.
///
/// # Errors
/// If they cannot be blocked; then `start` does not run.
pub(crate) fn without_signals<T>(start: impl FnOnce() -> T) -> io::Result<T> {
    /// Puts the mask back, also when `start` panics.
    struct Before(SigSet);
    impl Drop for Before {
        fn drop(&mut self) {
            // It was valid a moment ago.
            let _ = self.0.thread_set_mask();
        }
    }
    let _before = Before(SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?);
    Ok(start())
}
