//! Processes killed in the middle of writes lose nothing that was acknowledged and break nothing.

use std::io::Read as _;
use std::process::{Child, Stdio};
use std::time::Duration;

use crate::place::{Place, cache, get, put, quiet};
use larder::contract::{Backend, Read};
use rustix::process::{Pid, Signal, kill_process};

const WRITERS: u32 = 3;

/// Kills a writer after `pause` and returns the last number that it said was acknowledged.
fn killed_after(mut writer: Child, pause: Duration) -> u64 {
    std::thread::sleep(pause);
    writer.kill().unwrap();
    let mut said = Vec::new();
    writer.stdout.take().unwrap().read_to_end(&mut said).unwrap();
    writer.wait().unwrap();
    said.as_chunks().0.last().map_or(0, |number| u64::from_le_bytes(*number))
}

fn number(entry: Option<&Vec<u8>>) -> u64 {
    let Some(entry) = entry else { return 0 };
    let (number, filling) = entry.split_first_chunk().unwrap();
    let number = u64::from_le_bytes(*number);
    assert_eq!(filling.len() as u64, number * 7919 % 50_000, "a torn entry");
    assert!(filling.iter().all(|byte| *byte == b'.'), "a torn entry");
    number
}

/// What a writer left: one number in all its keys.
fn left_by(backend: &dyn Backend, id: u32) -> u64 {
    let (a, b) = (format!("{id} a"), format!("{id} b"));
    let (loud, quiet) = (cache("numbers"), quiet("numbers"));
    let reads = [
        Read { cache: &loud, key: a.as_bytes() },
        Read { cache: &loud, key: b.as_bytes() },
        Read { cache: &quiet, key: a.as_bytes() },
    ];
    let entries = backend.fetch(None, &reads).unwrap().entries;
    let numbers: Vec<_> = entries.iter().map(|entry| number(entry.as_ref())).collect();
    let (number, others) = numbers.split_first().unwrap();
    assert!(others.iter().all(|other| other == number), "half a write: {numbers:?}");
    *number
}

fn crash(place: &Place, rounds: u32, with_survivor: bool) {
    let survivor = with_survivor.then(|| place.open());
    let mut acknowledged_in_all = 0;
    for round in 0..rounds {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| place.peer(&["write", &(round * WRITERS + writer).to_string()]).spawn().unwrap())
            .collect();
        // The pauses sweep the time from the start of a process to well into its writing.
        let pauses = [3, 5, 7].map(|step| Duration::from_micros(u64::from(round * step * 397 % 31_000)));
        let acknowledged: Vec<_> = std::thread::scope(|scope| {
            let kills: Vec<_> = writers
                .into_iter()
                .zip(pauses)
                .map(|(writer, pause)| scope.spawn(move || killed_after(writer, pause)))
                .collect();
            if let Some(survivor) = &survivor {
                put(&**survivor, &cache("survivor"), b"round", &round.to_le_bytes()).unwrap();
            }
            kills.into_iter().map(|kill| kill.join().unwrap()).collect()
        });
        // Without a survivor, this is the first to open what the dead left.
        let backend = survivor.clone().unwrap_or_else(|| place.open());
        for (writer, acknowledged) in (0..).zip(acknowledged) {
            let left = left_by(&*backend, round * WRITERS + writer);
            assert!(
                left == acknowledged || left == acknowledged + 1,
                "round {round}: {acknowledged} was acknowledged, {left} is there"
            );
            acknowledged_in_all += acknowledged;
        }
        put(&*backend, &cache("after"), b"round", &round.to_le_bytes()).unwrap();
        assert_eq!(get(&*backend, &cache("after"), b"round"), Some(round.to_le_bytes().to_vec()));
    }
    assert!(acknowledged_in_all > u64::from(rounds), "only {acknowledged_in_all} writes before the kills");
}

#[test]
fn killed_beside_a_survivor() {
    crash(&Place::new("64M"), 40, true);
}

#[test]
fn killed_all_together() {
    crash(&Place::new("64M"), 40, false);
}

/// The same with eviction going on all the time.
#[test]
fn killed_while_evicting() {
    let place = Place::new("4M");
    let backend = place.open();
    for round in 0..25_u32 {
        let id = round.to_string();
        let writer = place.peer(&["write", &id]).spawn().unwrap();
        for filling in 0..20_u32 {
            put(&*backend, &cache("filling"), &filling.to_le_bytes(), &vec![1; 30_000]).unwrap();
        }
        let acknowledged = killed_after(writer, Duration::from_micros(u64::from(round) * 1_237 % 20_000));
        let left = left_by_maybe_evicted(&*backend, round);
        assert!(left.is_none_or(|left| left == acknowledged || left == acknowledged + 1));
        put(&*backend, &cache("after"), b"round", &round.to_le_bytes()).unwrap();
    }
}

fn left_by_maybe_evicted(backend: &dyn Backend, id: u32) -> Option<u64> {
    let key = format!("{id} b");
    let entry = get(backend, &cache("numbers"), key.as_bytes())?;
    Some(number(Some(&entry)))
}

/// A writer that was stopped, not killed, holds up others for a bounded time at most, and never
/// breaks anything.
#[test]
fn stopped_writers_do_not_stop_others_for_ever() {
    let place = Place::new("64M");
    let backend = place.open();
    put(&*backend, &cache("c"), b"k", b"v").unwrap();
    let mut writer = place.peer(&["write", "0"]).stdout(Stdio::null()).spawn().unwrap();
    let pid = Pid::from_child(&writer);
    let mut held_up = 0;
    for round in 0..3_u64 {
        std::thread::sleep(Duration::from_millis(20 + round));
        kill_process(pid, Signal::STOP).unwrap();
        assert_eq!(get(&*backend, &cache("c"), b"k").as_deref(), Some(&b"v"[..]), "readers go on");
        match put(&*backend, &cache("c"), b"other", b"v") {
            Ok(()) => {}
            Err(error) => {
                assert_eq!(error.kind(), larder::ErrorKind::Unavailable);
                held_up += 1;
            }
        }
        kill_process(pid, Signal::CONT).unwrap();
        put(&*backend, &cache("c"), b"k", b"v").unwrap();
        if held_up > 0 {
            break;
        }
    }
    writer.kill().unwrap();
    writer.wait().unwrap();
}
