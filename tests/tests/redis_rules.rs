//! The counterexamples that the rules R1 to R7 of `docs/protocol.md` prevent, on real servers.
//! `tests/mutants/run` takes each rule out and demands that its test fails.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::LazyLock;
use std::thread;
use std::time::Duration;

use larder::ErrorKind;
use larder::contract::{Backend, CacheId, Change, Delta, Outcome, Position, Read};
use larder::testing::redis::Redis;
use larder_testkit::{Answers, Proxy, RedisServer};
use larder_tests::redis::{
    READ_TIMEOUT, cache, delete, fill, get, here, make, open, open_with, refused, set, unlogged,
};
use redis::Value;

const LOG: &str = "{t:0}l";
const META: &str = "{t:0}m";

/// The records of the log, as arguments for `XADD`.
fn records(server: &RedisServer) -> Vec<(String, Vec<Vec<u8>>)> {
    redis::cmd("XRANGE").arg(LOG).arg("-").arg("+").query(&mut server.connect()).unwrap()
}

fn append(server: &RedisServer, records: &[(String, Vec<Vec<u8>>)]) {
    for (id, fields) in records {
        let mut command = redis::cmd("XADD");
        command.arg(LOG).arg(id).arg(fields);
        let _: Value = command.query(&mut server.connect()).unwrap();
    }
}

fn key_change(key: &[u8]) -> Change {
    Change::Key { cache: "c".into(), key: key.into() }
}

/// The log of an hour ago is restored and grows past the reader's position.
#[test]
fn r1_a_log_restored_old_is_a_gap() {
    let server = RedisServer::start();
    let (reader, writer, cache) = (open(&server.unix_url()), open(&server.unix_url()), cache());
    make(&writer, set(&cache, b"k", b"1"));
    let old = records(&server);
    make(&writer, set(&cache, b"k", b"2"));
    let position = here(&reader);
    let _: Value = server.tell(&["DEL", LOG]);
    append(&server, &old);
    for key in [b"x", b"y", b"z"] {
        make(&writer, set(&cache, key, b"3"));
    }
    let delta = reader.fetch(Some(position), &[]).unwrap().delta;
    assert!(delta.reset, "{delta:?}");
}

/// The log is put back as it was a moment ago, and goes on. A reader stands where it ended then:
/// its own record is there, and those after it are gone.
#[test]
fn r1_records_lost_from_the_end_are_missed_when_the_log_goes_on() {
    let server = RedisServer::start();
    let (reader, writer, cache) = (open(&server.unix_url()), open(&server.unix_url()), cache());
    make(&writer, set(&cache, b"k", b"1"));
    let position = here(&reader);
    let mut connection = server.connect();
    let copy: Vec<u8> = redis::cmd("DUMP").arg(LOG).query(&mut connection).unwrap();
    make(&writer, delete(&cache, b"k"));
    let mut restore = redis::cmd("RESTORE");
    let _: Value = restore.arg(LOG).arg(0).arg(copy).arg("REPLACE").query(&mut connection).unwrap();
    make(&writer, set(&cache, b"other", b"1"));
    let delta = reader.fetch(Some(position), &[]).unwrap().delta;
    assert!(delta.reset || delta.changes == [Change::Unlisted { cache: "c".into() }], "{delta:?}");
    assert_eq!(make(&writer, fill(&cache, b"k", b"stale", position)), Outcome::Dropped);
}

/// After the server's clock was set back, another history has a record with the reader's id.
#[test]
fn r1_the_same_id_with_another_nonce_is_a_gap() {
    let server = RedisServer::start();
    let (reader, writer, cache) = (open(&server.unix_url()), open(&server.unix_url()), cache());
    make(&writer, set(&cache, b"k", b"1"));
    let mut history = records(&server);
    let position = here(&reader);
    let _: Value = server.tell(&["DEL", LOG]);
    let last = history.last_mut().unwrap();
    last.1[1] = vec![7; 16];
    append(&server, &history);
    make(&writer, set(&cache, b"other", b"1"));
    let delta = reader.fetch(Some(position), &[]).unwrap().delta;
    assert!(delta.reset, "{delta:?}");
}

/// The same, but nothing was written since: the answer differs in the nonce alone from that to the
/// quiet syncs before.
#[test]
fn r1_another_nonce_ends_a_row_of_quiet_syncs() {
    let server = RedisServer::start();
    let (reader, writer, cache) = (open(&server.unix_url()), open(&server.unix_url()), cache());
    make(&writer, set(&cache, b"k", b"1"));
    let position = here(&reader);
    for _ in 0..3 {
        let delta = reader.fetch(Some(position), &[]).unwrap().delta;
        assert!(!delta.reset && delta.changes.is_empty() && delta.position == position, "{delta:?}");
    }
    let mut history = records(&server);
    let _: Value = server.tell(&["DEL", LOG]);
    history.last_mut().unwrap().1[1] = vec![7; 16];
    append(&server, &history);
    assert!(reader.fetch(Some(position), &[]).unwrap().delta.reset);
}

/// The log is evicted or deleted, and written to again.
#[test]
fn r1_a_lost_log_is_a_gap() {
    let server = RedisServer::start();
    let (reader, writer, cache) = (open(&server.unix_url()), open(&server.unix_url()), cache());
    make(&writer, set(&cache, b"k", b"1"));
    let position = here(&reader);
    let _: Value = server.tell(&["DEL", LOG]);
    assert!(reader.fetch(Some(position), &[]).unwrap().delta.reset);
    let position = here(&reader);
    let _: Value = server.tell(&["DEL", LOG]);
    make(&writer, set(&cache, b"other", b"1"));
    assert!(reader.fetch(Some(position), &[]).unwrap().delta.reset);
}

/// Everything is gone: nothing is acknowledged before the server is certified again.
#[test]
fn r1_flushall_is_a_gap() {
    let server = RedisServer::start();
    let (reader, writer, cache) = (open(&server.unix_url()), open(&server.unix_url()), cache());
    make(&writer, set(&cache, b"k", b"1"));
    let position = here(&reader);
    let _: Value = server.tell(&["FLUSHALL"]);
    let applied = writer.apply(Some(position), &[set(&cache, b"other", b"1")]).unwrap();
    assert!(applied.delta.reset && applied.delta.position.incarnation != position.incarnation);
    assert!(reader.fetch(Some(position), &[]).unwrap().delta.reset);
    assert_eq!(get(&reader, b"k"), None);
    assert_eq!(get(&reader, b"other").unwrap(), b"1");
}

/// The values in an answer with a gap come from the old incarnation.
#[test]
fn r2_a_gap_discards_the_values_of_its_answer() {
    let server = RedisServer::start();
    let (reader, cache) = (open(&server.unix_url()), cache());
    make(&reader, set(&cache, b"k", b"old"));
    let position = here(&reader);
    // Another process has begun a new incarnation; the old one's hashes are not swept yet.
    let incarnation = format!("{:032x}", 5);
    let _: Value = server.tell(&["HSET", META, "inc", &incarnation]);
    let _: Value = server.tell(&["DEL", LOG]);
    let _: Value = server.tell(&["XADD", LOG, "*", "n", "0123456789abcdef", "c", "0", "v", ""]);
    let fetched = reader.fetch(Some(position), &[Read { cache: &cache, key: b"k" }]).unwrap();
    assert!(fetched.delta.reset);
    assert_eq!(fetched.delta.position.incarnation, 5);
    assert_eq!(fetched.entries, [None]);
}

/// HGET brings v1; W sets v2 at 7; XRANGE brings 7: v1 at 7 would be stale for ever.
#[test]
fn r3_the_position_is_read_before_the_data() {
    let server = RedisServer::start();
    let proxy = Proxy::new(server.port());
    let (reader, writer, cache) =
        (open_with(&proxy.url(), &[("read_timeout", "10")]), open(&server.unix_url()), cache());
    make(&writer, set(&cache, b"k", b"1"));
    let position = here(&reader);
    proxy.hold_last_command();
    let fetched = thread::scope(|scope| {
        let fetched =
            scope.spawn(|| reader.fetch(Some(position), &[Read { cache: &cache, key: b"k" }]).unwrap());
        proxy.await_held();
        make(&writer, set(&cache, b"k", b"2"));
        proxy.release();
        fetched.join().unwrap()
    });
    let later = reader.fetch(Some(fetched.delta.position), &[]).unwrap().delta;
    let current = fetched.entries[0].as_deref() == Some(b"2");
    assert!(current || later.changes.contains(&key_change(b"k")), "{fetched:?}, then {later:?}");
}

/// What others changed after the own record belongs to the next sync: the writer inserts its own
/// value at its own record.
#[test]
fn r4_a_write_ends_at_its_own_record() {
    let server = RedisServer::start();
    let proxy = Proxy::new(server.port());
    let (writer, other, cache) =
        (open_with(&proxy.url(), &[("read_timeout", "10")]), open(&server.unix_url()), cache());
    make(&writer, set(&cache, b"k", b"0"));
    let position = here(&writer);
    proxy.hold_last_command();
    let applied = thread::scope(|scope| {
        let applied = scope.spawn(|| writer.apply(Some(position), &[set(&cache, b"k", b"1")]).unwrap());
        proxy.await_held();
        make(&other, set(&cache, b"k", b"2"));
        proxy.release();
        applied.join().unwrap()
    });
    assert!(applied.delta.changes.is_empty(), "{applied:?}");
    let later = writer.fetch(Some(applied.delta.position), &[]).unwrap().delta;
    assert_eq!((later.reset, later.changes), (false, vec![key_change(b"k")]));
}

/// A promoted replica lost the tail of the log, with the delete of k; whoever deleted it has
/// exited.
#[test]
fn r5_a_promoted_replica_is_emptied() {
    let (mut primary, replica) = (RedisServer::start(), RedisServer::start());
    let link = Proxy::new(primary.port());
    let (writer, cache) = (open(&primary.unix_url()), cache());
    make(&writer, set(&cache, b"k", b"old"));
    make(&writer, set(&unlogged(), b"session", b"kept"));
    replica.replicate_through(link.port());
    let position = here(&writer);
    link.answers(Answers::Stall);
    make(&writer, delete(&cache, b"k"));
    primary.kill();
    let _: Value = replica.tell(&["REPLICAOF", "NO", "ONE"]);

    let reader = open(&replica.unix_url());
    let reads = [Read { cache: &cache, key: b"k" }, Read { cache: &unlogged(), key: b"session" }];
    let fetched = reader.fetch(Some(position), &reads).unwrap();
    assert!(fetched.delta.reset, "{fetched:?}");
    assert_eq!(fetched.entries, [None, Some(b"kept".to_vec())]);
}

/// The server restarts with a snapshot from before the delete.
#[test]
fn r5_a_restored_snapshot_is_emptied() {
    let mut server = RedisServer::start();
    let (reader, writer, cache) = (open(&server.unix_url()), open(&server.unix_url()), cache());
    make(&writer, set(&cache, b"k", b"old"));
    let position = here(&reader);
    server.save();
    make(&writer, delete(&cache, b"k"));
    server.restart();
    let fetched = reader.fetch(Some(position), &[Read { cache: &cache, key: b"k" }]).unwrap();
    assert!(fetched.delta.reset, "{fetched:?}");
    assert_eq!(fetched.entries, [None]);
}

/// The server changes its data and its history, but the connection lives on.
#[test]
fn r5_a_connected_server_is_asked_every_second() {
    let (server, other) = (RedisServer::start(), RedisServer::start());
    let link = Proxy::new(server.port());
    let (reader, cache) = (open(&server.unix_url()), cache());
    make(&reader, set(&cache, b"k", b"old"));
    other.replicate_through(link.port());
    let position = here(&reader);
    link.answers(Answers::Stall);
    make(&reader, delete(&cache, b"k"));
    // The other one, which lacks the delete, leads for a moment and gives its data back.
    let _: Value = other.tell(&["REPLICAOF", "NO", "ONE"]);
    server.replicate_through(other.port());
    let _: Value = server.tell(&["REPLICAOF", "NO", "ONE"]);
    assert_eq!(server.tell::<String>(&["HGET", "{t:0}m", "inc"]).len(), 32);

    thread::sleep(Duration::from_secs(1));
    let fetched = reader.fetch(Some(position), &[Read { cache: &cache, key: b"k" }]).unwrap();
    assert!(fetched.delta.reset, "{fetched:?}");
    assert_eq!(fetched.entries, [None]);
}

/// A server that becomes a replica under a living connection does not serve, from the next sync on.
#[test]
fn r5_a_replica_does_not_serve() {
    let (server, other) = (RedisServer::start(), RedisServer::start());
    let (reader, cache) = (open(&server.unix_url()), cache());
    make(&reader, set(&cache, b"k", b"old"));
    let position = here(&reader);
    // Its data stays: the other one is never reached.
    let _: Value = server.tell(&["REPLICAOF", "127.0.0.1", "1"]);
    let (kind, words) = refused(reader.fetch(Some(position), &[Read { cache: &cache, key: b"k" }]));
    assert_eq!(kind, ErrorKind::Refused, "{words}");
    let (kind, words) = refused(reader.apply(Some(position), &[delete(&cache, b"k")]));
    assert_eq!(kind, ErrorKind::Refused, "{words}");
    drop(other);
}

/// A misses and reads the database; W commits and deletes; A stores what it read.
#[test]
fn r6_a_fill_that_raced_a_change_is_dropped() {
    let server = RedisServer::start();
    let (a, w, cache) = (open(&server.unix_url()), open(&server.unix_url()), cache());
    let miss = here(&a);
    make(&w, delete(&cache, b"k"));
    assert_eq!(make(&a, fill(&cache, b"k", b"stale", miss)), Outcome::Dropped);
    assert_eq!(get(&w, b"k"), None);
    assert_eq!(make(&a, fill(&cache, b"other", b"fresh", miss)), Outcome::Stored);

    let miss = here(&a);
    make(&w, larder::contract::Op::Purge { cache: &cache });
    assert_eq!(make(&a, fill(&cache, b"k", b"stale", miss)), Outcome::Dropped);
    assert_eq!(get(&w, b"k"), None);
}

/// Others may still have in memory what the server has evicted.
#[test]
fn r6_a_fill_that_lost_against_what_was_evicted_is_told_to_all() {
    let server = RedisServer::start();
    let (a, w, cache) = (open(&server.unix_url()), open(&server.unix_url()), cache());
    let miss = here(&a);
    make(&w, set(&cache, b"k", b"before"));
    let position = here(&w);
    let hashes: Vec<String> = server.tell(&["KEYS", "*:c"]);
    let _: Value = server.tell(&["DEL", hashes.first().unwrap()]);
    assert_eq!(make(&a, fill(&cache, b"k", b"committed since", miss)), Outcome::Cleared);
    assert_eq!(w.fetch(Some(position), &[]).unwrap().delta.changes, [key_change(b"k")]);
}

/// A log of an older version does not tell sets from deletes: what stands decides.
#[test]
fn r6_records_of_older_versions_are_read() {
    let server = RedisServer::start();
    let (a, w, cache) = (open(&server.unix_url()), open(&server.unix_url()), cache());
    let miss = here(&a);
    make(&w, set(&cache, b"k", b"before"));
    let log: String = server.tell::<Vec<String>>(&["KEYS", "*}l"]).pop().unwrap();
    let names = "\0\0\0\u{3}c\0k\0\0\0\u{3}c\0l";
    let _: Value = server.tell(&["XADD", &log, "*", "n", "0123456789abcdef", "c", "2", "v", names]);
    assert_eq!(a.fetch(Some(miss), &[]).unwrap().delta.changes.len(), 3);
    assert_eq!(make(&a, fill(&cache, b"k", b"committed since", miss)), Outcome::Cleared);
    assert_eq!(make(&a, fill(&cache, b"l", b"committed since", miss)), Outcome::Dropped);
}

/// A's SET sits in the buffer of a stalled server; A times out; the server resumes and finds the
/// SET.
#[test]
fn r7_a_write_given_up_does_not_land_in_a_resumed_server() {
    let server = RedisServer::start();
    let (writer, reader, cache) = (open(&server.unix_url()), open(&server.unix_url()), cache());
    make(&writer, set(&cache, b"k", b"1"));
    server.pause();
    let (kind, words) = refused(writer.apply(None, &[set(&cache, b"k", b"zombie")]));
    assert_eq!(kind, ErrorKind::Unavailable, "{words}");
    server.resume();
    assert_eq!(get(&reader, b"k").unwrap(), b"1");
}

/// The connection breaks at once, but the request is on its way and its deadline is not over yet.
#[test]
fn r7_a_write_cut_off_does_not_land_after_its_error() {
    let server = RedisServer::start();
    let proxy = Proxy::new(server.port());
    let (writer, reader, cache) =
        (open_with(&proxy.url(), &[("read_timeout", "2")]), open(&server.unix_url()), cache());
    make(&writer, set(&cache, b"k", b"1"));
    server.pause();
    let sent = proxy.bytes_sent();
    let result = thread::scope(|scope| {
        let result = scope.spawn(|| writer.apply(None, &[set(&cache, b"k", b"zombie")]));
        while proxy.bytes_sent() == sent {
            thread::sleep(Duration::from_millis(1));
        }
        proxy.cut();
        result.join().unwrap()
    });
    server.resume();
    assert_eq!(refused(result).0, ErrorKind::Unavailable);
    assert_eq!(get(&reader, b"k").unwrap(), b"1");
}

/// A write for an incarnation that is over is not acknowledged in it.
#[test]
fn r7_a_write_for_another_incarnation_is_made_in_the_new_one() {
    let server = RedisServer::start();
    let (writer, other, cache) = (open(&server.unix_url()), open(&server.unix_url()), cache());
    make(&writer, set(&cache, b"k", b"1"));
    let position = here(&writer);
    other.reset().unwrap();
    let applied = writer.apply(Some(position), &[set(&cache, b"k", b"2")]).unwrap();
    assert!(applied.delta.reset && applied.delta.position.incarnation != position.incarnation);
    assert_eq!(get(&other, b"k").unwrap(), b"2");
}

/// A delete whose answer is lost is made sure of before it is acknowledged.
#[test]
fn r7_a_delete_with_an_unknown_outcome_is_sent_again() {
    let server = RedisServer::start();
    let proxy = Proxy::new(server.port());
    let (writer, reader, cache) = (open(&proxy.url()), open(&server.unix_url()), cache());
    make(&writer, set(&cache, b"k", b"1"));
    let position = here(&reader);
    server.pause();
    let result = thread::scope(|scope| {
        let result = scope.spawn(|| writer.apply(None, &[delete(&cache, b"k")]));
        thread::sleep(Duration::from_millis(READ_TIMEOUT / 2));
        proxy.cut();
        thread::sleep(Duration::from_millis(READ_TIMEOUT));
        server.resume();
        result.join().unwrap()
    });
    result.unwrap();
    let fetched = reader.fetch(Some(position), &[Read { cache: &cache, key: b"k" }]).unwrap();
    assert_eq!(fetched.entries, [None]);
    assert!(fetched.delta.changes.contains(&key_change(b"k")));
}

/// A reader of two caches, one of which has changed more often since than an answer lists.
struct FarBehind {
    server: RedisServer,
    reader: Redis,
    writer: Redis,
    since: Position,
}

impl FarBehind {
    fn new() -> Self {
        let server = RedisServer::start();
        let (reader, writer) = (open(&server.unix_url()), open(&server.unix_url()));
        make(&writer, set(&quiet(), b"k", b"v"));
        let far = Self { since: here(&reader), server, reader, writer };
        far.writes();
        far
    }

    fn writes(&self) {
        let keys: Vec<_> = (0..600_u32).map(u32::to_be_bytes).collect();
        let batch: Vec<_> = keys.iter().map(|key| delete(&CHATTY, key)).collect();
        for _ in 0..2 {
            self.writer.apply(None, &batch).unwrap();
        }
    }

    fn delta(&self) -> Delta {
        self.reader.fetch(Some(self.since), &[]).unwrap().delta
    }

    /// Whether a fill of the other cache that missed where the reader stands is stored.
    fn fills(&self) -> bool {
        make(&self.writer, fill(&quiet(), b"f", b"v", self.since)) == Outcome::Stored
    }

    /// The same for one that is not waited for, when the log reaches back no more: it looks at as
    /// many records, not changes.
    fn posts(&self) -> bool {
        let _: Value = self.server.tell(&["XTRIM", LOG, "MAXLEN", "1"]);
        let sent = self.writer.post(None, &fill(&quiet(), b"f", b"v", self.since));
        sent && self.writer.settled(None, true).pop().unwrap().outcome == Some(Outcome::Stored)
    }

    fn is_told(&self, caches: &[&str]) {
        let delta = self.delta();
        let expected: Vec<_> =
            caches.iter().map(|cache| Change::Unlisted { cache: (*cache).into() }).collect();
        assert_eq!((delta.reset, delta.changes), (false, expected));
    }
}

static CHATTY: LazyLock<CacheId> = LazyLock::new(cache);

fn quiet() -> CacheId {
    CacheId::new("quiet", true).unwrap()
}

#[test]
fn r29_who_is_far_behind_is_told_which_caches_changed() {
    let far = FarBehind::new();
    far.is_told(&["c"]);
    assert!(far.fills());
    let mut delta = far.delta();
    delta.changes.sort_by(|one, other| one.cache().cmp(other.cache()));
    assert_eq!(delta.changes.iter().map(Change::cache).collect::<Vec<_>>(), ["c", "quiet"]);
    assert!(!far.fills() && !far.posts());
    let far = FarBehind::new();
    assert!(far.posts());
    assert!(!far.fills() && !far.posts());
}

/// What befalls the server while a reader is far behind.
type Damage<'a> = &'a dyn Fn(&FarBehind);

/// Whatever happens to the notes of last changes: who could have been told of a change that they
/// lack starts anew.
#[test]
fn r29_notes_that_may_lack_a_change_are_not_believed() {
    let append = |far: &FarBehind| {
        let names = "\0\0\0\u{7}quiet\0k";
        let _: Value =
            far.server.tell(&["XADD", LOG, "*", "n", "0123456789abcdef", "c", "1", "v", names, "t", "d"]);
    };
    let put_back = |far: &FarBehind, key: &str| {
        let mut connection = far.server.connect();
        let copy: Vec<u8> = redis::cmd("DUMP").arg(key).query(&mut connection).unwrap();
        make(&far.writer, delete(&quiet(), b"k"));
        let _: Value =
            redis::cmd("RESTORE").arg(key).arg(0).arg(copy).arg("REPLACE").query(&mut connection).unwrap();
    };
    let damages: [(&str, Damage<'_>); 8] = [
        ("an older version logged a change", &append),
        ("the notes are gone", &|far| drop(far.server.tell::<Value>(&["HDEL", META, "h"]))),
        ("the notes are garbage", &|far| {
            let _: Value = far.server.tell(&["HSET", META, "h", &"g".repeat(99)]);
        }),
        ("the meta key was evicted", &|far| drop(far.server.tell::<Value>(&["DEL", META]))),
        ("the log was evicted", &|far| drop(far.server.tell::<Value>(&["DEL", LOG]))),
        ("the notes were put back", &|far| put_back(far, META)),
        ("the log was put back", &|far| put_back(far, LOG)),
        ("all is gone", &|far| drop(far.server.tell::<Value>(&["FLUSHALL"]))),
    ];
    for (what, damage) in damages {
        for writes in [false, true] {
            let far = FarBehind::new();
            damage(&far);
            if writes {
                far.writes();
            }
            let delta = far.delta();
            let knows = delta.changes.contains(&Change::Unlisted { cache: "quiet".into() });
            assert!(delta.reset || knows, "{what}, {writes}: {delta:?}");
            let far = FarBehind::new();
            damage(&far);
            if writes {
                far.writes();
            }
            assert!(!far.posts(), "{what}, {writes}");
            assert!(!far.fills(), "{what}, {writes}");
            // It heals: who comes after that is told again.
            let far = FarBehind { since: here(&far.reader), ..far };
            make(&far.writer, delete(&cache(), b"k"));
            far.writes();
            far.is_told(&["c"]);
        }
    }
}

/// A version that knows no notes has logged a change: who takes the notes' word for the end of the
/// log finds out.
#[test]
fn r29_a_write_finds_out_that_an_older_version_went_on_with_the_log() {
    let server = RedisServer::start();
    let (writer, cache) = (open(&server.unix_url()), cache());
    make(&writer, set(&cache, b"first", b"v"));
    let miss = here(&writer);
    let names = "\0\0\0\u{3}c\0k\0\0\0\u{3}c\0l";
    let _: Value = server.tell(&["XADD", LOG, "*", "n", "0123456789abcdef", "c", "2", "v", names]);
    assert!(writer.post(None, &fill(&cache, b"k", b"stale", miss)));
    assert_eq!(writer.settled(None, true).pop().unwrap().outcome, Some(Outcome::Cleared));
    assert_eq!(make(&writer, fill(&cache, b"l", b"stale", miss)), Outcome::Dropped);
    assert_eq!(make(&writer, fill(&cache, b"other", b"v", miss)), Outcome::Stored);
    assert_eq!((get(&writer, b"k"), get(&writer, b"l")), (None, None));
    assert_eq!(here(&writer).incarnation, miss.incarnation);
}

/// A guard is looked at by a server that may have become another since the connection last asked.
#[test]
fn r29_a_far_guard_counts_only_on_the_certified_server() {
    let far = FarBehind::new();
    make(&far.writer, delete(&cache(), b"k"));
    let _: Value = far.server.tell(&["HSET", META, "cert", "another"]);
    assert!(!far.posts());
    assert!(!far.fills());
}

/// What the trimmed log cannot prove is believed of the present incarnation only.
#[test]
fn r29_a_trimmed_position_is_known_by_its_incarnation() {
    let far = FarBehind::new();
    let _: Value = far.server.tell(&["XTRIM", LOG, "MAXLEN", "1"]);
    far.is_told(&["c"]);
    assert!(far.fills());
    let of = |since| far.reader.fetch(Some(since), &[]).unwrap().delta;
    assert!(of(Position { incarnation: 7, ..far.since }).reset);
    assert!(of(Position { id: far.since.id - (1 << 80), ..far.since }).reset, "before the notes");
    assert!(of(Position { id: far.since.id + (1 << 104), ..far.since }).reset, "after the log");
}
