//! Chooses the converter of a file: the one that it began with, or else that of the import now.
//!
//! The journal keeps the converters that files were begun with, by the id of the import and the hash of the
//! options, as long as a file may need them.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::json;

use super::settings::BucketImport;
use crate::convert::{Converter, DataType, Strategy};
use crate::import::file_error::{FileError, FileFault};
use crate::import::import_id::ImportId;
use crate::import::importer::has_calls;
use crate::import::journal::{Change, Journal, JournalError};
use crate::import::kept::{KeptOf, KeptValue};
use crate::import::options_hash::OptionsHash;
use crate::import::record::{ImportRecord, ImportState};
use crate::log::ImportKey;

/// The version of the written form.
const VERSION: u32 = 1;

/// A converter with all that it was compiled with.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptConverter {
    version: u32,
    data_type: String,
    strategy: String,
    max_event: usize,
    text: String,
}

/// A converter, and the options that it stands for.
#[derive(Clone, Debug)]
pub(super) struct Chosen {
    pub(super) converter: Arc<Converter>,
    pub(super) options: OptionsHash,
}

impl Chosen {
    /// The converter of an import now.
    pub(super) fn now(import: &BucketImport) -> Self {
        Self { converter: Arc::clone(&import.converter), options: options_of(&import.converter) }
    }

    /// The converter for the file with this key: the one that its stored rows were converted with, or else
    /// this one. Waits for the disk.
    /// Errors: [`FileError`]: the file began with another converter, which is not there any more. The outer
    /// error: the journal cannot be read.
    pub(super) fn for_file(
        &self,
        journal: &dyn Journal,
        import: ImportId,
        key: ImportKey,
    ) -> Result<Result<Self, FileError>, JournalError> {
        let record = journal.read(key)?;
        let Some(began_with) = record.as_ref().and_then(needed).filter(|needed| !self.options.is(needed))
        else {
            return Ok(Ok(self.clone()));
        };
        let kept = journal.kept(KeptOf::Converter, &by(import, began_with))?;
        Ok(match kept.map(|json| compiled(&json)) {
            Some(Ok(converter)) => {
                Ok(Self { options: options_of(&converter), converter: Arc::new(converter) })
            }
            Some(Err(what)) => Err(gone(&what)),
            None => Err(gone("the journal does not have it")),
        })
    }
}

fn gone(what: &str) -> FileError {
    let what = format!(
        "rows of this file are stored, and the converter that they were converted with cannot be used: {what}. Set back \
         the converter until the file is done, or leave the rest of the file out"
    );
    FileError::new(FileFault::Local, "E-CONVERTER", what)
}

/// The options that a file needs until its end, if they count.
fn needed(record: &ImportRecord) -> Option<&str> {
    let counts = record.state != ImportState::Done && has_calls(record.progress);
    Some(record.options.as_str()).filter(|options| counts && !options.is_empty())
}

/// The options by which the rows of a file become calls.
fn options_of(converter: &Converter) -> OptionsHash {
    let written = json!([
        ["forebay import options", 1],
        ["converter", converter.file().id.to_string()],
        ["data type", converter.data_type().name()],
        ["strategy", converter.strategy().name()],
    ]);
    OptionsHash::of(written.to_string().as_bytes())
}

fn by(import: ImportId, options: &str) -> String {
    format!("{import}/{options}")
}

/// The converter that is kept. Errors: why it cannot be used.
fn compiled(json: &[u8]) -> Result<Converter, String> {
    let kept: KeptConverter = serde_json::from_slice(json).map_err(|error| error.to_string())?;
    let (data_type, strategy) = (DataType::of(&kept.data_type), Strategy::of(&kept.strategy));
    let (Some(data_type), Some(strategy), VERSION) = (data_type, strategy, kept.version) else {
        return Err("another release wrote it".to_owned());
    };
    let loaded = Converter::load(kept.text.as_bytes(), data_type, strategy, kept.max_event);
    loaded.map_err(|error| error.to_string())
}

/// Keeps the converter of an import for the files that begin now, and forgets those that no file needs any
/// more. Waits for the disk. Errors: [`JournalError`]: nothing has changed.
pub(super) fn keep(
    journal: &dyn Journal,
    id: ImportId,
    import: &BucketImport,
    now: &Chosen,
) -> Result<(), JournalError> {
    let own = by(id, now.options.recorded());
    let prefix = by(id, "");
    let known: Vec<String> =
        journal.kept_by(KeptOf::Converter)?.into_iter().filter(|by| by.starts_with(&prefix)).collect();
    let mut changes = Vec::new();
    if !known.contains(&own) {
        let kept = KeptConverter {
            version: VERSION,
            data_type: import.converter.data_type().name().to_owned(),
            strategy: import.converter.strategy().name().to_owned(),
            max_event: import.max_event,
            text: String::from_utf8_lossy(&import.converter_text).into_owned(),
        };
        let value = Some(serde_json::to_vec(&kept).map_err(JournalError::of)?);
        changes.push(KeptValue { kind: KeptOf::Converter, by: own.clone(), value });
    }
    let others: Vec<String> = known.into_iter().filter(|by| *by != own).collect();
    if !others.is_empty() {
        let mut needed_by_files = BTreeSet::new();
        journal.each(&mut |record| needed_by_files.extend(needed(&record).map(|options| by(id, options))))?;
        let unneeded = others.into_iter().filter(|by| !needed_by_files.contains(by));
        changes.extend(unneeded.map(|by| KeptValue { kind: KeptOf::Converter, by, value: None }));
    }
    if changes.is_empty() { Ok(()) } else { journal.change(Change { kept: &changes, ..Change::default() }) }
}
