//! One connection: sending a batch of commands and waiting for its answers.

use std::sync::Arc;
use std::time::Duration;

use redis::Value;

use super::batch::Batch;
use super::connection::{Identity, Link, Quiet};
use super::door::{Connected, Door};
use super::failure::{Elsewhere, Failure, NAME, Way, refusal};
use super::pool::{self, Slot};
use super::posts::{Post, Posts, Settlements};
use super::settings::Settings;
use super::trips::Trips;
use super::wire::Wire;
use crate::clock::{boot_nanos, boottime, limit, nanos};
use crate::contract::{CacheId, Position};
use crate::error::{Blame, Error, Trouble};

/// See [`Slot::long_unused`].
const LONG: Duration = Duration::from_secs(10);
/// No server closes a connection that was unused for no longer.
const BRIEF: Duration = Duration::from_millis(50);

impl Slot {
    /// Throws away a connection to a server that may be the primary no longer.
    pub(super) fn drop_if_replaced(&mut self) {
        self.link.take_if(|link| link.watch.has_news());
    }

    /// An operation begins that may take so long, in nanoseconds, with all its waits, or less
    /// [if it is part of another](crate::clock::not_beyond).
    pub(super) fn begin(&mut self, began: Duration, whole: u64) {
        self.began = began;
        self.until = nanos(began).min(limit()).saturating_add(whole);
    }

    /// The operation has come further and may take so much longer, but not beyond `last`.
    pub(super) fn go_on(&mut self, more: Duration, last: u64) {
        self.until = self.until.max(nanos(boottime()).saturating_add(nanos(more)).min(last));
    }

    /// When the operation must end, in nanoseconds on the boot clock.
    pub(super) fn until(&self) -> u64 {
        self.until
    }

    /// How long the server may take for a request that is sent at `sent`.
    pub(super) fn budget(&self, sent: Duration, read_timeout: Duration) -> Duration {
        read_timeout.min(Duration::from_nanos(self.until.saturating_sub(nanos(sent))))
    }

    /// Connects, if there is no connection, and adds to `batch` what a new connection must send
    /// first. An exchange on it may take as long as `patience`.
    ///
    /// Returns the number of answers to that.
    pub(super) fn open(
        &mut self,
        settings: &Settings,
        door: &Arc<Door>,
        patience: Duration,
        settled: &Settlements,
        batch: &mut Batch,
    ) -> Result<usize, Failure> {
        if self.link.is_some() {
            return Ok(0);
        }
        pool::make_room();
        let Connected { stream, host, watch, password } =
            door.connect(self.until).map_err(Failure::Unsent)?;
        let wire = Wire::new(stream, patience)
            .map_err(|error| Failure::Unsent(Error::unavailable(NAME, error).blaming(Blame::Process)))?;
        self.link = Some(Link {
            wire,
            door: Arc::clone(door),
            host,
            watch,
            identity: None,
            used: boottime(),
            answered: false,
            wait: patience,
            quiet: None,
            posts: Posts::new(Arc::clone(settled)),
            writes: false,
            has_fill_script: false,
        });
        let before = batch.commands;
        if let Some(password) = password {
            let mut auth = redis::cmd("AUTH");
            if let Some(username) = &settings.username {
                auth.arg(username);
            }
            batch.add(auth.arg(password.reveal()));
        }
        if settings.database != 0 {
            batch.add(redis::cmd("SELECT").arg(settings.database));
        }
        Ok(batch.commands - before)
    }

    /// Sends `batch` and waits for its answers: one round trip. Error answers are among them.
    ///
    /// A connection that fails is gone afterwards.
    pub(super) fn exchange_all(&mut self, batch: &Batch, trips: &Trips) -> Result<Vec<Value>, Failure> {
        self.ask(batch, trips, None).map(Option::unwrap_or_default)
    }

    /// Like [`exchange_all`](Self::exchange_all), but an error answer is a failure of the whole.
    pub(super) fn exchange(&mut self, batch: &Batch, trips: &Trips) -> Result<Vec<Value>, Failure> {
        let answers = self.exchange_all(batch, trips)?;
        self.no_refusal(answers)
    }

    /// Like [`exchange`](Self::exchange) for a sync and nothing else; `None` if position and answer
    /// are those of the [quiet](Self::was_quiet) one before.
    pub(super) fn exchange_sync(
        &mut self,
        batch: &Batch,
        since: Position,
        trips: &Trips,
    ) -> Result<Option<Vec<Value>>, Failure> {
        self.ask(batch, trips, Some(since))?.map(|answers| self.no_refusal(answers)).transpose()
    }

    /// The last exchange was a sync that showed no change.
    pub(super) fn was_quiet(&mut self, since: Position) {
        if let Some(link) = self.link.as_mut() {
            let answers = link.wire.answers().to_vec();
            link.quiet = (!answers.is_empty()).then_some(Quiet { since, answers });
        }
    }

    fn ask(
        &mut self,
        batch: &Batch,
        trips: &Trips,
        sync: Option<Position>,
    ) -> Result<Option<Vec<Value>>, Failure> {
        let Some(link) = self.link.as_mut() else {
            let error = Error::unavailable(NAME, "not connected").blaming(Blame::Call);
            return Err(Failure::Unsent(error));
        };
        link.used = self.began;
        let due = link.posts.due().sum();
        let quiet = link.quiet.as_ref().filter(|quiet| sync == Some(quiet.since) && due == 0);
        let expected = quiet.map(|quiet| &*quiet.answers);
        let awaited = (due + batch.commands, batch.most.and_small(due));
        let answers = link.wire.exchange(&batch.bytes, awaited, self.until, expected);
        trips.add(link.wire.take_moved());
        link.answered |= answers.is_ok();
        let answers = answers.map_err(|error| {
            // An operation that has come far has not all of that left.
            let waited = Duration::from_nanos(boot_nanos().saturating_sub(link.wire.sent()));
            let way = Way { fresh: !link.answered, bytes: batch.bytes.len(), wait: link.wait.min(waited) };
            Failure::cut(error, way)
        });
        let Some(mut answers) = self.drop_if_cut(answers)? else { return Ok(None) };
        if due > 0
            && let Some(link) = self.link.as_mut()
        {
            let own = answers.split_off(due);
            link.answer_posts(std::mem::replace(&mut answers, own));
        }
        Ok(Some(answers))
    }

    /// What is known of a server that would take so many bytes of a fill without being waited for.
    pub(super) fn may_post(&self, bytes: usize) -> Option<&Identity> {
        let link = self.link.as_ref().filter(|link| link.writes && link.posts.has_room_for(bytes))?;
        link.identity.as_ref()
    }

    /// Whether no write to a cache was sent on this connection before.
    pub(super) fn writes_first(&mut self, cache: &CacheId) -> bool {
        self.link.as_mut().is_none_or(|link| link.posts.writes_first(cache))
    }

    /// A write was not done.
    pub(super) fn forget_writes(&mut self) {
        if let Some(link) = self.link.as_mut() {
            link.posts.forget_caches();
        }
    }

    /// Whether the log is to be asked for after the next fill.
    pub(super) fn wants_tail(&self) -> bool {
        self.link.as_ref().is_some_and(|link| link.posts.wants_tail())
    }

    /// Whether the server has the script for fills.
    pub(super) fn knows_fills(&self) -> bool {
        self.link.as_ref().is_some_and(|link| link.has_fill_script)
    }

    /// Sends a fill, whose answers are taken in later. Whether it was sent; the connection is gone
    /// if not.
    pub(super) fn post(&mut self, batch: &Batch, post: Post) -> bool {
        let Some(link) = self.link.as_mut() else { return false };
        link.used = self.began;
        if link.wire.send(&batch.bytes, self.until).is_err() {
            self.link = None;
            return false;
        }
        link.posts.sent(post);
        link.has_fill_script = true;
        true
    }

    /// Takes in those answers to posted fills that have come.
    pub(super) fn receive_posted(&mut self) {
        let Some(link) = self.link.as_mut().filter(|link| !link.posts.is_empty()) else { return };
        match link.wire.come(link.posts.due()) {
            Ok(answers) if answers.is_empty() => {}
            Ok(answers) => link.answer_posts(answers),
            Err(_) => self.link = None,
        }
    }

    /// Waits for all answers to posted fills. One round trip, if any is due.
    pub(super) fn await_posted(&mut self, trips: &Trips) {
        if self.link.as_ref().is_some_and(|link| !link.posts.is_empty()) {
            // What failed is told with the fills.
            let _ = self.ask(&Batch::default(), trips, None);
        }
    }

    /// Whether a record is of a fill that was posted and stored.
    pub(super) fn has_stored(&self, nonce: u128) -> bool {
        self.link.as_ref().is_some_and(|link| link.posts.has_stored(nonce))
    }

    /// The log was read to its end.
    pub(super) fn passed_stored(&mut self) {
        if let Some(link) = self.link.as_mut() {
            link.posts.passed();
        }
    }

    /// An error answer is a failure of the whole.
    pub(super) fn no_refusal(&mut self, answers: Vec<Value>) -> Result<Vec<Value>, Failure> {
        for (done, answer) in answers.iter().enumerate() {
            if let Value::ServerError(error) = answer {
                let refusal = refusal(error);
                return Err(match self.identity_mut() {
                    Some(identity) if refusal.elsewhere == Elsewhere::No => {
                        identity.checked = None;
                        refusal.failure
                    }
                    _ => self.give_up(refusal.failure, refusal.elsewhere, done),
                });
            }
        }
        Ok(answers)
    }

    /// Throws the connection away after a refusal, for which another server may be responsible, or
    /// another password.
    pub(super) fn give_up(&mut self, failure: Failure, elsewhere: Elsewhere, done: usize) -> Failure {
        let Some(Link { door, host, .. }) = self.link.take() else { return failure };
        match failure {
            Failure::Refused(error)
                if door.look_elsewhere(elsewhere, host.as_ref())
                    || error.trouble() == Trouble::Credentials && door.look_for_password() =>
            {
                Failure::Elsewhere { error, done }
            }
            failure => failure,
        }
    }

    /// Whether a kept connection was not used for so long that the server or something between may
    /// have closed it.
    pub(super) fn long_unused(&self) -> bool {
        self.link.as_ref().is_some_and(|link| boottime().saturating_sub(link.used) > LONG)
    }

    /// Throws away a connection that was closed since it was last used: what would be sent on it is
    /// lost.
    pub(super) fn drop_if_closed(&mut self) {
        self.link.take_if(|link| {
            link.posts.is_empty() && boottime().saturating_sub(link.used) > BRIEF && link.wire.is_closed()
        });
    }

    /// Throws the connection away if an answer on it was cut short or made no sense.
    pub(super) fn drop_if_cut<T>(&mut self, result: Result<T, Failure>) -> Result<T, Failure> {
        if matches!(result, Err(Failure::Cut { .. })) {
            self.link = None;
        }
        result
    }

    pub(super) fn identity_mut(&mut self) -> Option<&mut Identity> {
        self.link.as_mut()?.identity.as_mut()
    }
}
