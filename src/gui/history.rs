//! Undo and redo of settings.

use crate::tasks::dream::DreamSpec;

/// How many changes can be taken back.
const MOST: usize = 200;

/// Settings as they were, and as they were before something was taken back.
#[derive(Debug, Default)]
pub struct History {
    undone: Vec<DreamSpec>,
    done: Vec<DreamSpec>,
    /// The control whose change was noted last: while it goes on changing, that is one change.
    last_control: Option<&'static str>,
}

impl History {
    /// Notes that `control` is about to change the settings from `before`.
    pub fn note(&mut self, before: &DreamSpec, control: &'static str) {
        self.undone.clear();
        if self.last_control == Some(control) {
            return;
        }
        self.last_control = Some(control);
        self.done.push(before.clone());
        if self.done.len() > MOST {
            self.done.remove(0);
        }
    }

    /// Ends the change that a control makes: the next one is a change of its own.
    pub fn settle(&mut self) {
        self.last_control = None;
    }

    /// The settings before the last change; `now` can be had back by [`History::redo`].
    pub fn undo(&mut self, now: &DreamSpec) -> Option<DreamSpec> {
        self.settle();
        let before = self.done.pop()?;
        self.undone.push(now.clone());
        Some(before)
    }

    pub fn redo(&mut self, now: &DreamSpec) -> Option<DreamSpec> {
        self.settle();
        let after = self.undone.pop()?;
        self.done.push(now.clone());
        Some(after)
    }

    pub fn can_undo(&self) -> bool {
        !self.done.is_empty()
    }

    pub fn can_redo(&self) -> bool {
        !self.undone.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(steps: usize) -> DreamSpec {
        DreamSpec { steps, ..DreamSpec::default() }
    }

    #[test]
    fn a_drag_of_one_control_is_one_change() {
        let mut history = History::default();
        for dragged in 1..5 {
            history.note(&steps(dragged), "steps");
        }
        history.settle();
        history.note(&steps(5), "steps");
        assert_eq!(history.undo(&steps(6)), Some(steps(5)));
        assert_eq!(history.undo(&steps(5)), Some(steps(1)));
        assert_eq!(history.undo(&steps(1)), None);
        assert_eq!(history.redo(&steps(1)), Some(steps(5)));
        assert_eq!(history.redo(&steps(5)), Some(steps(6)));
        assert!(!history.can_redo() && history.can_undo());
    }

    #[test]
    fn a_new_change_ends_what_could_be_redone() {
        let mut history = History::default();
        history.note(&steps(1), "steps");
        assert_eq!(history.undo(&steps(2)), Some(steps(1)));
        history.note(&steps(1), "seed");
        assert!(!history.can_redo());
    }
}
