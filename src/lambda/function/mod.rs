//! The function of AWS Lambda: imports the files that an event names, within the time of an invocation.

mod csv_function;
mod file;
mod invocation;
mod output_target;
mod rejects;
mod run;
pub mod self_invoke;
mod timed_target;

pub use self::csv_function::{CsvFunction, FileImport, FunctionSettings, To};
