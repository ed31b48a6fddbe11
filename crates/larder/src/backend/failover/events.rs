//! What there is to log about who serves.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::control::View;
use super::primary::Primary;
use super::rules::Mode;

/// Lines to log.
#[derive(Default)]
pub(super) struct Events {
    lines: Mutex<Vec<String>>,
}

impl Events {
    /// Has a line logged.
    pub(super) fn line(&self, line: String) {
        self.lines().push(line);
    }

    /// Takes what there is to log.
    pub(super) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.lines())
    }

    /// Says, once for the node, who serves now.
    pub(super) fn announce(&self, view: &View, primary: &Primary) {
        let fallback = view.stage.is_fallback();
        if view.stage.tier == Mode::Fallback && !fallback {
            return;
        }
        let code = (view.stage.epoch << 1) | u64::from(fallback);
        let node = primary.node();
        if node.read().announced == code {
            return;
        }
        let before = node
            .update(|words| (words.announced != code).then(|| std::mem::replace(&mut words.announced, code)));
        let Some(before) = before else { return };
        if fallback {
            self.line(format!("the fallback serves now: {}", primary.why()));
        } else if before != 0 {
            // Else the node has just begun.
            self.line("the server serves again".to_owned());
        }
    }

    fn lines(&self) -> MutexGuard<'_, Vec<String>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
