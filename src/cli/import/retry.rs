//! `forebay import retry-rejects`: imports rejected rows after a person corrected them in their file.

use std::fs;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio_util::sync::CancellationToken;

use super::args::RetryRejectsArgs;
use super::options::limits_hash;
use super::show::{Shown, show};
use super::way::Way;
use super::{announce, finish, state_of, upload, wanted};
use crate::cli::failure::Failure;
use crate::import::file_result::{FileResult, Results};
use crate::import::files_import::Counted;
use crate::import::rejects_place::RejectsPlace;
use crate::import::retry::{RetryOptions, retry_of};
use crate::import::{Counters, FileEnd, description_of, import_file};
use crate::runtime::Background;

/// Imports the rows of each file.
///
/// # Errors
/// [`Failure`].
pub(super) async fn run(
    args: &RetryRejectsArgs,
    stop: CancellationToken,
    background: &Background,
    out: &mut dyn Write,
) -> Result<(), Failure> {
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
    let place = RejectsPlace::new(args.to.rejects.as_deref(), args.files.len(), &state)?;
    let way = Way::choose(&args.to, &state, background).await?;
    announce(&args.show, &way);
    let counters = Arc::new(Counters::default());
    let bytes = args.files.iter().filter_map(|file| fs::metadata(file).ok()).map(|of| of.len()).sum();
    counters.bytes_total.store(bytes, Ordering::Relaxed);
    let counted = Counted { counters, ..Counted::default() };
    let shown = Shown { counted, files: args.files.len() as u64 };
    let source = wanted(&args.to);
    let stop_showing = CancellationToken::new();
    let showing = tokio::spawn(show(shown.clone(), args.show.progress, stop_showing.clone()));
    let mut results = Results::default();
    for (done, rejects) in args.files.iter().enumerate() {
        if stop.is_cancelled() {
            results.not_begun = (args.files.len() - done) as u64;
            break;
        }
        let how = RetryOptions {
            place: &place,
            source: &source,
            remembers: args.to.way.journal.is_none(),
            limits_hash: limits_hash(args.on_row_error, false),
            on_row_error: args.on_row_error,
            rate: args.to.rate.map(std::num::NonZeroU32::get),
        };
        let (job, kind) = match retry_of(rejects, how) {
            Ok(retry) => retry,
            Err(error) => {
                let name = rejects.display().to_string();
                results.results.push(FileResult::not_opened(name, FileEnd::Failed(error)));
                continue;
            }
        };
        let report = import_file(&job, &*way.target, &shown.counted.counters, &stop).await;
        shown.counted.counters.files.fetch_add(1, Ordering::Relaxed);
        results.results.push(FileResult { report, kind: Some(kind.to_string()), uploaded: None, note: None });
    }
    stop_showing.cancel();
    showing.await?;
    let uploaded = upload(&place, &mut results.results, &args.to).await;
    finish(results, way, &args.show, out).await.and(uploaded)
}
