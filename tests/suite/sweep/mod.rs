//! What the sweep of errors of the disk found.

#![expect(clippy::indexing_slicing, reason = "tests fail by a panic that names the line")]

mod unreadable;
