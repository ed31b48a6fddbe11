//! Which objects are written as plain ones.

use super::tables::Owner;
use crate::zend::alive::{Class, Object};

/// The plain classes met in one encode; objects of a class mostly come in a row.
pub(super) struct PlainClasses {
    last: Option<(Class, bool)>,
}

impl PlainClasses {
    pub(super) fn new() -> Self {
        Self { last: None }
    }

    /// The class of an object that may be written as a plain one.
    pub(super) fn owner(&mut self, object: Object) -> Option<Owner> {
        let class = object.class();
        if !object.is_plain() || object.is_lazy() {
            return None;
        }
        if class.is_std() {
            return Some(Owner::StdClass);
        }
        let plain = match self.last {
            Some((last, plain)) if last == class => plain,
            _ => class.is_plain(),
        };
        self.last = Some((class, plain));
        plain.then(|| Owner::Class(class.name()))
    }

    /// Whether to write an object may run a script's code.
    pub(super) fn has_hooks(&mut self, object: Object) -> bool {
        object.class().is_declared() && self.owner(object).is_none()
    }
}
