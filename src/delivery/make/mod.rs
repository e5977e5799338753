//! Step 2: one object is made of a batch.
//!
//! `one_object` finds its bucket, has `encode` compress its lines into a staged object (`staging`), and
//! seals it. `make_again` makes the same bytes of a seal once more.

pub mod encode;
pub(super) mod make_again;
pub(super) mod one_object;
pub mod staging;
