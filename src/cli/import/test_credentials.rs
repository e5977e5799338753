//! `forebay import test-credentials`: whether an import can read its bucket from this machine.

use std::io::Write;

use super::run_args::TestCredentialsArgs;
use crate::check::AccessEnd;
use crate::cli::check::print;
use crate::cli::failure::{DENIED, Failure, UNREACHABLE};
use crate::cli::serve;
use crate::node::import_access::test_access;

/// Tests an import's access, and prints the findings. Errors: [`Failure`]: see the exit codes.
pub(super) async fn run(args: &TestCredentialsArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let config = serve::load_for_setup(&args.config)?;
    let tested = test_access(&config, &args.name).await.map_err(Failure::usage)?;
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
