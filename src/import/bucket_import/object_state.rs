//! What the journal keeps of an object that an import has begun: which version, and how far it is.
//!
//! It is kept by the id of the import and the key in the bucket, as a JSON object. The records of the
//! object's files have the progress; this shows that a key came back with another version.

use super::after::entry::AfterEntry;
use crate::import::file_error::FileError;
use crate::import::file_id::FileId;
use crate::import::import_id::ImportId;
use crate::import::journal::{Change, Journal, JournalError};
use crate::import::kept::{KeptOf, KeptValue};
use crate::import::record::LastError;

/// The version of the written form. Version 1 lacks what has a default.
const VERSION: u32 = 2;

/// How far the import of an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Stage {
    /// It has begun; its result is not recorded.
    Open,
    /// It did not reach the end, and will go on. Of an archive, it is known whether calls are stored.
    Waiting,
    /// Each of its files is imported.
    Done,
    /// It is given up with the options of `given_up_with`.
    Poison,
    /// It was replaced after rows of it were stored, and before the last one was.
    Changed,
    /// It is gone after rows of it were stored, and before the last one was. If it comes back as it was, it goes on.
    Gone,
}

/// Takes the key of an object and what the journal has of it. Returns whether the next one is wanted, too.
pub(super) type EachObject<'e> = &'e mut dyn FnMut(&str, &[u8]) -> Result<bool, JournalError>;

/// Whether calls of the version that is kept are stored, when another one would be to it.
pub(super) type IsStored<'s> = &'s dyn Fn(&ObjectState, Standing) -> Result<bool, JournalError>;

/// What is kept of an object.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ObjectState {
    version: u32,
    /// The object's entity tag, without quotes.
    etag: String,
    /// The object's length in bytes.
    pub(super) size: u64,
    /// The id of the object.
    pub(super) file: FileId,
    pub(super) stage: Stage,
    /// Whether it is an archive. Each entry then has a record of its own.
    pub(super) is_archive: bool,
    /// Whether calls of it are stored, as far as that is known.
    pub(super) has_calls: bool,
    /// How often the object could not be opened.
    #[serde(default)]
    pub(super) attempts: u32,
    /// A hash of the options with which the object was given up.
    #[serde(default)]
    pub(super) given_up_with: String,
    /// How often a person let it begin again after it was given up.
    #[serde(default, skip_serializing_if = "is_none")]
    pub(super) resets: u32,
    /// How many versions of the key were imported before this one, wholly or in part.
    #[serde(default, skip_serializing_if = "is_none")]
    pub(super) replaced: u32,
    /// Why it is not done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<LastError>,
    /// The tag of another version of the key, which was left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    left_out: Option<String>,
    /// Whether a person knows that the object is gone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) is_accepted: bool,
    /// The last version of the key that has stored rows. It is kept until a row of this version is stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    before: Option<VersionBefore>,
}

/// A version of a key that another one has replaced. If it comes back before a row of that one is stored, it goes on.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct VersionBefore {
    etag: String,
    size: u64,
    replaced: u32,
    is_archive: bool,
    /// Whether it was imported to its end.
    is_imported: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_none(count: &u32) -> bool {
    *count == 0
}

/// What shows that an object is done, without a copy: a pass looks at each object of a bucket.
#[derive(serde::Deserialize)]
struct Glance<'j> {
    version: u32,
    etag: &'j str,
    size: u64,
    stage: Stage,
}

/// Whether this is surely the state of an object that is done, in the version with this tag and length.
pub(super) fn is_done(json: &[u8], etag: &str, size: u64) -> bool {
    // What is not understood at a glance is read as a whole.
    is_written_as_done(json, bare(etag), size).is_some()
        || serde_json::from_slice::<Glance<'_>>(json).is_ok_and(|known| {
            (1..=VERSION).contains(&known.version)
                && known.stage == Stage::Done
                && known.size == size
                && known.etag == bare(etag)
        })
}

/// The same by the bytes that [`ObjectState`] is written as. `None`: they have another form, or say something else.
fn is_written_as_done(json: &[u8], etag: &str, size: u64) -> Option<()> {
    // Other tags may be escaped.
    if !etag.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return None;
    }
    let (version, rest) = json.strip_prefix(b"{\"version\":")?.split_first()?;
    if !matches!(version, b'1' | b'2') {
        return None;
    }
    let rest = rest.strip_prefix(b",\"etag\":\"")?.strip_prefix(etag.as_bytes())?;
    let rest = rest.strip_prefix(b"\",\"size\":")?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = rest.split_at_checked(digits)?;
    let digit = |sum: u64, digit: &u8| sum.checked_mul(10)?.checked_add(u64::from(digit - b'0'));
    if digits.is_empty() || digits.iter().try_fold(0, digit)? != size {
        return None;
    }
    let file = rest.strip_prefix(b",\"file\":\"")?;
    let end = memchr::memchr(b'"', file)?;
    let rest = file.get(end..)?.strip_prefix(b"\",\"stage\":\"done\"")?;
    (matches!(rest.first(), Some(b',' | b'}')) && rest.ends_with(b"}")).then_some(())
}

/// What an object is to the version that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It goes on, or begins.
    Wanted,
    /// It is imported.
    Done,
    /// It is given up, and nothing has changed since.
    Poison,
    /// The journal has another version of the key, and calls of that version are stored.
    Changed,
    /// The journal has another version of the key. Its record shows whether calls of that version are stored.
    Unsure,
}

impl ObjectState {
    /// The state of an object whose import begins.
    pub(super) fn open(etag: &str, size: u64, file: FileId) -> Self {
        Self {
            version: VERSION,
            etag: bare(etag).to_owned(),
            size,
            file,
            stage: Stage::Open,
            is_archive: false,
            has_calls: false,
            attempts: 0,
            given_up_with: String::new(),
            resets: 0,
            replaced: 0,
            error: None,
            left_out: None,
            is_accepted: false,
            before: None,
        }
    }

    /// The state of another version of the key, whose id is `file` unless the key had versions before it.
    /// Calls of this version are stored if `is_stored`: the other one is another file then, even if a version
    /// before this one had the same bytes. If nothing of this version is stored, and the one before it is back, that one
    /// goes on, or is done.
    pub(super) fn other(&self, etag: &str, size: u64, file: FileId, is_stored: bool) -> Self {
        let before = if is_stored { Some(self.as_before()) } else { self.before.clone() };
        let is_back = |before: &&VersionBefore| before.etag == bare(etag) && before.size == size;
        if let Some(back) = before.as_ref().filter(|_| !is_stored).filter(is_back) {
            let stage = if back.is_imported { Stage::Done } else { Stage::Open };
            let (replaced, is_archive) = (back.replaced, back.is_archive);
            let open = Self::open(etag, size, file.version(replaced));
            return Self { replaced, is_archive, has_calls: true, stage, ..open };
        }
        let replaced = self.replaced.saturating_add(u32::from(is_stored));
        Self { replaced, before, ..Self::open(etag, size, file.version(replaced)) }
    }

    fn as_before(&self) -> VersionBefore {
        VersionBefore {
            etag: self.etag.clone(),
            size: self.size,
            replaced: self.replaced,
            is_archive: self.is_archive,
            is_imported: self.stage == Stage::Done,
        }
    }

    /// The tag, without quotes, and the length of the version.
    pub(super) fn version(&self) -> (String, u64) {
        (self.etag.clone(), self.size)
    }

    /// This state at another stage.
    pub(super) fn at(self, stage: Stage) -> Self {
        Self { stage, ..self }
    }

    /// Whether another version of the key, with this tag, was left out before.
    pub(super) fn has_left_out(&self, etag: &str) -> bool {
        self.left_out.as_deref() == Some(bare(etag))
    }

    /// Notes that another version of the key is left out.
    pub(super) fn leave_out(&mut self, etag: &str) {
        self.left_out = Some(bare(etag).to_owned());
    }

    /// The state of an object that begins again although it was given up.
    pub(super) fn reset(self) -> Self {
        let resets = self.resets.saturating_add(1);
        let (stage, attempts, given_up_with) = (Stage::Waiting, 0, String::new());
        Self { stage, attempts, given_up_with, resets, error: None, is_accepted: false, ..self }
    }

    /// What is to be done with the object now that it is imported, with so many rejected rows.
    pub(super) fn imported(&self, rejected: u64) -> AfterEntry {
        AfterEntry::imported(&self.etag, self.size, rejected)
    }

    /// Notes that the object was replaced before its last row was read, for this reason.
    pub(super) fn changed(&mut self, why: &FileError) {
        (self.stage, self.has_calls, self.error) = (Stage::Changed, true, Some(why.into()));
    }

    /// Notes that the object is gone, for this reason. `has_rows`: rows of it are stored, so somebody has to know.
    pub(super) fn gone(&mut self, why: &FileError, has_rows: bool) {
        (self.stage, self.error) = (Stage::Gone, Some(why.into()));
        (self.has_calls, self.is_accepted) = (has_rows, !has_rows);
    }

    /// Whether this is the state of the version with this tag and length.
    pub(super) fn is_of(&self, etag: &str, size: u64) -> bool {
        self.etag == bare(etag) && self.size == size
    }

    /// What an object with this tag and length is, to an import with these options.
    pub(super) fn standing(&self, etag: &str, size: u64, options: &str) -> Standing {
        match (self.is_of(etag, size), self.stage) {
            (true, Stage::Done) => Standing::Done,
            (true, Stage::Poison) if self.given_up_with == options => Standing::Poison,
            (true, _) => Standing::Wanted,
            (false, _) => self.of_another(),
        }
    }

    /// What another version of the key is.
    pub(super) fn of_another(&self) -> Standing {
        match self.stage {
            Stage::Done => Standing::Changed,
            _ if self.has_calls => Standing::Changed,
            // The results of its files were not recorded. Each file has a record, and there may be many.
            Stage::Open if self.is_archive => Standing::Changed,
            // That none of its files has a call was seen before it was noted.
            _ if self.is_archive => Standing::Wanted,
            _ => Standing::Unsure,
        }
    }

    /// Whether rows of an object with this tag and length are stored and others are still to be read: it goes on,
    /// whatever the settings say by now. `None`: which version is there is not known yet. `stored` says whether calls
    /// of this version are stored.
    /// Errors: [`JournalError`]: the journal cannot be read.
    pub(super) fn is_half_read(
        &self,
        version: Option<(&str, u64)>,
        stored: IsStored<'_>,
    ) -> Result<bool, JournalError> {
        let is_same = version.is_none_or(|(etag, len)| self.is_of(etag, len));
        let is_unfinished = matches!(self.stage, Stage::Open | Stage::Waiting | Stage::Changed | Stage::Gone);
        Ok(is_same && is_unfinished && stored(self, self.of_another())?)
    }

    /// The state of the object with this key, if its import has begun. Waits for the disk.
    /// Errors: [`JournalError`]: the journal cannot be read, or keeps something else.
    pub(super) fn read(
        journal: &dyn Journal,
        import: ImportId,
        key: &str,
    ) -> Result<Option<Self>, JournalError> {
        let Some(json) = journal.kept(KeptOf::Object, &by(import, key))? else { return Ok(None) };
        Self::of_json(key, &json).map(Some)
    }

    /// The state of the object with this key, as the journal keeps it.
    /// Errors: [`JournalError`]: it is something else.
    pub(super) fn of_json(key: &str, json: &[u8]) -> Result<Self, JournalError> {
        let unreadable = |what: &dyn std::fmt::Display| {
            JournalError::of(format!("what it keeps of the object {key} cannot be read: {what}"))
        };
        let state: Self = serde_json::from_slice(json).map_err(|error| unreadable(&error))?;
        match state.version {
            1..=VERSION => Ok(Self { version: VERSION, ..state }),
            other => Err(unreadable(&format!("it has version {other}, and this release knows {VERSION}"))),
        }
    }

    /// Passes each object of an import to `each`, with its key, in the order of a listing, from the key
    /// `from` on, until it returns false. Waits for the disk.
    /// Errors: [`JournalError`]: the journal cannot be read, or keeps something else.
    pub(super) fn each_from(
        journal: &dyn Journal,
        import: ImportId,
        from: &str,
        each: EachObject<'_>,
    ) -> Result<(), JournalError> {
        let of_import = by(import, "");
        let mut failed = None;
        journal.kept_from(KeptOf::Object, &by(import, from), &mut |by, json| {
            let Some(key) = by.strip_prefix(of_import.as_str()) else { return false };
            each(key, json).unwrap_or_else(|error| {
                failed = Some(error);
                false
            })
        })?;
        failed.map_or(Ok(()), Err)
    }

    /// Keeps the state of the object with this key. Waits for the disk.
    /// Errors: [`JournalError`]: nothing has changed.
    pub(super) fn write(
        &self,
        journal: &dyn Journal,
        import: ImportId,
        key: &str,
    ) -> Result<(), JournalError> {
        journal.change(Change { kept: &[self.kept(import, key)?], ..Change::default() })
    }

    /// What the journal keeps of it. Errors: [`JournalError`]: it has no written form.
    pub(super) fn kept(&self, import: ImportId, key: &str) -> Result<KeptValue, JournalError> {
        KeptValue::json(KeptOf::Object, by(import, key), self).map_err(JournalError::of)
    }
}

/// The text by which the state is found. Of one import, the order is that of a listing.
fn by(import: ImportId, key: &str) -> String {
    format!("{import}/{key}")
}

/// A tag without its quotes, which not every answer has.
pub(super) fn bare(etag: &str) -> &str {
    etag.trim_matches('"')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::journal::LocalJournal;

    fn state(stage: Stage) -> ObjectState {
        let file = "unw446h7bvkguk7rnc2jjbggs4".parse().unwrap();
        ObjectState { stage, ..ObjectState::open("\"a\"", 5, file) }
    }

    #[test]
    fn a_version_that_is_met_later_counts_only_if_nothing_is_stored() {
        let check = |state: ObjectState, same: Standing, other: Standing| {
            assert_eq!(state.standing("a", 5, "o"), same, "{state:?}");
            assert_eq!(state.standing("\"b\"", 5, "o"), other, "{state:?}");
            assert_eq!(state.standing("\"a\"", 6, "o"), other, "{state:?}");
        };
        check(state(Stage::Done), Standing::Done, Standing::Changed);
        check(state(Stage::Open), Standing::Wanted, Standing::Unsure);
        check(state(Stage::Waiting), Standing::Wanted, Standing::Unsure);
        check(state(Stage::Poison), Standing::Wanted, Standing::Unsure);
        let given_up = ObjectState { given_up_with: "o".to_owned(), ..state(Stage::Poison) };
        check(given_up, Standing::Poison, Standing::Unsure);
        for stage in [Stage::Open, Stage::Waiting] {
            let stored = ObjectState { has_calls: true, ..state(stage) };
            check(stored, Standing::Wanted, Standing::Changed);
        }
        let archive = |stage| ObjectState { is_archive: true, ..state(stage) };
        check(archive(Stage::Open), Standing::Wanted, Standing::Changed);
        check(archive(Stage::Waiting), Standing::Wanted, Standing::Wanted);
        check(archive(Stage::Poison), Standing::Wanted, Standing::Wanted);
        let changed = ObjectState { has_calls: true, ..state(Stage::Changed) };
        check(changed.clone(), Standing::Wanted, Standing::Changed);
        check(changed.reset(), Standing::Wanted, Standing::Changed);
    }

    #[test]
    fn an_object_is_done_at_a_glance_only_if_a_whole_look_says_so() {
        let check = |json: &[u8], etag: &str, size: u64, expected: bool| {
            let text = String::from_utf8_lossy(json);
            assert_eq!(is_done(json, etag, size), expected, "{text}");
            let whole = ObjectState::of_json("k", json).map(|state| state.standing(etag, size, "o"));
            assert!(!expected || matches!(whole, Ok(Standing::Done)), "{text}");
        };
        for stage in [Stage::Open, Stage::Waiting, Stage::Done, Stage::Poison, Stage::Changed] {
            let json = serde_json::to_vec(&state(stage)).unwrap();
            check(&json, "\"a\"", 5, stage == Stage::Done);
            // What is written is known without reading JSON.
            assert_eq!(is_written_as_done(&json, "a", 5).is_some(), stage == Stage::Done);
            check(&json, "b", 5, false);
            check(&json, "a", 6, false);
        }
        let done = String::from_utf8(serde_json::to_vec(&state(Stage::Done)).unwrap()).unwrap();
        check(done.replace("\"version\":2", "\"version\":1").as_bytes(), "a", 5, true);
        check(done.replace("\"version\":2", "\"version\":3").as_bytes(), "a", 5, false);
        check(done.trim_end_matches('}').as_bytes(), "a", 5, false);
    }

    #[test]
    fn an_object_is_half_read_if_rows_of_this_version_are_stored_and_it_is_not_at_its_end() {
        let check = |state: ObjectState, is_recorded: bool, expected: bool| {
            let stored = |_: &ObjectState, standing: Standing| {
                Ok(standing == Standing::Changed || (standing == Standing::Unsure && is_recorded))
            };
            let of = |version| state.is_half_read(version, &stored).unwrap();
            assert_eq!([of(Some(("\"a\"", 5))), of(None)], [expected, expected], "{state:?} {is_recorded}");
            assert!(!of(Some(("b", 5))) && !of(Some(("a", 6))), "{state:?}");
        };
        for stage in [Stage::Open, Stage::Waiting] {
            check(state(stage), false, false);
            // The record of the file knows more than the state after a crash, and after a failure to open it.
            check(state(stage), true, true);
            check(ObjectState { has_calls: true, ..state(stage) }, false, true);
            let archive = ObjectState { is_archive: true, ..state(stage) };
            check(archive, false, stage == Stage::Open);
        }
        for (stage, expected) in
            [(Stage::Done, false), (Stage::Poison, false), (Stage::Changed, true), (Stage::Gone, true)]
        {
            check(ObjectState { has_calls: true, ..state(stage) }, true, expected);
        }
    }

    #[test]
    fn each_version_of_a_key_is_a_file_of_its_own_once_calls_are_stored() {
        let (first, other) = (state(Stage::Done), "aaw446h7bvkguk7rnc2jjbggs4".parse().unwrap());
        let second = first.other("\"b\"", 6, other, true);
        let back = second.other("\"a\"", 5, first.file, true);
        let files = [first.file, second.file, back.file];
        assert!(files.iter().all(|file| files.iter().filter(|same| *same == file).count() == 1), "{files:?}");
        assert_eq!(first.other("\"b\"", 6, other, false).file, other, "nothing was stored");
        assert_eq!(second.other("\"c\"", 6, other, false).file, second.file);
    }

    #[test]
    fn what_an_earlier_release_wrote_is_read() {
        let json = r#"{"version":1,"etag":"a","size":5,"file":"unw446h7bvkguk7rnc2jjbggs4","stage":"poison",
            "is_archive":false,"has_calls":true,"attempts":3,"given_up_with":"o"}"#;
        let expected = ObjectState {
            has_calls: true,
            attempts: 3,
            given_up_with: "o".to_owned(),
            ..state(Stage::Poison)
        };
        assert_eq!(ObjectState::of_json("a", json.as_bytes()).unwrap(), expected);
        let newer = json.replace("\"version\":1", "\"version\":3");
        assert!(ObjectState::of_json("a", newer.as_bytes()).is_err());
    }

    #[test]
    fn a_state_is_kept_for_its_import_and_key() {
        let journal = LocalJournal::over(redb::backends::InMemoryBackend::new()).unwrap();
        let (one, two) = (ImportId::of_bits(1), ImportId::of_bits(2));
        let done = state(Stage::Done);
        assert_eq!(ObjectState::read(&journal, one, "a").unwrap(), None);
        done.write(&journal, one, "a").unwrap();
        assert_eq!(ObjectState::read(&journal, one, "a").unwrap(), Some(done));
        assert_eq!(ObjectState::read(&journal, one, "b").unwrap(), None);
        assert_eq!(ObjectState::read(&journal, two, "a").unwrap(), None);
        let value = KeptValue { kind: KeptOf::Object, by: by(one, "a"), value: Some(b"{}".to_vec()) };
        journal.change(Change { kept: &[value], ..Change::default() }).unwrap();
        assert!(ObjectState::read(&journal, one, "a").is_err(), "damage is no new object");
    }
}
