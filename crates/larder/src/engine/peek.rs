//! What other processes of the node fetched, taken without asking the backend.

use super::calls::Engine;
use super::handle::{Decode, Handle};
use crate::coherence::Ticket;
use crate::contract::Read;

impl<D: Decode> Engine<D> {
    /// Brings into memory what the node has of keys that memory lacks, but of those that have
    /// missed in this request, which the backend is asked for. No round trip.
    pub(super) fn take_from_node(&self, cache: &Handle, keys: &[&[u8]]) {
        let reads: Vec<Read<'_>> = {
            let state = self.state();
            let lacking = keys.iter().filter(|key| {
                state.guard(cache.number, key).is_none()
                    && state.look(cache.number, key, || self.backend.now()).is_none()
            });
            lacking.map(|key| Read { cache: &cache.id, key }).collect()
        };
        let Some((ticket, entries)) = self.peek(&reads) else { return };
        self.note_taken(entries.iter().flatten().count());
        let incarnation = ticket.incarnation();
        for (read, entry) in reads.iter().zip(&entries) {
            if let Some(entry) = entry {
                self.take_in(cache, *read, incarnation, entry, Some(ticket));
            }
        }
    }

    /// What the node has of logged entries, and the ticket to keep it with, if no sync is due. No
    /// round trip.
    pub(super) fn peek(&self, reads: &[Read<'_>]) -> Option<(Ticket, Vec<Option<Vec<u8>>>)> {
        let ticket = {
            let mut state = self.state();
            state.is_fresh(self.max_staleness).then(|| state.ticket())?
        };
        let reads = (!reads.is_empty()).then_some(reads)?;
        Some((ticket, self.backend.peek(ticket.position()?, reads)))
    }
}
