//! The backend, and the locks that it grants.

use std::sync::Arc;
use std::time::Duration;

use super::client::Client;
use super::entries::{Ops, Reads};
use super::fs::{Fault, Files, Observer, Worker};
use super::locks::{Asking, Renewing, WakeSockets};
use super::replica::{Party, Seat};
use super::settings::Settings;
use crate::clock::{self, Millis, millis};
use crate::contract::{
    Applied, Attempt, Backend, CacheId, CacheUsage, Claim, Facts, Fetched, Handed, LockBackend, LockInfo, Op,
    Position, Read, Renewal, Token,
};
use crate::error::Result;

/// How often it is looked whether those who wait for locks still ask.
const TICK: Duration = Duration::from_millis(250);

/// A handle on a shared directory. It keeps the index of the namespace in memory, about 100 bytes
/// for an entry.
///
/// The filesystem calls are made by a thread of the handle, so that one that hangs can be given up.
pub struct Dir {
    settings: Settings,
    files: Files,
    worker: Worker<Client>,
    sockets: Arc<WakeSockets>,
}

impl Dir {
    /// A handle; the directory is looked at when it is first used.
    pub fn new(settings: &Settings) -> Self {
        Self::with_files(settings, Files::default(), false)
    }

    /// A handle for a fallback: a process that may not use the directory may still read there who
    /// serves (R13). It reads no entries of caches then, and writes nothing.
    pub fn fallback(settings: &Settings) -> Self {
        Self::with_files(settings, Files::default(), true)
    }

    /// A handle whose filesystem calls are told to an observer first. For tests: to count them, or
    /// to die at one.
    #[doc(hidden)]
    pub fn observed(settings: &Settings, observer: Observer) -> Self {
        Self::with_files(settings, Files::observed(observer), false)
    }

    fn with_files(settings: &Settings, files: Files, visits: bool) -> Self {
        let sockets = Arc::new(WakeSockets::default());
        let begin = {
            let (settings, files) = (settings.clone(), files.clone());
            move || Client::new(&settings, files.clone(), visits)
        };
        let idle = {
            let sockets = Arc::clone(&sockets);
            move || if sockets.close_the_silent() { TICK } else { Duration::MAX }
        };
        let worker = Worker::new(files.clone(), settings.wait, begin, idle);
        Self { settings: settings.clone(), files, worker, sockets }
    }

    /// Has work done by the thread of the handle.
    fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Client) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T> {
        self.worker.run(move |client, permit| {
            client.work_for(permit);
            work(client)
        })
    }
}

impl Backend for Dir {
    fn fetch(&self, since: Option<Position>, reads: &[Read<'_>]) -> Result<Fetched> {
        let reads = Reads::new(reads);
        self.run(move |client| client.fetch(since, &reads.list()))
    }

    fn apply(&self, since: Option<Position>, ops: &[Op<'_>]) -> Result<Applied> {
        let ops = Ops::new(ops);
        self.run(move |client| client.apply(since, &ops.list()))
    }

    fn list(&self, cache: &CacheId, prefix: &[u8], visit: &mut dyn FnMut(&[u8])) -> Result<()> {
        let (cache, prefix) = (cache.clone(), prefix.to_vec());
        let keys = self.run(move |client| client.keys(&cache, &prefix))?;
        for key in &keys {
            visit(key);
        }
        Ok(())
    }

    fn usage(&self) -> Result<Vec<CacheUsage>> {
        self.run(Client::usage)
    }

    fn reset(&self) -> Result<()> {
        self.run(Client::reset)
    }

    fn locks(&self) -> Option<&dyn LockBackend> {
        Some(self)
    }

    fn now(&self) -> Millis {
        clock::wall_clock()
    }

    fn round_trips(&self) -> u64 {
        self.files.calls()
    }

    fn describe(&self) -> Result<Facts> {
        self.run(Client::describe)
    }
}

/// Locks are records of the log, written under the append lock (R22 to R25).
impl LockBackend for Dir {
    fn acquire(&self, claim: &Claim<'_>) -> Result<Attempt> {
        // Who stands in line must be seen to be alive from the beginning.
        let node = if claim.queue { self.sockets.open(claim.token) } else { 0 };
        let asking = Asking {
            name: claim.name.into(),
            who: party(claim.token, claim.owner, node),
            lease: millis(claim.lease),
            queue: claim.queue,
        };
        let attempt = self.run(move |client| client.acquire(&asking))?;
        if matches!(attempt, Attempt::Mine { .. }) {
            self.sockets.close(claim.token);
        }
        Ok(attempt)
    }

    fn park(&self, token: Token, at_most: Duration) -> Option<Handed> {
        self.sockets.park(token, at_most);
        None
    }

    fn release(&self, name: &[u8], token: Token) -> Result<bool> {
        let name: Box<[u8]> = name.into();
        let released = self.run(move |client| client.change_locks(|draft| draft.release(&name, Some(token))));
        self.sockets.close(token);
        released
    }

    fn renew(&self, locks: &[Renewal<'_>], lease: Duration) -> Result<Vec<bool>> {
        let own = |lock: &Renewal<'_>| Renewing {
            name: lock.name.into(),
            who: party(lock.proof.token, lock.owner, 0),
            proof: lock.proof,
            believed_until: millis(lock.believed_until),
        };
        let (locks, lease): (Vec<Renewing>, _) = (locks.iter().map(own).collect(), millis(lease));
        self.run(move |client| {
            client.change_locks(|draft| locks.iter().map(|lock| draft.renew(lock, lease)).collect())
        })
    }

    fn holder(&self, name: &[u8]) -> Result<Option<Token>> {
        let name: Box<[u8]> = name.into();
        self.run(move |client| client.holder(&name))
    }

    fn list(&self) -> Result<Vec<LockInfo>> {
        self.run(Client::held)
    }

    fn break_lock(&self, name: &[u8]) -> Result<bool> {
        let name: Box<[u8]> = name.into();
        self.run(move |client| client.change_locks(|draft| draft.release(&name, None)))
    }

    fn distrust(&self, fence: u64) -> Result<()> {
        self.run(move |client| client.change_locks(|draft| draft.distrust(fence)))
    }

    fn another(&self) -> Box<dyn LockBackend> {
        Box::new(Self::new(&self.settings))
    }
}

fn party(token: Token, owner: &[u8], node: u64) -> Party {
    Party { token, owner: owner.into(), process: Seat { node, claimed: true, at: 0 } }
}
