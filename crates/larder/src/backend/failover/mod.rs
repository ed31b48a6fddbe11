//! A primary backend, and a fallback that serves while the primary is away.
//!
//! Neither knows of the other; the fallback's own change log is the *control log* of rules R8 to R16 (`docs/protocol.md`,
//! `docs/failover.md`):
//!
//! - It says who serves, in one entry that is changed by compare-and-set.
//! - It holds every invalidation that the primary may have missed; the primary serves only after it has been told all
//!   of them (`absorb`).
//! - Going over to the other tier is for callers another history of changes: a gap, at which they forget what they have
//!   in memory.
//!
//! While all is well a call costs the primary's round trip and nothing else, apart from reading the control log: at each
//! call where that is a file of this node, once a second where it is shared.

mod absorb;
mod barred;
mod beats;
mod control;
mod flip;
mod health;
mod locks;
mod names;
mod refused;
pub mod rules;
mod tiers;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use self::barred::Barred;
use self::beats::Beats;
use self::control::{ControlLog, View};
use self::refused::Refused;
use self::rules::{Mode, Verdict};
use self::tiers::Removals;
use crate::breaker::{Breaker, Waits};
use crate::clock::{Millis, boot_millis, boottime, millis};
use crate::contract::{
    Applied, Backend, CacheId, CacheUsage, Fetched, Health, LockBackend, Op, Position, Read, Settled,
};
use crate::error::{Error, ErrorKind, Result};
use crate::node_state::NodeState;

/// The name of this backend in errors.
const NAME: &str = "the server";
/// How often a call goes on after who serves has changed under it.
const ATTEMPTS: usize = 4;
/// How long a shared control log may be trusted after it was read (R8).
const LEASE: Duration = Duration::from_secs(2);

/// Makes new handles on the primary and the fallback.
type Open = Arc<dyn Fn() -> Result<[Arc<dyn Backend>; 2]> + Send + Sync>;

/// What a [`Failover`] is made of.
#[derive(Clone)]
pub struct Settings {
    /// Makes new handles on the primary and the fallback, in this order.
    pub open: Open,
    /// Whether the fallback is shared by all nodes that use the primary.
    pub shared: bool,
    /// What processes have to have in common to share what they know of the primary.
    pub place: String,
    /// The name of this node.
    pub node: String,
    /// How long a connection to the primary is waited for, and how long an answer.
    pub waits: [Duration; 2],
}

/// A primary with a fallback.
pub struct Failover {
    settings: Settings,
    primary: Arc<dyn Backend>,
    fallback: Arc<dyn Backend>,
    shared: bool,
    node: u64,
    control: ControlLog,
    breaker: Breaker,
    beats: Beats,
    /// When this process last made sure that the primary knows of this node, in milliseconds since the boot; 0 = never.
    said: AtomicU64,
    /// Calls that the fallback served.
    trips: AtomicU64,
    news: health::News,
    refused: Refused,
    barred: Barred,
}

/// Why the primary gave no answer that counts.
enum Failed {
    /// Nothing that another tier could mend: the caller has to know.
    Final(Error),
    /// The primary did not do it, or nobody can tell.
    Lost(Error),
    /// The primary did it, but it is not the one that counts any more, or missed something before.
    Void(Error),
}

impl Failover {
    /// A primary with a fallback; neither is used yet.
    ///
    /// # Errors
    /// Those of `open`.
    pub fn new(settings: Settings) -> Result<Self> {
        let handles = (settings.open)()?;
        Ok(Self::with_handles(settings, handles))
    }

    fn with_handles(settings: Settings, [primary, fallback]: [Arc<dyn Backend>; 2]) -> Self {
        let lease = if settings.shared { LEASE } else { Duration::ZERO };
        let name = *blake3::hash(settings.node.as_bytes()).as_bytes();
        let [connect, answer] = settings.waits;
        let waits = Waits::new(connect, answer);
        let breaker = |tier| {
            Breaker::new(NodeState::shared(&format!("{} {} {tier}", settings.place, settings.node)), waits)
        };
        let node = name.first_chunk().map_or(0, |name| u64::from_le_bytes(*name));
        Self {
            primary,
            fallback,
            shared: settings.shared,
            node,
            control: ControlLog::new(lease, breaker("fallback")),
            breaker: breaker("primary"),
            beats: Beats::default(),
            said: AtomicU64::new(0),
            trips: AtomicU64::new(0),
            news: health::News::default(),
            refused: Refused::default(),
            barred: Barred::default(),
            settings,
        }
    }

    /// What holds at `moment`, for all that a lease covers.
    fn view(&self, moment: Duration) -> Result<View> {
        let before = self.control.last().map(|view| view.stage);
        let view = self.control.view(&*self.fallback, moment)?;
        if before != Some(view.stage) {
            self.announce(&view);
        }
        Ok(view)
    }

    /// Asks the primary, unless it is left alone.
    fn at_primary<T>(&self, call: impl FnOnce() -> Result<T>) -> Result<T> {
        self.breaker.call(call)
    }

    /// Reads from whichever tier serves. `primary` answers with the incarnation that its answer is of, if it knows.
    fn read<T>(
        &self,
        primary: impl Fn(&dyn Backend) -> Result<(T, Option<u128>)>,
        fallback: impl Fn(&View) -> Result<Option<T>>,
    ) -> Result<T> {
        for _ in 0..ATTEMPTS {
            let began = boottime();
            let view = match self.look_after(began) {
                Err(error) if self.is_barred(&error) => {
                    return Ok(self.without_fallback(&error, || primary(&*self.primary))?.0);
                }
                view => view?,
            };
            let answer = match view.stage.tier {
                Mode::Fallback if view.stage.ready => fallback(&view)?,
                Mode::Fallback => return Err(entering()),
                Mode::Primary => match self.ask(&view, began, &primary) {
                    Err(error) if !self.lost(&error, view.stage) => return Err(error),
                    Err(_) => None,
                    Ok(answer) => answer,
                },
            };
            if let Some(answer) = answer {
                return Ok(answer);
            }
        }
        Err(over())
    }

    /// What the primary answers to something that only reads, if the answer counts.
    fn ask<T>(
        &self,
        view: &View,
        began: Duration,
        ask: impl Fn(&dyn Backend) -> Result<(T, Option<u128>)>,
    ) -> Result<Option<T>> {
        let Some(incarnation) = self.prepare(view)? else { return Ok(None) };
        let (answer, of) = self.at_primary(|| ask(&*self.primary))?;
        match view.judge(self.control.lease(), began, of.unwrap_or(incarnation)) {
            Verdict::Counts => return Ok(Some(answer)),
            // It was emptied or replaced, and must be told anew.
            Verdict::Behind => drop(self.at_primary(|| self.absorb())?),
            Verdict::LeaseOver | Verdict::Elsewhere => {}
        }
        Ok(None)
    }

    /// Makes sure that the primary has taken in what `view` holds, and knows of this node. Its incarnation; `None`: look
    /// again.
    fn prepare(&self, view: &View) -> Result<Option<u128>> {
        let now = boot_millis();
        let said = self.said.load(Ordering::Relaxed);
        let said = said != 0 && (self.shared || now.saturating_sub(said) < millis(absorb::SAY));
        if said && let Some(incarnation) = view.ready_primary() {
            return Ok(Some(incarnation));
        }
        self.at_primary(|| self.absorb())?;
        self.said.store(now, Ordering::Relaxed);
        Ok(None)
    }

    /// Writes to the primary; `None` if that was not begun.
    fn write(
        &self,
        view: &View,
        since: Option<Position>,
        ops: &[Op<'_>],
        removals: &Removals<'_>,
    ) -> Result<Option<Applied>, Failed> {
        let Some(prepared) = self.prepare(view).map_err(Failed::Lost)? else { return Ok(None) };
        let applied = self.at_primary(|| self.primary.apply(since, ops));
        let applied = applied.map_err(|error| match error.kind() {
            ErrorKind::LockLost => Failed::Final(error),
            // Whoever asks removes what is under these keys, which may well go through.
            ErrorKind::Refused if removals.had_sets => Failed::Final(error),
            _ => Failed::Lost(error),
        })?;
        // Others may have gone over to the fallback before the primary had this.
        let incarnation = applied.delta.position.incarnation;
        if incarnation != prepared {
            // Emptied or replaced meanwhile: a fill would have been dropped, and what was stored is newer than all that the
            // primary may have to be told.
            self.at_primary(|| self.absorb()).map_err(Failed::Void)?;
        }
        let answered = boottime();
        let view = self.view(answered).map_err(Failed::Void)?;
        match view.judge(self.control.lease(), answered, incarnation) {
            Verdict::Counts => Ok(Some(applied)),
            verdict => {
                let reason = format!("its answer does not count: {verdict:?}");
                Err(Failed::Void(Error::unavailable(NAME, reason)))
            }
        }
    }
}

impl Backend for Failover {
    fn fetch(&self, since: Option<Position>, reads: &[Read<'_>]) -> Result<Fetched> {
        let of = |fetched: &Fetched| Some(fetched.delta.position.incarnation);
        self.read(
            |primary| {
                primary.fetch(since, reads).map(|fetched| {
                    let of = of(&fetched);
                    (fetched, of)
                })
            },
            |view| self.fetch_fallback(view, since, reads),
        )
    }

    fn apply(&self, since: Option<Position>, ops: &[Op<'_>]) -> Result<Applied> {
        if ops.is_empty() {
            return Ok(Applied { delta: self.fetch(since, &[])?.delta, outcomes: Vec::new() });
        }
        let removals = Removals::of(ops);
        for _ in 0..ATTEMPTS {
            let view = match self.look_after(boottime()) {
                Err(error) if self.is_barred(&error) => {
                    return self.without_fallback(&error, || self.primary.apply(since, ops));
                }
                Err(error) => {
                    // Nobody may be told that it was done (R13); but it does no harm where it is.
                    let _ = self.at_primary(|| self.primary.apply(None, &removals.ops));
                    return Err(error);
                }
                Ok(view) => view,
            };
            if view.stage.is_fallback() {
                match self.apply_fallback(&view, since, ops)? {
                    Some(applied) => return Ok(applied),
                    None if removals.had_sets => return Err(over()),
                    None => continue,
                }
            }
            if view.stage.tier == Mode::Fallback {
                return Err(self.journal_refused(view.stage.epoch, removals));
            }
            match self.write(&view, since, ops, &removals) {
                Ok(Some(applied)) => return Ok(applied),
                Ok(None) => {}
                Err(failed) => {
                    let (error, goes_on) = match failed {
                        Failed::Final(error) => return Err(error),
                        Failed::Void(error) => (error, true),
                        Failed::Lost(error) => {
                            let goes_on = self.lost(&error, view.stage);
                            (error, goes_on)
                        }
                    };
                    // A set that may have happened is not repeated: what came after it would be undone.
                    if removals.had_sets || !goes_on {
                        return Err(self.journal(&removals, error));
                    }
                }
            }
        }
        Err(self.journal(&removals, over()))
    }

    /// A fill is guarded: one that reaches the primary after others went over to the fallback does no harm there.
    fn post(&self, since: Option<Position>, fill: &Op<'_>) -> bool {
        let Ok(view) = self.look_after(boottime()) else { return false };
        view.stage.tier == Mode::Primary
            && view.ready_primary().is_some()
            && !self.breaker.is_open()
            && self.primary.post(since, fill)
    }

    fn settled(&self, at: Option<Position>, wait: bool) -> Vec<Settled> {
        self.primary.settled(at, wait)
    }

    fn list(&self, cache: &CacheId, prefix: &[u8], visit: &mut dyn FnMut(&[u8])) -> Result<()> {
        let list = |backend: &dyn Backend, cache: &CacheId| {
            let mut keys = Vec::new();
            backend.list(cache, prefix, &mut |key| keys.push(key.to_vec()))?;
            Ok(keys)
        };
        let keys = self.read(
            |primary| list(primary, cache).map(|keys| (keys, None)),
            |view| list(&*self.fallback, &cache.in_epoch(view.stage.epoch)).map(Some),
        )?;
        for key in &keys {
            visit(key);
        }
        Ok(())
    }

    fn usage(&self) -> Result<Vec<CacheUsage>> {
        let mut usage = self.read(
            |primary| primary.usage().map(|usage| (usage, None)),
            |view| self.usage_fallback(view).map(Some),
        )?;
        usage.retain(|usage| !usage.cache.is_reserved());
        Ok(usage)
    }

    fn reset(&self) -> Result<()> {
        for _ in 0..ATTEMPTS {
            let view = match self.look_after(boottime()) {
                Err(error) if self.is_barred(&error) => {
                    return self.without_fallback(&error, || self.primary.reset());
                }
                view => view?,
            };
            if view.stage.tier == Mode::Fallback {
                return self.reset_fallback(&view);
            }
            // All is gone there then, how far it was told too.
            let reset = || self.primary.reset().and_then(|()| self.absorb());
            match self.at_primary(reset) {
                Ok(_) if self.view(boottime())?.stage == view.stage => return Ok(()),
                Err(error) if !self.lost(&error, view.stage) => return Err(error),
                Ok(_) | Err(_) => {}
            }
        }
        Err(over())
    }

    fn locks(&self) -> Option<&dyn LockBackend> {
        self.primary.locks().map(|_| self as &dyn LockBackend)
    }

    fn copes_with_outages(&self) -> bool {
        true
    }

    fn health(&self) -> Health {
        self.who_serves()
    }

    /// Asks the primary now, also while it is left alone. A round trip or two.
    fn reach(&self) -> Result<()> {
        self.primary.reach()
    }

    fn events(&self) -> Vec<String> {
        self.take_lines()
    }

    fn now(&self) -> Millis {
        match self.control.last() {
            Some(view) if view.stage.tier == Mode::Fallback => self.fallback.now(),
            _ => self.primary.now(),
        }
    }

    /// Those of the primary, and calls that the fallback served.
    fn round_trips(&self) -> u64 {
        self.primary.round_trips() + self.trips.load(Ordering::Relaxed)
    }

    fn describe(&self) -> Result<Vec<(String, String)>> {
        self.describe_both()
    }
}

fn over() -> Error {
    Error::unavailable(NAME, "who serves changes again and again")
}

fn entering() -> Error {
    Error::unavailable(NAME, "the fallback takes over in a moment")
}
