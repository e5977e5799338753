//! The rejected rows of the files of an import: where they are kept, and how they are read again.
//!
//! A pass keeps the rejected rows of a file in the first set of the file. [`retry_rejects`] reads the rows of
//! the set from the object again, in a round: an import of its own, whose rows are those of the set in their
//! order. So the log has the progress of the round, and each row is stored once. What is rejected again becomes
//! the next set. When a round is over, the record of the file says so, and only then is the set before removed.

pub(super) mod claim_again;
pub(super) mod find;
pub(super) mod in_store;
pub(super) mod kept_rows;
pub(super) mod moving;
pub(super) mod old_sets;
pub(super) mod outcome;
pub(super) mod place;
pub(super) mod retry;
pub(super) mod retry_rows;
pub(super) mod round;
pub(super) mod set;
pub(super) mod settled;
