//! The processes of a run, and its end.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::Duration;

use larder::Config;
use tempfile::TempDir;

use super::{Actor, Summary, Worker, check, now};

/// How long a write sent by a process that was killed may still take effect: the read timeout of
/// the runs and a margin.
const GRACE: Duration = Duration::from_millis(450);

/// How one worker is run.
#[derive(Clone, Debug)]
pub struct Seat {
    /// The program `coherence_worker`, and what comes before its own arguments.
    pub program: Vec<String>,
    /// Options of the store.
    pub options: Vec<String>,
}

/// The workers of a round and what they left.
pub struct Crew {
    directory: TempDir,
    seats: Vec<Seat>,
    until: u64,
    /// When the first fault came; 0 = none came yet.
    calm_until: u64,
    started: u64,
    working: BTreeMap<usize, (u64, Child)>,
    /// Processes and when they were over.
    over: Vec<(u64, u64)>,
    random: u64,
}

impl Crew {
    /// Starts a worker on each seat.
    ///
    /// # Panics
    /// If one cannot be started.
    pub fn new(seats: Vec<Seat>, time: Duration) -> Self {
        let mut crew = Self {
            directory: TempDir::new().unwrap(),
            until: now() + nanos(time),
            calm_until: 0,
            started: 0,
            working: BTreeMap::new(),
            over: Vec::new(),
            random: now() | 1,
            seats,
        };
        (0..crew.seats.len()).for_each(|seat| crew.start(seat));
        crew
    }

    fn start(&mut self, seat: usize) {
        self.started += 1;
        let left = Duration::from_nanos(self.until.saturating_sub(now()));
        let Seat { program, options } = &self.seats[seat];
        let child = Command::new(&program[0])
            .args(&program[1..])
            .arg(self.directory.path())
            .arg(self.started.to_string())
            .arg(left.as_millis().to_string())
            .args(options)
            .spawn()
            .unwrap();
        self.working.insert(seat, (self.started, child));
    }

    /// A process whose steps are placed by hand, with that store.
    ///
    /// # Panics
    /// If its journal cannot be written.
    pub fn actor(&mut self, config: &Config) -> Actor {
        self.started += 1;
        // It has an answer to all that it began when its journal is read.
        self.over.push((self.started, u64::MAX));
        let (directory, process, time) = (self.directory.path(), self.started, Duration::ZERO);
        Actor::new(&Worker { config, directory, process, time, floods: 0 }).unwrap()
    }

    /// The backend may lose entries at any time: no miss is wrong.
    pub fn expect_losses(&mut self) {
        self.calm_until = 1;
    }

    /// Kills a worker in the middle of whatever it does and puts a new process in its place.
    ///
    /// # Panics
    /// If it cannot be killed.
    pub fn kill_one(&mut self) {
        let seat = self.below(self.seats.len());
        let (process, mut child) = self.working.remove(&seat).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        self.over.push((process, now() + nanos(GRACE)));
        self.start(seat);
    }

    /// Lets the workers work: undisturbed for a third of the time, so that memory is used as it is
    /// meant to be, then with a fault after each pause of `pause` on average.
    ///
    /// # Panics
    /// If the time is too long for the clock.
    pub fn work(&mut self, pause: Duration, mut fault: impl FnMut(&mut Self)) {
        let calm = self.until.saturating_sub(now()) / 3;
        sleep(Duration::from_nanos(calm));
        loop {
            let wait = pause / 2 + pause * u32::try_from(self.below(1000)).unwrap() / 1000;
            if now() + nanos(wait + Duration::from_millis(300)) > self.until {
                return;
            }
            sleep(wait);
            if self.calm_until == 0 {
                self.calm_until = now();
            }
            fault(self);
        }
    }

    /// Waits for the end and checks what was done.
    ///
    /// # Panics
    /// If a worker failed, or a read broke the promise.
    pub fn judge(mut self) -> Summary {
        for (process, mut child) in std::mem::take(&mut self.working).into_values() {
            assert!(child.wait().unwrap().success(), "worker {process} failed");
            self.over.push((process, now()));
        }
        let journals: Vec<_> = self
            .over
            .iter()
            .map(|&(process, over)| {
                // Killed before it began one.
                let journal = fs::read_to_string(self.journal(process)).unwrap_or_default();
                (usize::try_from(process).unwrap(), journal, over)
            })
            .collect();
        let told: Vec<_> =
            journals.iter().map(|(process, journal, over)| (*process, &**journal, *over)).collect();
        match check(&told, self.calm_until) {
            Ok(summary) => summary,
            Err(why) => panic!("{why}\njournals: {}", self.directory.keep().display()),
        }
    }

    fn journal(&self, process: u64) -> PathBuf {
        self.directory.path().join(format!("{process}.journal"))
    }

    /// A random number.
    ///
    /// # Panics
    /// If `below` is zero.
    pub fn below(&mut self, below: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        usize::try_from(self.random >> 11).unwrap() % below
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap()
}
