//! A store that loses answers, refuses, hangs, and applies requests long after their sender has ended. A
//! request that it applies is executed by [`FakeStore`], which obeys the contract.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use forebay::boxed_future::BoxFuture;
use forebay::object::metadata::SHA256;
use forebay::object::{ObjectKey, S3Location};
use forebay::store::fake::{FakeObject, FakeStore};
use forebay::store::{Fault, Head, ObjectStore, Put, StoreError, Stored};

use super::clock::SimClock;
use crate::support::sim_disk::{Dice, SimDisk};
use crate::support::trace::Trace;

/// Maximum delay of a late request.
const LATE_MAX: Duration = Duration::from_secs(30 * 60);

/// How the store treats requests: how many of 1,000 have each fate, and the maximum latency.
#[derive(Clone, Debug, Default)]
pub(super) struct Mood {
    pub(super) lose_answer: u64,
    pub(super) late: u64,
    pub(super) server_error: u64,
    pub(super) busy: u64,
    pub(super) exists: u64,
    pub(super) refused: u64,
    pub(super) digest: u64,
    pub(super) head_fails: u64,
    pub(super) heads_refused: bool,
    pub(super) latency_ms: u64,
    /// Buckets that answer only after one or two minutes.
    pub(super) hung: BTreeSet<String>,
}

#[derive(Debug)]
struct State {
    dice: Dice,
    mood: Mood,
    late: Vec<(Duration, Put)>,
    requests: u64,
    /// Requests whose sender ended while they were in flight. Whether each one arrives is drawn in the order
    /// of their numbers, because the tasks of a process are dropped in no fixed order.
    orphans: BTreeMap<u64, Put>,
    wrong: Option<String>,
    /// Keys whose objects a person allowed to be overwritten.
    replaceable: BTreeSet<String>,
    /// Whether a note of a seal rotted. Its first frame may then have been sealed again with another last
    /// frame.
    may_differ: bool,
    /// Objects of others, by bucket and key. They must not be touched.
    foreign: BTreeMap<(String, String), FakeObject>,
}

/// The store. Clones share its state.
#[derive(Clone, Debug)]
pub(super) struct SimStore {
    state: Arc<Mutex<State>>,
    pub(super) fake: FakeStore,
    clock: SimClock,
    trace: Trace,
}

/// The store as seen by one process. Requests of a process that has ended arrive nowhere.
#[derive(Clone, Debug)]
struct Seen {
    store: SimStore,
    process: SimDisk,
}

enum Fate {
    Proper,
    LoseAnswer,
    Late,
    Fails(Fault, Option<u16>, &'static str),
}

impl SimStore {
    pub(super) fn new(dice: Dice, clock: SimClock, trace: Trace) -> Self {
        let state = State {
            dice,
            mood: Mood::default(),
            late: Vec::new(),
            requests: 0,
            orphans: BTreeMap::new(),
            wrong: None,
            replaceable: BTreeSet::new(),
            may_differ: false,
            foreign: BTreeMap::new(),
        };
        Self { state: Arc::new(Mutex::new(state)), fake: FakeStore::new(), clock, trace }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_mood(&self, mood: Mood) {
        self.fake.refuse_heads(mood.heads_refused);
        self.lock().mood = mood;
    }

    /// Records that a person allowed the object under a key to be overwritten.
    pub(super) fn allow_replacing(&self, bucket: &str, key: &str) {
        let mut state = self.lock();
        state.replaceable.insert(key.to_owned());
        state.foreign.remove(&(bucket.to_owned(), key.to_owned()));
    }

    /// Allows our objects to be replaced by other objects of ours, if the store has no conditions or refuses
    /// HEAD.
    pub(super) fn may_differ(&self) {
        self.lock().may_differ = true;
    }

    /// Puts an object of others, unless the key is taken.
    pub(super) fn put_foreign(&self, put: &Put) -> bool {
        if at_once(self.fake.put(put)).is_err() {
            return false;
        }
        let (bucket, key) = (put.location.bucket.bucket(), put.key.as_str());
        let object = self.fake.object(bucket, key).unwrap();
        self.lock().foreign.insert((bucket.to_owned(), key.to_owned()), object);
        true
    }

    /// Removes an object of others.
    pub(super) fn take_foreign_away(&self, bucket: &str, key: &str) {
        self.fake.delete(bucket, key);
        self.lock().foreign.remove(&(bucket.to_owned(), key.to_owned()));
    }

    /// Objects of others.
    pub(super) fn foreign(&self) -> BTreeSet<(String, String)> {
        self.lock().foreign.keys().cloned().collect()
    }

    /// Checks that objects of others are unchanged.
    ///
    /// # Errors
    /// One was changed or removed.
    pub(super) fn foreign_is_untouched(&self) -> Result<(), String> {
        let state = self.lock();
        for ((bucket, key), object) in &state.foreign {
            if self.fake.object(bucket, key).as_ref() != Some(object) {
                return Err(format!("I2: the foreign object {key} in {bucket} was changed"));
            }
        }
        Ok(())
    }

    pub(super) fn of(&self, process: &SimDisk) -> Arc<dyn ObjectStore> {
        Arc::new(Seen { store: self.clone(), process: process.clone() })
    }

    /// Delivers late requests that are due; with `all`, all of them.
    pub(super) fn arrive(&self, all: bool) {
        let now = self.clock.now();
        self.adopt_orphans();
        let mut state = self.lock();
        let (due, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut state.late).into_iter().partition(|(at, _)| all || *at <= now);
        state.late = later;
        drop(state);
        for (_, put) in due {
            self.trace.count("a put applied late");
            drop(self.apply(&put));
        }
    }

    fn adopt_orphans(&self) {
        let orphans = std::mem::take(&mut self.lock().orphans);
        for put in orphans.into_values() {
            let arrives = self.lock().dice.chance(500);
            if arrives {
                self.trace.count("a put that outlives its process");
                self.late(put);
            }
        }
    }

    /// The first wrong request, if any.
    pub(super) fn wrong(&self) -> Option<String> {
        self.lock().wrong.clone()
    }

    fn apply(&self, put: &Put) -> Result<Stored, StoreError> {
        let (bucket, key) = (put.location.bucket.bucket(), put.key.as_str());
        let before = self.fake.object(bucket, key);
        let answer = at_once(self.fake.put(put));
        let code = match &answer {
            Ok(_) => 200,
            Err(error) => u64::from(error.status.unwrap_or(0)),
        };
        self.trace.note("put", key, &[code, u64::from(put.crc32)]);
        let ours = put.metadata.iter().find(|(name, _)| *name == SHA256).map(|(_, sha256)| sha256);
        match before {
            Some(_) if answer.is_err() => self.trace.count("412 for a key that is taken"),
            Some(before) if before.metadata.get(SHA256) != ours => {
                let mut state = self.lock();
                let is_foreign = state.foreign.contains_key(&(bucket.to_owned(), key.to_owned()));
                if !state.replaceable.contains(key) && (is_foreign || !state.may_differ) {
                    state.wrong.get_or_insert(format!("I2: {key} was replaced by other content"));
                }
            }
            Some(_) => self.trace.count("an object replaced by the same"),
            None => {}
        }
        answer
    }

    fn late(&self, put: Put) {
        let mut state = self.lock();
        let most = u64::try_from(LATE_MAX.as_millis()).unwrap();
        let due = self.clock.now() + Duration::from_millis(state.dice.log(most));
        self.trace.note("late", put.key.as_str(), &[u64::try_from(due.as_millis()).unwrap()]);
        state.late.push((due, put));
    }
}

impl Seen {
    /// Draws the fate of a put, and how long its request and its answer take.
    fn draw(&self, bucket: &str) -> (Fate, Duration, Duration) {
        let mut state = self.store.lock();
        let mood = state.mood.clone();
        let fates = [
            (mood.lose_answer, Fate::LoseAnswer, "an answer lost"),
            (mood.late, Fate::Late, "a put delayed"),
            (mood.server_error, Fate::Fails(Fault::Transient, Some(503), "SlowDown"), "5xx"),
            (mood.busy, Fate::Fails(Fault::Busy, Some(409), "ConditionalRequestConflict"), "409"),
            (mood.exists, Fate::Fails(Fault::Exists, Some(412), "PreconditionFailed"), "412 for nothing"),
            (mood.refused, Fate::Fails(Fault::Refused, Some(403), "AccessDenied"), "403"),
            (mood.digest, Fate::Fails(Fault::Digest, Some(400), "BadDigest"), "a digest that differs"),
        ];
        let mut at = state.dice.below(1_000);
        let mut fate = Fate::Proper;
        for (share, what, name) in fates {
            if at < share {
                self.store.trace.count(name);
                fate = what;
                break;
            }
            at -= share;
        }
        let (there, back) = (state.dice.log(mood.latency_ms), state.dice.log(mood.latency_ms));
        let hang = if mood.hung.contains(bucket) {
            self.store.trace.count("a put that hangs");
            60_000 + state.dice.below(60_000)
        } else {
            0
        };
        (fate, Duration::from_millis(there + hang), Duration::from_millis(back))
    }

    /// Never ready if the process has ended, because its tasks must not go on.
    async fn still_here(&self) {
        if !self.process.is_alive() {
            std::future::pending::<()>().await;
        }
    }

    async fn put_once(&self, put: &Put) -> Result<Stored, StoreError> {
        self.still_here().await;
        let (fate, there, back) = self.draw(put.location.bucket.bucket());
        let mut under_way = UnderWay::new(&self.store, put);
        tokio::time::sleep(there).await;
        self.still_here().await;
        under_way.put = None;
        let answer = match fate {
            Fate::Proper => self.store.apply(put),
            Fate::LoseAnswer => {
                drop(self.store.apply(put));
                Err(failure(Fault::Transient, None, None))
            }
            Fate::Late => {
                self.store.late(put.clone());
                Err(failure(Fault::Transient, None, None))
            }
            Fate::Fails(fault, status, code) => Err(failure(fault, status, Some(code))),
        };
        tokio::time::sleep(back).await;
        self.still_here().await;
        answer
    }

    async fn head_once(&self, location: &S3Location, key: &ObjectKey) -> Result<Head, StoreError> {
        self.still_here().await;
        let (fails, wait) = {
            let mut state = self.store.lock();
            let (fails, latency) = (state.mood.head_fails, state.mood.latency_ms);
            (state.dice.chance(fails), state.dice.log(latency))
        };
        tokio::time::sleep(Duration::from_millis(wait)).await;
        self.still_here().await;
        self.store.trace.note("head", key.as_str(), &[u64::from(fails)]);
        self.store.trace.count("a head");
        if fails {
            Err(failure(Fault::Transient, None, None))
        } else {
            at_once(self.store.fake.head(location, key))
        }
    }
}

/// A request between its sender and the store. It may still arrive after the sender has ended.
struct UnderWay<'a> {
    store: &'a SimStore,
    number: u64,
    put: Option<Put>,
}

impl<'a> UnderWay<'a> {
    fn new(store: &'a SimStore, put: &Put) -> Self {
        let mut state = store.lock();
        state.requests += 1;
        Self { store, number: state.requests, put: Some(put.clone()) }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if let Some(put) = self.put.take() {
            self.store.lock().orphans.insert(self.number, put);
        }
    }
}

impl ObjectStore for Seen {
    fn put<'a>(&'a self, put: &'a Put) -> BoxFuture<'a, Result<Stored, StoreError>> {
        Box::pin(self.put_once(put))
    }

    fn head<'a>(
        &'a self,
        location: &'a S3Location,
        key: &'a ObjectKey,
    ) -> BoxFuture<'a, Result<Head, StoreError>> {
        Box::pin(self.head_once(location, key))
    }
}

fn failure(fault: Fault, status: Option<u16>, code: Option<&str>) -> StoreError {
    match status {
        Some(status) => StoreError::answered(fault, status, code, "simulated"),
        None => StoreError::local(fault, "simulated"),
    }
}

/// The output of a future that never waits.
pub(super) fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the fake store never waits"),
    }
}
