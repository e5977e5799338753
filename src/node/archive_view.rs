//! Shows deliveries, the archive and imports of a running node on its admin listener.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde_json::Value;
use serde_json::value::RawValue;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::import_list::SeenImports;
use super::read_notes::ReadNotes;
use super::view::NodeView;
use crate::admin::{
    AllDestinations, ArchiveDay, ArchiveDays, ArchiveObject, ArchiveObjects, ArchivePlace, ArchiveView,
    AskedCalls, AskedImports, AskedObjects, DeliveredObject, Denied, Found, Imports, MissingDeliveries,
    NotShown, Peek, PendingObject,
};
use crate::archive::first_lines::{FirstLine, first_lines};
use crate::boxed_future::BoxFuture;
use crate::deliveries::{About, DayKey, DaySum, Deliveries, KEPT_DAYS, Unlisted};
use crate::delivery::{Delivered, Delivery};
use crate::import::Importer;
use crate::live::Mode;
use crate::live::mask::{HIDDEN, mask_line};
use crate::log::{DayStage, DaysReport, Log, PendingSeal};
use crate::object::{BucketString, OBJECTS, ObjectKey, ParsedObjectKey, ParsedPartKey, S3Location, Stream};
use crate::policy::{self, PolicyBucket, Template, Values};
use crate::sources::SourceId;
use crate::store::reader::{ByteRange, ListFrom, StoreReader as _};
use crate::store::s3::S3Store;
use crate::store::{Fault, Reason, StoreError};
use crate::time::{ReceivedDay, UnixMillis};
use crate::words::{date, grouped};

/// The most pending objects in an answer.
const PENDING_MAX: usize = 200;
/// The most days in an answer.
const DAYS_MAX: usize = 5_000;
/// The most sources whose bucket is in an answer.
const PLACES_MAX: usize = 1_000;
/// The most objects of a day in an answer.
const OBJECTS_MAX: usize = 1_000;
/// The bytes of an object that are read to show its first lines.
const PEEK_BYTES: u64 = 256 * 1_024;
/// The time limit of a request to a store, with the wait for a turn.
const STORE_WAIT: Duration = Duration::from_secs(10);
/// The most requests to stores at once for the admin listener. Stores and their rights are for deliveries.
const STORE_REQUESTS_MAX: usize = 4;
/// The time that an answer waits for the journal of imports, which is read once.
const JOURNAL_WAIT: Duration = Duration::from_secs(3);

/// A node's deliveries, archive and imports.
#[derive(Debug)]
pub(super) struct NodeArchive {
    pub(super) node: Arc<NodeView>,
    list: Deliveries,
    pub(super) store: Arc<S3Store>,
    pub(super) log: Arc<dyn Log>,
    /// The runtime of threads of low priority.
    pub(super) background: Handle,
    /// The turn of a search.
    pub(super) search: Arc<Semaphore>,
    /// Whose imports are shown, once it is known.
    pub(super) importer: OnceLock<Arc<Importer>>,
    /// What is known of dead letters that were sent again.
    pub(super) sent_again: tokio::sync::Mutex<ReadNotes>,
    requests: Semaphore,
}

impl NodeArchive {
    pub(super) fn new(
        node: Arc<NodeView>,
        list: Deliveries,
        store: Arc<S3Store>,
        (log, background): (Arc<dyn Log>, Handle),
    ) -> Self {
        let (importer, requests) = (OnceLock::new(), Semaphore::new(STORE_REQUESTS_MAX));
        let search = Arc::new(Semaphore::new(1));
        let sent_again = tokio::sync::Mutex::default();
        Self { node, list, store, log, background, search, importer, sent_again, requests }
    }

    /// Reads the list of deliveries on a thread that may wait for the disk. The second value is what the list
    /// lacks, and the third is the time since which it is kept.
    pub(super) async fn read<T: Default + Send + 'static>(
        &self,
        read: impl FnOnce(&Deliveries) -> Result<T, Unlisted> + Send + 'static,
    ) -> Result<(T, MissingDeliveries, Option<UnixMillis>), NotShown> {
        let list = self.list.clone();
        let read = tokio::task::spawn_blocking(move || Ok((list.about()?, read(&list)?))).await;
        match read.map_err(|error| NotShown::Internal(error.to_string()))? {
            Ok((about, found)) => {
                let About { dropped, sums_dropped, missed, since, .. } = about;
                Ok((found, MissingDeliveries { dropped, sums_dropped, missed, problem: None }, since))
            }
            Err(unlisted) => {
                let problem = Some(Unlisted::to_string(&unlisted));
                Ok((T::default(), MissingDeliveries { problem, ..MissingDeliveries::default() }, None))
            }
        }
    }

    /// Sends one request to a store.
    pub(super) async fn ask<T>(
        &self,
        request: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<Result<T, StoreError>, NotShown> {
        let until = Instant::now() + STORE_WAIT;
        let turn = timeout_at(until, self.requests.acquire()).await.map_err(|_| NotShown::Busy)?;
        let answer = timeout_at(until, request).await.map_err(|_| NotShown::Slow(STORE_WAIT.as_secs()));
        drop(turn);
        answer
    }

    pub(super) fn location(&self, source: &SourceId) -> Result<S3Location, NotShown> {
        let found = self.node.logs.current_location(source);
        found.ok_or_else(|| NotShown::UnknownSource(source.clone()))
    }

    /// The region of buckets without one of their own.
    fn region(&self) -> Option<String> {
        self.store.configured_region().map(str::to_owned)
    }

    /// Whether text that may be private is shown, such as what a store said.
    pub(super) fn shows_all(&self) -> bool {
        self.node.live.mode() == Mode::Full
    }

    /// The oldest pending objects of a source or of all, and their number.
    fn pending(&self, source: Option<&SourceId>) -> (Vec<PendingObject>, u64) {
        let (mut oldest, mut total) = (Vec::new(), 0);
        self.node.logs.each_pending_seal(&mut |pending, delivery| {
            if source.is_some_and(|source| *source != pending.seal.batch.source) {
                return;
            }
            total += 1;
            if oldest.len() < PENDING_MAX {
                oldest.push((pending.clone(), delivery));
            }
        });
        (oldest.into_iter().map(|(pending, of)| self.pending_object(pending, of)).collect(), total)
    }

    fn pending_object(&self, pending: PendingSeal, delivery: &Delivery) -> PendingObject {
        let seal = pending.seal;
        let puts = delivery.waiting_puts().of(seal.number);
        let state = match () {
            () if pending.conflict => "conflict",
            () if pending.parked.is_some() => "parked",
            () if puts.next_try.is_some() => "waiting",
            () => "putting",
        };
        let (calls, bytes) =
            pending.amended.map_or((seal.frames, seal.bytes), |amend| (amend.frames, amend.bytes));
        PendingObject {
            source: seal.batch.source.to_string(),
            stream: seal.batch.stream.to_string(),
            day_ms: seal.batch.day.start().0,
            bucket: seal.location.bucket.to_string(),
            key: seal.object_key.to_string(),
            calls,
            bytes,
            sealed: true,
            state: state.to_owned(),
            error: puts.error.map(|error| error.shown(self.shows_all()).to_owned()),
            class: puts.class.map(str::to_owned),
            since_ms: puts.since.map(|at| at.0),
            next_try_ms: puts.next_try.map(|at| at.0),
            tries: puts.tries,
            first_received_at_ms: seal.first_received_at.0,
        }
    }

    /// The sums of days with the states of the days, and days that have no sum yet.
    fn days_of(
        &self,
        source: Option<&SourceId>,
        (sums, total): (Vec<(DayKey, DaySum)>, u64),
    ) -> (Vec<ArchiveDay>, u64) {
        let logs = &self.node.logs;
        let DaysReport { over, unclosed: stages } = logs.days();
        let waiting = logs.waiting_to_close();
        // Sums of days before the oldest one of this page are on other pages.
        let oldest = sums.last().map(|(of, _)| of.day).filter(|_| total > sums.len() as u64);
        let mut all: BTreeMap<(Reverse<ReceivedDay>, SourceId, String), Option<DaySum>> = BTreeMap::new();
        let place = |day, source: &SourceId, stream: String| (Reverse(day), source.clone(), stream);
        for (of, sum) in sums {
            all.insert(place(of.day, &of.source, of.stream.to_string()), Some(sum));
        }
        let wanted = |day: ReceivedDay, id: &SourceId| {
            source.is_none_or(|source| source == id) && oldest.is_none_or(|oldest| day >= oldest)
        };
        for (batch, _) in logs.open_batches() {
            let key = batch.key;
            if wanted(key.day, &key.source) {
                all.entry(place(key.day, &key.source, key.stream.to_string())).or_default();
            }
        }
        let shown: BTreeSet<(ReceivedDay, SourceId)> =
            all.keys().map(|(day, source, _)| (day.0, source.clone())).collect();
        for (day, id) in stages.keys().filter(|of| !shown.contains(of)) {
            if wanted(*day, id) {
                all.insert(place(*day, id, "calls".to_owned()), None);
            }
        }
        let new = all.values().filter(|sum| sum.is_none()).count() as u64;
        let now = self.node.clock.wall();
        let days = all.into_iter().take(DAYS_MAX).map(|((Reverse(day), source, stream), sum)| {
            let of = (day, source);
            let (state, why) = state_of(day, (now, over), stages.get(&of).copied(), waiting.get(&of));
            let last_delivered_at_ms = sum.map(|sum| sum.last_delivered_at.0);
            let sum = sum.unwrap_or_default();
            ArchiveDay {
                day_ms: day.start().0,
                date: date(day),
                source: of.1.to_string(),
                stream,
                objects: sum.objects,
                calls: sum.calls,
                bytes: sum.bytes,
                last_delivered_at_ms,
                state: state.to_owned(),
                why,
            }
        });
        (days.collect(), total.saturating_add(new))
    }

    fn places(&self, source: Option<&SourceId>) -> BTreeMap<String, ArchivePlace> {
        let sources = self.node.sources().into_iter();
        let wanted = sources.filter(|id| source.is_none_or(|source| source == id));
        let place = |id: SourceId| {
            let to = self.node.logs.current_location(&id)?;
            let place = ArchivePlace {
                bucket: to.bucket.to_string(),
                endpoint_url: self.store.endpoint_url().map(str::to_owned),
                region: to.region.or_else(|| self.region()),
            };
            Some((id.to_string(), place))
        };
        wanted.filter_map(place).take(PLACES_MAX).collect()
    }

    async fn listed_objects(&self, asked: AskedObjects) -> Result<ArchiveObjects, NotShown> {
        let AskedObjects { source, day, stream, after, .. } = asked;
        let of = DayKey { day, source, stream };
        let of_day = move |list: &Deliveries| {
            let page = list.of_day(&of, after.as_ref(), OBJECTS_MAX)?;
            Ok((page.is_none(), page.unwrap_or_default()))
        };
        let ((is_unknown, entries), missing, _) = self.read(of_day).await?;
        if is_unknown {
            return Err(NotShown::BadKey("after names an object that is not listed".to_owned()));
        }
        let next = entries.last().filter(|_| entries.len() >= OBJECTS_MAX).map(|last| last.key.to_string());
        let objects = entries.into_iter().map(|entry| ArchiveObject {
            key: entry.key.to_string(),
            bytes: entry.bytes,
            calls: Some(entry.calls),
            delivered_at_ms: Some(entry.delivered_at.0),
            last_modified_ms: None,
        });
        let from = "list".to_owned();
        Ok(ArchiveObjects { objects: objects.collect(), next, from, denied: None, missing })
    }

    async fn bucket_objects(&self, asked: AskedObjects) -> Result<ArchiveObjects, NotShown> {
        let AskedObjects { source, day, stream, after, .. } = asked;
        let to = self.location(&source)?;
        let prefix = to.bucket.below(&format!("{OBJECTS}{}{source}/{day}/", stream.folder()));
        let after = after.as_ref().map(ObjectKey::as_str);
        let from = ListFrom { prefix: &prefix, after, ..ListFrom::default() };
        let mut answer = ArchiveObjects { from: "bucket".to_owned(), ..ArchiveObjects::default() };
        let page = match self.ask(self.store.list(&to, from)).await? {
            Ok(page) => page,
            Err(error) => {
                let place = PolicyBucket::of(&to, false, false);
                answer.denied = Some(self.denied(&error, place, &["ReaderLists"])?);
                return Ok(answer);
            }
        };
        let keys: Vec<ObjectKey> = page.objects.iter().map(|object| object.key.clone()).collect();
        answer.next = keys.last().filter(|_| page.next.is_some()).map(ToString::to_string);
        let (known, missing, _) = self.read(move |list| list.with_keys(&keys)).await?;
        let known: BTreeMap<ObjectKey, Delivered> =
            known.into_iter().map(|entry| (entry.key.clone(), entry)).collect();
        let objects = page.objects.into_iter().map(|object| ArchiveObject {
            calls: known.get(&object.key).map(|entry| entry.calls),
            delivered_at_ms: known.get(&object.key).map(|entry| entry.delivered_at.0),
            key: object.key.to_string(),
            bytes: object.len,
            last_modified_ms: object.last_modified.map(|at| at.0),
        });
        Ok(ArchiveObjects { objects: objects.collect(), missing, ..answer })
    }

    async fn first_lines(&self, source: SourceId, key: ObjectKey) -> Result<Peek, NotShown> {
        let mode = self.node.live.mode();
        if mode == Mode::Off {
            return Err(NotShown::Off);
        }
        let mut to = self.location(&source)?;
        let wanted = vec![key.clone()];
        let (known, ..) = self.read(move |list| list.with_keys(&wanted)).await?;
        let known = known.into_iter().next().filter(|entry| entry.source == source);
        if let Some(entry) = &known {
            // The object may be in another bucket than the source's current one.
            to.bucket = entry.bucket.clone();
        }
        let Some(stream) = stream_of(&to.bucket, &source, &key) else {
            let below = to.bucket.below(OBJECTS);
            return Err(NotShown::BadKey(format!(
                "the key is not one of an object of {source} below {below}"
            )));
        };
        let first = ByteRange { from: 0, len: PEEK_BYTES };
        let beginning = match self.ask(self.store.range(&to, &key, None, first)).await? {
            Ok(beginning) => beginning,
            Err(error) if error.fault == Fault::NotFound => return Err(NotShown::NoObject(key)),
            Err(error) => {
                let mut place = PolicyBucket::of(&to, false, false);
                // The object's key may differ from the key that is configured now.
                let applied = known.and_then(|entry| entry.encryption?.kms_key);
                place.kms_key = applied.or(place.kms_key);
                let decrypts = place.kms_key.is_some();
                let statements: &[_] =
                    if decrypts { &["ReaderReads", "ReaderDecrypts"] } else { &["ReaderReads"] };
                let denied = Some(self.denied(&error, place, statements)?);
                return Ok(Peek { key: key.to_string(), denied, ..Peek::default() });
            }
        };
        let found = first_lines(&beginning.bytes, beginning.is_whole());
        Ok(Peek {
            key: key.to_string(),
            lines: found.lines.iter().map(|line| shown(line, mode == Mode::Full, &stream)).collect(),
            more: found.more,
            masked: mode != Mode::Full,
            damage: found.damage,
            denied: None,
        })
    }

    /// A refusal that a policy can change, with the statements that change it.
    pub(super) fn denied(
        &self,
        error: &StoreError,
        place: PolicyBucket,
        sids: &[&str],
    ) -> Result<Denied, NotShown> {
        if error.fault != Fault::Refused || !matches!(error.reason, Reason::Denied(_)) {
            return Err(NotShown::Store(error.with_remedy().shown(self.shows_all()).to_owned()));
        }
        let whom = match &place.role {
            Some(role) => format!("the role {role}"),
            None => "the user or role that Forebay runs as".to_owned(),
        };
        let values = Values { places: vec![place], region: self.region(), ..Values::default() };
        let filled = sids.iter().filter_map(|sid| policy::statement(Template::Reader, sid, &values).ok());
        let statement = filled.collect::<Vec<_>>().join(",\n");
        Ok(Denied { error: error.told().shown(self.shows_all()).to_owned(), statement, whom })
    }
}

/// The state of a source's day, and why it is not closed. `over`: the last day that has ended.
fn state_of(
    day: ReceivedDay,
    (now, over): (UnixMillis, Option<ReceivedDay>),
    stage: Option<DayStage>,
    waiting: Option<&String>,
) -> (&'static str, Option<String>) {
    let why = |otherwise: &str| Some(waiting.cloned().unwrap_or_else(|| otherwise.to_owned()));
    match stage {
        Some(DayStage::Open) if now >= day.end() => {
            ("ending", why("calls of its last minute may still be stored"))
        }
        Some(DayStage::Open) => ("open", None),
        Some(DayStage::Delivering) => ("over", why("some of its objects are not in the store yet")),
        Some(DayStage::Closing) => ("over", why("its marker is not in the store yet")),
        Some(DayStage::Unsure) => {
            let unsure = "it is uncertain what the store has of it, so it is never closed: `forebay spool verify SPOOL` \
                 says more, with the collector stopped";
            ("over", why(unsure))
        }
        None if over.is_some_and(|over| day <= over) => ("closed", None),
        None => ("open", None),
    }
}

/// The stream of an object of `source` with this key in `bucket`. `None` if the key is not that of an object
/// of Forebay.
fn stream_of(bucket: &BucketString, source: &SourceId, key: &ObjectKey) -> Option<Stream> {
    let batch = ParsedObjectKey::of(bucket, key.as_str()).map(|at| (at.source, at.stream));
    let part = || ParsedPartKey::of(bucket, key.as_str()).map(|at| (at.source, at.stream));
    let (of, stream) = batch.or_else(part)?;
    (of == *source).then_some(stream)
}

/// A line as JSON, byte for byte unless it is masked. A line that is too long, or is no JSON, becomes a
/// string that says so.
fn shown(line: &FirstLine, full: bool, stream: &Stream) -> Box<RawValue> {
    let text = String::from_utf8_lossy(&line.text);
    if line.is_cut() {
        let cut = format!("a line of {} bytes or more", grouped(line.bytes as u64));
        let what =
            if full { format!("{text} … [cut: {cut}]") } else { format!("[{cut}, too long to show]") };
        return quoted(&what);
    }
    // The mask quotes text that is not JSON.
    let line = if full { text.to_string() } else { mask_line(&text, stream) };
    RawValue::from_string(line).unwrap_or_else(|_| quoted(if full { &text } else { HIDDEN }))
}

fn quoted(text: &str) -> Box<RawValue> {
    RawValue::from_string(Value::from(text).to_string()).unwrap_or_default()
}

fn delivered(entry: Delivered) -> DeliveredObject {
    DeliveredObject {
        delivered_at_ms: entry.delivered_at.0,
        source: entry.source.to_string(),
        stream: entry.stream.to_string(),
        day_ms: entry.day.start().0,
        bucket: entry.bucket.to_string(),
        key: entry.key.to_string(),
        calls: entry.calls,
        bytes: entry.bytes,
        encryption: entry.encryption.map(Into::into),
        first_received_at_ms: entry.first_received_at.0,
        seconds_to_deliver: entry.delivered_at.since(entry.first_received_at).as_secs(),
        put_ms: entry.put_ms,
        reason: entry.reason,
    }
}

impl ArchiveView for NodeArchive {
    fn deliveries(
        &self,
        source: Option<SourceId>,
        before: UnixMillis,
        limit: usize,
    ) -> BoxFuture<'_, Result<crate::admin::Deliveries, NotShown>> {
        Box::pin(async move {
            // Pending objects are read first: an object that is delivered meanwhile is then in both lists,
            // and not in none.
            let (pending, pending_total) = self.pending(source.as_ref());
            let (entries, missing, since) =
                self.read(move |list| list.newest(source.as_ref(), before, limit)).await?;
            Ok(crate::admin::Deliveries {
                pending,
                pending_total,
                delivered: entries.into_iter().map(delivered).collect(),
                listed_since_ms: since.map(|since| since.0),
                missing,
            })
        })
    }

    fn days(&self, source: Option<SourceId>) -> BoxFuture<'_, Result<ArchiveDays, NotShown>> {
        Box::pin(async move {
            let of = source.clone();
            let (sums, missing, since) = self.read(move |list| list.sums(of.as_ref(), DAYS_MAX)).await?;
            let (days, days_total) = self.days_of(source.as_ref(), sums);
            Ok(ArchiveDays {
                days,
                days_total,
                places: self.places(source.as_ref()),
                kept_days: KEPT_DAYS,
                listed_since_ms: since.map(|since| since.0),
                missing,
            })
        })
    }

    fn objects(&self, asked: AskedObjects) -> BoxFuture<'_, Result<ArchiveObjects, NotShown>> {
        if asked.from_bucket {
            Box::pin(self.bucket_objects(asked))
        } else {
            Box::pin(self.listed_objects(asked))
        }
    }

    fn peek(&self, source: SourceId, key: ObjectKey) -> BoxFuture<'_, Result<Peek, NotShown>> {
        Box::pin(self.first_lines(source, key))
    }

    fn sent_again(&self, all: AllDestinations, fresh: Duration) -> BoxFuture<'_, AllDestinations> {
        Box::pin(self.with_sent_again(all, fresh))
    }

    fn find(&self, asked: AskedCalls) -> BoxFuture<'_, Result<Found, NotShown>> {
        Box::pin(self.find_calls(asked))
    }

    fn imports(&self, asked: AskedImports) -> BoxFuture<'_, Result<Imports, NotShown>> {
        Box::pin(async move {
            let Some(importer) = self.importer.get() else { return Ok(Imports::default()) };
            let names = match self.node.bucket_imports.get() {
                Some(imports) => imports.names(),
                None => Vec::new(),
            };
            let seen =
                SeenImports { importer, instance: self.node.log.spool_id(), names, full: self.shows_all() };
            Ok(seen.listed(asked, JOURNAL_WAIT).await)
        })
    }
}
