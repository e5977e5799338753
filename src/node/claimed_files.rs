//! Files that other instances have claimed, as `import list` shows them.

use crate::admin::{ImportStateName, ImportStatus, Imports};
use crate::import::claims::{ClaimedFile, claim_name, claimed_files};
use crate::import::{FixedSettings, Importer, KeptOf, NameError, named};
use crate::sources::SourceId;

/// The files of an import, or of all, that others than `instance` have claimed, at most so many.
pub(super) async fn claimed(
    importer: &Importer,
    instance: String,
    import: Option<SourceId>,
    limit: usize,
) -> Imports {
    let journal = importer.journal();
    let read = move || -> Result<Imports, NameError> {
        let names = match import {
            Some(name) => vec![name.to_string()],
            None => journal.kept_by(KeptOf::Name)?,
        };
        let mut all = Imports::default();
        for name in names {
            let Some(fixed) = named(&*journal, &name)?.and_then(|import| import.fixed) else { continue };
            let room = limit.saturating_sub(all.imports.len());
            let (files, total) = claimed_files(&*journal, &name, &instance, room)?;
            all.total += total;
            all.imports.extend(files.into_iter().map(|file| status(file, &name, &fixed)));
        }
        Ok(all)
    };
    let problem = match tokio::task::spawn_blocking(read).await {
        Ok(Ok(all)) => return all,
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    Imports { problem: Some(problem), ..Imports::default() }
}

fn status(file: ClaimedFile, import: &str, fixed: &FixedSettings) -> ImportStatus {
    let ClaimedFile { key, size, instance, since, is_delivered } = file;
    let is = if is_delivered { "and has delivered all of it" } else { "and has not delivered all of it" };
    ImportStatus {
        id: claim_name(&key),
        what: format!("s3://{}/{key}", fixed.bucket),
        import: Some(import.to_owned()),
        source: fixed.source.clone(),
        state: ImportStateName::Claimed.slug().to_owned(),
        begun_ms: since.map_or(0, |at| at.0),
        bytes: Some(size),
        why: Some(format!("it belongs to the instance {instance}, {is}")),
        ..ImportStatus::default()
    }
}
