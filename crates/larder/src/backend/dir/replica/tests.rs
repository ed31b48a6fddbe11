//! Generated histories, read back by records, by checkpoints and from damaged bytes.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::history::Logged;
use super::record::{Body, EntryPlace, RecordChange, read};
use super::*;
use crate::backend::dir::fs::FileKind;
use crate::contract::{CacheId, Change, LockProof, Op, Since, Token, lock_name};

const NOW: Millis = 1_000;

/// A change of an entry: of which cache and key.
#[derive(Clone, Debug)]
enum Edit {
    /// `packed` = the entry stands in the record's pack.
    Set {
        cache: u8,
        key: u8,
        entry: Vec<u8>,
        expires: Option<Millis>,
        packed: bool,
    },
    Delete {
        cache: u8,
        key: u8,
    },
    Purge {
        cache: u8,
    },
}

/// What becomes of the log.
#[derive(Clone, Debug)]
enum Step {
    Edit(Vec<Edit>),
    /// `behind` = how far behind the segment the files are that are given up.
    Trim {
        behind: u64,
        expired: Millis,
    },
    Locks(Vec<LockChange>),
    /// The segment ends.
    Seal,
    /// A process begins at a checkpoint.
    Restore,
}

fn edit() -> impl Strategy<Value = Edit> {
    let entry = vec(any::<u8>(), 0..40);
    let set = (0..4_u8, 0..6_u8, entry, option::of(1..50_u64), any::<bool>());
    prop_oneof![
        4 => set.prop_map(|(cache, key, entry, expires, packed)| Edit::Set { cache, key, entry, expires, packed }),
        1 => (0..4_u8, 0..6_u8).prop_map(|(cache, key)| Edit::Delete { cache, key }),
        1 => (0..4_u8).prop_map(|cache| Edit::Purge { cache }),
    ]
}

fn party(claimed: bool) -> impl Strategy<Value = Party> {
    (0..5_u128, vec(any::<u8>(), 0..5), any::<u64>(), any::<u64>()).prop_map(
        move |(token, owner, node, at)| Party {
            token: Token::from_number(token),
            owner: owner.into(),
            process: Seat { node, claimed, at: if claimed { at } else { 0 } },
        },
    )
}

fn lock_change() -> impl Strategy<Value = LockChange> {
    let name = || vec(0..3_u8, 0..2).prop_map(Vec::into_boxed_slice);
    let grant = (party(true), any::<u64>(), 0..1_000_000_u64);
    let grant = grant.prop_map(|(to, fence, lease)| Grant { to, fence, lease });
    prop_oneof![
        (any::<u64>(), any::<bool>()).prop_map(|(fence, open)| LockChange::Common { fence, open }),
        any::<u64>().prop_map(|fence| LockChange::Distrust { fence }),
        (name(), party(false)).prop_map(|(name, who)| LockChange::Wait { name, who }),
        (name(), 0..5_u128)
            .prop_map(|(name, token)| LockChange::Leave { name, token: Token::from_number(token) }),
        (name(), grant).prop_map(|(name, grant)| LockChange::Grant { name, grant }),
        (name(), 0..1_000_000_u64).prop_map(|(name, lease)| LockChange::Renew { name, lease }),
        name().prop_map(|name| LockChange::Free { name }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => vec(edit(), 1..6).prop_map(Step::Edit),
        1 => (0..4_u64, 0..50_u64).prop_map(|(behind, expired)| Step::Trim { behind, expired }),
        2 => vec(lock_change(), 1..4).prop_map(Step::Locks),
        1 => Just(Step::Seal),
        1 => Just(Step::Restore),
    ]
}

/// The last two caches are not logged.
fn cache(number: u8) -> CacheId {
    CacheId::stored(&format!("cache{number}"), number < 2)
}

fn file(kind: FileKind, number: u64, nonce: u128) -> FileId {
    FileId { kind, number, nonce }
}

/// An entry that should be found: its bytes, the file that it is in, and when it expires.
type Entry = (Vec<u8>, FileId, Option<Millis>);

/// A log, what a replica makes of it, and what should come of it.
struct Case {
    replica: Replica,
    segment: FileId,
    base: u64,
    end: u64,
    records: u128,
    /// The content of each file; a segment has a gap where frames and headers would stand.
    files: HashMap<FileId, BTreeMap<u64, Vec<u8>>>,
    entries: BTreeMap<(u8, u8), Entry>,
    /// The positions of records with changes of logged caches, and those changes.
    history: Vec<(Position, Vec<(Change, bool)>)>,
    /// The same changes of locks, applied at once.
    locks: LockTable,
}

const FIRST: Position = Position { incarnation: 7, id: 10, nonce: 0 };

impl Case {
    fn new() -> Self {
        let segment = file(FileKind::Log, 1, 0);
        let mut replica = Replica::new(FIRST, NOW);
        replica.begin_segment(segment, 10);
        Self {
            replica,
            segment,
            base: 0,
            end: 10,
            records: 0,
            files: HashMap::new(),
            entries: BTreeMap::new(),
            history: Vec::new(),
            locks: LockTable::new(NOW),
        }
    }

    fn after(steps: &[Step]) -> Self {
        let mut case = Self::new();
        for step in steps {
            case.run(step);
        }
        case
    }

    fn position(&self) -> Position {
        Position { id: u128::from(self.base + self.end), nonce: self.records, ..FIRST }
    }

    /// Appends a record; the seal that it was, if it was one.
    fn append(&mut self, body: Vec<u8>) -> Option<Seal> {
        let begin = self.end + 8;
        self.end += 24 + body.len() as u64;
        self.records += 1;
        let at = Standing { body: begin, end: self.end, position: self.position() };
        let seal = self.replica.take_in(&body, at, NOW).unwrap();
        self.files.entry(self.segment).or_default().insert(begin, body);
        seal
    }

    fn run(&mut self, step: &Step) {
        match step {
            Step::Edit(edits) => self.edit(edits),
            Step::Trim { behind, expired } => {
                let below = self.segment.number.saturating_sub(*behind);
                self.append(trim_body(below, *expired));
                self.entries.retain(|_, (_, file, expires)| {
                    file.number >= below && expires.is_none_or(|expires| expires >= *expired)
                });
            }
            Step::Locks(changes) => {
                self.append(locks_body(changes));
                for change in changes {
                    self.locks.apply(change, NOW);
                }
            }
            Step::Seal => {
                let successor = file(FileKind::Log, self.segment.number + 1, self.records);
                let seal = Seal { successor, incarnation: FIRST.incarnation, checkpoint_bytes: 5 };
                assert_eq!(self.append(seal_body(seal)), Some(seal));
                self.base += self.end;
                (self.segment, self.end) = (successor, 10);
                self.replica.begin_segment(successor, self.end);
            }
            Step::Restore => {
                let checkpoint = self.replica.checkpoint(CarryOver::Everything);
                self.replica = Replica::restore(&checkpoint, self.position(), NOW).unwrap();
                self.replica.begin_segment(self.segment, self.end);
            }
        }
    }

    fn edit(&mut self, edits: &[Edit]) {
        let pack = file(FileKind::Pack, self.segment.number, self.records + 1);
        let caches: Vec<CacheId> = (0..4).map(cache).collect();
        let keys: Vec<[u8; 1]> = (0..6).map(|key| [key]).collect();
        let (mut packed, mut ops, mut listed) = (Vec::new(), Vec::new(), Vec::new());
        for edit in edits {
            let (number, key, entry) = match edit {
                Edit::Set { cache, key, entry, expires, packed: in_pack } => {
                    let file = if *in_pack { pack } else { self.segment };
                    (cache, Some(*key), Some((entry, file, *expires)))
                }
                Edit::Delete { cache, key } => (cache, Some(*key), None),
                Edit::Purge { cache } => (cache, None, None),
            };
            let id = &caches[usize::from(*number)];
            let change = match key {
                Some(key) => Change::Key { cache: id.name().into(), key: [key].into() },
                None => Change::Cache { cache: id.name().into() },
            };
            if id.logged() {
                listed.push((change, entry.is_some()));
            }
            match (key, entry) {
                (Some(key), Some((entry, file, expires))) => {
                    let place = if file == pack { Stored::Pack(packed.len() as u64) } else { Stored::Here };
                    if file == pack {
                        packed.extend_from_slice(entry);
                    }
                    self.entries.insert((*number, key), (entry.clone(), file, expires));
                    let key = &keys[usize::from(key)];
                    ops.push((Op::Set { cache: id, key, entry, expires, guard: None, lock: None }, place));
                }
                (Some(key), None) => {
                    self.entries.remove(&(*number, key));
                    ops.push((Op::Delete { cache: id, key: &keys[usize::from(key)] }, Stored::Here));
                }
                (None, _) => {
                    self.entries.retain(|(cache, _), _| cache != number);
                    ops.push((Op::Purge { cache: id }, Stored::Here));
                }
            }
        }
        let used = ops.iter().any(|(_, place)| matches!(place, Stored::Pack(_)));
        let body = ops_body(&ops, used.then_some((pack, packed.len() as u64)));
        self.files.entry(pack).or_default().insert(0, packed);
        self.append(body);
        if !listed.is_empty() {
            self.history.push((self.position(), listed));
        }
    }

    /// The bytes that a file has at a place.
    fn bytes(&self, file: FileId, offset: u64, length: u32) -> &[u8] {
        let (begin, bytes) = self.files[&file].range(..=offset).next_back().unwrap();
        let from = usize::try_from(offset - begin).unwrap();
        &bytes[from..from + length as usize]
    }

    /// The replica knows what it should.
    fn check(&self) {
        let index = self.replica.index();
        for number in 0..4 {
            let id = cache(number);
            assert_eq!(
                index.keys(&id).map_or(0, HashMap::len),
                self.entries.keys().filter(|(cache, _)| *cache == number).count()
            );
        }
        for ((number, key), (entry, file, expires)) in &self.entries {
            let found = index.get(&cache(*number), &[*key]).unwrap();
            assert_eq!((index.file(found.file), found.expires), (Some(*file), *expires));
            assert_eq!(self.bytes(*file, found.offset, found.length), entry);
            assert_eq!(found.crc, crc32fast::hash(entry));
        }
        let used: BTreeSet<String> = self.entries.values().map(|(_, file, _)| format!("{file:?}")).collect();
        let known: BTreeSet<String> = index.files().map(|(_, file)| format!("{:?}", file.id)).collect();
        assert_eq!(known, used);
        let soonest = self.entries.values().filter_map(|(_, _, expires)| *expires).min();
        for before in [0, 25, 50] {
            assert_eq!(index.has_expired(before), soonest.is_some_and(|soonest| soonest < before));
        }
        let mut after: Vec<&(Change, bool)> = Vec::new();
        for (position, changes) in self.history.iter().rev() {
            let delta = self.replica.history().delta(Some(*position));
            assert!(!delta.reset);
            assert_eq!(delta.changes, after.iter().map(|(change, _)| change.clone()).collect::<Vec<_>>());
            after.splice(0..0, changes);
        }
        let last = self.history.last().map_or(FIRST, |(position, _)| *position);
        assert_eq!(self.replica.history().last(), last);
        let other = Position { nonce: u128::MAX, ..last };
        assert!(self.replica.history().delta(Some(other)).reset);
        assert_eq!(self.replica.locks().changes(), self.locks.changes());
    }
}

/// What happened to a key, found by looking at all changes.
fn since(case: &Case, position: Position, id: &CacheId, key: u8) -> Since {
    let later = case.history.iter().filter(|(at, _)| at.id > position.id).flat_map(|(_, changes)| changes);
    let own = later.filter(|(change, _)| change.touches(id.name(), &[key]));
    Since::of(own.map(|(_, stored)| *stored))
}

proptest! {
    /// Every process knows the same at the same place of the log, whether it read records or a
    /// checkpoint.
    #[test]
    fn histories_are_read_as_they_were_made(steps in vec(step(), 0..30)) {
        let mut case = Case::new();
        for step in &steps {
            case.run(step);
            case.check();
        }
        for (position, _) in &case.history {
            for (number, key) in [(0, 0), (0, 3), (1, 0)] {
                let id = cache(number);
                let found = case.replica.history().of_key(*position, &id, &[key]);
                assert_eq!(found, since(&case, *position, &id, key));
            }
        }
    }

    /// What a new history keeps is there, and nothing else.
    #[test]
    fn new_histories_keep_what_they_should(steps in vec(step(), 0..20)) {
        let mut case = Case::after(&steps);
        let first = Position { incarnation: 8, ..case.position() };
        let nothing = Replica::restore(&case.replica.checkpoint(CarryOver::Nothing), first, NOW).unwrap();
        assert_eq!(nothing.index().caches().count(), 0);
        assert_eq!(nothing.locks().changes(), case.locks.changes());
        let unlogged = Replica::restore(&case.replica.checkpoint(CarryOver::Unlogged), first, NOW).unwrap();
        let count = |number| unlogged.index().keys(&cache(number)).map_or(0, HashMap::len);
        let all = |number| case.entries.keys().filter(|(cache, _)| *cache == number).count();
        assert_eq!([0, 1, 2, 3].map(count), [0, 0, all(2), all(3)]);
        assert_eq!(unlogged.locks().changes(), LockTable::new(NOW).changes());
        for replica in [nothing, unlogged] {
            assert_eq!(replica.history().last(), first);
        }
    }

    /// A checkpoint with a wrong byte, or too few or too many of them, is none.
    #[test]
    fn damaged_checkpoints_are_errors(steps in vec(step(), 0..8), bit in 0..8, at in any::<prop::sample::Index>()) {
        let mut case = Case::after(&steps);
        let good = case.replica.checkpoint(CarryOver::Everything);
        let at = at.index(good.len());
        let mut flipped = good.clone();
        flipped[at] ^= 1_u8 << bit;
        let longer = [&good[..], &[0]].concat();
        for bytes in [&flipped[..], &good[..at], &longer] {
            assert!(Replica::restore(bytes, FIRST, NOW).is_err());
        }
        // With a checksum that fits, whatever stands there must not end the process.
        let check = crc32fast::hash(&flipped[4..]);
        flipped[..4].copy_from_slice(&check.to_le_bytes());
        let _ = Replica::restore(&flipped, FIRST, NOW);
    }

    /// The body of a record that is cut short is an error; one with wrong bytes is read as
    /// something, or an error.
    #[test]
    fn damaged_records_are_errors(step in step(), bit in 0..8, at in any::<prop::sample::Index>()) {
        let case = Case::after(&[step]);
        for body in case.files.values().flat_map(BTreeMap::values).filter(|body| read(body).is_ok()) {
            let at = at.index(body.len());
            assert!(read(&body[..at]).is_err());
            assert!(read(&[&body[..], &[0]].concat()).is_err());
            let mut flipped = body.clone();
            flipped[at] ^= 1_u8 << bit;
            let mut other = Case::new();
            let standing = Standing { body: 8, end: 100, position: FIRST };
            let _ = other.replica.take_in(&flipped, standing, NOW);
        }
    }

    #[test]
    fn rubbish_is_read_as_something_or_an_error(bytes in vec(any::<u8>(), 0..200)) {
        let _ = read(&bytes);
        let _ = Replica::restore(&bytes, FIRST, NOW);
    }

    /// What a record says of locks is read as it was written.
    #[test]
    fn changes_of_locks_are_read_as_written(changes in vec(lock_change(), 0..8)) {
        assert_eq!(read(&locks_body(&changes)), Ok(Body::Locks(changes)));
    }

    /// A lease that went through records again and again is as long as at first.
    #[test]
    fn the_margin_of_a_lease_comes_off_exactly(lease in 0..u64::MAX / 2) {
        assert_eq!(without_margin(with_margin(lease)), lease);
    }
}

#[test]
fn a_record_says_where_its_entries_stand() {
    let id = cache(0);
    let set = |entry| Op::Set { cache: &id, key: b"k", entry, expires: Some(0), guard: None, lock: None };
    let pack = file(FileKind::Pack, 3, 4);
    let ops = [(set(b"here"), Stored::Here), (set(b"there"), Stored::Pack(9))];
    let body = ops_body(&ops, Some((pack, 14)));
    let Ok(Body::Ops { caches, pack: named, changes }) = read(&body) else { panic!("{body:?}") };
    assert_eq!((caches, named), (vec![("cache0", true)], Some((pack, 14))));
    let (
        RecordChange::Set { place: EntryPlace::Here(at), length, expires, .. },
        RecordChange::Set { place, .. },
    ) = (&changes[0].1, &changes[1].1)
    else {
        panic!("{changes:?}")
    };
    let at = usize::try_from(*at).unwrap();
    assert_eq!(&body[at..at + *length as usize], b"here");
    // An entry that expired at once has to expire, and zero says that it never does.
    assert_eq!((*place, *expires), (EntryPlace::Pack(9), Some(1)));
}

#[test]
fn a_lock_that_is_not_held_allows_no_write() {
    let (id, token) = (cache(0), Token::from_number(1));
    let name = lock_name(&id, b"k");
    let proof = LockProof { token, fence: 5 };
    let set = Op::Set { cache: &id, key: b"k", entry: b"", expires: None, guard: None, lock: Some(proof) };
    let mut table = LockTable::new(NOW);
    assert!(!table.allows(&set));
    let to = Party { token, owner: [].into(), process: Seat::default() };
    let grant = |fence| LockChange::Grant {
        name: name.clone().into(),
        grant: Grant { to: to.clone(), fence, lease: 10 },
    };
    table.apply(&grant(5), NOW);
    assert!(table.allows(&set));
    table.apply(&grant(6), NOW);
    assert!(!table.allows(&set));
}

/// R29: whatever is kept, each cache that changed after a position is told, and of its keys none is
/// said to be unchanged.
#[test]
fn last_changes_reach_further_back_than_the_changes_kept() {
    let at = |id: u128| Position { incarnation: 7, id, nonce: id * 3 };
    let names: Vec<String> = (0..5000).map(|number| format!("c{number}")).collect();
    let key = |name: &str, n: u128| {
        let change = Change::Key { cache: name.into(), key: n.to_be_bytes().into() };
        Logged { change, stored: true }
    };
    let mut history = History::new(at(1));
    history.push(at(2), vec![key("early", 0)]);
    history.push(at(3), vec![key("again", 0)]);
    for id in 4..10_000 {
        history.push(at(id), vec![key("busy", id)]);
    }
    history.push(at(10_000), vec![key("again", 1)]);
    let told = |history: &History, since| {
        let delta = history.delta(Some(since));
        let mut names: Vec<String> = delta.changes.iter().map(|change| change.cache().to_owned()).collect();
        names.sort();
        names.dedup();
        (!delta.reset).then_some(names)
    };
    assert_eq!(told(&history, at(1)).unwrap(), ["again", "busy", "early"]);
    assert_eq!(told(&history, at(2)).unwrap(), ["again", "busy"]);
    assert_eq!(told(&history, at(9_999)).unwrap(), ["again"]);
    assert_eq!(told(&history, Position { nonce: 5, ..at(9_000) }), None, "it is kept, and has another nonce");
    assert_eq!(told(&history, Position { incarnation: 8, ..at(2) }), None);
    assert_eq!((told(&history, at(0)), told(&history, at(10_001))), (None, None));
    let of_key = |history: &History, since, name: &str| {
        history.of_key(since, &CacheId::new(name, true).unwrap(), b"k")
    };
    assert_eq!(of_key(&history, at(2), "early"), Since::Nothing);
    assert_eq!(of_key(&history, at(2), "never"), Since::Nothing);
    assert_eq!(of_key(&history, at(2), "again"), Since::Changed);
    assert_eq!(of_key(&history, at(0), "never"), Since::Changed);

    // Too many caches: those that changed longest ago are forgotten, and what was before them is
    // unknown.
    for (name, id) in names.iter().zip(10_001..) {
        history.push(at(id), vec![key(name, id)]);
    }
    assert!(history.last_changes().caches.len() <= 4000);
    assert_eq!(told(&history, at(2)), None);
    assert_eq!(told(&history, at(14_500)).unwrap().len(), 500);
}
