//! Sends stored calls to a destination's functions again, by the rules by which they were sent first.
//!
//! The calls come from objects or files ([`StoredLine`]), not from the spool. [`Replay`] gives them to the
//! destination's lanes and notes in the bucket which dead letters were delivered.

mod failed_calls;
mod lanes;
mod order;
mod run;
mod stored_call;

pub use lanes::{LaneDied, ReplayDeps};
pub use order::{ReplayError, ReplayFrom, ReplayOrder, Sent, Shelf, Standing};
pub use run::{Replay, Watch};
pub use stored_call::{StoredCall, StoredLine};
