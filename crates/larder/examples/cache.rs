//! A cache of typed values: `cargo run --example cache [URL]`, with `redis://localhost` or the
//! like, else a directory of its own.

use std::time::Duration;

use larder::{CacheKind, Config, Store};
use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Course {
    name: String,
    weeks: u32,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let own = tempfile::tempdir()?;
    let url = std::env::args().nth(1).unwrap_or_else(|| format!("local:{}", own.path().display()));
    let config = Config::builder(&url).namespace("example").near_bytes(8 << 20).build()?;
    let store = Store::open(&config)?;
    let courses = store.cache_with("courses", CacheKind::Logged, Some(Duration::from_secs(3600)))?;

    courses.purge()?;
    let rust = Course { name: "Rust for cooks".to_owned(), weeks: 6 };
    assert_eq!(courses.get::<Course>("42")?, None);
    courses.set("42", &rust)?;
    // From memory: no round trip.
    let before = store.stats().round_trips;
    assert_eq!(courses.get("42")?.as_ref(), Some(&rust));
    println!("read {rust:?} with {} round trips", store.stats().round_trips - before);

    // Many at once take one round trip.
    courses.set_many(&[
        ("43", Course { weeks: 7, ..rust }),
        ("44", Course { name: "Ice".to_owned(), weeks: 1 }),
    ])?;
    let weeks: Vec<Option<u32>> = courses
        .get_many::<Course>(&["42", "43", "44", "45"])?
        .into_iter()
        .map(|course| Some(course?.weeks))
        .collect();
    assert_eq!(weeks, [Some(6), Some(7), Some(1), None]);

    assert!(courses.delete("42")?);
    assert_eq!(courses.get::<Course>("42")?, None);
    println!("{:?}", store.stats());
    Ok(())
}
