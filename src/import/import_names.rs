//! The names of imports: each has an id, which stays when the name changes, and settings that cannot change
//! once a file has begun, because the files that are done would not follow.
//!
//! The journal keeps a JSON object for each name: `{"version":1,"id":…,"fixed":{…}}`. `fixed` is missing
//! until a file begins.

use std::fmt;

use super::import_id::ImportId;
use super::journal::{Change, Journal, JournalError};
use super::kept::{KeptOf, KeptValue};
use crate::random::Random;

/// The version of what is kept of a name.
const VERSION: u32 = 1;
/// What the setting `journal` says of the journal of this instance.
const LOCAL: &str = "local";

/// An import that has a name.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedImport {
    pub(super) version: u32,
    /// The import's id.
    pub id: ImportId,
    /// The settings that cannot change; `None`: no file has begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fixed: Option<FixedSettings>,
    /// Whether a command paused it, and none resumed it since.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
}

/// The settings of an import that cannot change once a file has begun.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FixedSettings {
    /// The bucket.
    pub bucket: String,
    /// What the keys begin with.
    pub prefix: String,
    /// The endpoint of the store; empty for that of AWS.
    pub endpoint: String,
    /// The role that reads the bucket; empty for the process's own credentials.
    pub role: String,
    /// The source of the calls.
    pub source: String,
    /// What the rows are.
    pub data_type: String,
    /// What new rows do to earlier ones.
    pub strategy: String,
    /// The journal that several instances share; empty for that of this instance. It can be set later, and
    /// then no longer changes.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub journal: String,
}

impl NamedImport {
    fn new(random: &dyn Random) -> Self {
        Self::of_id(ImportId::new(random))
    }

    /// An import with this id, no file of which has begun.
    pub(super) fn of_id(id: ImportId) -> Self {
        Self { version: VERSION, id, fixed: None, paused: false }
    }

    /// Checks that no setting was changed that cannot change.
    fn check(&self, name: &str, settings: &FixedSettings) -> Result<(), NameError> {
        let changes: Vec<Changed> = self.fixed.iter().flat_map(|fixed| fixed.changes(settings)).collect();
        if changes.is_empty() { Ok(()) } else { Err(NameError::Fixed { name: name.to_owned(), changes }) }
    }
}

impl FixedSettings {
    fn each(&self) -> [(&'static str, &str); 8] {
        let journal = if self.journal.is_empty() { LOCAL } else { self.journal.as_str() };
        [
            ("bucket", &self.bucket),
            ("prefix", &self.prefix),
            ("endpoint_url", &self.endpoint),
            ("role_arn", &self.role),
            ("source", &self.source),
            ("data_type", &self.data_type),
            ("strategy", &self.strategy),
            ("journal", journal),
        ]
    }

    /// The settings that differ: name, value here, value there. An import may begin to share a journal.
    pub(super) fn changes<'s>(&'s self, now: &'s Self) -> impl Iterator<Item = Changed> + 's {
        let pairs = self.each().into_iter().zip(now.each());
        let differs = |((name, was), (_, is)): &((&str, &str), (&str, &str))| {
            was != is && !(*name == "journal" && *was == LOCAL)
        };
        pairs.filter(differs).map(|((name, was), (_, is))| Changed {
            name,
            was: was.to_owned(),
            is: is.to_owned(),
        })
    }
}

/// A setting that was changed although it cannot change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    name: &'static str,
    was: String,
    is: String,
}

impl fmt::Display for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} was {:?} and is {:?}", self.name, self.was, self.is)
    }
}

/// Why an import cannot be used under its name.
#[derive(Clone, Debug, thiserror::Error)]
pub enum NameError {
    /// The journal cannot be read or written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// What the journal keeps of the name cannot be read.
    #[error(
        "E-IMPORT-JOURNAL: what the import journal keeps of import {name} cannot be read: {what}. Use the release that \
         wrote it, or put a copy of the journal from before in its place"
    )]
    Unreadable {
        /// The name.
        name: String,
        /// What is wrong.
        what: String,
    },
    /// A setting was changed that cannot change.
    #[error(
        "E-IMPORT-FIXED: import {name}: {}. Files of it have begun, and those that are done would not follow: make a new \
         import under another name, or set back what was changed",
        changes.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    )]
    Fixed {
        /// The name.
        name: String,
        /// What was changed.
        changes: Vec<Changed>,
    },
    /// The name that is to be given up has no history.
    #[error(
        "no import {0} has begun here, so there is no history to keep: change the name in the configuration"
    )]
    Unknown(String),
    /// The new name has a history of its own.
    #[error("import {0} has a history of its own, which would be lost: choose another new name")]
    Taken(String),
}

/// The import with this name. `None`: no import of this name was seen. Waits for the disk.
/// Errors: [`NameError`]: what is kept of it cannot be read.
pub fn named(journal: &dyn Journal, name: &str) -> Result<Option<NamedImport>, NameError> {
    let Some(json) = journal.kept(KeptOf::Name, name)? else { return Ok(None) };
    let unreadable = |what: String| NameError::Unreadable { name: name.to_owned(), what };
    let known: NamedImport = serde_json::from_slice(&json).map_err(|error| unreadable(error.to_string()))?;
    match known.version {
        VERSION => Ok(Some(known)),
        other => Err(unreadable(format!("it has version {other}, and this release knows {VERSION}"))),
    }
}

/// The id of the import with this name, if it was seen before. Waits for the disk.
/// Errors: [`NameError`]: a setting was changed that cannot change, or the journal cannot be read.
pub(super) fn known(
    journal: &dyn Journal,
    name: &str,
    settings: &FixedSettings,
) -> Result<Option<ImportId>, NameError> {
    let Some(import) = named(journal, name)? else { return Ok(None) };
    import.check(name, settings)?;
    Ok(Some(import.id))
}

/// The id of the import with this name, which is made when the name is first seen. With `begins`, a file is
/// about to begin: from then on the settings cannot change. Waits for the disk. One caller at a time may use
/// a name.
/// Errors: [`NameError`]: a setting was changed that cannot change, or the journal cannot be used.
pub fn begin_named(
    journal: &dyn Journal,
    name: &str,
    settings: &FixedSettings,
    random: &dyn Random,
    begins: bool,
) -> Result<ImportId, NameError> {
    let known = named(journal, name)?;
    let is_new = known.is_none();
    let mut import = known.unwrap_or_else(|| NamedImport::new(random));
    import.check(name, settings)?;
    let shares_now = |fixed: &FixedSettings| fixed.journal != settings.journal;
    let becomes_fixed = begins && import.fixed.as_ref().is_none_or(shares_now);
    if becomes_fixed {
        import.fixed = Some(settings.clone());
    }
    if is_new || becomes_fixed {
        journal.change(Change { kept: &[value(name, &import)?], ..Change::default() })?;
    }
    Ok(import.id)
}

/// Gives the import with this name the id and the settings under which other instances know it. No file of it
/// may have begun here. Waits for the disk. One caller at a time may use a name.
/// Errors: [`NameError`]: nothing has changed.
pub(super) fn adopt(
    journal: &dyn Journal,
    name: &str,
    (id, settings): (ImportId, &FixedSettings),
) -> Result<(), NameError> {
    let import = named(journal, name)?.unwrap_or_else(|| NamedImport::of_id(id));
    if let Some(fixed) = &import.fixed {
        // The pass and the notifications of an import both begin with it.
        let is_same = import.id == id && fixed.changes(settings).next().is_none();
        return if is_same { Ok(()) } else { Err(NameError::Taken(name.to_owned())) };
    }
    let kept = value(name, &NamedImport { id, fixed: Some(settings.clone()), ..import })?;
    Ok(journal.change(Change { kept: &[kept], ..Change::default() })?)
}

/// Notes that an import is paused, or no longer. It may have a name that was not seen before. Waits for the
/// disk. One caller at a time may use a name.
/// Errors: [`NameError`]: nothing has changed.
pub fn pause(journal: &dyn Journal, name: &str, random: &dyn Random, paused: bool) -> Result<(), NameError> {
    let import = named(journal, name)?.unwrap_or_else(|| NamedImport::new(random));
    if import.paused == paused {
        return Ok(());
    }
    let kept = value(name, &NamedImport { paused, ..import })?;
    Ok(journal.change(Change { kept: &[kept], ..Change::default() })?)
}

/// Gives the import with the name `old` the name `new`: its id and its history stay. Waits for the disk.
/// Errors: [`NameError`]: nothing has changed.
pub fn rename(journal: &dyn Journal, old: &str, new: &str) -> Result<ImportId, NameError> {
    let import = named(journal, old)?.ok_or_else(|| NameError::Unknown(old.to_owned()))?;
    // A name that was only seen has no history: a configuration may have been read with the new name already.
    let has_own = |other: NamedImport| other.fixed.is_some() && other.id != import.id;
    if old == new || named(journal, new)?.is_some_and(has_own) {
        return Err(NameError::Taken(new.to_owned()));
    }
    let removed = KeptValue { kind: KeptOf::Name, by: old.to_owned(), value: None };
    journal.change(Change { kept: &[removed, value(new, &import)?], ..Change::default() })?;
    Ok(import.id)
}

fn value(name: &str, import: &NamedImport) -> Result<KeptValue, JournalError> {
    KeptValue::json(KeptOf::Name, name.to_owned(), import).map_err(JournalError::of)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::super::journal::LocalJournal;
    use super::*;

    #[derive(Debug, Default)]
    struct Counting(AtomicU64);
    impl Random for Counting {
        fn next_u64(&self) -> u64 {
            self.0.fetch_add(1, Ordering::Relaxed)
        }
    }

    fn settings() -> FixedSettings {
        let of = |text: &str| text.to_owned();
        FixedSettings {
            bucket: of("lake"),
            prefix: of("in/"),
            endpoint: String::new(),
            role: String::new(),
            source: of("web"),
            data_type: of("event"),
            strategy: of("append_only"),
            journal: String::new(),
        }
    }

    fn journal() -> LocalJournal {
        LocalJournal::over(redb::backends::InMemoryBackend::new()).unwrap()
    }

    #[test]
    fn a_name_keeps_its_id_and_is_fixed_once_a_file_begins() {
        let (journal, random) = (journal(), Counting::default());
        let begin = |name: &str, settings: &FixedSettings, begins: bool| {
            begin_named(&journal, name, settings, &random, begins)
        };
        let other = FixedSettings { bucket: "other".to_owned(), source: "app".to_owned(), ..settings() };
        let id = begin("events", &other, false).unwrap();
        assert_eq!(begin("events", &settings(), true).unwrap(), id, "nothing had begun");
        assert_eq!(begin("events", &settings(), true).unwrap(), id);
        assert_ne!(begin("users", &settings(), false).unwrap(), id);
        let error = begin("events", &other, false).unwrap_err().to_string();
        assert!(
            error.starts_with(
                "E-IMPORT-FIXED: import events: bucket was \"lake\" and is \"other\"; source was \"web\" and is \"app\"."
            ),
            "{error}"
        );
    }

    #[test]
    fn an_import_may_begin_to_share_a_journal_and_keeps_it() {
        let (journal, random) = (journal(), Counting::default());
        let begin =
            |settings: &FixedSettings, begins| begin_named(&journal, "events", settings, &random, begins);
        let shared = FixedSettings { journal: "s3://j/".to_owned(), ..settings() };
        let id = begin(&settings(), true).unwrap();
        assert_eq!([begin(&shared, false).unwrap(), begin(&shared, true).unwrap()], [id, id]);
        for other in [settings(), FixedSettings { journal: "s3://k/".to_owned(), ..settings() }] {
            let error = begin(&other, false).unwrap_err().to_string();
            assert!(error.contains("journal was \"s3://j/\" and is \""), "{error}");
        }
        assert!(matches!(
            adopt(&journal, "events", (ImportId::of_bits(77), &shared)),
            Err(NameError::Taken(_))
        ));
        adopt(&journal, "new", (ImportId::of_bits(77), &shared)).unwrap();
        assert_eq!(begin_named(&journal, "new", &shared, &random, true).unwrap(), ImportId::of_bits(77));
    }

    #[test]
    fn a_rename_keeps_the_history() {
        let (journal, random) = (journal(), Counting::default());
        let begin = |name: &str| begin_named(&journal, name, &settings(), &random, true).unwrap();
        let (events, users) = (begin("events"), begin("users"));
        assert!(matches!(rename(&journal, "no", "new"), Err(NameError::Unknown(_))));
        assert!(matches!(rename(&journal, "events", "users"), Err(NameError::Taken(_))));
        assert!(matches!(rename(&journal, "events", "events"), Err(NameError::Taken(_))));
        // A node that was started with the new name has seen it.
        begin_named(&journal, "new", &settings(), &random, false).unwrap();
        assert_eq!(rename(&journal, "events", "new").unwrap(), events);
        assert_eq!((begin("new"), begin("users")), (events, users));
        assert!(named(&journal, "events").unwrap().is_none());
    }

    #[test]
    fn a_pause_lasts_and_keeps_the_history() {
        let (journal, random) = (journal(), Counting::default());
        let is_paused = |name: &str| named(&journal, name).unwrap().is_some_and(|import| import.paused);
        pause(&journal, "events", &random, false).unwrap();
        assert!(!is_paused("events"));
        pause(&journal, "events", &random, true).unwrap();
        assert!(is_paused("events"));
        let id = begin_named(&journal, "events", &settings(), &random, true).unwrap();
        assert!(is_paused("events"), "a pass that was under way does not resume it");
        rename(&journal, "events", "orders").unwrap();
        assert!(is_paused("orders") && !is_paused("events"));
        pause(&journal, "orders", &random, false).unwrap();
        assert_eq!(begin_named(&journal, "orders", &settings(), &random, true).unwrap(), id);
        assert!(!is_paused("orders"));
    }

    #[test]
    fn what_cannot_be_read_is_no_new_name() {
        let (journal, random) = (journal(), Counting::default());
        let id = "00000000000000000000000000000001";
        for json in ["", "{}", &format!("{{\"version\":2,\"id\":\"{id}\"}}"), &format!("{{\"id\":\"{id}\"}}")]
        {
            let (by, value) = ("events".to_owned(), Some(json.as_bytes().to_vec()));
            let kept = [KeptValue { kind: KeptOf::Name, by, value }];
            journal.change(Change { kept: &kept, ..Change::default() }).unwrap();
            let error = begin_named(&journal, "events", &settings(), &random, true).unwrap_err();
            assert!(matches!(error, NameError::Unreadable { .. }), "{json}: {error}");
        }
    }
}
