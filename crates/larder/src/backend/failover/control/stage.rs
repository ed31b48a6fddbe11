//! Who serves: the one entry of the control log that says so.

use std::time::Duration;

use super::super::rules::{Lease, Mode};
use crate::bytes::Reader;
use crate::clock::Millis;

/// How old a reading may be while nobody serves, because the fallback is being entered.
const ENTERING: Lease = Lease::new(Duration::from_millis(100));

/// Numbers in a stage.
const NUMBERS: usize = 4;
/// What stands behind them in the stage of a primary that grants no locks yet.
const NOT_READY: u8 = 1;

/// Who serves, since when, and in which epoch of the fallback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Stage {
    pub(in super::super) tier: Mode,
    /// Whether its locks forgot what they knew (R23). The fallback does that when every node knows
    /// of it, or has no lease any more (R9), and does not serve before; the primary serves, but for
    /// locks.
    pub(in super::super) ready: bool,
    pub(in super::super) epoch: u64,
    /// When it began, in milliseconds since 1970.
    pub(in super::super) since: Millis,
    /// The last two times that the fallback was entered, the newest first.
    pub(in super::super) entered: [Millis; 2],
}

/// The primary, which has always served.
impl Default for Stage {
    fn default() -> Self {
        Self { tier: Mode::Primary, ready: true, epoch: 0, since: 0, entered: [0; 2] }
    }
}

impl Stage {
    pub(super) fn encode(self) -> Vec<u8> {
        let kind = match (self.tier, self.ready) {
            (Mode::Primary, _) => 0,
            (Mode::Fallback, false) => 1,
            (Mode::Fallback, true) => 2,
        };
        let numbers: [u64; NUMBERS] = [self.epoch, self.since, self.entered[0], self.entered[1]];
        // Older versions look no further.
        let more: &[u8] = if self.tier == Mode::Primary && !self.ready { &[NOT_READY] } else { &[] };
        [&[kind][..], numbers.map(u64::to_le_bytes).as_flattened(), more].concat()
    }

    /// What cannot be read, or is not there, means that the primary serves: it has to take in all
    /// that it missed first.
    pub(super) fn decode(bytes: Option<&[u8]>) -> Self {
        let Some((kind, rest)) = bytes.and_then(<[u8]>::split_first) else { return Self::default() };
        let mut numbers = Reader::new(rest);
        let mut next = || numbers.u64().unwrap_or(0);
        let last = rest.get(NUMBERS * 8..).unwrap_or_default();
        Self {
            tier: if *kind == 0 { Mode::Primary } else { Mode::Fallback },
            ready: *kind == 2 || (*kind == 0 && last != [NOT_READY]),
            epoch: next(),
            since: next(),
            entered: [next(), next()],
        }
    }

    /// How long the control log is not read again, if that is `usually` so long.
    pub(super) fn reread(&self, usually: Lease) -> Lease {
        if self.tier == Mode::Fallback && !self.ready { ENTERING } else { usually }
    }

    /// Whether the fallback serves.
    pub(in super::super) fn is_fallback(&self) -> bool {
        self.tier == Mode::Fallback && self.ready
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_can_be_read_back_and_rubbish_is_the_primary() {
        let tiers = [Mode::Primary, Mode::Fallback].map(|tier| [(tier, false), (tier, true)]);
        for &(tier, ready) in tiers.as_flattened() {
            let stage = Stage { tier, ready, epoch: 7, since: 8, entered: [9, 10] };
            assert_eq!(Stage::decode(Some(&stage.encode())), stage);
        }
        assert_eq!(Stage::decode(Some(b"")), Stage::default());
        assert_eq!(Stage::decode(None), Stage::default());
        assert!(!Stage::default().is_fallback());
    }

    #[test]
    fn the_control_log_is_read_more_often_while_nobody_serves() {
        let usually = Lease::new(Duration::from_secs(1));
        let reread = |tier, ready| Stage { tier, ready, ..Stage::default() }.reread(usually);
        assert_eq!(reread(Mode::Primary, false), usually);
        assert_eq!(reread(Mode::Fallback, true), usually);
        assert_eq!(reread(Mode::Fallback, false), ENTERING);
    }
}
