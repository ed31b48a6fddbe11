//! The exceptions of the extension, and the one place where errors of the core become them.
//!
//! They are plain children of PHP's `Exception` and nothing else: a class with Rust data behind it
//! would have its own constructor and no file, line and trace.

use std::sync::atomic::{AtomicPtr, Ordering};

use ext_php_rs::builders::ClassBuilder;
use ext_php_rs::prelude::*;
use ext_php_rs::zend::{ClassEntry, ce};
use larder::{Error, ErrorKind};

/// Null until the module is started, which happens once a process.
static EXCEPTION: AtomicPtr<ClassEntry> = AtomicPtr::new(std::ptr::null_mut());
static CONFIG: AtomicPtr<ClassEntry> = AtomicPtr::new(std::ptr::null_mut());
static VALUE: AtomicPtr<ClassEntry> = AtomicPtr::new(std::ptr::null_mut());
static GRACE: AtomicPtr<ClassEntry> = AtomicPtr::new(std::ptr::null_mut());

/// Registers `Larder\Exception` (misuse, bad configuration or a grace, never an outage) and its
/// children `ConfigException` (an option is unknown or has a bad value; the message names it),
/// `ValueException` (a key, cache name or value that cannot be stored) and `GraceException` (nobody
/// new gets a named lock for a while).
pub(crate) fn register() -> ext_php_rs::error::Result<()> {
    ClassBuilder::new("Larder\\Exception")
        .extends((ce::exception, "\\Exception"))
        .registration(|class, _| EXCEPTION.store(class, Ordering::Relaxed))
        .register()?;
    ClassBuilder::new("Larder\\ConfigException")
        .extends((|| class(&EXCEPTION), "\\Larder\\Exception"))
        .registration(|class, _| CONFIG.store(class, Ordering::Relaxed))
        .register()?;
    ClassBuilder::new("Larder\\ValueException")
        .extends((|| class(&EXCEPTION), "\\Larder\\Exception"))
        .registration(|class, _| VALUE.store(class, Ordering::Relaxed))
        .register()?;
    ClassBuilder::new("Larder\\GraceException")
        .extends((|| class(&EXCEPTION), "\\Larder\\Exception"))
        .registration(|class, _| GRACE.store(class, Ordering::Relaxed))
        .register()
}

fn class(registered: &AtomicPtr<ClassEntry>) -> &'static ClassEntry {
    // SAFETY: null, or a class of this module, which lives as long as the process's PHP and is not
    // changed.
    unsafe { registered.load(Ordering::Relaxed).as_ref() }.unwrap_or_else(ce::exception)
}

/// A key or value that cannot be stored.
pub(crate) fn bad_value(message: String) -> PhpException {
    PhpException::new(message, 0, class(&VALUE))
}

/// An option that is unknown or has a bad value.
pub(crate) fn bad_config(message: String) -> PhpException {
    PhpException::new(message, 0, class(&CONFIG))
}

/// What a failed call means to PHP: misuse is thrown, an outage is `Ok(None)`.
pub(crate) fn outage<T>(result: larder::contract::Result<T>) -> PhpResult<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) => misuse(&error).map_or(Ok(None), Err),
    }
}

/// The exception for an error that is the caller's fault, or that asks it to come again.
pub(crate) fn misuse(error: &Error) -> Option<PhpException> {
    match error.kind() {
        ErrorKind::Config => Some(bad_config(error.to_string())),
        ErrorKind::Value => Some(bad_value(error.to_string())),
        ErrorKind::Grace => Some(PhpException::new(error.to_string(), 0, class(&GRACE))),
        _ => None,
    }
}
