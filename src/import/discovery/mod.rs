//! Finds the files of an import: what its arguments mean, and what each of them has in it.

pub mod files;
pub mod inputs;
pub mod row_type;
