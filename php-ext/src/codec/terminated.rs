//! Bytes for PHP's parser.

/// Bytes with a NUL behind them, which PHP's parser relies on: it looks for the end of a number or
/// name without asking where its input ends.
#[derive(Clone, Copy)]
pub(crate) struct Terminated<'a> {
    with_nul: &'a [u8],
}

impl<'a> Terminated<'a> {
    /// The bytes before the NUL that ends the slice, if one does.
    pub(crate) fn new(with_nul: &'a [u8]) -> Option<Self> {
        matches!(with_nul, [.., 0]).then_some(Self { with_nul })
    }

    /// A copy of bytes, a NUL behind them.
    pub(crate) fn copied(bytes: &[u8]) -> Box<[u8]> {
        let mut with_nul = Vec::with_capacity(bytes.len() + 1);
        with_nul.extend_from_slice(bytes);
        with_nul.push(0);
        with_nul.into_boxed_slice()
    }

    /// The bytes.
    pub(crate) fn bytes(self) -> &'a [u8] {
        self.with_nul.split_last().map_or(&[], |(_, bytes)| bytes)
    }

    /// Without its first bytes.
    pub(super) fn skip(self, count: usize) -> Option<Self> {
        self.with_nul.get(count..).and_then(Self::new)
    }
}
