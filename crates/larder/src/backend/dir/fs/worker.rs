//! Waiting no longer than is bearable for a filesystem that does not answer.
//!
//! A call to a hard-mounted NFS server that is gone does not return, and nothing can end it. So the
//! calls are made by a thread of the handle's own, and who asked waits for it with a time-out. The
//! thread stays stuck until the server is back; meanwhile the handle is unavailable.
//!
//! A write that was given up before it was begun never happens (R7). One that hangs in the middle
//! may still take effect, but not behind any later one: it holds the log's lock until the server
//! has answered, or has given the lock to another and refuses the write.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, getpid};

use super::failure::{Fault, NAME};
use super::files::Files;
use crate::error::{Error, Result};
use crate::threads;

/// How long one filesystem call may take, beside the time that a lock is waited for.
const ONE_CALL: Duration = Duration::from_secs(2);

const WAITING: u8 = 0;
const WRITING: u8 = 1;
const GIVEN_UP: u8 = 2;

/// What the thread and who waits for it agree on: whether the write of a request may begin.
#[derive(Clone, Default)]
pub(crate) struct Permit(Arc<AtomicU8>);

impl Permit {
    fn change(&self, to: u8) -> bool {
        let changed = self.0.compare_exchange(WAITING, to, Ordering::AcqRel, Ordering::Acquire);
        changed.is_ok() || self.0.load(Ordering::Acquire) == to
    }

    /// Begins to write; from now on the outcome is not known until the thread says so.
    pub(crate) fn begin(&self) -> Result<(), Fault> {
        if self.change(WRITING) { Ok(()) } else { Err(no_answer().into()) }
    }

    /// Makes sure that nothing will be written, unless it was begun.
    fn give_up(&self) -> bool {
        self.change(GIVEN_UP)
    }
}

fn no_answer() -> Error {
    Error::unavailable(NAME, "the filesystem does not answer")
}

type Job<S> = Box<dyn FnOnce(&mut S) + Send>;
/// Of which process it is, and where it takes its jobs.
type Thread<S> = (Pid, Sender<Job<S>>);

/// The thread that makes a handle's calls. `S` is what it works on.
pub(crate) struct Worker<S> {
    files: Files,
    /// How long a lock is waited for.
    wait: Duration,
    begin: Box<dyn Fn() -> S + Send + Sync>,
    /// Done between jobs; gives how long to wait for the next job before it is done again.
    idle: Arc<dyn Fn() -> Duration + Send + Sync>,
    thread: Mutex<Option<Thread<S>>>,
}

impl<S: Send + 'static> Worker<S> {
    pub(crate) fn new(
        files: Files,
        wait: Duration,
        begin: impl Fn() -> S + Send + Sync + 'static,
        idle: impl Fn() -> Duration + Send + Sync + 'static,
    ) -> Self {
        Self { files, wait, begin: Box::new(begin), idle: Arc::new(idle), thread: Mutex::new(None) }
    }

    /// Has `work` done by the thread.
    ///
    /// # Errors
    /// Unavailable if the filesystem does not answer; else those of `work`.
    pub(crate) fn run<T, W>(&self, work: W) -> Result<T>
    where
        T: Send + 'static,
        W: FnOnce(&mut S, Permit) -> Result<T, Fault> + Send + 'static,
    {
        let permit = Permit::default();
        let (answer, answered) = mpsc::sync_channel(1);
        let permitted = permit.clone();
        let job: Job<S> = Box::new(move |state: &mut S| {
            if permitted.0.load(Ordering::Acquire) != GIVEN_UP {
                // Who asked may have gone.
                let _ = answer.send(work(state, permitted));
            }
        });
        if let Err(mpsc::SendError(job)) = self.jobs(false)?.send(job) {
            // The thread is gone, which only a panic can have done.
            self.jobs(true)?.send(job).map_err(|_| no_answer())?;
        }
        let mut more_time = true;
        loop {
            let calls = self.files.calls();
            match answered.recv_timeout(ONE_CALL + self.wait) {
                Ok(answer) => return Ok(answer?),
                Err(RecvTimeoutError::Disconnected) => return Err(no_answer()),
                Err(RecvTimeoutError::Timeout) if self.files.calls() != calls => {}
                Err(RecvTimeoutError::Timeout) if permit.give_up() || !more_time => return Err(no_answer()),
                Err(RecvTimeoutError::Timeout) => more_time = false,
            }
        }
    }

    /// Where the thread of this process takes its jobs: a forked child has none of its parent's
    /// threads.
    fn jobs(&self, anew: bool) -> Result<Sender<Job<S>>> {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        let process = getpid();
        if let Some((of, jobs)) = &*thread
            && *of == process
            && !anew
        {
            return Ok(jobs.clone());
        }
        let (jobs, taken) = mpsc::channel();
        let (state, idle) = ((self.begin)(), Arc::clone(&self.idle));
        threads::spawn("larder-dir", move || work_off(state, &taken, &*idle))
            .map_err(|error| Error::unavailable(NAME, format!("no thread: {error}")))?;
        *thread = Some((process, jobs.clone()));
        Ok(jobs)
    }
}

fn work_off<S>(mut state: S, jobs: &Receiver<Job<S>>, idle: &dyn Fn() -> Duration) {
    loop {
        match jobs.recv_timeout(idle()) {
            Ok(job) => job(&mut state),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}
