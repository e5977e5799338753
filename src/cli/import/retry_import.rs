//! `forebay import retry-rejects --import`: rejected rows of a bucket are read again.

use std::io::Write;

use tokio_util::sync::CancellationToken;

use super::args::RetryRejectsArgs;
use super::run::settled;
use crate::admin::RejectsRetried;
use crate::cli::failure::{self, Failure};
use crate::cli::print_json::print_either;
use crate::cli::serve;
use crate::node::bucket_imports::ImportsAt;
use crate::runtime::Background;
use crate::sources::SourceId;

/// Reads rejected rows again, and prints what became of them.
/// Errors: [`Failure`], also if rows are rejected again: see the exit codes.
pub(super) async fn run(
    args: &RetryRejectsArgs,
    name: &SourceId,
    stop: CancellationToken,
    background: &Background,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let key = match args.files.as_slice() {
        [] => None,
        [key] => Some(key.to_str().ok_or_else(|| Failure::usage("the key is not UTF-8"))?.to_owned()),
        _ => return Err(Failure::usage("with --import, name one key, or none for all files")),
    };
    let target = &args.to.target;
    let config = target.config.as_deref().map(serve::load_for_imports).transpose()?;
    let imports =
        ImportsAt::of(target.admin.as_ref(), target.token_file.as_deref(), config, background).await?;
    let of = key.clone().unwrap_or_else(|| format!("import {name}"));
    let retried = imports.retry_rejects(name, key, args.dry_run, stop).await;
    let (retried, ended) = settled(imports, retried, !args.dry_run).await?;
    let Some(retried) = retried else {
        let what = "stopped waiting: the node goes on with the rejected rows";
        return Err(Failure::with_code(failure::INTERRUPTED, what));
    };
    print_either(out, args.show.json, &retried, || retried.text(&of)).and_then(|()| out.flush())?;
    ended?;
    failure_of(&retried).map_or(Ok(()), Err)
}

/// The failure that the command ends with, if any.
fn failure_of(of: &RejectsRetried) -> Option<Failure> {
    let has = |became: &str| of.left.iter().any(|file| file.became == became);
    let (code, what) = if has("stopped") {
        return Some(super::resume::stopped());
    } else if has("denied") {
        (failure::DENIED, "access to some files is denied")
    } else if of.left_count > 0 {
        (failure::FAILED, "rejected rows of some files were not read again")
    } else if of.rejected > 0 {
        (failure::SOME_REJECTED, "some rows are still rejected")
    } else {
        return None;
    };
    Some(Failure::with_code(code, what))
}
