//! Jobs: one from its specification to its report ([`one_job`]), what it works with ([`tools`]), what other
//! processes ask of it ([`asking`]), what people see of jobs ([`shown`]), and manifests that are made by
//! listing a bucket ([`listing`]). Jobs may import the objects of their tasks (`imports`).
//!
//! A process runs a job while it holds its folder. `batch run` gives its job a slot at once; a server with
//! several jobs is to decide that by `jobs::job::slots`, where [`one_job`] gives the slot.

pub mod asking;
pub mod for_imports;
#[cfg(feature = "lambda")]
mod imports;
pub mod listing;
pub mod new_job;
pub mod one_job;
pub mod outcome;
mod prepare;
mod reporting;
pub mod shown;
pub mod tools;
mod tools_error;

#[cfg(test)]
mod tests;
