//! Writes to the shared directory of its first argument, as the writer of the number that is the
//! second: keys that all writers write, and one of its own. Ends well if every write was
//! acknowledged.

use std::path::Path;

use larder::contract::{Backend, CacheId, Op};
use larder::testing::dir::Dir;
use larder_tests::crash;

const ROUNDS: usize = 60;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (path, writer) = (args.next().ok_or("path missing")?, args.next().ok_or("number missing")?);
    let settings =
        larder::testing::dir::Settings { max_bytes: 64 << 20, ..crash::settings(Path::new(&path)) };
    let backend = Dir::new(&settings);
    let cache = CacheId::new("c", true)?;
    for round in 0..ROUNDS {
        let what = if round + 5 < ROUNDS { "early" } else { "last" };
        let entry = format!("{writer} {round} {what}").repeat(if round % 7 == 0 { 1_000 } else { 1 });
        for key in [format!("shared {}", round % 5), format!("own {writer}")] {
            let (key, entry) = (key.as_bytes(), entry.as_bytes());
            let set = Op::Set { cache: &cache, key, entry, expires: None, guard: None, lock: None };
            backend.apply(None, &[set])?;
        }
    }
    Ok(())
}
