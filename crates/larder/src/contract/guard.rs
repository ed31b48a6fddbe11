//! Guards: what a set depends on (R6).

use super::log::Position;

/// What a set depends on: that its key and cache did not change since a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// For what was computed after the key was missing. If it lost against another set, nobody
    /// knows which of the two is newer: neither value is left, unless they are the same.
    Fill {
        /// Where the key was missing.
        missed: Position,
        /// How many bytes at the end of the entry are its value. What stands before them (when it
        /// expires) may differ.
        value: usize,
    },
    /// For a compare-and-exchange: if it lost, what stands is left alone.
    Exchange(Position),
}

/// What happened to a key since the position of a guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// Neither the key nor its cache changed.
    Nothing,
    /// The newest change was a set of the key.
    Stored,
    /// It was removed, or nobody knows.
    Changed,
}

impl Since {
    /// What the changes since a position, oldest first, say of a key: of each change of the key or
    /// its cache whether it stored the key.
    pub(crate) fn of(changes: impl Iterator<Item = bool>) -> Self {
        match changes.last() {
            None => Self::Nothing,
            Some(true) => Self::Stored,
            Some(false) => Self::Changed,
        }
    }
}

/// What becomes of a guarded set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// It is stored.
    Store,
    /// It is dropped: [`Outcome::Dropped`](super::Outcome::Dropped).
    Drop,
    /// The key is deleted: [`Outcome::Cleared`](super::Outcome::Cleared).
    Clear,
}

impl Guard {
    /// The position.
    pub fn position(self) -> Position {
        match self {
            Self::Fill { missed: position, .. } | Self::Exchange(position) => position,
        }
    }

    /// The same guard at another position.
    #[must_use]
    pub fn at(self, position: Position) -> Self {
        match self {
            Self::Fill { value, .. } => Self::Fill { missed: position, value },
            Self::Exchange(_) => Self::Exchange(position),
        }
    }

    /// What becomes of a set of `entry`. `standing` gives the entry that stands under the key, and
    /// is asked only if the guard failed.
    ///
    /// # Errors
    /// Those of `standing`.
    pub fn judge<E>(
        self,
        since: Since,
        entry: &[u8],
        standing: impl FnOnce() -> Result<Option<Vec<u8>>, E>,
    ) -> Result<Ruling, E> {
        let value = match (since, self) {
            (Since::Nothing, _) => return Ok(Ruling::Store),
            (_, Self::Exchange(_)) => return Ok(Ruling::Drop),
            (_, Self::Fill { value, .. }) => value,
        };
        Ok(match standing()? {
            Some(standing) if same_value(&standing, entry, value) => Ruling::Drop,
            // It was stored and evicted: others may still have it in memory.
            None if since != Since::Stored => Ruling::Drop,
            _ => Ruling::Clear,
        })
    }
}

fn same_value(one: &[u8], other: &[u8], value: usize) -> bool {
    let value_of = |entry: &'_ [u8]| entry.len().saturating_sub(value);
    one.len() == other.len() && one.get(value_of(one)..) == other.get(value_of(other)..)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ruling(guard: Guard, since: Since, standing: Option<&[u8]>) -> Ruling {
        let standing = || Ok::<_, ()>(standing.map(<[u8]>::to_vec));
        guard.judge(since, b"0new", standing).unwrap_or(Ruling::Store)
    }

    #[test]
    fn a_fill_that_lost_against_a_set_leaves_neither() {
        let missed = Position { incarnation: 1, id: 1, nonce: 1 };
        let (fill, exchange) = (Guard::Fill { missed, value: 3 }, Guard::Exchange(missed));
        for (since, standing, expected) in [
            (Since::Nothing, None, Ruling::Store),
            (Since::Nothing, Some(&b"0old"[..]), Ruling::Store),
            (Since::Stored, Some(b"0old"), Ruling::Clear),
            (Since::Stored, Some(b"newer"), Ruling::Clear),
            (Since::Stored, Some(b"0new"), Ruling::Drop),
            (Since::Stored, Some(b"9new"), Ruling::Drop),
            (Since::Stored, None, Ruling::Clear),
            (Since::Changed, Some(b"0old"), Ruling::Clear),
            (Since::Changed, Some(b"0new"), Ruling::Drop),
            (Since::Changed, None, Ruling::Drop),
        ] {
            assert_eq!(ruling(fill, since, standing), expected, "{since:?} {standing:?}");
            let kept = if since == Since::Nothing { Ruling::Store } else { Ruling::Drop };
            assert_eq!(ruling(exchange, since, standing), kept);
        }
    }
}
