//! Near values: decoded values that outlive requests and are handed out without copying.
//!
//! An array or string of a near value is an immutable, persistent zend value. PHP code gets a pointer to it and
//! copies before it writes, as with the literals of a script. Values with objects are built at each get around shared
//! tables, or, where only `unserialize()` can make them, decoded at each get.

mod arena;
pub mod graveyard;
pub mod keys;
mod template;

use std::cell::Cell;
use std::mem::ManuallyDrop;
use std::rc::Rc;

use ext_php_rs::ffi as php;
use ext_php_rs::types::Zval;
use larder::payload::{EXT_PHP, Reader, Token};

use crate::codec::decode::{Scratch, Stop, build};
use crate::codec::{self, Error};
use crate::zend::guard::guarded;
use crate::zend::memory::put;
use arena::Arena;
use template::{Build, Node};

/// A decoded value of the near cache. A clone is another handle to the same value.
///
/// It may be dropped at any time: what the running request was given of it stays until [`graveyard::clear`].
#[derive(Clone)]
pub struct NearValue(Rc<Inner>);

enum Kind {
    /// Handed out as it is: value and type.
    Direct(php::zend_value, u32),
    /// Built at each get.
    Template(*const Node),
    /// Decoded at each get.
    Encoded,
}

struct Inner {
    kind: Kind,
    /// Nothing for scalars, and after the drop.
    arena: Option<Arena>,
    /// For what must, or may have to, be decoded again.
    payload: Box<[u8]>,
    /// The request that was given the value last.
    given: Cell<u64>,
}

impl NearValue {
    /// Decodes a payload. Runs no user code and uses nothing of the request's heap.
    ///
    /// # Errors
    ///
    /// [`Error::Broken`].
    pub fn from_payload(payload: &[u8]) -> Result<Self, Error> {
        if let Ok(Token::Ext(EXT_PHP, _)) = Reader::new(payload).token() {
            return Ok(Self::encoded(payload));
        }
        let mut arena = Arena::new(payload.len());
        // Not to be dropped as a zval: its memory is the arena's.
        let mut value = ManuallyDrop::new(Zval::new());
        match build(&mut arena, &mut Scratch::default(), payload, &raw mut *value) {
            Err(Stop::Broken) => return Err(Error::Broken),
            Err(Stop::Foreign) => return Ok(Self::encoded(payload)),
            Ok(()) => {}
        }
        let kept: &[u8] = if arena.classes { payload } else { &[] };
        // SAFETY: the value was just built; both views of its type are plain integers.
        let kind = unsafe {
            match u32::from(value.u1.v.type_) {
                php::IS_PTR => Kind::Template(value.value.ptr.cast()),
                _ => Kind::Direct(value.value, value.u1.type_info),
            }
        };
        Ok(Self::new(kind, Some(arena), kept))
    }

    /// Keeps the payload, to be decoded to the request's heap at each get.
    pub fn encoded(payload: &[u8]) -> Self {
        Self::new(Kind::Encoded, None, payload)
    }

    fn new(kind: Kind, arena: Option<Arena>, payload: &[u8]) -> Self {
        Self(Rc::new(Inner { kind, arena, payload: payload.into(), given: Cell::new(0) }))
    }

    /// Writes the value to `out`, which must hold nothing that needs freeing.
    ///
    /// Arrays, strings and scalars are shared: no copy, no allocation, no user code. Values with objects are made
    /// on the request's heap, which runs user code only where [`codec::decode`] does; hold a clone of this handle and
    /// no borrow of the near cache meanwhile.
    ///
    /// # Errors
    ///
    /// Those of [`codec::decode`]; never for values without objects.
    #[inline]
    pub fn copy_to(&self, out: &mut Zval) -> Result<(), Error> {
        self.0.given.set(graveyard::request());
        match &self.0.kind {
            Kind::Direct(value, type_info) => {
                put(out, *value, *type_info);
                Ok(())
            }
            Kind::Template(node) => {
                let out = std::ptr::from_mut(out);
                // SAFETY: the arena lives as long as this handle.
                let built = guarded(|| Build::new().value(unsafe { &**node }, out));
                match built? {
                    Ok(()) => Ok(()),
                    // SAFETY: `out` is the caller's and null now.
                    Err(_) => codec::decode(&self.0.payload, unsafe { &mut *out }),
                }
            }
            Kind::Encoded => codec::decode(&self.0.payload, out),
        }
    }

    /// True when each get costs the making of objects.
    pub fn has_objects(&self) -> bool {
        !matches!(self.0.kind, Kind::Direct(..))
    }

    /// Bytes that the allocator holds for this value.
    pub fn weight(&self) -> usize {
        size_of::<Inner>() + 32 + self.0.arena.as_ref().map_or(0, Arena::bytes) + self.0.payload.len()
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
