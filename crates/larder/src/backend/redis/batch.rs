//! Commands to send together.

use redis::Cmd;

use super::resp::Most;

/// Commands to send together.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) bytes: Vec<u8>,
    pub(super) commands: usize,
    /// The most that the answers can be.
    pub(super) most: Most,
}

impl Default for Batch {
    fn default() -> Self {
        Self { bytes: Vec::new(), commands: 0, most: Most::SMALL }
    }
}

/// A letter, a number and two line ends.
const LONGEST_HEAD: usize = 25;

impl Batch {
    pub(super) fn add(&mut self, command: &Cmd) -> &mut Self {
        command.write_packed_command(&mut self.bytes);
        self.commands += 1;
        self
    }

    /// Adds a command that each request sends: without the detour of a [`Cmd`].
    pub(super) fn add_words(&mut self, words: &[&[u8]]) -> &mut Self {
        self.bytes.reserve(words.iter().map(|word| word.len() + LONGEST_HEAD).sum::<usize>() + LONGEST_HEAD);
        self.head(b'*', words.len());
        for word in words {
            self.head(b'$', word.len());
            self.bytes.extend_from_slice(word);
            self.bytes.extend_from_slice(b"\r\n");
        }
        self.commands += 1;
        self
    }

    /// The commands of another batch, too.
    pub(super) fn append(&mut self, other: &Self) -> &mut Self {
        self.bytes.extend_from_slice(&other.bytes);
        self.commands += other.commands;
        self.most = self.most.max(other.most);
        self
    }

    /// The answers hold so many entries, or a page of a listing.
    pub(super) fn expect(&mut self, most: Most) -> &mut Self {
        self.most = most;
        self
    }

    fn head(&mut self, kind: u8, number: usize) {
        self.bytes.push(kind);
        self.bytes.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
        self.bytes.extend_from_slice(b"\r\n");
    }
}
