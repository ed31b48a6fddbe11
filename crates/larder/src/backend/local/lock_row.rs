//! Locks in their table: the holder of each and who stands in line, and what all share.

use heed::{AnyTls, Env, RoTxn, RwTxn, WithoutTls};

use super::directory::Before;
use super::fault::{Fault, damaged};
use super::process::ProcessId;
use super::tables::Tables;
use crate::bytes::{Malformed, Reader, Writer};
use crate::clock::{Millis, boot_millis};
use crate::contract::{CacheId, LockProof, Token, lock_name};
use crate::lock::rules::{Common, Holder, Party, Row, Waiter};

/// In the row of a lock: nobody holds it.
const FREE: u8 = 0;
/// In the row of a lock: somebody holds it. (1 was a holder without the length of its lease.)
const HELD: u8 = 2;
/// The key of when locks may have been lost last.
const BORN: &[u8] = b"b";
/// The key of the last fencing number.
const FENCE: &[u8] = b"f";

/// A lock that is held or waited for.
#[derive(Default)]
pub(super) struct LockRow {
    pub(super) name: Vec<u8>,
    /// Times are those of the boot clock.
    pub(super) row: Row<ProcessId>,
}

impl LockRow {
    pub(super) fn get(
        tables: &Tables,
        txn: &RoTxn<'_, AnyTls>,
        namespace: &str,
        name: &[u8],
    ) -> Result<Self, Fault> {
        match tables.locks.get(txn, &row_key(namespace, name))? {
            Some(row) => Self::decode(row),
            None => Ok(Self { name: name.to_vec(), ..Self::default() }),
        }
    }

    /// All locks of a namespace.
    pub(super) fn all(tables: &Tables, txn: &RoTxn<'_, AnyTls>, namespace: &str) -> Result<Vec<Self>, Fault> {
        tables.locks.prefix_iter(txn, &space_key(namespace))?.map(|row| Self::decode(row?.1)).collect()
    }

    /// Removes all locks of a namespace.
    pub(super) fn forget_all(tables: &Tables, txn: &mut RwTxn<'_>, namespace: &str) -> Result<(), Fault> {
        for row in Self::all(tables, txn, namespace)? {
            tables.locks.delete(txn, &row_key(namespace, &row.name))?;
        }
        Ok(())
    }

    /// Stores it, or removes it when nobody holds it or waits for it.
    pub(super) fn put(&self, tables: &Tables, txn: &mut RwTxn<'_>, namespace: &str) -> Result<(), Fault> {
        let key = row_key(namespace, &self.name);
        if self.row.holder.is_none() && self.row.queue.is_empty() {
            tables.locks.delete(txn, &key)?;
        } else {
            tables.locks.put(txn, &key, &self.encode())?;
        }
        Ok(())
    }

    /// Forgets a holder whose process is dead.
    pub(super) fn drop_dead_holder(&mut self) {
        self.row.holder.take_if(|holder| holder.who.process.is_dead());
    }

    fn encode(&self) -> Vec<u8> {
        let mut row = Writer::default();
        row.bytes(&self.name);
        row.u8(if self.row.holder.is_some() { HELD } else { FREE });
        if let Some(Holder { who, fence, until, since, lease }) = &self.row.holder {
            for number in [*fence, *until, *since, *lease] {
                row.u64(number);
            }
            put_party(&mut row, who);
        }
        for Waiter { who, seen } in &self.row.queue {
            row.u64(*seen);
            put_party(&mut row, who);
        }
        row.0
    }

    fn decode(row: &[u8]) -> Result<Self, Fault> {
        let mut row = Reader::new(row);
        let name = row.bytes()?.to_vec();
        let holder = match row.u8()? {
            FREE => None,
            HELD => {
                let (fence, until, since, lease) = (row.u64()?, row.u64()?, row.u64()?, row.u64()?);
                Some(Holder { who: take_party(&mut row)?, fence, until, since, lease })
            }
            _ => return Err(damaged("lock")),
        };
        let mut queue = Vec::new();
        while !row.is_empty() {
            let seen = row.u64()?;
            queue.push(Waiter { who: take_party(&mut row)?, seen });
        }
        Ok(Self { name, row: Row { holder, queue } })
    }
}

/// Whether the lock on a key is still the one of a proof (R24).
pub(super) fn holds(
    tables: &Tables,
    txn: &RoTxn<'_, AnyTls>,
    namespace: &str,
    (cache, key): (&CacheId, &[u8]),
    proof: LockProof,
) -> Result<bool, Fault> {
    let lock = LockRow::get(tables, txn, namespace, &lock_name(cache, key))?;
    // A file that is begun anew has no rows.
    Ok(lock.row.allows(proof, 0))
}

fn put_party(row: &mut Writer, who: &Party<ProcessId>) {
    let ProcessId { space, id, started } = who.process;
    row.u128(who.token.number());
    for number in [space, u64::from(id), started] {
        row.u64(number);
    }
    row.bytes(&who.owner);
}

fn take_party(row: &mut Reader<'_>) -> Result<Party<ProcessId>, Malformed> {
    let token = Token::from_number(row.u128()?);
    let process = ProcessId {
        space: row.u64()?,
        id: u32::try_from(row.u64()?).map_err(|_| Malformed)?,
        started: row.u64()?,
    };
    Ok(Party { token, owner: row.bytes()?.into(), process })
}

/// Begins a new file. Nobody knows what was held in the one before (R23), unless that was in an
/// earlier boot, or none was there for so long.
pub(super) fn begin(env: &Env<WithoutTls>, tables: &Tables, before: Before) -> Result<(), Fault> {
    let born = match before {
        Before::EarlierBoot => 0,
        Before::Nothing(since) => since.min(boot_millis()),
        Before::Same | Before::Unknown => boot_millis(),
    };
    let mut txn = env.write_txn()?;
    tables.locks.put(&mut txn, BORN, &born.to_le_bytes())?;
    Ok(txn.commit()?)
}

/// What all locks of the file share; locks may have been lost `now` if it does not say when.
pub(super) fn common(tables: &Tables, txn: &RwTxn<'_>, now: Millis) -> Result<Common, Fault> {
    let number = |key: &[u8]| -> Result<Option<u64>, Fault> {
        Ok(tables.locks.get(txn, key)?.map(|row| Reader::new(row).u64()).transpose()?)
    };
    Ok(Common { born: number(BORN)?.unwrap_or(now), fence: number(FENCE)?.unwrap_or(0) })
}

/// Stores what changed of that.
pub(super) fn put_common(
    tables: &Tables,
    txn: &mut RwTxn<'_>,
    before: Common,
    after: Common,
) -> Result<(), Fault> {
    for (key, old, new) in [(BORN, before.born, after.born), (FENCE, before.fence, after.fence)] {
        if old != new {
            tables.locks.put(txn, key, &new.to_le_bytes())?;
        }
    }
    Ok(())
}

fn space_key(namespace: &str) -> Vec<u8> {
    [b"l", &blake3::hash(namespace.as_bytes()).as_bytes()[..]].concat()
}

/// Names have any length, keys of a table have not.
fn row_key(namespace: &str, name: &[u8]) -> Vec<u8> {
    [&space_key(namespace)[..], blake3::hash(name).as_bytes()].concat()
}
