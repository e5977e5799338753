//! A second reader of the spool.

use std::io;

use super::SpoolLog;
use crate::log::{Follow, ReadThrough, Visit};
use crate::spool::reading::follow;
use crate::spool::shared::lock;

impl Follow for SpoolLog {
    fn durable_through(&self) -> u64 {
        lock(&self.shared.index).durable_through
    }

    fn hold_after(&self, position: Option<u64>) {
        let mut index = lock(&self.shared.index);
        let fewer = position.unwrap_or(u64::MAX) > index.held_after.unwrap_or(u64::MAX);
        index.held_after = position;
        drop(index);
        let set_aside = usize::from(position.is_some());
        let is_other = std::mem::replace(&mut lock(&self.shared.next).set_aside, set_aside) != set_aside;
        if fewer || is_other {
            self.shared.wake_housekeeper();
        }
    }

    fn held_bytes(&self) -> u64 {
        lock(&self.shared.index).held_bytes()
    }

    fn held_end(&self, bytes: u64) -> u64 {
        lock(&self.shared.index).held_end(bytes)
    }

    fn follow(&self, read_through: &mut ReadThrough, visit: &mut Visit<'_>) -> io::Result<()> {
        follow::follow(&self.shared, read_through, visit)
    }
}
