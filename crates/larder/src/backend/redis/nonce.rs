//! Numbers that are drawn once.

use crate::clock::boottime;

/// A random number from the operating system, so that forked processes draw different ones.
pub(super) fn random() -> u128 {
    let mut bytes = [0; 16];
    if getrandom::fill(&mut bytes).is_err() {
        // Linux has had the call since 3.17 and it cannot fail there. Should it fail elsewhere, the clock and the
        // process are still not drawn twice.
        let time = boottime().as_nanos();
        return (u128::from(rustix::process::getpid().as_raw_nonzero().get().unsigned_abs()) << 96) ^ time;
    }
    u128::from_be_bytes(bytes)
}
