//! What the writer remembers of a payload: the strings and the key lists it has written.

use larder::engine::payload::MAX_SHAPE_KEYS;

use crate::zend::alive::Text;

const FREE: u32 = u32::MAX;
const FIRST_SLOTS: usize = 64;

/// An open-addressing index from hashes to positions of a list.
#[derive(Default)]
struct Index {
    /// A power of two, or none.
    slots: Vec<u32>,
    hashes: Vec<u64>,
}

impl Index {
    /// The position that `same` accepts, or the slot where it would be.
    #[inline]
    fn find(&mut self, hash: u64, mut same: impl FnMut(u32) -> bool) -> Result<u32, usize> {
        if self.hashes.len() * 2 >= self.slots.len() {
            self.grow();
        }
        let mask = self.slots.len() - 1;
        let mut at = spread(hash) & mask;
        loop {
            let position = self.slots.get(at).copied().unwrap_or(FREE);
            if position == FREE {
                return Err(at);
            }
            if self.hashes.get(position as usize) == Some(&hash) && same(position) {
                return Ok(position);
            }
            at = (at + 1) & mask;
        }
    }

    /// Fills the slot that [`find`](Self::find) named with the next position.
    #[inline]
    fn insert(&mut self, slot: usize, hash: u64) {
        if let (Some(place), Ok(position)) = (self.slots.get_mut(slot), u32::try_from(self.hashes.len())) {
            *place = position;
            self.hashes.push(hash);
        }
    }

    #[cold]
    fn grow(&mut self) {
        let size = (self.slots.len() * 4).max(FIRST_SLOTS);
        self.slots.clear();
        self.slots.resize(size, FREE);
        for (position, hash) in (0..).zip(&self.hashes) {
            let mut at = spread(*hash) & (size - 1);
            while self.slots.get(at).is_some_and(|slot| *slot != FREE) {
                at = (at + 1) & (size - 1);
            }
            if let Some(slot) = self.slots.get_mut(at) {
                *slot = position;
            }
        }
    }
}

#[inline]
fn spread(hash: u64) -> usize {
    (hash.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize
}

/// The strings written so far.
#[derive(Default)]
pub(super) struct Strings {
    index: Index,
    texts: Vec<Text>,
}

impl Strings {
    /// The index of a string that was written, or nothing after noting it as written.
    #[inline]
    pub(super) fn seen(&mut self, text: Text) -> Option<u32> {
        let hash = text.hash();
        let texts = &self.texts;
        let known = |at: u32| texts.get(at as usize).copied();
        match self.index.find(hash, |at| Text::same(known(at), Some(text))) {
            Ok(position) => Some(position),
            Err(slot) => {
                self.index.insert(slot, hash);
                self.texts.push(text);
                None
            }
        }
    }
}

/// What a list of keys belongs to.
#[derive(Clone, Copy)]
pub(super) enum Owner {
    Array,
    StdClass,
    /// The name of another class.
    Class(Text),
}

impl Owner {
    fn same(self, other: Self) -> bool {
        match (self, other) {
            (Self::Array, Self::Array) | (Self::StdClass, Self::StdClass) => true,
            (Self::Class(a), Self::Class(b)) => Text::same(Some(a), Some(b)),
            _ => false,
        }
    }

    fn hash(self) -> u64 {
        match self {
            Self::Array => 0,
            Self::StdClass => 1,
            Self::Class(name) => name.hash(),
        }
    }
}

/// A list of keys.
#[derive(Clone, Copy)]
pub(super) struct KeyList {
    hash: u64,
    owner: Owner,
    pub(super) len: usize,
}

struct Known {
    list: KeyList,
    start: usize,
    index: u32,
}

/// The key lists written so far.
#[derive(Default)]
pub(super) struct Shapes {
    index: Index,
    known: Vec<Known>,
    keys: Vec<Text>,
    defined: u32,
    /// The position used last: records of a shape come in a row.
    last: usize,
}

impl Shapes {
    /// Hashes a key list; nothing when a key is an integer or the list is too long for a shape.
    #[inline]
    pub(super) fn list(
        owner: Owner,
        least: usize,
        keys: impl Iterator<Item = Option<Text>>,
    ) -> Option<KeyList> {
        let mut hash = owner.hash();
        let mut len = 0;
        for key in keys {
            let key = key.filter(|_| len < MAX_SHAPE_KEYS)?;
            hash = (hash.rotate_left(5) ^ key.hash()).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            len += 1;
        }
        (len >= least).then_some(KeyList { hash, owner, len })
    }

    /// The shape used last, if these very key strings are its own. Saves hashing them.
    #[inline]
    pub(super) fn last(
        &self,
        owner: Owner,
        mut keys: impl Iterator<Item = Option<Text>>,
    ) -> Option<(u32, usize)> {
        let known = self.known.get(self.last)?;
        let list = known.list;
        if !list.owner.same(owner) {
            return None;
        }
        let own = self.keys.get(known.start..known.start + list.len)?;
        (own.iter().all(|key| keys.next() == Some(Some(*key))) && keys.next().is_none())
            .then_some((known.index, list.len))
    }

    /// The index of a list that was defined.
    #[inline]
    pub(super) fn find(
        &mut self,
        list: KeyList,
        keys: &(impl Iterator<Item = Option<Text>> + Clone),
    ) -> Option<u32> {
        let (known, all) = (&self.known, &self.keys);
        let found = self.index.find(list.hash, |at| {
            known.get(at as usize).is_some_and(|other| {
                other.list.len == list.len
                    && other.list.owner.same(list.owner)
                    && all.get(other.start..other.start + list.len).is_some_and(|others| {
                        keys.clone().zip(others).all(|(key, other)| Text::same(key, Some(*other)))
                    })
            })
        });
        let at = found.ok()? as usize;
        self.last = at;
        self.known.get(at).map(|known| known.index)
    }

    /// Gives a list that was written out the next index; the first of equal lists stays.
    pub(super) fn define(&mut self, list: KeyList, keys: impl Iterator<Item = Option<Text>> + Clone) {
        let index = self.defined;
        self.defined += 1;
        if self.find(list, &keys).is_none()
            && let Err(slot) = self.index.find(list.hash, |_| false)
        {
            self.index.insert(slot, list.hash);
            self.last = self.known.len();
            self.known.push(Known { list, start: self.keys.len(), index });
            self.keys.extend(keys.flatten());
        }
    }
}

/// The objects that may occur a second time.
#[derive(Default)]
pub(super) struct Seen {
    index: Index,
}

impl Seen {
    /// True at the second sight of an address.
    pub(super) fn again(&mut self, address: usize) -> bool {
        let hash = address as u64;
        match self.index.find(hash, |_| true) {
            Ok(_) => true,
            Err(slot) => {
                self.index.insert(slot, hash);
                false
            }
        }
    }
}
