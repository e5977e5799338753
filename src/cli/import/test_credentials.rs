//! `forebay import test-credentials`: whether an import can read its bucket from this machine.

use std::io::Write;

use super::run_args::TestCredentialsArgs;
use crate::check::AccessEnd;
use crate::cli::check::print;
use crate::cli::failure::{DENIED, Failure, UNREACHABLE};
use crate::config::{Environment, Loader};
use crate::node::import_access::test_access;

/// Tests an import's access, and prints the findings. Errors: [`Failure`]: see the exit codes.
pub(super) async fn run(args: &TestCredentialsArgs, out: &mut dyn Write) -> Result<(), Failure> {
    // The person who sets up access need have neither write keys nor a converter.
    let loader = Loader::new(&args.config, Environment::of_process()).without_secrets().without_converters();
    let loaded = loader.load()?;
    loaded.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    let tested = test_access(&loaded.config, &args.name).await.map_err(Failure::usage)?;
    print(&tested.report, args.json, out)?;
    let name = &args.name;
    match tested.end {
        AccessEnd::Sound => Ok(()),
        AccessEnd::Denied => {
            Err(Failure::with_code(DENIED, format!("import {name} lacks a right or credentials")))
        }
        AccessEnd::Unreachable => {
            Err(Failure::with_code(UNREACHABLE, format!("what import {name} needs cannot be reached")))
        }
        AccessEnd::Wrong => Err(Failure::usage(format!("import {name} cannot use its bucket or its key"))),
    }
}
