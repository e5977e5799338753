//! The folder of all jobs.

use std::path::PathBuf;

use super::args::StateArgs;
use crate::cli::failure::Failure;
use crate::config::{Endpoint, Environment};
use crate::import::state_folder::state_folder;
use crate::jobs::job::folder::{JobsFolder, StateOption};
use crate::node::jobs::tools;

/// The folder below the one that was named, or below that of the environment.
/// Errors: [`Failure`]: it cannot be made.
pub(super) fn below(named: Option<&PathBuf>) -> Result<JobsFolder, Failure> {
    Ok(JobsFolder::open(&state_of(named))?.named(option(named)))
}

/// The folder that was named, or that of the environment.
pub(super) fn state_of(named: Option<&PathBuf>) -> PathBuf {
    state_folder(named, |name| std::env::var_os(name).map(PathBuf::from))
}

/// The endpoint that was named, or that of the environment.
/// Errors: [`Failure`]: the environment names none that can be used.
pub(super) fn endpoint(named: Option<&Endpoint>) -> Result<Option<String>, Failure> {
    tools::endpoint(named, &Environment::of_process()).map_err(Failure::usage)
}

/// The folder of these arguments, to look at.
pub(super) fn folder(at: &StateArgs) -> JobsFolder {
    let named = at.state.as_ref();
    JobsFolder::to_look(&state_of(named)).named(option(named))
}

/// The option with which a command finds the folder again: the environment may name it.
fn option(named: Option<&PathBuf>) -> StateOption {
    let of_environment = std::env::var_os("FOREBAY_STATE").map(PathBuf::from);
    let named = named.filter(|named| Some(*named) != of_environment.as_ref());
    named.map_or_else(StateOption::default, |named| StateOption::of(named))
}
