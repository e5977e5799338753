//! Where the rows of one command go, and how the command ends.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::args::{ShowArgs, ToArgs};
use super::summary::Summary;
use crate::cli::failure::Failure;
use crate::cli::serve;
use crate::config::Config;
use crate::import::WantedSource;
use crate::import::file_result::{FileResult, Results};
use crate::import::rejects_output::RejectsOutput;
use crate::import::s3_records::S3Records;
use crate::import::state_folder::state_folder;
use crate::node::chosen_target::ChosenTarget;
use crate::node::import_store::{ImportStore, import_store};
use crate::runtime::Background;
use crate::runtime::say::say;

/// The store that `s3://` sources are read from.
pub(super) async fn store(to: &ToArgs) -> Result<ImportStore, Failure> {
    Ok(import_store(config(to)?.as_ref(), to.endpoint_url.as_ref()).await)
}

fn config(to: &ToArgs) -> Result<Option<Config>, Failure> {
    let loaded = to.target.config.as_deref().map(serve::load).transpose()?;
    Ok(loaded.map(|loaded| loaded.config))
}

/// Where the calls go.
pub(super) async fn chosen_target(
    to: &ToArgs,
    state: &Path,
    background: &Background,
) -> Result<ChosenTarget, Failure> {
    if let (Some(collector), Some(write_key)) = (&to.target.collector, &to.write_key) {
        let shared = match to.target.journal.as_deref() {
            Some(named) => Some(S3Records::named("--journal", named, store(to).await?)?),
            None => None,
        };
        return Ok(ChosenTarget::to_collector(collector, write_key, shared, state).await?);
    }
    let (admin, token_file) = (to.target.admin.as_ref(), to.target.token_file.as_deref());
    Ok(ChosenTarget::to_node(admin, token_file, config(to)?.as_ref(), background).await?)
}

pub(super) fn state_of(to: &ToArgs) -> PathBuf {
    state_folder(to.state.as_ref(), |name| std::env::var_os(name).map(PathBuf::from))
}

/// Uploads the files with rejected rows, if they belong in S3.
pub(super) async fn upload(
    rejects: &RejectsOutput,
    results: &mut [FileResult],
    to: &ToArgs,
) -> Result<(), Failure> {
    if !rejects.uploads(results) {
        return Ok(());
    }
    Ok(rejects.upload(results, &*store(to).await?).await?)
}

/// Prints the target as the first line, unless standard output is for JSON.
pub(super) fn announce(show: &ShowArgs, chosen: &ChosenTarget) {
    if show.json {
        tracing::info!("importing {}", chosen.text);
    } else {
        say(&format!("importing {}", chosen.text));
    }
}

/// Prints the result, and delivers what a spool of this command holds.
pub(super) async fn finish(
    results: Results,
    chosen: ChosenTarget,
    show: &ShowArgs,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let summary = Summary(results);
    let ended = chosen.end().await;
    let printed = match show.json {
        true => summary.print_json(out),
        false => summary.print(out),
    };
    printed.and_then(|()| out.flush())?;
    ended?;
    summary.failure().map_or(Ok(()), Err)
}

pub(super) fn wanted(to: &ToArgs) -> WantedSource {
    match (&to.source, &to.write_key) {
        (Some(id), _) => WantedSource::Id(id.clone()),
        (None, Some(key)) => WantedSource::WriteKey(key.clone()),
        (None, None) => WantedSource::Default,
    }
}
