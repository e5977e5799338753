//! Step 3: a sealed object is put until the store has it, and is then committed.
//!
//! `put_until_stored` is the loop, shared with the markers of days; `after_put` decides what an answer of the
//! store means. `put_object` is what is specific to objects: they are parked (`sealed_object`), made again,
//! or in conflict; `commit` notes that the store has one, and logs it. `put_locations` limits how many puts
//! each location gets, and wakes what waits for one.

pub(super) mod after_put;
mod commit;
pub(super) mod put_locations;
pub(super) mod put_object;
pub(super) mod put_until_stored;
pub(super) mod sealed_object;
