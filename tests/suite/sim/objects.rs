//! The objects of a bucket that an import reads, and what must become of their rows.
//!
//! Each row has a number that its calls and its rejection show, so what is stored is counted without asking
//! the import.

mod changes;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use forebay::convert::{Converter, DataType, Strategy};
use forebay::import::bucket_import::{
    After, AfterDone, AfterWaits, BucketImport, OnChange, OnMissing, PassReport, RejectsPlace,
};
use forebay::import::claims::SharedImport;
use forebay::import::{Begun, OnRowError, Outcome, Rows, RowsTaken, Standing, TargetError};
use forebay::log::{ImportKey, ImportProgress, Reports};
use forebay::object::{BucketString, Encryption, ObjectKey, S3Location, Stream};
use forebay::store::fake::FakeStore;
use forebay::store::{ObjectStore as _, Put, PutMode};
use serde_json::Value;

use super::clients::Clients;
use super::passing::Baton;
use super::shared_journal::shared;
use super::store::{SimStore, at_once};
use super::world::Violation;
use crate::support::sim_disk::Dice;
use crate::support::trace::Trace;
use crate::support::zip::archive;

const PREFIX: &str = "in/";
const KEYS: [&str; 8] = ["in/a", "in/b", "in/c/1", "in/d é+", "in/e", "in/f", "in/g", "in/h"];
/// The keys of one instance: objects are often replaced.
const KEYS_OF_ONE: usize = 5;
/// The number of the first row's message: clients send none with it.
const FIRST_MESSAGE: usize = 1_000_000;
/// The longest call of the converter.
const MAX_EVENT: usize = 32 * 1_024;

/// What a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A call.
    Call,
    /// Two calls, which are stored together.
    Two,
    /// No call.
    Bad,
    /// Left out by the converter.
    LeftOut,
}

/// The rows of a file: an object, or an entry of an archive.
#[derive(Clone, Debug)]
struct File {
    version: usize,
    /// The number of the first row. A row has two messages: its event, and an identify call.
    first: usize,
    kinds: Vec<Kind>,
}

/// One version of an object.
#[derive(Clone, Debug)]
struct Version {
    key: &'static str,
    files: Vec<usize>,
    is_archive: bool,
    /// Whether it is no file of rows: it is given up.
    is_broken: bool,
    bytes: Bytes,
}

/// What is known of the import of a file.
#[derive(Clone, Debug, Default)]
struct Known {
    /// The file; `None` before a call of it was handed over.
    file: Option<usize>,
    /// The row after the last one that was handed over.
    sent: u64,
    /// The progress that was acknowledged last.
    progress: ImportProgress,
    is_done: bool,
}

/// The settings of an instance, and what its last pass without trouble left to do.
#[derive(Debug)]
struct Instance {
    converter: char,
    is_serial: bool,
    is_settled: bool,
    is_after_done: bool,
}

impl Instance {
    const NEW: Self = Self { converter: 'a', is_serial: false, is_settled: false, is_after_done: false };
}

#[derive(Debug, Default)]
struct State {
    versions: Vec<Version>,
    files: Vec<File>,
    /// The files by their first message.
    by_message: BTreeMap<usize, usize>,
    /// The version that is there now.
    now: BTreeMap<&'static str, usize>,
    known: BTreeMap<ImportKey, Known>,
    /// The message that has each messageId.
    ids: BTreeMap<String, usize>,
    /// The converter that made each copy of an instance.
    made_by: BTreeMap<(usize, usize), char>,
    /// The messages so far.
    messages: usize,
    /// The versions that were deleted because they are imported.
    gone: Vec<usize>,
    instances: Vec<Instance>,
    /// The instances whose archive was read, and the copies of each message in them, each with its instance.
    read: usize,
    archived: BTreeMap<usize, Vec<(usize, usize)>>,
    wrong: Option<Violation>,
}

/// The objects, as an instance has them that imports them. Clones share their state.
#[derive(Clone, Debug)]
pub(super) struct Objects {
    state: Arc<Mutex<State>>,
    lake: FakeStore,
    /// The journal that two instances share, in worlds that have two.
    journal: Option<FakeStore>,
    after: Option<After>,
    instance: usize,
    clients: Clients,
    /// The archive of the instance.
    store: SimStore,
    source: usize,
    is_csv: bool,
    folder: Arc<tempfile::TempDir>,
    trace: Trace,
}

impl File {
    fn calls(kind: Kind) -> u64 {
        match kind {
            Kind::Call => 1,
            Kind::Two => 2,
            Kind::Bad | Kind::LeftOut => 0,
        }
    }

    /// The messages of a row that become calls.
    fn messages(&self, row: usize) -> std::ops::Range<usize> {
        let first = self.first + 2 * row;
        first..first + usize::try_from(Self::calls(self.kinds[row])).unwrap()
    }

    fn text(&self, is_csv: bool) -> String {
        let mut text = if is_csv { "e,u,no\n".to_owned() } else { String::new() };
        for (row, kind) in self.kinds.iter().enumerate() {
            let n = self.first + 2 * row;
            match (is_csv, kind) {
                (true, Kind::Bad) => writeln!(text, "{n},,"),
                (true, Kind::LeftOut) => writeln!(text, "{n},u,true"),
                (true, _) => writeln!(text, "{n},u,"),
                (false, Kind::Bad) => writeln!(text, "{{\"e\":\"{n}\","),
                (false, Kind::LeftOut) => writeln!(text, "{{\"u\":\"u\",\"e\":\"{n}\",\"no\":true}}"),
                (false, Kind::Two) => {
                    writeln!(text, "{{\"u\":\"u\",\"e\":\"{n}\",\"props\":{{\"m\":{n}}},\"alone\":false}}")
                }
                (false, Kind::Call) => writeln!(text, "{{\"u\":\"u\",\"e\":\"{n}\"}}"),
            }
            .unwrap();
        }
        text
    }
}

impl State {
    fn violated(&mut self, checked: Result<(), Violation>) {
        self.wrong = self.wrong.take().or(checked.err());
    }

    /// The file and the row of a message.
    fn place(&self, message: usize) -> Option<(usize, usize)> {
        let (_, file) = self.by_message.range(..=message).next_back()?;
        let of = &self.files[*file];
        let row = (message - of.first) / 2;
        (row < of.kinds.len()).then_some((*file, row))
    }

    /// Checks what is said to be stored of a file.
    fn check(&self, known: &Known, progress: ImportProgress) -> Result<(), Violation> {
        let Some(file) = known.file.map(|file| &self.files[file]) else { return Ok(()) };
        let rows = || file.kinds.iter().take(usize::try_from(progress.next_row).unwrap());
        let expected =
            (rows().map(|kind| File::calls(*kind)).sum(), rows().filter(|kind| **kind == Kind::Bad).count());
        let said = (progress.stored, usize::try_from(progress.rejected).unwrap());
        if said != expected || progress.refused + progress.repeats > 0 || progress.next_row > known.sent {
            return Err(format!("I11: {progress:?} of {file:?}, but calls and bad rows are {expected:?}"));
        }
        Ok(())
    }
}

impl Objects {
    pub(super) fn draw(dice: &mut Dice, (clients, store): (&Clients, &SimStore), trace: &Trace) -> Self {
        let objects = Self {
            state: Arc::new(Mutex::new(State { instances: vec![Instance::NEW], ..State::default() })),
            lake: FakeStore::new(),
            journal: dice.chance(350).then(FakeStore::new),
            after: match dice.below(8) {
                0 => Some(After::Tag),
                1 | 2 => Some(After::Move("in/done/".to_owned())),
                3 | 4 => Some(After::Delete),
                _ => None,
            },
            instance: 0,
            clients: clients.clone(),
            store: store.clone(),
            source: dice.index(clients.sources.len()),
            is_csv: dice.chance(300),
            folder: Arc::new(tempfile::tempdir().unwrap()),
            trace: trace.clone(),
        };
        objects.lake.name_versions(dice.chance(300));
        for _ in 0..=dice.below(3) {
            objects.change(dice);
        }
        objects
    }

    /// The same objects, as the second instance has them.
    pub(super) fn beside(&self, clients: &Clients, store: &SimStore) -> Self {
        let mut state = self.lock();
        let instance = state.instances.len();
        state.instances.push(Instance::NEW);
        drop(state);
        Self { instance, clients: clients.clone(), store: store.clone(), ..self.clone() }
    }

    /// Whether two instances share them.
    pub(super) fn is_shared(&self) -> bool {
        self.journal.is_some()
    }

    /// What a process of the instance shares with the other one.
    pub(super) fn shared(&self, log: Arc<dyn Reports>, baton: &Arc<Baton>) -> Option<Arc<SharedImport>> {
        self.journal.as_ref().map(|journal| shared(journal, log, baton))
    }

    /// The number of the source of the calls.
    pub(super) fn source(&self) -> usize {
        self.source
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn lake(&self) -> FakeStore {
        self.lake.clone()
    }

    pub(super) fn wrong(&self) -> Option<Violation> {
        self.lock().wrong.clone()
    }

    /// An object comes, is replaced, or goes.
    pub(super) fn change(&self, dice: &mut Dice) {
        let keys = if self.is_shared() { KEYS.len() } else { KEYS_OF_ONE };
        let key = dice.of(&KEYS[..keys]);
        let is_there = self.lock().now.contains_key(key);
        if is_there && dice.chance(250) {
            self.lake.delete("lake", key);
            self.lock().now.remove(key);
            self.trace.note("an object goes", key, &[]);
            self.trace.count("an object deleted");
            return;
        }
        self.trace.count(if is_there { "an object replaced" } else { "an object come" });
        let (is_archive, is_broken) = (dice.chance(200), dice.chance(60));
        // An object with rejected rows stays as it is.
        let has_bad = self.after.is_none() || dice.chance(400);
        let count = if is_archive && !is_broken { 1 + dice.index(3) } else { 1 };
        let texts: Vec<String> = {
            let mut state = self.lock();
            let version = state.versions.len();
            let mut made = Version { key, files: Vec::new(), is_archive, is_broken, bytes: Bytes::new() };
            let mut texts = Vec::new();
            for _ in 0..count {
                let rows = 1 + dice.index(25);
                let mut kinds: Vec<Kind> = (0..rows).map(|_| self.kind(dice, has_bad)).collect();
                if !kinds.contains(&Kind::Call) {
                    kinds.push(Kind::Call);
                }
                let first = FIRST_MESSAGE + state.messages;
                state.messages += 2 * kinds.len();
                let file = File { version, first, kinds };
                texts.push(file.text(self.is_csv));
                made.files.push(state.files.len());
                let number = state.files.len();
                state.by_message.insert(first, number);
                state.files.push(file);
            }
            state.versions.push(made);
            state.now.insert(key, version);
            texts
        };
        let name = |file: usize| format!("{file}.txt");
        let bytes: Bytes = if is_broken {
            format!("[{{\"n\":{}}}]", self.lock().versions.len()).into()
        } else if is_archive {
            let entries: Vec<_> = texts.iter().enumerate().map(|(file, text)| (name(file), text)).collect();
            let entries: Vec<_> = entries.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
            archive(&entries).into()
        } else {
            texts.concat().into()
        };
        if let Some(version) = self.lock().versions.last_mut() {
            version.bytes = bytes.clone();
        }
        self.trace.note_bytes("an object comes", key, 0, &bytes);
        let put = Put::plain(Self::location(), ObjectKey::listed(key.to_owned()), bytes, PutMode::Overwrite);
        at_once(self.lake.put(&put)).unwrap();
    }

    fn kind(&self, dice: &mut Dice, has_bad: bool) -> Kind {
        match dice.below(10) {
            0 if has_bad => Kind::Bad,
            1 => Kind::LeftOut,
            2 | 3 if !self.is_csv => Kind::Two,
            _ => Kind::Call,
        }
    }

    fn location() -> S3Location {
        S3Location::new(BucketString::parse("lake").unwrap(), Encryption::None)
    }

    /// The configuration changes: another converter, or another order.
    pub(super) fn configure(&self, dice: &mut Dice) {
        let instance = &mut self.lock().instances[self.instance];
        (instance.converter, instance.is_serial) = (dice.of(&['a', 'b']), dice.chance(300));
    }

    /// The folder for rejected rows of an instance.
    fn rejects(&self, instance: usize) -> PathBuf {
        self.folder.path().join(format!("rejects-{instance}"))
    }

    /// The import as it is configured now.
    pub(super) fn import(&self, claims: Option<Arc<SharedImport>>) -> BucketImport {
        let state = self.lock();
        let instance = &state.instances[self.instance];
        let (file_type, event) = (if self.is_csv { "csv" } else { "json" }, instance.converter);
        let text = format!(
            r#"{{"converterConfig":{{"fileType":"{file_type}","ignoreEventFlag":"left_out",
                "convertToAmplitudeFunc":{{"event_type":["concat",["value","{event}"],["path","e"]],
                "user_id":["path","u"],"user_properties":["path","props"],
                "$skip_user_properties_sync":["path","alone"],"left_out":["path","no"]}}}}}}"#
        );
        let converter =
            Converter::load(text.as_bytes(), DataType::Event, Strategy::AppendOnly, MAX_EVENT).unwrap();
        BucketImport {
            name: "events".to_owned(),
            location: Self::location(),
            endpoint: String::new(),
            prefix: PREFIX.to_owned(),
            never: Vec::new(),
            source: self.clients.sources[self.source].clone(),
            converter: Arc::new(converter),
            converter_text: text.as_bytes().into(),
            max_event: MAX_EVENT,
            min_size: 0,
            max_size: 1_000_000,
            on_row_error: OnRowError::Reject,
            allow_expansion: false,
            // Several at once would end in an order of the system's.
            parallel: 1,
            serial: instance.is_serial,
            modified_after: None,
            on_missing: OnMissing::Skip,
            on_change: OnChange::Ignore,
            claims,
            insert_id_window: None,
            after: self.after.clone(),
            rejects: RejectsPlace::folder(self.rejects(self.instance), 1 << 30),
            temporary: self.folder.path().join(format!("temporary-{}", self.instance)),
        }
    }

    pub(super) fn begun(&self, begun: &Result<Begun, TargetError>) {
        self.trace.note("file begun", &format!("{begun:?}"), &[]);
        let mut state = self.lock();
        let checked = match begun {
            Ok(Begun { import, progress, standing, .. }) => {
                let known = state.known.get(import).cloned().unwrap_or_default();
                let is_anew = progress.next_row == 0 && known.progress.stored == 0;
                let checked = if is_anew {
                    state.known.insert(*import, Known::default());
                    Ok(())
                } else if progress.next_row < known.progress.next_row {
                    Err(format!("I11: {begun:?}, but {:?} was acknowledged", known.progress))
                } else if known.is_done && *standing != Standing::Done {
                    Err(format!("I11: an imported file begins again: {begun:?}"))
                } else {
                    let checked = state.check(&known, *progress);
                    state.known.insert(*import, Known { progress: *progress, ..known });
                    checked
                };
                self.trace.count(match standing {
                    Standing::New => "a file of a bucket begun",
                    Standing::Continued => "a file of a bucket continued",
                    Standing::Done => "a file of a bucket known",
                });
                checked
            }
            Err(TargetError::Later { .. }) => Ok(()),
            Err(TargetError::GivenUp { code, .. }) if code == "E-FORMAT" => Ok(()),
            Err(error) => Err(format!("I11: a file cannot be begun: {error}")),
        };
        state.violated(checked);
    }

    /// The calls of a step, each with its message and a new copy.
    pub(super) fn sent(&self, rows: &Rows, calls: &Bytes) -> Bytes {
        let mut body: Value = serde_json::from_slice(calls).unwrap();
        let mut state = self.lock();
        let mut known = state.known.get(&rows.import).cloned().unwrap_or_default();
        for call in body["batch"].as_array_mut().unwrap() {
            let (message, by) = match call["event"].as_str() {
                Some(event) => {
                    let mut chars = event.chars();
                    let by = chars.next();
                    (chars.as_str().parse::<usize>().unwrap(), by)
                }
                None => (usize::try_from(call["traits"]["m"].as_u64().unwrap()).unwrap() + 1, None),
            };
            let id = call["messageId"].as_str().unwrap().to_owned();
            let checked = match state.place(message) {
                Some((file, row)) => {
                    let rows = rows.first..rows.first + rows.rows;
                    let is_same = known.file.is_none_or(|known| known == file);
                    known.file = Some(file);
                    if is_same && rows.contains(&(row as u64)) {
                        Ok(())
                    } else {
                        Err(format!("I11: row {row} of {file} is in the step {rows:?} of {known:?}"))
                    }
                }
                None => Err(format!("I11: no row has the call {call}")),
            };
            state.violated(checked);
            if *state.ids.entry(id).or_insert(message) != message {
                state.violated(Err(format!("I11: two rows have the messageId of {call}")));
            }
            let copy = self.clients.add_copy(message, self.source, Stream::Calls);
            state.made_by.extend(by.map(|by| ((self.instance, copy), by)));
            (call["message"], call["copy"]) = (message.into(), copy.into());
        }
        known.sent = known.sent.max(rows.first + rows.rows);
        state.known.insert(rows.import, known);
        let body = body.to_string();
        self.trace.note("rows of a bucket", &body, &[rows.first, rows.rows, rows.rejected]);
        body.into()
    }

    pub(super) fn taken(&self, rows: &Rows, taken: &Result<RowsTaken, TargetError>) {
        self.trace.note("rows of a bucket taken", &format!("{taken:?}"), &[rows.first]);
        let mut state = self.lock();
        let known = state.known.get(&rows.import).cloned().unwrap_or_default();
        let checked = match taken {
            Ok(RowsTaken { progress }) => {
                self.trace.count("rows of a bucket taken");
                state.known.insert(rows.import, Known { progress: *progress, ..known.clone() });
                if rows.first < known.progress.next_row {
                    Err(format!("I11: rows from {} on are stored a second time: {known:?}", rows.first))
                } else if progress.next_row != rows.first + rows.rows {
                    Err(format!("I11: {progress:?} after {rows:?}"))
                } else {
                    state.check(&known, *progress)
                }
            }
            Err(TargetError::OtherRow | TargetError::NotOpen | TargetError::Later { .. }) => Ok(()),
            Err(error) => Err(format!("I11: rows cannot be taken: {error}")),
        };
        state.violated(checked);
    }

    pub(super) fn ended(&self, import: ImportKey, outcome: &Outcome, ended: &Result<(), TargetError>) {
        self.trace.note("file ended", &format!("{outcome:?} {ended:?}"), &[]);
        let mut state = self.lock();
        if ended.is_ok()
            && *outcome == Outcome::Done
            && let Some(known) = state.known.get_mut(&import)
        {
            known.is_done = true;
            self.trace.count("a file of a bucket imported");
        }
    }

    /// Notes what a pass found. `trouble`: something may fail.
    pub(super) fn passed(&self, passed: &Result<PassReport, String>, trouble: bool) -> Result<(), Violation> {
        self.trace.note("a pass ended", &format!("{passed:?}"), &[]);
        let bugs = ["E-BUG", "E-SHORT", "E-CONVERTER", "E-IMPORT-FIXED", "OtherOptions", "E-REJECTS"];
        let text = format!("{passed:?}");
        if let Some(bug) = bugs.iter().find(|bug| text.contains(*bug)) {
            return Err(format!("I11: a pass found {bug}: {text}"));
        }
        match passed {
            Ok(PassReport { claims, .. }) if claims.unknown > 0 || (claims.problem.is_some() && !trouble) => {
                Err(format!("I11: claims cannot be used: {text}"))
            }
            Ok(report) => {
                let is_settled = report.files.keys().all(|became| became.is_settled());
                let for_good = |why: &AfterWaits| matches!(why, AfterWaits::Rejected | AfterWaits::Changed);
                let mut state = self.lock();
                let instance = &mut state.instances[self.instance];
                instance.is_settled = is_settled && report.not_begun == 0 && !trouble;
                instance.is_after_done = report.after.waiting.keys().all(for_good) && !trouble;
                drop(state);
                self.trace.count("a pass over a bucket");
                self.count(report);
                Ok(())
            }
            Err(_) if trouble => {
                self.trace.count("a pass that could not go on");
                Ok(())
            }
            Err(error) => Err(format!("I11: a pass cannot go on, and nothing fails: {error}")),
        }
    }

    fn count(&self, PassReport { claims, after, .. }: &PassReport) {
        if claims.claimed > 0 {
            self.trace.count("objects of another instance");
        }
        if !claims.waiting.is_empty() {
            self.trace.count("objects that another instance has not delivered");
        }
        for (done, count) in &after.done {
            let what = match done {
                AfterDone::Tagged => "an imported object tagged",
                AfterDone::Moved => "an imported object moved",
                AfterDone::Deleted => "an imported object deleted",
                AfterDone::Gone => "an imported object gone",
            };
            (0..*count).for_each(|_| self.trace.count(what));
        }
        if after.waiting_for(AfterWaits::Due) > 0 {
            self.trace.count("an imported object that waits for its delivery");
        }
    }

    /// Whether a pass without trouble left nothing to import.
    pub(super) fn are_settled(&self) -> bool {
        self.lock().instances[self.instance].is_settled
    }

    /// Whether a pass without trouble left nothing to do with imported objects.
    pub(super) fn is_after_done(&self) -> bool {
        self.lock().instances[self.instance].is_after_done
    }

    /// The numbers of the rows that were rejected.
    fn rejected(&self, instance: usize) -> Result<Vec<usize>, Violation> {
        let text = |error: &dyn std::fmt::Display| format!("I11: rejected rows cannot be read: {error}");
        let Ok(folders) = std::fs::read_dir(self.rejects(instance)) else { return Ok(Vec::new()) };
        let mut numbers = Vec::new();
        for folder in folders {
            let folder = folder.map_err(|error| text(&error))?.path();
            for file in std::fs::read_dir(folder).map_err(|error| text(&error))? {
                let path = file.map_err(|error| text(&error))?.path();
                if path.extension().is_none_or(|extension| extension != "ndjson") {
                    continue;
                }
                for line in std::fs::read_to_string(path).map_err(|error| text(&error))?.lines() {
                    let reject: Value = serde_json::from_str(line).map_err(|error| text(&error))?;
                    let raw = reject["raw"].as_str().unwrap_or_default();
                    let digits = raw.trim_start_matches(|letter: char| !letter.is_ascii_digit());
                    let digits: String = digits.chars().take_while(char::is_ascii_digit).collect();
                    numbers.push(digits.parse().map_err(|error| text(&error))?);
                }
            }
        }
        Ok(numbers)
    }

    /// Notes what is in the archive of the instance: the copies of each message. Checks all if it is the last one.
    pub(super) fn check(&self, stored: &BTreeMap<usize, Vec<usize>>) -> Result<(), Violation> {
        let mut state = self.lock();
        for (message, copies) in stored {
            let of_instance = copies.iter().map(|copy| (self.instance, *copy));
            state.archived.entry(*message).or_default().extend(of_instance);
        }
        state.read += 1;
        if state.read < state.instances.len() { Ok(()) } else { self.check_all(&state) }
    }

    /// Each row of the version of an object that was met first must be in the archives once, and each bad one
    /// among the rejected rows once.
    fn check_all(&self, state: &State) -> Result<(), Violation> {
        let copies = |message: usize| state.archived.get(&message).map_or(&[][..], Vec::as_slice);
        let mut rejected: BTreeMap<usize, u64> = BTreeMap::new();
        for instance in 0..state.instances.len() {
            self.rejected(instance)?.into_iter().for_each(|number| *rejected.entry(number).or_default() += 1);
        }
        if let Some(twice) = rejected.iter().find(|(_, times)| **times > 1) {
            return Err(format!("I11: a row is rejected twice: {twice:?}"));
        }
        let mut met: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
        for file in &state.files {
            let version = &state.versions[file.version];
            let (mut by, mut missing) = (BTreeSet::<char>::new(), None);
            for row in 0..file.kinds.len() {
                let there: Vec<usize> = file.messages(row).map(|message| copies(message).len()).collect();
                let is_stored = there.iter().all(|count| *count == 1);
                if there.iter().any(|count| *count > 1) || (!is_stored && there.iter().any(|at| *at > 0)) {
                    return Err(format!("I11: calls of row {row} of {file:?} are stored {there:?} times"));
                }
                if there.is_empty() {
                    continue;
                }
                match missing {
                    Some(earlier) if is_stored => {
                        return Err(format!("I11: {file:?} has row {row} without row {earlier}"));
                    }
                    None if !is_stored => missing = Some(row),
                    _ => {}
                }
                if is_stored {
                    met.entry(version.key).or_default().insert(file.version);
                    by.extend(file.messages(row).flat_map(copies).filter_map(|copy| state.made_by.get(copy)));
                }
            }
            if by.len() > 1 {
                return Err(format!("I11: {file:?} is imported by the converters {by:?}"));
            }
        }
        if let Some((key, versions)) = met.iter().find(|(_, versions)| versions.len() > 1) {
            return Err(format!("I11: several versions of {key} are imported: {versions:?}"));
        }
        let is_whole = |version: &Version| {
            for file in version.files.iter().map(|file| &state.files[*file]) {
                for (row, kind) in file.kinds.iter().enumerate() {
                    let number = file.first + 2 * row;
                    let is_there = match kind {
                        Kind::Call | Kind::Two => !copies(number).is_empty(),
                        Kind::Bad => rejected.contains_key(&number),
                        Kind::LeftOut => true,
                    };
                    if !is_there {
                        return Err(format!(
                            "I11: row {row} ({kind:?}) of {}, {file:?}, is nowhere",
                            version.key
                        ));
                    }
                }
            }
            Ok(())
        };
        for version in &state.gone {
            is_whole(&state.versions[*version])?;
        }
        for (key, version) in &state.now {
            let wanted = &state.versions[*version];
            let first_met = met.get(key).and_then(|met| met.first()).copied();
            if wanted.is_broken || first_met.is_some_and(|met| met != *version) {
                self.trace.count("an object of which nothing is imported");
                continue;
            }
            // Of an archive that was replaced, it is not known whether a call of an entry is stored.
            let earlier = || state.versions.iter().take(*version).filter(|other| other.key == *key);
            if first_met.is_none() && earlier().any(|other| other.is_archive) {
                continue;
            }
            is_whole(wanted)?;
            self.trace.count("an object imported as a whole");
        }
        Ok(())
    }
}
