//! Finds the files of an import: what its arguments mean, and what each input contains.

pub mod files;
pub mod inputs;
pub mod row_type;
