//! Values between PHP and the core, and how a call ends when one of them cannot be carried.

use std::mem::ManuallyDrop;

use ext_php_rs::boxed::ZBox;
use ext_php_rs::convert::IntoZval;
use ext_php_rs::ffi as php;
use ext_php_rs::prelude::*;
use ext_php_rs::types::{ZendHashTable, Zval};
use ext_php_rs::zend::ExecutorGlobals;

use crate::codec::{self, Error};
use crate::exceptions::bad_value;
use crate::near::NearValue;
use crate::zend::guard::{Stopped, guarded};
use crate::zend::limit::{Full, NoRoom};

/// Why a method ends early.
pub(crate) enum Stop {
    /// With an exception.
    Throw(PhpException),
    /// Without a result: `memory_limit` is passed, and the engine reports it when the method has
    /// returned.
    Full,
    /// The engine bailed out: every frame drops what it owns, and [`finish`] goes on with the
    /// bailout.
    Bailout,
}

impl From<PhpException> for Stop {
    fn from(exception: PhpException) -> Self {
        Self::Throw(exception)
    }
}

impl From<Full> for Stop {
    fn from(_: Full) -> Self {
        Self::Full
    }
}

impl From<NoRoom> for Stop {
    fn from(no_room: NoRoom) -> Self {
        match no_room {
            NoRoom::Full => Self::Full,
            NoRoom::Bailout => Self::Bailout,
        }
    }
}

impl From<ext_php_rs::error::Error> for Stop {
    fn from(error: ext_php_rs::error::Error) -> Self {
        Self::Throw(error.into())
    }
}

/// Ends a method. Its body is a function of its own, so that nothing is left to drop here.
pub(crate) fn finish<T: Default>(result: Result<T, Stop>) -> PhpResult<T> {
    match result {
        Ok(value) => Ok(value),
        Err(Stop::Full) => Ok(T::default()),
        Err(Stop::Throw(exception)) => Err(exception),
        Err(Stop::Bailout) => codec::resume_bailout(),
    }
}

/// The payload of a value. Runs user code where the value's class has some: hold no borrow.
pub(crate) fn encode(value: &Zval) -> Result<Vec<u8>, Stop> {
    let mut payload = Vec::new();
    match codec::encode(value, &mut payload) {
        Ok(()) => Ok(payload),
        Err(Error::Bailout) => Err(Stop::Bailout),
        Err(Error::Full) => Err(Stop::Full),
        Err(Error::Thrown) => Err(Stop::Throw(refusal())),
        Err(error) => Err(Stop::Throw(bad_value(error.to_string()))),
    }
}

/// Gives PHP a value; false if its entry is broken. Runs user code where the value's class has
/// some.
pub(crate) fn give(value: &NearValue, out: &mut Zval) -> Result<bool, Stop> {
    match value.copy_to(out) {
        Ok(()) => Ok(true),
        Err(Error::Bailout) => Err(Stop::Bailout),
        Err(Error::Full) => Err(Stop::Full),
        Err(Error::Thrown) => Err(Stop::Throw(pending())),
        Err(_) => Ok(false),
    }
}

/// Drops a value that PHP is not given after all. Runs the destructors of its objects.
pub(crate) fn release(value: Zval) -> Result<(), Stop> {
    let mut value = ManuallyDrop::new(value);
    // SAFETY: the value is whole and this call's own; it is not dropped again.
    guarded(|| unsafe { php::zval_ptr_dtor(&raw mut *value) }).map_err(|_| Stop::Bailout)?;
    unless_thrown()
}

/// Ends the method if destructors have thrown.
pub(crate) fn unless_thrown() -> Result<(), Stop> {
    if ExecutorGlobals::has_exception() { Err(Stop::Throw(pending())) } else { Ok(()) }
}

/// A new array that `fill` fills. What `fill` borrows is dropped even if the array outgrows
/// `memory_limit`.
pub(crate) fn collected(
    fill: impl FnOnce(&mut ZendHashTable) -> Result<(), Stop>,
) -> Result<ZBox<ZendHashTable>, Stop> {
    let filled = guarded(|| {
        let mut array = ZendHashTable::new();
        fill(&mut array).map(|()| array)
    });
    filled.unwrap_or_else(|stopped| {
        Err(match stopped {
            Stopped::Bailout => Stop::Bailout,
            Stopped::Panic => Stop::Throw("a panic, which is a bug of this extension".into()),
        })
    })
}

/// PHP's own refusals ("Serialization of 'Closure' is not allowed") become `Larder\ValueException`;
/// an exception of the value's class stays what it is, and so does the one by which `exit` unwinds,
/// which is no object of a class.
fn refusal() -> PhpException {
    if codec::is_exiting() {
        return pending();
    }
    let Some(exception) = ExecutorGlobals::take_exception() else { return pending() };
    let is_php_own = exception.get_class_name().is_ok_and(|class| class == "Exception");
    let message =
        exception.try_call_method("getMessage", Vec::new()).ok().and_then(|message| message.string());
    match message {
        Some(message) if is_php_own && message.starts_with("Serialization of ") => bad_value(message),
        _ => PhpException::from_message(String::new())
            .with_object(exception.into_zval(false).unwrap_or_else(|_| Zval::null())),
    }
}

/// Stands for an exception that is pending already: throwing this one changes nothing.
pub(crate) fn pending() -> PhpException {
    PhpException::from_message(String::new())
}
