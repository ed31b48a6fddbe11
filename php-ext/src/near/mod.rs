//! Near values: decoded values that outlive requests and are handed out without copying.
//!
//! An array or string of a near value is an immutable, persistent zend value. PHP code gets a
//! pointer to it and copies before it writes, as with the literals of a script. Values with objects
//! are built at each get around shared tables, or, where only `unserialize()` can make them,
//! decoded at each get.

mod arena;
pub(crate) mod graveyard;
mod template;

use std::cell::Cell;
use std::mem::ManuallyDrop;
use std::rc::Rc;

use ext_php_rs::ffi as php;
use ext_php_rs::types::Zval;
use larder::engine::payload::{EXT_PHP, Reader, Token};

use crate::codec::bound::{LARGEST, is_bounded};
use crate::codec::decode::{Scratch, Stop, Unmade, build};
use crate::codec::{self, Error, Terminated};
use crate::zend::alive::Slot;
use crate::zend::guard::guarded;
use crate::zend::limit;
use arena::Arena;
use template::{Build, Node};

/// A decoded value of the near cache. A clone is another handle to the same value.
///
/// It may be dropped at any time: what the running request was given of it stays until
/// [`graveyard::clear`].
#[derive(Clone)]
pub(crate) struct NearValue {
    /// What is handed out as it is, or a [`Node`]: value and type. It lies beside the pointer, not
    /// behind it, so that sharing a value reads nothing there.
    value: php::zend_value,
    /// [`ENCODED`] for what is decoded at each get.
    type_info: u32,
    /// The request that was given the value by this handle last.
    lent: Cell<u32>,
    inner: Rc<Inner>,
}

/// No value has this type.
const ENCODED: u32 = php::IS_UNDEF;

struct Inner {
    /// Nothing for scalars, and after the drop.
    arena: Option<Arena>,
    /// For what must, or may have to, be decoded again: the payload and a NUL, see [`Terminated`].
    /// Else empty.
    payload: Box<[u8]>,
    /// The request that was given the value last.
    given: Cell<u32>,
}

impl NearValue {
    /// Decodes a payload to a value of at most `most` bytes; what would take more stays encoded.
    /// Runs no user code and uses nothing of the request's heap.
    ///
    /// # Errors
    ///
    /// [`Error::Broken`].
    pub(crate) fn from_payload(payload: &[u8], most: usize) -> Result<Self, Error> {
        if let Ok(Token::Ext(EXT_PHP, _)) = Reader::new(payload).token() {
            return Self::encoded(payload);
        }
        // Decoded it takes more than as a payload, as a rule.
        if payload.len() > most {
            return Self::encoded(payload);
        }
        let mut arena = Arena::new(payload.len(), most.min(limit::bytes()).min(LARGEST));
        // Not to be dropped as a zval: its memory is the arena's.
        let mut value = ManuallyDrop::new(Zval::new());
        // SAFETY: the place outlives the call.
        let slot = unsafe { Slot::of(&mut value) };
        match build(&mut arena, &mut Scratch::default(), payload, slot) {
            Err(Stop::Broken) => return Err(Error::Broken),
            Err(Stop::Full | Stop::Foreign) => {
                drop(arena);
                return Self::encoded(payload);
            }
            Ok(()) => {}
        }
        let kept = if arena.classes { Terminated::copied(payload) } else { Box::default() };
        Ok(Self::new(slot.payload(), slot.type_info(), Some(arena), kept))
    }

    /// Keeps the payload, to be decoded to the request's heap at each get.
    ///
    /// # Errors
    ///
    /// [`Error::Broken`] for what would become larger than 1 GB, or than `memory_limit` without an object in it.
    pub(crate) fn encoded(payload: &[u8]) -> Result<Self, Error> {
        if !is_bounded(payload) {
            return Err(Error::Broken);
        }
        Ok(Self::new(php::zend_value { lval: 0 }, ENCODED, None, Terminated::copied(payload)))
    }

    fn new(value: php::zend_value, type_info: u32, arena: Option<Arena>, payload: Box<[u8]>) -> Self {
        let inner = Rc::new(Inner { arena, payload, given: Cell::new(0) });
        Self { value, type_info, lent: Cell::new(0), inner }
    }

    /// The value for a caller of the running request; `None` for what only user code or a class can
    /// make.
    #[inline]
    pub(crate) fn lend(&self) -> Option<Lent> {
        if !self.is_ready() {
            return None;
        }
        self.lent.set(graveyard::request());
        Some(Lent { value: self.value, type_info: self.type_info })
    }

    /// Whether it can be given without user code and classes.
    #[inline]
    pub(crate) fn is_ready(&self) -> bool {
        let made_by_classes = || self.inner.arena.as_ref().is_none_or(|arena| arena.classes);
        self.type_info != ENCODED && (Node::of(self.value, self.type_info).is_none() || !made_by_classes())
    }

    /// Writes the value to `out`, which must hold nothing that needs freeing.
    ///
    /// Arrays, strings and scalars are shared: no copy, no allocation, no user code. Values with
    /// objects are made on the request's heap, which runs user code only where [`codec::decode`]
    /// does; hold a clone of this handle and no borrow of the near cache meanwhile.
    ///
    /// # Errors
    ///
    /// Those of [`codec::decode`]; never for values without objects.
    pub(crate) fn copy_to(&self, out: &mut Zval) -> Result<(), Error> {
        if self.type_info != ENCODED {
            self.lent.set(graveyard::request());
            // SAFETY: the place is borrowed for the call.
            let slot = unsafe { Slot::of(out) };
            let Some(node) = Node::of(self.value, self.type_info) else {
                slot.put(self.value, self.type_info);
                return Ok(());
            };
            match guarded(|| Build::new().value(node, slot))? {
                Ok(()) => return Ok(()),
                Err(Unmade::Full) => return Err(Error::Full),
                Err(Unmade::Foreign) => {}
            }
        }
        codec::decode(Terminated::new(&self.inner.payload).ok_or(Error::Broken)?, out)
    }

    /// Bytes that the allocator holds for this value.
    pub(crate) fn weight(&self) -> usize {
        size_of::<Inner>() + 32 + self.inner.arena.as_ref().map_or(0, Arena::bytes) + self.inner.payload.len()
    }
}

/// What a value gives to the running request, to whose end it stays: a word and a type, so that
/// nothing is held by whoever has it.
#[derive(Clone, Copy)]
pub(crate) struct Lent {
    value: php::zend_value,
    type_info: u32,
}

impl Lent {
    /// Writes the value to `out`, which must hold nothing that needs freeing. Runs no user code.
    /// Where objects are made on the request's heap this may leave by `longjmp`.
    pub(crate) fn write(self, out: &mut Zval) {
        // SAFETY: the place is borrowed for the call.
        let out = unsafe { Slot::of(out) };
        match Node::of(self.value, self.type_info) {
            None => out.put(self.value, self.type_info),
            Some(node) => {
                // With `memory_limit` passed it is null, and the engine reports that when the
                // method has returned.
                let made = Build::new().value(node, out);
                debug_assert!(!matches!(made, Err(Unmade::Foreign)), "no class is looked for");
            }
        }
    }
}

impl Drop for NearValue {
    fn drop(&mut self) {
        if self.lent.get() == graveyard::request() {
            self.inner.given.set(graveyard::request());
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(arena) = self.arena.take()
            && self.given.get() == graveyard::request()
        {
            graveyard::keep(arena);
        }
    }
}
