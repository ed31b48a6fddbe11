//! The exceptions of the extension, and the one place where errors of the core become them.

use ext_php_rs::prelude::*;
use ext_php_rs::zend::ce;
use larder::{Error, ErrorKind};

/// `Larder\Exception`: misuse or bad configuration; never an outage.
#[php_class]
#[php(name = "Larder\\Exception")]
#[php(extends(ce = ce::exception, stub = "\\Exception"))]
#[derive(Default)]
pub struct Exception;

/// `Larder\ConfigException`: an option is unknown or has a bad value; the message names it.
#[php_class]
#[php(name = "Larder\\ConfigException")]
#[php(extends(Exception))]
#[derive(Default)]
pub struct ConfigException;

/// `Larder\ValueException`: a key, cache name or value that cannot be stored.
#[php_class]
#[php(name = "Larder\\ValueException")]
#[php(extends(Exception))]
#[derive(Default)]
pub struct ValueException;

/// A key or value that cannot be stored.
pub(crate) fn bad_value(message: String) -> PhpException {
    PhpException::from_class::<ValueException>(message)
}

/// What a failed call means to PHP: misuse is thrown, an outage is `Ok(None)`.
pub(crate) fn outage<T>(result: larder::Result<T>) -> PhpResult<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) => misuse(&error).map_or(Ok(None), Err),
    }
}

/// The exception for an error that is the caller's fault.
pub(crate) fn misuse(error: &Error) -> Option<PhpException> {
    match error.kind() {
        ErrorKind::Config => Some(PhpException::from_class::<ConfigException>(error.to_string())),
        ErrorKind::Value => Some(bad_value(error.to_string())),
        _ => None,
    }
}
