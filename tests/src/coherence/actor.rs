//! A process of a run whose steps are placed by hand: for what chance finds too seldom.

use std::io;

use larder::Health;

use super::worker::State;
use super::{CACHES, Name, Worker};

/// The key that all actors use, in a cache that no worker touches.
const NAME: Name = Name { cache: CACHES, key: 0 };

/// One process. Each step is a request of its own, and stands in a journal that is checked with the
/// others.
pub struct Actor(State);

impl Actor {
    /// A process that has done nothing yet.
    ///
    /// # Errors
    /// If the journal cannot be written.
    pub fn new(worker: &Worker<'_>) -> io::Result<Self> {
        State::new(worker).map(Self)
    }

    /// Who serves it.
    pub fn health(&self) -> Health {
        self.0.health()
    }

    /// Stores a value that no other set has; whether that was acknowledged.
    ///
    /// # Errors
    /// If the journal cannot be written.
    pub fn set(&mut self) -> io::Result<bool> {
        self.step(|state| {
            let value = state.value(NAME, 0, false);
            state.store(&[value])
        })
    }

    /// Deletes the value; whether that was acknowledged.
    ///
    /// # Errors
    /// If the journal cannot be written.
    pub fn delete(&mut self) -> io::Result<bool> {
        self.step(|state| state.remove(&[NAME], &[0]))
    }

    /// Reads the value; whether the store answered.
    ///
    /// # Errors
    /// If the journal cannot be written.
    pub fn get(&mut self) -> io::Result<bool> {
        self.step(|state| Ok(state.read(vec![NAME])?.is_some()))
    }

    fn step(&mut self, step: impl FnOnce(&mut State) -> io::Result<bool>) -> io::Result<bool> {
        let done = self.0.request_of(step)?;
        self.0.flush()?;
        Ok(done)
    }
}
