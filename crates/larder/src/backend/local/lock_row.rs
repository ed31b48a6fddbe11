//! One lock in its table: the holder, and who stands in line.

use heed::{AnyTls, RoTxn, RwTxn};

use super::fault::{Fault, damaged};
use super::process::Process;
use super::tables::{Row, Tables};
use crate::backend::CacheId;
use crate::clock::Millis;
use crate::lock::{LockProof, Token, lock_name};

/// Who holds the lock.
pub(super) struct Holder {
    pub(super) token: Token,
    pub(super) fence: u64,
    /// On the boot clock, like all times here.
    pub(super) until: Millis,
    pub(super) since: Millis,
    pub(super) process: Process,
    pub(super) owner: Vec<u8>,
}

/// Who stands in line.
pub(super) struct Waiter {
    pub(super) token: Token,
    pub(super) seen: Millis,
    pub(super) process: Process,
    pub(super) owner: Vec<u8>,
}

/// A lock that is held or waited for.
#[derive(Default)]
pub(super) struct LockRow {
    pub(super) name: Vec<u8>,
    pub(super) holder: Option<Holder>,
    pub(super) queue: Vec<Waiter>,
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
        if self.holder.is_none() && self.queue.is_empty() {
            tables.locks.delete(txn, &key)?;
        } else {
            tables.locks.put(txn, &key, &self.encode())?;
        }
        Ok(())
    }

    /// Forgets a holder whose lease is over.
    pub(super) fn drop_late_holder(&mut self, now: Millis) {
        self.holder = self.holder.take().filter(|holder| holder.until > now);
    }

    /// Forgets a holder whose lease is over or whose process is dead.
    pub(super) fn drop_dead_holder(&mut self, now: Millis) {
        self.drop_late_holder(now);
        self.holder = self.holder.take().filter(|holder| !holder.process.is_dead());
    }

    fn encode(&self) -> Vec<u8> {
        let mut row = Vec::new();
        put_bytes(&mut row, &self.name);
        row.push(u8::from(self.holder.is_some()));
        if let Some(holder) = &self.holder {
            row.extend_from_slice(&holder.token.number().to_le_bytes());
            put_numbers(&mut row, [holder.fence, holder.until, holder.since]);
            put_process(&mut row, holder.process);
            put_bytes(&mut row, &holder.owner);
        }
        for waiter in &self.queue {
            row.extend_from_slice(&waiter.token.number().to_le_bytes());
            put_numbers(&mut row, [waiter.seen]);
            put_process(&mut row, waiter.process);
            put_bytes(&mut row, &waiter.owner);
        }
        row
    }

    fn decode(row: &[u8]) -> Result<Self, Fault> {
        let mut row = Row(row);
        let name = take_bytes(&mut row)?;
        let holder = match row.u8()? {
            0 => None,
            1 => Some(Holder {
                token: Token::from_number(row.u128()?),
                fence: row.u64()?,
                until: row.u64()?,
                since: row.u64()?,
                process: take_process(&mut row)?,
                owner: take_bytes(&mut row)?,
            }),
            _ => return Err(damaged("lock")),
        };
        let mut queue = Vec::new();
        while !row.0.is_empty() {
            let token = Token::from_number(row.u128()?);
            queue.push(Waiter {
                token,
                seen: row.u64()?,
                process: take_process(&mut row)?,
                owner: take_bytes(&mut row)?,
            });
        }
        Ok(Self { name, holder, queue })
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
    let row = LockRow::get(tables, txn, namespace, &lock_name(cache, key))?;
    Ok(row.holder.is_some_and(|holder| holder.token == proof.token && holder.fence == proof.fence))
}

fn put_numbers<const N: usize>(row: &mut Vec<u8>, numbers: [u64; N]) {
    row.extend_from_slice(numbers.map(u64::to_le_bytes).as_flattened());
}

fn put_process(row: &mut Vec<u8>, Process { space, id, started }: Process) {
    put_numbers(row, [space, u64::from(id), started]);
}

fn take_process(row: &mut Row<'_>) -> Result<Process, Fault> {
    Ok(Process {
        space: row.u64()?,
        id: u32::try_from(row.u64()?).map_err(|_| damaged("process"))?,
        started: row.u64()?,
    })
}

fn put_bytes(row: &mut Vec<u8>, bytes: &[u8]) {
    row.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(0).to_le_bytes());
    row.extend_from_slice(bytes);
}

fn take_bytes(row: &mut Row<'_>) -> Result<Vec<u8>, Fault> {
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
