//! The segments of this process.

use once_cell::race::OnceBox;

use crate::attached::Attached;

/// The segments that this process has attached: a list that only grows, without a lock, so that a child
/// forked in the middle of an attach can walk it.
pub(crate) struct List {
    first: OnceBox<Node>,
}

struct Node {
    attached: Attached,
    next: OnceBox<Node>,
}

impl List {
    pub(crate) const fn new() -> List {
        List {
            first: OnceBox::new(),
        }
    }

    /// The attached segments.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Attached> {
        std::iter::successors(self.first.get(), |node| node.next.get()).map(|node| &node.attached)
    }

    /// Adds a segment, unless `is_same` finds it there: the one that stays.
    pub(crate) fn add(&self, attached: Attached, is_same: impl Fn(&Attached) -> bool) -> &Attached {
        let mut node = Box::new(Node {
            attached,
            next: OnceBox::new(),
        });
        let mut end = &self.first;
        loop {
            if let Some(found) = end.get() {
                if is_same(&found.attached) {
                    return &found.attached;
                }
                end = &found.next;
            } else if let Err(refused) = end.set(node) {
                node = refused;
            } else if let Some(added) = end.get() {
                return &added.attached;
            } else {
                unreachable!("a box that was set stays set");
            }
        }
    }
}
