//! Uses a backend before, in and after a forked child, on the server at the URL given. Ends with an
//! error if the processes disturb each other.

use larder::contract::{Backend, Op, Read};
use larder_tests::redis::{cache, open};

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() -> Outcome {
    let url = std::env::args().nth(1).ok_or("URL missing")?;
    let backend = open(&url);
    work(&backend, b"before")?;
    let clients = clients(&url)?;
    match fork::fork()? {
        fork::Fork::Child => {
            work(&backend, b"child")?;
            if self::clients(&url)? != clients + 1 {
                return Err("the child does not have a connection of its own".into());
            }
            // Dropping it must not say good-bye on the parent's connection.
            drop(backend);
            Ok(())
        }
        fork::Fork::Parent(child) => {
            for _ in 0..200 {
                work(&backend, b"parent")?;
            }
            let status = fork::waitpid(child)?;
            if status != 0 {
                return Err(format!("the child ended with {status:?}").into());
            }
            work(&backend, b"after")
        }
    }
}

/// A few writes and reads; each must bring its own answer.
fn work(backend: &dyn Backend, key: &[u8]) -> Outcome {
    for number in 0..50_u32 {
        let entry = number.to_be_bytes();
        backend.apply(
            None,
            &[Op::Set { cache: &cache(), key, entry: &entry, expires: None, guard: None, lock: None }],
        )?;
        let fetched = backend.fetch(None, &[Read { cache: &cache(), key }])?;
        if fetched.entries != [Some(entry.to_vec())] {
            return Err(format!("{fetched:?} instead of {number}").into());
        }
    }
    Ok(())
}

/// How many connections the server has, without the one that asks.
fn clients(url: &str) -> Result<usize, Box<dyn std::error::Error>> {
    let mut connection = redis::Client::open(url)?.get_connection()?;
    let list: String = redis::cmd("CLIENT").arg("LIST").query(&mut connection)?;
    Ok(list.lines().count() - 1)
}
