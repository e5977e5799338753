//! `forebay import reset-file`: lets files of a bucket begin again.

use std::io::Write;

use super::run::{reached, settled};
use super::run_args::ResetFileArgs;
use crate::admin::AskedReset;
use crate::cli::failure::Failure;
use crate::cli::print_json::print_either;
use crate::runtime::Background;

/// Lets files begin again, and prints which.
/// Errors: [`Failure`]: nothing has changed, or what waits in the spool is not delivered.
pub(super) async fn run(
    args: &ResetFileArgs,
    background: &Background,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let imports = reached(&args.at, background).await?;
    let asked = AskedReset { key: args.key.clone(), accept_rejects: args.accept_rejects };
    let reset = imports.reset(&args.name, &asked).await;
    let (reset, ended) = settled(imports, reset, true).await?;
    print_either(out, args.at.json, &reset, || reset.text())?;
    Ok(ended?)
}
