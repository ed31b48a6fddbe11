//! One lock in its table: the holder, and who stands in line.

use heed::{AnyTls, RoTxn, RwTxn};

use super::fault::{Fault, damaged};
use super::process::Process;
use super::tables::{Row as Bytes, Tables};
use crate::contract::{CacheId, LockProof, Token, lock_name};
use crate::lock::rules::{Holder, Party, Row, Waiter};

/// Whether somebody holds a lock, in its row. (1 was a holder without the length of its lease.)
const FREE: u8 = 0;
const HELD: u8 = 2;

/// A lock that is held or waited for.
#[derive(Default)]
pub(super) struct LockRow {
    pub(super) name: Vec<u8>,
    /// Times are those of the boot clock.
    pub(super) row: Row<Process>,
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
        let mut row = Vec::new();
        put_bytes(&mut row, &self.name);
        row.push(if self.row.holder.is_some() { HELD } else { FREE });
        if let Some(Holder { who, fence, until, since, lease }) = &self.row.holder {
            put_numbers(&mut row, [*fence, *until, *since, *lease]);
            put_party(&mut row, who);
        }
        for Waiter { who, seen } in &self.row.queue {
            put_numbers(&mut row, [*seen]);
            put_party(&mut row, who);
        }
        row
    }

    fn decode(row: &[u8]) -> Result<Self, Fault> {
        let mut row = Bytes(row);
        let name = take_bytes(&mut row)?;
        let holder = match row.u8()? {
            FREE => None,
            HELD => {
                let (fence, until, since, lease) = (row.u64()?, row.u64()?, row.u64()?, row.u64()?);
                Some(Holder { who: take_party(&mut row)?, fence, until, since, lease })
            }
            _ => return Err(damaged("lock")),
        };
        let mut queue = Vec::new();
        while !row.0.is_empty() {
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

fn put_numbers<const N: usize>(row: &mut Vec<u8>, numbers: [u64; N]) {
    row.extend_from_slice(numbers.map(u64::to_le_bytes).as_flattened());
}

fn put_party(row: &mut Vec<u8>, who: &Party<Process>) {
    let Process { space, id, started } = who.process;
    row.extend_from_slice(&who.token.number().to_le_bytes());
    put_numbers(row, [space, u64::from(id), started]);
    put_bytes(row, &who.owner);
}

fn take_party(row: &mut Bytes<'_>) -> Result<Party<Process>, Fault> {
    let token = Token::from_number(row.u128()?);
    let process = Process {
        space: row.u64()?,
        id: u32::try_from(row.u64()?).map_err(|_| damaged("process"))?,
        started: row.u64()?,
    };
    Ok(Party { token, owner: take_bytes(row)?.into(), process })
}

fn put_bytes(row: &mut Vec<u8>, bytes: &[u8]) {
    row.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(0).to_le_bytes());
    row.extend_from_slice(bytes);
}

fn take_bytes(row: &mut Bytes<'_>) -> Result<Vec<u8>, Fault> {
    let len = row.u32()? as usize;
    Ok(row.take(len)?.to_vec())
}

fn space_key(namespace: &str) -> Vec<u8> {
    [b"l", &blake3::hash(namespace.as_bytes()).as_bytes()[..]].concat()
}

/// Names have any length, keys of a table have not.
fn row_key(namespace: &str, name: &[u8]) -> Vec<u8> {
    [&space_key(namespace)[..], blake3::hash(name).as_bytes()].concat()
}
