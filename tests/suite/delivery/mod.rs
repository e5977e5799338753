//! From the spool to the store, on a real directory and a store in memory whose faults are scripted.

#![expect(clippy::indexing_slicing, reason = "tests fail by a panic that names the line")]

mod answers;
mod closing;
mod damage;
mod disk;
mod due;
mod forget;
mod isolation;
mod ledger;
mod located;
mod node;
mod panics;
mod parking;
mod reach;
mod restart;
mod several_logs;
mod share;
mod size;
