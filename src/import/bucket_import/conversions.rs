//! Chooses the converter of a file: the one that it began with, or else that of the import now.
//!
//! The journal keeps the converters that files were begun with, by the id of the import and the hash of the
//! options, as long as a file may need them.

use std::collections::{BTreeSet, HashMap};
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
use crate::log::{ImportKey, ImportProgress};

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

    /// The converter for the file with this record: the one that its stored rows were converted with, or else
    /// this one. Waits for the disk.
    /// Errors: [`FileError`]: the file began with another converter, which is not there any more. The outer
    /// error: the journal cannot be read.
    pub(super) fn for_file(
        &self,
        journal: &dyn Journal,
        import: ImportId,
        record: Option<&ImportRecord>,
    ) -> Result<Result<Self, FileError>, JournalError> {
        let Some(began_with) = record.and_then(needed).filter(|needed| !self.options.is(needed)) else {
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

    /// Whether this converter finds the same rows in a file as the one with these recorded options: rows are
    /// known by their numbers. `None`: that one is not there any more. Waits for the disk.
    /// Errors: [`JournalError`]: the journal cannot be read.
    pub(super) fn counts_rows_as(
        &self,
        journal: &dyn Journal,
        import: ImportId,
        options: &str,
    ) -> Result<Option<bool>, JournalError> {
        let kept = journal.kept(KeptOf::Converter, &by(import, options))?;
        let before = kept.and_then(|json| compiled(&json).ok());
        Ok(before.map(|before| {
            let (now, before) = (self.converter.file(), before.file());
            (now.format, &now.csv) == (before.format, &before.csv)
        }))
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
pub(super) fn needed(record: &ImportRecord) -> Option<&str> {
    let is_over = matches!(record.state, ImportState::Done | ImportState::Replaced);
    let counts = !is_over && has_calls(record.progress);
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

/// Keeps the converter of an import for the files that begin now. Waits for the disk.
/// Errors: [`JournalError`]: nothing has changed.
pub(super) fn keep(
    journal: &dyn Journal,
    id: ImportId,
    import: &BucketImport,
    now: &Chosen,
) -> Result<(), JournalError> {
    let own = by(id, now.options.recorded());
    if journal.kept(KeptOf::Converter, &own)?.is_some() {
        return Ok(());
    }
    let kept = KeptConverter {
        version: VERSION,
        data_type: import.converter.data_type().name().to_owned(),
        strategy: import.converter.strategy().name().to_owned(),
        max_event: import.max_event,
        text: String::from_utf8_lossy(&import.converter_text).into_owned(),
    };
    let value = KeptValue::json(KeptOf::Converter, own, &kept).map_err(JournalError::of)?;
    journal.change(Change { kept: &[value], ..Change::default() })
}

/// Forgets the converters of an import that no file needs any more, except the one that it has now. `logged`
/// is the progress that the log knows: the journal may have less. Waits for the disk, and reads the whole
/// journal if there are other converters. Errors: [`JournalError`]: nothing has changed.
pub(super) fn forget_unneeded(
    journal: &dyn Journal,
    logged: &HashMap<ImportKey, ImportProgress>,
    id: ImportId,
    now: &Chosen,
) -> Result<(), JournalError> {
    let (own, prefix) = (by(id, now.options.recorded()), by(id, ""));
    let mut unneeded: BTreeSet<String> = journal.kept_by(KeptOf::Converter)?.into_iter().collect();
    unneeded.retain(|by| by.starts_with(&prefix) && *by != own);
    if unneeded.is_empty() {
        return Ok(());
    }
    journal.each(&mut |mut record| {
        if record.import != Some(id) {
            return;
        }
        if let Some(progress) = logged.get(&record.key) {
            record.advance(*progress);
        }
        if let Some(options) = needed(&record) {
            unneeded.remove(&by(id, options));
        }
    })?;
    let forgotten = |by| KeptValue { kind: KeptOf::Converter, by, value: None };
    let changes: Vec<KeptValue> = unneeded.into_iter().map(forgotten).collect();
    if changes.is_empty() { Ok(()) } else { journal.change(Change { kept: &changes, ..Change::default() }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::journal::LocalJournal;
    use crate::time::UnixMillis;

    const TEXT: &str = r#"{"converterConfig":{"fileType":"json","convertToAmplitudeFunc":
        {"event_type":["path","e"],"user_id":["path","u"]}}}"#;
    const KEY: ImportKey = ImportKey(7);

    fn chosen(text: &str) -> Chosen {
        let converter =
            Converter::load(text.as_bytes(), DataType::Event, Strategy::AppendOnly, 32_768).unwrap();
        Chosen { options: options_of(&converter), converter: Arc::new(converter) }
    }

    /// Files in journals are known by the hash of this text.
    #[test]
    fn the_written_form_stays_as_it_is() {
        let chosen = chosen(TEXT);
        let id = chosen.converter.file().id;
        let written = format!(
            r#"[["forebay import options",1],["converter","{id}"],["data type","event"],["strategy","append_only"]]"#
        );
        assert_eq!(chosen.options, OptionsHash::of(written.as_bytes()));
    }

    #[test]
    fn a_file_without_its_converter_is_refused_once_calls_of_it_are_stored() {
        let journal = LocalJournal::over(redb::backends::InMemoryBackend::new()).unwrap();
        let (import, began, now) =
            (ImportId::of_bits(1), chosen(TEXT), chosen(&TEXT.replace("\"e\"", "\"f\"")));
        let file = |stored, state| {
            let progress = ImportProgress { next_row: 5, stored, ..ImportProgress::default() };
            let record = ImportRecord::of_progress(KEY, progress, UnixMillis(1));
            let record = ImportRecord { state, options: began.options.recorded().to_owned(), ..record };
            now.for_file(&journal, import, Some(&record)).unwrap()
        };
        for (stored, state) in [(0, ImportState::Reading), (5, ImportState::Done)] {
            assert_eq!(file(stored, state).unwrap().options, now.options, "{stored} {state:?}");
        }
        for state in [ImportState::Reading, ImportState::Failed, ImportState::Poison] {
            assert_eq!(file(5, state).unwrap_err().code, "E-CONVERTER");
        }
        for (json, is_usable) in [
            (
                r#"{"version":1,"data_type":"event","strategy":"append_only","max_event":32768,"text":TEXT}"#,
                true,
            ),
            (
                r#"{"version":2,"data_type":"event","strategy":"append_only","max_event":32768,"text":TEXT}"#,
                false,
            ),
            (
                r#"{"version":1,"data_type":"event","strategy":"append_only","max_event":32768,"text":"{}"}"#,
                false,
            ),
            ("{", false),
        ] {
            let json = json.replace("TEXT", &serde_json::to_string(TEXT).unwrap());
            let (by, value) = (by(import, began.options.recorded()), Some(json.into_bytes()));
            let kept = [KeptValue { kind: KeptOf::Converter, by, value }];
            journal.change(Change { kept: &kept, ..Change::default() }).unwrap();
            let found = file(5, ImportState::Reading);
            assert_eq!(found.map(|found| found.options).ok(), is_usable.then(|| began.options.clone()));
        }
    }
    #[test]
    fn a_converter_is_kept_as_long_as_a_file_of_its_import_needs_it() {
        let journal = LocalJournal::over(redb::backends::InMemoryBackend::new()).unwrap();
        let (id, now) = (ImportId::of_bits(1), chosen(TEXT));
        let kept = |of: ImportId, options: &str| {
            let (by, value) = (by(of, options), Some(b"{}".to_vec()));
            let kept = [KeptValue { kind: KeptOf::Converter, by, value }];
            journal.change(Change { kept: &kept, ..Change::default() }).unwrap();
        };
        let other_import = ImportId::of_bits(2);
        for options in [now.options.recorded(), "stored", "logged", "done", "elsewhere", "none"] {
            kept(id, options);
        }
        kept(other_import, "none");
        let progress = |stored| ImportProgress { next_row: 5, stored, ..ImportProgress::default() };
        let mut key = 0;
        let mut file = |import, options: &str, stored, state| {
            key += 1;
            let record = ImportRecord::of_progress(ImportKey(key), progress(stored), UnixMillis(1));
            let options = options.to_owned();
            journal.write(&[ImportRecord { import: Some(import), options, state, ..record }]).unwrap();
            ImportKey(key)
        };
        file(id, "stored", 5, ImportState::Failed);
        let logged = file(id, "logged", 0, ImportState::Reading);
        file(id, "done", 5, ImportState::Done);
        file(other_import, "elsewhere", 5, ImportState::Reading);
        forget_unneeded(&journal, &HashMap::from([(logged, progress(5))]), id, &now).unwrap();
        let expected = BTreeSet::from([
            by(id, now.options.recorded()),
            by(id, "stored"),
            by(id, "logged"),
            by(other_import, "none"),
        ]);
        let found: BTreeSet<String> = journal.kept_by(KeptOf::Converter).unwrap().into_iter().collect();
        assert_eq!(found, expected);
    }
}
