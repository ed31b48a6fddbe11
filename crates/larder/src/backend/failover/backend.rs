//! The backend: each call goes to the tier that serves, and its answer counts if that tier still
//! served.

use std::sync::Arc;
use std::time::Duration;

use super::control::{ControlLog, View};
use super::events::Events;
use super::failure::{ATTEMPTS, NAME, entering, over};
use super::fallback::Fallback;
use super::primary::Primary;
use super::removals::Removals;
use super::rules::{Mode, Verdict};
use crate::breaker::{Breaker, Waits};
use crate::clock::{Millis, boottime};
use crate::contract::{
    Applied, Backend, CacheId, CacheUsage, Facts, Fetched, Health, LockBackend, Op, Position, Read, Settled,
};
use crate::error::{Error, ErrorKind, Result};
use crate::node_state::NodeState;

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
    pub(super) primary: Primary,
    pub(super) fallback: Fallback,
    pub(super) control: ControlLog,
    pub(super) events: Events,
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
        let name = *blake3::hash(settings.node.as_bytes()).as_bytes();
        let node = name.first_chunk().map_or(0, |name| u64::from_le_bytes(*name));
        let [connect, answer] = settings.waits;
        let waits = Waits::new(connect, answer);
        let breaker = |tier| {
            Breaker::new(NodeState::shared(&format!("{} {} {tier}", settings.place, settings.node)), waits)
        };
        Self {
            control: ControlLog::new(Arc::clone(&fallback), settings.shared, node, breaker("fallback")),
            primary: Primary::new(primary, node, breaker("primary")),
            fallback: Fallback::new(fallback),
            events: Events::default(),
            settings,
        }
    }

    /// Another handle on both.
    pub(super) fn another_handle(&self) -> Self {
        let own = || [Arc::clone(self.primary.backend()), Arc::clone(self.fallback.backend())];
        let handles = (self.settings.open)().unwrap_or_else(|_| own());
        Self::with_handles(self.settings.clone(), handles)
    }

    /// What holds at `moment`, for all that a lease covers.
    pub(super) fn view(&self, moment: Duration) -> Result<View> {
        let before = self.control.last().map(|view| view.stage);
        let view = self.control.view(moment)?;
        if before != Some(view.stage) {
            self.events.announce(&view, &self.primary);
        }
        Ok(view)
    }

    /// What holds now.
    pub(super) fn view_anew(&self) -> Result<View> {
        let view = self.control.read()?;
        self.events.announce(&view, &self.primary);
        Ok(view)
    }

    /// Whether an error of the fallback means that this process can never use it, and never did: it
    /// is another user's than the directory, or strangers' files are in it.
    ///
    /// To the server it is then what a node with a fallback of its own is (R15). It says there that
    /// it is about, so that the others do not go over to a fallback of which it knows nothing; what
    /// it cannot tell the server is answered false. So a fallback that is of no use does not cost
    /// the server.
    ///
    /// That is for a `local:` fallback. One that nodes share may serve others while this one cannot
    /// use it, whatever the error, and then the server must not serve this one (R13): it has to
    /// read who serves, as a visitor.
    pub(super) fn is_barred(&self, error: &Error) -> bool {
        !self.control.is_shared()
            && matches!(error.kind(), ErrorKind::Refused | ErrorKind::Foreign)
            && self.control.last().is_none()
    }

    /// Asks the primary for a process that cannot use the fallback.
    pub(super) fn without_fallback<T>(
        &self,
        barred: &Error,
        call: impl FnOnce(&dyn Backend) -> Result<T>,
    ) -> Result<T> {
        if self.primary.say_barred()? {
            self.events.line(format!("the server serves without its fallback: {barred}"));
        }
        self.primary.call(call)
    }

    /// Reads from whichever tier serves. `primary` answers with the incarnation that its answer is
    /// of, if it knows.
    fn read<T>(
        &self,
        primary: impl Fn(&dyn Backend) -> Result<(T, Option<u128>)>,
        fallback: impl Fn(&View) -> Result<Option<T>>,
    ) -> Result<T> {
        for _ in 0..ATTEMPTS {
            let began = boottime();
            let view = match self.look_after(began) {
                Err(error) if self.is_barred(&error) => {
                    return Ok(self.without_fallback(&error, |server| primary(server))?.0);
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
        let Some(incarnation) = self.primary.prepare(&self.control, view)? else { return Ok(None) };
        let (answer, of) = self.primary.call(ask)?;
        match view.judge(began, of.unwrap_or(incarnation)) {
            Verdict::Counts => return Ok(Some(answer)),
            // It was emptied or replaced, and must be told anew.
            Verdict::Behind => drop(self.absorb()?),
            Verdict::LeaseOver | Verdict::Elsewhere => {}
        }
        Ok(None)
    }

    /// Tells the primary what it missed, unless it is left alone.
    fn absorb(&self) -> Result<Position> {
        self.primary.call(|_| self.primary.absorb(&self.control))
    }

    /// Writes to the primary; `None` if that was not begun.
    fn write(
        &self,
        view: &View,
        since: Option<Position>,
        ops: &[Op<'_>],
        removals: &Removals<'_>,
    ) -> Result<Option<Applied>, Failed> {
        let Some(prepared) = self.primary.prepare(&self.control, view).map_err(Failed::Lost)? else {
            return Ok(None);
        };
        let applied = self.primary.call(|server| server.apply(since, ops));
        let applied = applied.map_err(|error| match error.kind() {
            ErrorKind::LockLost => Failed::Final(error),
            // Whoever asks removes what is under these keys, which may well go through.
            ErrorKind::Refused if removals.had_sets => Failed::Final(error),
            _ => Failed::Lost(error),
        })?;
        // Others may have gone over to the fallback before the primary had this.
        let incarnation = applied.delta.position.incarnation;
        if incarnation != prepared {
            // Emptied or replaced meanwhile: a fill would have been dropped, and what was stored is
            // newer than all that the primary may have to be told.
            self.absorb().map_err(Failed::Void)?;
        }
        let answered = boottime();
        let view = self.view(answered).map_err(Failed::Void)?;
        match view.judge(answered, incarnation) {
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
            |view| self.fallback.fetch(&self.control, view, since, reads),
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
                    return self.without_fallback(&error, |server| server.apply(since, ops));
                }
                Err(error) => {
                    // Nobody may be told that it was done (R13); but it does no harm where it is.
                    let _ = self.primary.call(|server| server.apply(None, &removals.ops));
                    return Err(error);
                }
                Ok(view) => view,
            };
            if view.stage.is_fallback() {
                match self.fallback.apply(&self.control, &view, since, ops)? {
                    Some(applied) => return Ok(applied),
                    None if removals.had_sets => return Err(over()),
                    None => continue,
                }
            }
            if view.stage.tier == Mode::Fallback {
                return Err(self.fallback.journal_refused(&self.control, view.stage.epoch, removals));
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
                    // A set that may have happened is not repeated: what came after it would be
                    // undone.
                    if removals.had_sets || !goes_on {
                        return Err(self.fallback.journal(&self.control, &removals, error));
                    }
                }
            }
        }
        Err(self.fallback.journal(&self.control, &removals, over()))
    }

    /// A fill is guarded: one that reaches the primary after others went over to the fallback does
    /// no harm there.
    fn post(&self, since: Option<Position>, fill: &Op<'_>) -> bool {
        let Ok(view) = self.look_after(boottime()) else { return false };
        view.stage.tier == Mode::Primary
            && view.ready_primary().is_some()
            && !self.primary.is_left_alone()
            && self.primary.backend().post(since, fill)
    }

    fn settled(&self, at: Option<Position>, wait: bool) -> Vec<Settled> {
        self.primary.backend().settled(at, wait)
    }

    fn list(&self, cache: &CacheId, prefix: &[u8], visit: &mut dyn FnMut(&[u8])) -> Result<()> {
        let keys = self.read(
            |primary| {
                let mut keys = Vec::new();
                primary.list(cache, prefix, &mut |key| keys.push(key.to_vec()))?;
                Ok((keys, None))
            },
            |view| self.fallback.keys(view, cache, prefix).map(Some),
        )?;
        for key in &keys {
            visit(key);
        }
        Ok(())
    }

    fn usage(&self) -> Result<Vec<CacheUsage>> {
        let mut usage = self.read(
            |primary| primary.usage().map(|usage| (usage, None)),
            |view| self.fallback.usage(view).map(Some),
        )?;
        usage.retain(|usage| !usage.cache.is_reserved());
        Ok(usage)
    }

    fn reset(&self) -> Result<()> {
        for _ in 0..ATTEMPTS {
            let view = match self.look_after(boottime()) {
                Err(error) if self.is_barred(&error) => {
                    return self.without_fallback(&error, |server| server.reset());
                }
                view => view?,
            };
            if view.stage.tier == Mode::Fallback {
                return self.reset_fallback(&view);
            }
            // All is gone there then, how far it was told too.
            let reset =
                |server: &dyn Backend| server.reset().and_then(|()| self.primary.absorb(&self.control));
            match self.primary.call(reset) {
                Ok(_) if self.view(boottime())?.stage == view.stage => return Ok(()),
                Err(error) if !self.lost(&error, view.stage) => return Err(error),
                Ok(_) | Err(_) => {}
            }
        }
        Err(over())
    }

    fn locks(&self) -> Option<&dyn LockBackend> {
        self.primary.backend().locks().map(|_| self as &dyn LockBackend)
    }

    fn copes_with_outages(&self) -> bool {
        true
    }

    fn health(&self) -> Health {
        self.who_serves()
    }

    /// Asks the primary now, also while it is left alone. A round trip or two.
    fn reach(&self) -> Result<()> {
        self.primary.backend().reach()
    }

    fn events(&self) -> Vec<String> {
        self.events.take()
    }

    fn now(&self) -> Millis {
        match self.control.last() {
            Some(view) if view.stage.tier == Mode::Fallback => self.fallback.backend().now(),
            _ => self.primary.backend().now(),
        }
    }

    /// Those of the primary, and calls that the fallback served.
    fn round_trips(&self) -> u64 {
        self.primary.backend().round_trips() + self.fallback.trips()
    }

    fn bytes(&self) -> (u64, u64) {
        self.primary.backend().bytes()
    }

    fn describe(&self) -> Result<Facts> {
        self.facts()
    }
}
