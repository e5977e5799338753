//! `forebay import retry-rejects`: imports rejected rows after a person corrected them in their file.

use std::fs;
use std::io::Write;

use tokio_util::sync::CancellationToken;

use super::args::RetryRejectsArgs;
use super::retry_import;
use super::show::{Shown, while_shown};
use super::to::{announce, chosen_target, finish, state_of, upload, wanted};
use crate::cli::failure::Failure;
use crate::import::files_import::retry_all;
use crate::import::rejects_output::RejectsOutput;
use crate::import::retry::RetryOptions;
use crate::import::{Counters, description_of};
use crate::runtime::Background;

/// Imports the rows of each file.
/// Errors: [`Failure`]: a file is not one of rejected rows, a file failed, or rows were rejected again.
pub(super) async fn run(
    args: &RetryRejectsArgs,
    stop: CancellationToken,
    background: &Background,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    if let Some(import) = &args.import {
        return retry_import::run(args, import, stop, background, out).await;
    }
    for file in &args.files {
        if !file.is_file() {
            return Err(Failure::usage(format!("no such file: {}", file.display())));
        }
        if !description_of(file).is_file() {
            let (file, how) = (file.display(), description_of(file));
            let what =
                format!("{file} is not a file of rejected rows: {} is missing beside it", how.display());
            return Err(Failure::usage(what));
        }
    }
    let state = state_of(&args.to);
    let place = RejectsOutput::new(args.to.rejects.as_deref(), args.files.len(), &state)?;
    let chosen = chosen_target(&args.to, &state, background).await?;
    announce(&args.show, &chosen);
    let counters = Counters::default();
    let bytes: u64 = args.files.iter().filter_map(|file| fs::metadata(file).ok()).map(|of| of.len()).sum();
    counters.change(|now| now.bytes_total = bytes);
    let shown = Shown { counters, files: args.files.len() as u64 };
    let source = wanted(&args.to);
    let how = RetryOptions {
        place: &place,
        source: &source,
        remembers: args.to.target.journal.is_none(),
        limits_hash: args.on_row_error.limits_hash(false),
        on_row_error: args.on_row_error,
        rate: args.to.rate.map(std::num::NonZeroU32::get),
    };
    let retrying = retry_all(&args.files, &how, &*chosen.target, &shown.counters, &stop);
    let mut results = while_shown(retrying, &shown, args.show.progress).await;
    let uploaded = upload(&place, &mut results.results, &args.to).await;
    finish(results, chosen, &args.show, out).await.and(uploaded)
}
