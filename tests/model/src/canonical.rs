//! States that differ in names only are made one.

use super::state::{Entry, Miss, Process, State, Value, Values, Write};

/// The nonces of the logs in the order in which they stand there; their new names are their places.
struct Nonces(Vec<u8>);

impl Nonces {
    fn of<'a>(logs: impl Iterator<Item = &'a Entry>) -> Self {
        let mut known = Vec::new();
        for entry in logs {
            if !known.contains(&entry.nonce) {
                known.push(entry.nonce);
            }
        }
        Self(known)
    }

    /// 0 for one that no log has any more: it will match none again.
    fn rename(&self, nonce: &mut u8) {
        *nonce = self.0.iter().position(|known| known == nonce).map_or(0, |at| byte(at + 1));
    }
}

impl<const N: usize> State<N> {
    /// The state with names as they come: processes in order, nonces numbered as they stand in the
    /// logs, and no memory of what cannot matter any more. Says which process stands where now.
    pub(crate) fn canonical(mut self) -> (Self, [usize; N]) {
        let live = self.live();
        self.dead &= live;
        let nonces = Nonces::of(self.entries());
        let snapshot = self.primary.snapshot.iter_mut().flat_map(|snapshot| &mut snapshot.log);
        self.primary.now.log.iter_mut().chain(snapshot).for_each(|entry| nonces.rename(&mut entry.nonce));
        self.processes.iter_mut().for_each(|process| process.rename(live, &nonces));
        let mut order: [usize; N] = std::array::from_fn(|at| at);
        order.sort_by(|&a, &b| self.processes.get(a).cmp(&self.processes.get(b)));
        self.processes.sort();
        (self, order)
    }

    /// The values that somebody may still read.
    pub(crate) fn live(&self) -> Values {
        let snapshot = self.primary.snapshot.as_ref().and_then(|snapshot| snapshot.value);
        let places = [self.primary.now.value, snapshot, self.fallback.value];
        let held = self.processes.iter().flat_map(|process| {
            let written = process.write.and_then(Write::value);
            [process.near, process.fetch.and_then(|fetch| fetch.value), written]
        });
        places.into_iter().chain(held).flatten().fold(0, |values, value| values | bit(value))
    }

    /// A nonce that no log has.
    pub(crate) fn fresh_nonce(&self) -> u8 {
        self.entries().map(|entry| entry.nonce).max().unwrap_or(0) + 1
    }

    fn entries(&self) -> impl Iterator<Item = &Entry> {
        let snapshot = self.primary.snapshot.iter().flat_map(|snapshot| &snapshot.log);
        self.primary.now.log.iter().chain(snapshot)
    }
}

impl Process {
    fn rename(&mut self, live: Values, nonces: &Nonces) {
        if self.near.is_none() && self.fetch.is_none() && !self.follows {
            // Says nothing.
            self.position = None;
        }
        let guard = match &mut self.write {
            Some(Write::Fill { guard, own, .. }) => {
                *own &= live;
                match guard {
                    Miss::OnPrimary(position) => Some(position),
                    Miss::InFallback(_) => None,
                }
            }
            Some(Write::Set { kills, .. } | Write::Invalidate { kills, .. }) => {
                *kills &= live;
                None
            }
            _ => None,
        };
        let miss = match &mut self.miss {
            Some(Miss::OnPrimary(position)) => Some(position),
            _ => None,
        };
        if let Some(stored) = &mut self.stored {
            nonces.rename(stored);
        }
        if self.near.is_none() {
            self.stored = None;
        }
        let positions = self.position.iter_mut().chain(guard).chain(miss);
        positions.for_each(|position| nonces.rename(&mut position.nonce));
        if let Some(fetch) = &mut self.fetch {
            fetch.dead &= live;
        }
        if let Some(invalidation) = &mut self.invalidation {
            invalidation.kills &= live;
        }
    }
}

impl Write {
    /// What it writes.
    pub(crate) fn value(self) -> Option<Value> {
        match self {
            Self::Fill { value, .. }
            | Self::Set { value, .. }
            | Self::GivenUp { value, .. }
            | Self::Orphan { value, .. } => Some(value),
            Self::Invalidate { .. } => None,
        }
    }

    /// Which server it was meant for.
    pub(crate) fn identity(self) -> u8 {
        match self {
            Self::Fill { identity, .. }
            | Self::Set { identity, .. }
            | Self::GivenUp { identity, .. }
            | Self::Orphan { identity, .. }
            | Self::Invalidate { identity, .. } => identity,
        }
    }
}

/// The set of one value.
pub(crate) fn bit(value: Value) -> Values {
    1 << value
}

/// A small number.
pub(crate) fn byte(number: usize) -> u8 {
    u8::try_from(number).unwrap_or(u8::MAX)
}
