//! The objects of a bucket that an import reads, and what must become of their rows.
//!
//! Each row has a number that its calls and its rejection show, so what is stored is counted without asking
//! the import.

mod changes;
mod check;
mod rows;
mod worked;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use forebay::convert::{Converter, DataType, Strategy};
use forebay::import::bucket_import::{After, BucketImport, Never, OnChange, OnMissing, RejectsPlace};
use forebay::import::claims::SharedImport;
use forebay::import::{Begun, OnRowError, Outcome, Rows, RowsTaken, Standing, TargetError};
use forebay::log::{ImportKey, ImportProgress, Reports};
use forebay::object::{BucketString, Encryption, ObjectKey, S3Location, Stream};
use forebay::store::fake::FakeStore;
use forebay::store::{ObjectStore as _, Put, PutMode};
use serde_json::Value;

use self::rows::{File, Kind};
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
    /// Whether it is a round over rejected rows of the file.
    is_round: bool,
    /// The row after the last one that was handed over.
    sent: u64,
    /// The progress that was acknowledged last.
    progress: ImportProgress,
    is_done: bool,
}

/// The settings of an instance, and what its last pass without trouble left to do.
#[derive(Debug)]
struct Instance {
    /// The id of its spool, once a process has begun.
    id: Option<String>,
    converter: char,
    is_serial: bool,
    is_settled: bool,
    /// Whether the rejected rows were read again, with the converter by which fewer are.
    is_retried: bool,
    is_after_done: bool,
}

impl Instance {
    const NEW: Self = Self {
        id: None,
        converter: 'a',
        is_serial: false,
        is_settled: false,
        is_retried: false,
        is_after_done: false,
    };
}

#[derive(Debug, Default)]
struct State {
    versions: Vec<Version>,
    files: Vec<File>,
    /// The files by their first message.
    by_message: BTreeMap<usize, usize>,
    /// The version that is there now.
    now: BTreeMap<&'static str, usize>,
    /// By the instance and the import's key.
    known: BTreeMap<(usize, ImportKey), Known>,
    /// The message that has each messageId, and the messageId of each message, whoever imports it.
    ids: BTreeMap<String, usize>,
    id_of: BTreeMap<usize, String>,
    /// The keys whose claims were released: another instance may have stored rows of them, too.
    released: BTreeSet<String>,
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
        let ImportProgress { next_row, stored, rejected, refused, repeats, .. } = progress;
        let is_possible = refused + repeats == 0 && next_row <= known.sent;
        if known.is_round {
            // Each of its rows is one call now, or rejected again.
            let is_right = is_possible && stored + rejected == next_row;
            return if is_right { Ok(()) } else { Err(format!("I11: a round has {progress:?}: {known:?}")) };
        }
        let Some(file) = known.file.map(|file| &self.files[file]) else { return Ok(()) };
        let [calls, later, bad] = file.counts(next_row);
        if !is_possible || stored < calls || rejected < bad || stored + rejected != calls + later + bad {
            return Err(format!(
                "I11: {progress:?} of {file:?}, but there are {calls} calls, {bad} bad rows and {later} that are either"
            ));
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
        self.lock().instances[self.instance].id = Some(log.spool_id());
        self.journal.as_ref().map(|journal| shared(journal, log, (baton, self)))
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
            4 if has_bad => Kind::Later,
            _ => Kind::Call,
        }
    }

    fn location() -> S3Location {
        S3Location::new(BucketString::parse("lake").unwrap(), Encryption::None)
    }

    /// The id of the other instance, if it has begun.
    pub(super) fn other_id(&self) -> Option<String> {
        let state = self.lock();
        let other = state.instances.iter().enumerate().find(|(at, _)| *at != self.instance);
        other.and_then(|(_, instance)| instance.id.clone())
    }

    /// The converter from now on is the one by which fewer rows are rejected.
    pub(super) fn correct(&self) {
        self.lock().instances[self.instance].converter = 'b';
    }

    /// A claim is written in place of another one, if there was one.
    pub(super) fn claim_written(&self, before: Option<&[u8]>, now: &[u8]) {
        let state_of = |bytes: &[u8]| {
            let claim: Value = serde_json::from_slice(bytes).unwrap_or_default();
            (claim["state"].as_str().unwrap_or_default().to_owned(), claim["key"].clone())
        };
        let (written, key) = state_of(now);
        if written != "released" {
            return;
        }
        self.trace.count("a claim released");
        let mut state = self.lock();
        state.released.insert(key.as_str().unwrap().to_owned());
        let was = before.map(|before| state_of(before).0);
        if was.as_deref() != Some("open") {
            state.violated(Err(format!("I11: the claim of {key} is released, and was {was:?}")));
        }
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
        let user = if event == 'b' { "v" } else { "u" };
        let text = format!(
            r#"{{"converterConfig":{{"fileType":"{file_type}","ignoreEventFlag":"left_out",
                "convertToAmplitudeFunc":{{"event_type":["concat",["value","{event}"],["path","e"]],
                "user_id":["path","{user}"],"user_properties":["path","props"],
                "$skip_user_properties_sync":["path","alone"],"left_out":["path","no"]}}}}}}"#
        );
        let converter =
            Converter::load(text.as_bytes(), DataType::Event, Strategy::AppendOnly, MAX_EVENT).unwrap();
        BucketImport {
            name: "events".to_owned(),
            location: Self::location(),
            endpoint: String::new(),
            prefix: PREFIX.to_owned(),
            never: Never::default(),
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

    /// A file has begun, or with `is_round` a round over its rejected rows.
    pub(super) fn begun(&self, begun: &Result<Begun, TargetError>, is_round: bool) {
        self.trace.note("file begun", &format!("{begun:?}"), &[u64::from(is_round)]);
        let mut state = self.lock();
        let checked = match begun {
            Ok(Begun { import, progress, standing, .. }) => {
                let by = (self.instance, *import);
                let known = state.known.get(&by).cloned().unwrap_or_default();
                let known = Known { is_round, ..known };
                let is_anew = progress.next_row == 0 && known.progress.stored == 0;
                let checked = if is_anew {
                    state.known.insert(by, Known { is_round, ..Known::default() });
                    Ok(())
                } else if progress.next_row < known.progress.next_row {
                    Err(format!("I11: {begun:?}, but {:?} was acknowledged", known.progress))
                } else if known.is_done && *standing != Standing::Done {
                    Err(format!("I11: an imported file begins again: {begun:?}"))
                } else {
                    let checked = state.check(&known, *progress);
                    state.known.insert(by, Known { progress: *progress, ..known });
                    checked
                };
                self.trace.count(match standing {
                    _ if is_round => "a round over rejected rows begun",
                    Standing::New => "a file of a bucket begun",
                    Standing::Continued => "a file of a bucket continued",
                    Standing::Done => "a file of a bucket known",
                });
                checked
            }
            Err(TargetError::Later { .. }) => Ok(()),
            Err(TargetError::GivenUp { code, .. }) if code == "E-FORMAT" => Ok(()),
            // The same object, with a converter of tables: its header is the array.
            Err(error @ TargetError::GivenUp { code, .. })
                if code == "E-CSV-HEADER" && error.to_string().contains("[{\"n\":") =>
            {
                Ok(())
            }
            Err(error) => Err(format!("I11: a file cannot be begun: {error}")),
        };
        state.violated(checked);
    }

    /// The calls of a step, each with its message and a new copy.
    pub(super) fn sent(&self, rows: &Rows, calls: &Bytes) -> Bytes {
        let mut body: Value = serde_json::from_slice(calls).unwrap();
        let mut state = self.lock();
        let mut known = state.known.get(&(self.instance, rows.import)).cloned().unwrap_or_default();
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
                    let of_step = rows.first..rows.first + rows.rows;
                    let is_same = known.file.is_none_or(|known| known == file);
                    known.file = Some(file);
                    let is_one = match known.is_round {
                        true => state.files[file].kinds[row] == Kind::Later,
                        false => of_step.contains(&(row as u64)),
                    };
                    if is_same && is_one {
                        Ok(())
                    } else {
                        Err(format!("I11: row {row} of {file} is in the step {rows:?} of {known:?}"))
                    }
                }
                None => Err(format!("I11: no row has the call {call}")),
            };
            state.violated(checked);
            if *state.ids.entry(id.clone()).or_insert(message) != message
                || *state.id_of.entry(message).or_insert_with(|| id.clone()) != id
            {
                state.violated(Err(format!("I11: two rows have the messageId of {call}, or it has two")));
            }
            let copy = self.clients.add_copy(message, self.source, Stream::Calls);
            state.made_by.extend(by.map(|by| ((self.instance, copy), by)));
            (call["message"], call["copy"]) = (message.into(), copy.into());
        }
        known.sent = known.sent.max(rows.first + rows.rows);
        state.known.insert((self.instance, rows.import), known);
        let body = body.to_string();
        self.trace.note("rows of a bucket", &body, &[rows.first, rows.rows, rows.rejected]);
        body.into()
    }

    pub(super) fn taken(&self, rows: &Rows, taken: &Result<RowsTaken, TargetError>) {
        self.trace.note("rows of a bucket taken", &format!("{taken:?}"), &[rows.first]);
        let mut state = self.lock();
        let by = (self.instance, rows.import);
        let known = state.known.get(&by).cloned().unwrap_or_default();
        let checked = match taken {
            Ok(RowsTaken { progress }) => {
                self.trace.count("rows of a bucket taken");
                if known.is_round && progress.stored > known.progress.stored {
                    self.trace.count("rejected rows that became calls");
                }
                state.known.insert(by, Known { progress: *progress, ..known.clone() });
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
            && let Some(known) = state.known.get_mut(&(self.instance, import))
        {
            known.is_done = true;
            self.trace.count(match known.is_round {
                true => "a round over rejected rows ended",
                false => "a file of a bucket imported",
            });
        }
    }

    /// Whether a pass without trouble left nothing to import.
    pub(super) fn are_settled(&self) -> bool {
        self.lock().instances[self.instance].is_settled
    }

    /// Whether, after that, no rejected row is left that could be a call.
    pub(super) fn are_retried(&self) -> bool {
        let state = self.lock();
        let instance = &state.instances[self.instance];
        instance.is_settled && instance.is_retried
    }

    /// Whether a pass without trouble left nothing to do with imported objects.
    pub(super) fn is_after_done(&self) -> bool {
        self.lock().instances[self.instance].is_after_done
    }
}
