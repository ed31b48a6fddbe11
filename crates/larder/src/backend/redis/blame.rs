//! Whose fault a failure is: which key another program has put something into, and whether others
//! would fare better.

use std::sync::atomic::Ordering;

use std::time::Duration;

use redis::{Value, cmd};

use super::backend::Redis;
use super::batch::Batch;
use super::failure::Failure;
use crate::clock::{boottime, nanos};
use crate::contract::CacheId;
use crate::error::{Blame, Error, ErrorKind, Trouble};

/// How long that is waited for: the operation's own time may be over.
const PATIENCE: Duration = Duration::from_millis(50);

impl Redis {
    /// The error for a failure. An answer that a key is of another type does not say which key: the
    /// server is asked. One round trip then.
    pub(super) fn blamed<'a>(
        &self,
        failure: Failure,
        caches: impl IntoIterator<Item = &'a CacheId>,
    ) -> Error {
        let error = self.told(failure);
        if error.kind() == ErrorKind::Foreign
            && error.to_string().contains("WRONGTYPE Operation")
            && let Ok(Some(key)) = self.of_another_type(caches)
        {
            return Failure::another_type(&key).into();
        }
        error
    }

    /// Who was let in before, or could write, and no longer can, has not the wrong credentials: the
    /// server has changed.
    fn told(&self, failure: Failure) -> Error {
        let error = Error::from(failure);
        let before = match error.trouble() {
            Trouble::Credentials => &self.admitted,
            Trouble::Rights => &self.wrote,
            _ => return error,
        };
        // Some versions repeat a command that they do not know.
        let error = match self.door.password() {
            Some(password) => error.without(password.reveal()),
            None => error,
        };
        if before.load(Ordering::Relaxed) { error.blaming(Blame::Server) } else { error }
    }

    fn of_another_type<'a>(
        &self,
        caches: impl IntoIterator<Item = &'a CacheId>,
    ) -> Result<Option<Vec<u8>>, Failure> {
        let mut slot = self.pool.slot()?;
        slot.begin(boottime(), nanos(PATIENCE));
        let mut batch = Batch::default();
        let setup =
            slot.open(&self.settings, &self.door, self.settings.read_timeout, &self.settled, &mut batch)?;
        let keys = &self.keys;
        let mut expected: Vec<(&str, String)> =
            [("hash", &keys.meta), ("stream", &keys.log), ("set", &keys.registry), ("hash", &keys.locks)]
                .map(|(kind, key)| (kind, key.clone()))
                .into();
        let incarnation = slot.identity_mut().map_or(0, |identity| identity.incarnation);
        for cache in caches {
            expected.push(("hash", keys.hash(incarnation, cache)));
            expected.push(("zset", keys.expiry_index(incarnation, cache)));
        }
        for (_, key) in &expected {
            batch.add(cmd("TYPE").arg(key));
        }
        let types = slot.exchange(&batch, &self.trips)?;
        let wrong = expected.into_iter().zip(types.into_iter().skip(setup)).find(|((kind, _), found)| {
            !matches!(found, Value::SimpleString(found) if found == kind || found == "none")
        });
        Ok(wrong.map(|((_, key), _)| key.into_bytes()))
    }
}
