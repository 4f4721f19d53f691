//! Lists that only grow.

use once_cell::race::OnceBox;

/// A list that only grows, without a lock, so that a child forked in the middle of an addition can walk it.
pub(crate) struct List<T> {
    first: OnceBox<Node<T>>,
}

struct Node<T> {
    value: T,
    next: OnceBox<Node<T>>,
}

impl<T> List<T> {
    pub(crate) const fn new() -> List<T> {
        List {
            first: OnceBox::new(),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        std::iter::successors(self.first.get(), |node| node.next.get()).map(|node| &node.value)
    }

    /// Adds a value, unless `is_same` finds it there: the one that stays.
    pub(crate) fn add(&self, value: T, is_same: impl Fn(&T) -> bool) -> &T {
        let mut node = Box::new(Node {
            value,
            next: OnceBox::new(),
        });
        let mut end = &self.first;
        loop {
            if let Some(found) = end.get() {
                if is_same(&found.value) {
                    return &found.value;
                }
                end = &found.next;
            } else if let Err(refused) = end.set(node) {
                node = refused;
            } else if let Some(added) = end.get() {
                return &added.value;
            } else {
                unreachable!("a box that was set stays set");
            }
        }
    }
}

impl<T> std::fmt::Debug for List<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("List").finish_non_exhaustive()
    }
}
