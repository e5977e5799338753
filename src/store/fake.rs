//! [`FakeStore`]: a store in memory that obeys the contracts of writing and reading, for tests and
//! simulations.
//!
//! It uses no threads, clock or randomness: faults are scripted, and a waiting future waits for a [`Gate`]
//! that the test opens. A simulation that polls it by hand is therefore reproducible from its seed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use hyper::body::Frame;

use super::reader::{ByteRange, ListFrom, ListPage, Listed, ObjectBody, RangeBytes, Store, StoreReader};
use super::{
    Attempted, Body, Fault, Head, KeptHeaders, ObjectStore, ObjectVersion, Put, PutMode, StoreError, Stored,
};
use crate::lock::lock;
use crate::object::{AppliedEncryption, Encryption, ObjectKey, S3Location};

/// The most entries of a page, as S3 has.
const PAGE_MAX: usize = 1_000;

/// A gate where futures wait until it is opened. Clones are the same gate.
#[derive(Clone, Debug, Default)]
pub struct Gate {
    state: Arc<Mutex<GateState>>,
}

#[derive(Debug, Default)]
struct GateState {
    open: bool,
    waiting: Vec<Waker>,
}

impl Gate {
    /// A closed gate.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets all futures pass from now on.
    pub fn open(&self) {
        let waiting = {
            let mut state = lock(&self.state);
            state.open = true;
            std::mem::take(&mut state.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Whether a future is waiting at it.
    pub fn is_awaited(&self) -> bool {
        !lock(&self.state).waiting.is_empty()
    }

    /// Ready once the gate is open. Cancel-safe.
    pub async fn passed(&self) {
        poll_fn(|context| {
            let mut state = lock(&self.state);
            if state.open {
                return Poll::Ready(());
            }
            if !state.waiting.iter().any(|waker| waker.will_wake(context.waker())) {
                state.waiting.push(context.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }
}

/// What happens to one put, or to one read: a listing, a HEAD of a reader, a GET or a range.
#[derive(Clone, Debug)]
pub enum Step {
    /// It is handled as the contract says.
    Proper,
    /// It is not applied, and fails with this answer.
    Answer {
        /// The kind of failure.
        fault: Fault,
        /// The HTTP status, if there is an answer.
        status: Option<u16>,
        /// The error code.
        code: Option<&'static str>,
    },
    /// It is applied, but the answer is lost: [`Fault::Transient`].
    LoseAnswer,
    /// The answer is lost at once. The put is applied when [`FakeStore::apply_late`] is called, if the
    /// contract still allows it: a request that was delayed on the network.
    ApplyLate,
    /// The request arrives only when the gate opens.
    HoldRequest(Gate),
    /// It is applied, but the answer arrives only when the gate opens.
    HoldAnswer(Gate),
    /// The connection breaks after so many bytes of the body that is read.
    Cut(usize),
    /// The store panics, and so does the calling task.
    Panic,
}

impl Step {
    /// 503, not applied.
    pub const SLOW_DOWN: Self =
        Self::Answer { fault: Fault::Transient, status: Some(503), code: Some("SlowDown") };
    /// 409: another conditional put is in progress.
    pub const BUSY: Self =
        Self::Answer { fault: Fault::Busy, status: Some(409), code: Some("ConditionalRequestConflict") };
    /// 412, whether or not the object exists.
    pub const EXISTS: Self =
        Self::Answer { fault: Fault::Exists, status: Some(412), code: Some("PreconditionFailed") };
    /// 403.
    pub const REFUSED: Self =
        Self::Answer { fault: Fault::Refused, status: Some(403), code: Some("AccessDenied") };
    /// The connection breaks before there is an answer, and nothing is applied.
    pub const RESET: Self = Self::Answer { fault: Fault::Transient, status: None, code: None };
    /// 404: there is no such object.
    pub const MISSING: Self =
        Self::Answer { fault: Fault::NotFound, status: Some(404), code: Some("NoSuchKey") };
    /// 412: the object that is read is another one now.
    pub const CHANGED: Self =
        Self::Answer { fault: Fault::Refused, status: Some(412), code: Some("PreconditionFailed") };
    /// 400: the store received bytes that do not match the checksum.
    pub const DIGEST: Self =
        Self::Answer { fault: Fault::Digest, status: Some(400), code: Some("BadDigest") };
}

/// A stored object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FakeObject {
    /// Its bytes.
    pub bytes: Bytes,
    /// Its user metadata.
    pub metadata: BTreeMap<String, String>,
    /// Its `Content-Encoding`.
    pub content_encoding: Option<&'static str>,
    /// The requested encryption.
    pub encryption: Encryption,
    /// How often it was written: 1 unless it was overwritten.
    pub writes: u32,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// Its storage class; `None`: the standard one.
    pub storage_class: Option<String>,
}

/// A store in memory. Clones are the same store.
#[derive(Clone, Debug, Default)]
pub struct FakeStore {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    objects: BTreeMap<(String, String), FakeObject>,
    steps: VecDeque<Step>,
    late: Vec<Put>,
    heads_refused: bool,
    conditions_ignored: bool,
    versions_named: bool,
    refused_buckets: BTreeSet<String>,
    refused_folders: BTreeSet<String>,
    refused_keys: BTreeSet<String>,
    refused_roles: BTreeSet<String>,
    encrypts_as: Option<AppliedEncryption>,
    missing_buckets: BTreeSet<String>,
    gates: BTreeMap<String, Gate>,
    puts: u64,
    heads: u64,
    read_steps: VecDeque<Step>,
    ranges: Vec<ByteRange>,
    reading: usize,
    most_reading: usize,
    change_steps: VecDeque<Step>,
    refused_changes: BTreeSet<String>,
    changes: Vec<(&'static str, String)>,
}

impl FakeStore {
    /// An empty store in which every bucket exists and every put succeeds.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends steps for the next puts, in order. Puts after the last step succeed.
    pub fn script(&self, steps: impl IntoIterator<Item = Step>) {
        lock(&self.state).steps.extend(steps);
    }

    /// Discards the remaining steps, so that puts succeed again.
    pub fn clear_script(&self) {
        lock(&self.state).steps.clear();
    }

    /// The number of steps not yet used.
    pub fn steps_left(&self) -> usize {
        lock(&self.state).steps.len()
    }

    /// Answers every HEAD with 403, like a policy that grants only PutObject; or stops doing so.
    pub fn refuse_heads(&self, refuse: bool) {
        lock(&self.state).heads_refused = refuse;
    }

    /// Ignores `If-None-Match`, like stores without conditional writes.
    pub fn ignore_conditions(&self, ignore: bool) {
        lock(&self.state).conditions_ignored = ignore;
    }

    /// Gives each version of an object an id, as buckets with versions do, or stops doing so. Only the newest
    /// version can be read.
    pub fn name_versions(&self, name: bool) {
        lock(&self.state).versions_named = name;
    }

    /// Answers all requests to a bucket with 403, or stops doing so.
    pub fn refuse_bucket(&self, bucket: &str, refuse: bool) {
        set(&mut lock(&self.state).refused_buckets, bucket, refuse);
    }

    /// Answers puts below a key prefix with 403, like a policy that grants only some folders; or stops doing
    /// so.
    pub fn refuse_below(&self, folder: &str, refuse: bool) {
        set(&mut lock(&self.state).refused_folders, folder, refuse);
    }

    /// Answers puts with this KMS key as S3 does while the key is disabled, or stops doing so.
    pub fn refuse_key(&self, key: &str, refuse: bool) {
        set(&mut lock(&self.state).refused_keys, key, refuse);
    }

    /// Answers all requests with a role as if it could not be assumed, or stops doing so.
    pub fn refuse_role(&self, arn: &str, refuse: bool) {
        set(&mut lock(&self.state).refused_roles, arn, refuse);
    }

    /// Applies and reports another encryption than requested; `None`: the requested one.
    pub fn encrypt_as(&self, applied: Option<AppliedEncryption>) {
        lock(&self.state).encrypts_as = applied;
    }

    /// Makes a bucket missing, or restores it.
    pub fn miss_bucket(&self, bucket: &str, missing: bool) {
        set(&mut lock(&self.state).missing_buckets, bucket, missing);
    }

    /// Holds all requests to a bucket until the gate is opened.
    pub fn hold_bucket(&self, bucket: &str) -> Gate {
        let gate = Gate::new();
        lock(&self.state).gates.insert(bucket.to_owned(), gate.clone());
        gate
    }

    /// Applies the delayed puts now, in order.
    pub fn apply_late(&self) {
        let mut state = lock(&self.state);
        for put in std::mem::take(&mut state.late) {
            // Their answers were already lost.
            drop(state.apply(&put));
        }
    }

    /// An object, if it exists.
    pub fn object(&self, bucket: &str, key: &str) -> Option<FakeObject> {
        lock(&self.state).objects.get(&(bucket.to_owned(), key.to_owned())).cloned()
    }

    /// Every bucket and object key, in order.
    pub fn keys(&self) -> Vec<(String, String)> {
        lock(&self.state).objects.keys().cloned().collect()
    }

    /// Removes an object.
    pub fn delete(&self, bucket: &str, key: &str) {
        lock(&self.state).objects.remove(&(bucket.to_owned(), key.to_owned()));
    }

    /// The number of attempted puts.
    pub fn puts(&self) -> u64 {
        lock(&self.state).puts
    }

    /// The number of attempted HEADs.
    pub fn heads(&self) -> u64 {
        lock(&self.state).heads
    }

    /// Appends steps for the next reads, in order. Reads after the last step succeed.
    pub fn script_reads(&self, steps: impl IntoIterator<Item = Step>) {
        lock(&self.state).read_steps.extend(steps);
    }

    /// The ranges that were asked for, in order.
    pub fn ranges(&self) -> Vec<ByteRange> {
        lock(&self.state).ranges.clone()
    }

    /// The most reads that were under way at once.
    pub fn most_reading(&self) -> usize {
        lock(&self.state).most_reading
    }

    fn gate(&self, bucket: &str) -> Option<Gate> {
        lock(&self.state).gates.get(bucket).cloned()
    }

    async fn put_once(&self, put: &Put) -> Result<Stored, StoreError> {
        let step = {
            let mut state = lock(&self.state);
            state.puts += 1;
            state.steps.pop_front().unwrap_or(Step::Proper)
        };
        if let Some(gate) = self.gate(put.location.bucket.bucket()) {
            gate.passed().await;
        }
        match step {
            Step::Proper | Step::Cut(_) => lock(&self.state).apply(put),
            Step::Answer { fault, status, code } => Err(answer(fault, status, code)),
            Step::LoseAnswer => {
                drop(lock(&self.state).apply(put));
                Err(answer(Fault::Transient, None, None))
            }
            Step::ApplyLate => {
                let kept = Put { body: Body::Bytes(bytes_of(&put.body)?), ..put.clone() };
                lock(&self.state).late.push(kept);
                Err(answer(Fault::Transient, None, None))
            }
            Step::HoldRequest(gate) => {
                gate.passed().await;
                lock(&self.state).apply(put)
            }
            Step::HoldAnswer(gate) => {
                let answer = lock(&self.state).apply(put);
                gate.passed().await;
                answer
            }
            Step::Panic => panic!("scripted"),
        }
    }

    async fn head_once(&self, location: &S3Location, key: &ObjectKey) -> Result<Head, StoreError> {
        let bucket = location.bucket.bucket();
        lock(&self.state).heads += 1;
        if let Some(gate) = self.gate(bucket) {
            gate.passed().await;
        }
        let state = lock(&self.state);
        if state.heads_refused || state.refuses(location) {
            return Err(answer(Fault::Refused, Some(403), None));
        }
        state.head(bucket, key).ok_or_else(not_found)
    }

    /// One read of a bucket. The second value says after how many bytes of a body the connection breaks.
    async fn read<T>(
        &self,
        location: &S3Location,
        read: impl FnOnce(&State, &str) -> Result<T, StoreError>,
    ) -> Result<(T, Option<usize>), StoreError> {
        let step = {
            let mut state = lock(&self.state);
            state.reading += 1;
            state.most_reading = state.most_reading.max(state.reading);
            state.read_steps.pop_front().unwrap_or(Step::Proper)
        };
        // Others begin before this one is answered.
        let mut waited = false;
        poll_fn(|context| {
            context.waker().wake_by_ref();
            if std::mem::replace(&mut waited, true) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        let bucket = location.bucket.bucket();
        if let Step::HoldRequest(gate) = &step {
            gate.passed().await;
        }
        if let Some(gate) = self.gate(bucket) {
            gate.passed().await;
        }
        let mut state = lock(&self.state);
        state.reading -= 1;
        let cut = match step {
            Step::Answer { fault, status, code } => return Err(answer(fault, status, code)),
            Step::Cut(after) => Some(after),
            _ => None,
        };
        if state.refuses(location) {
            return Err(answer(Fault::Refused, Some(403), Some("AccessDenied")));
        }
        if state.missing_buckets.contains(bucket) {
            return Err(answer(Fault::Refused, Some(404), Some("NoSuchBucket")));
        }
        Ok((read(&state, bucket)?, cut))
    }

    async fn range_once(
        &self,
        location: &S3Location,
        key: &ObjectKey,
        version: Option<&ObjectVersion>,
        wanted: ByteRange,
    ) -> Result<RangeBytes, StoreError> {
        lock(&self.state).ranges.push(wanted);
        let range = |state: &State, bucket: &str| {
            let object = state.object(bucket, key).ok_or_else(not_found)?;
            if version.is_some_and(|version| version.etag != object.etag()) {
                return Err(answer(Fault::Refused, Some(412), Some("PreconditionFailed")));
            }
            if version.is_some_and(|version| version.id != state.version_of(object)) {
                return Err(answer(Fault::NotFound, Some(404), Some("NoSuchVersion")));
            }
            let len = object.bytes.len();
            let from = usize::try_from(wanted.from).unwrap_or(usize::MAX);
            if from >= len && (len > 0 || version.is_some()) {
                return Err(answer(Fault::Refused, Some(416), Some("InvalidRange")));
            }
            let to = from.saturating_add(usize::try_from(wanted.len).unwrap_or(usize::MAX)).min(len);
            Ok(RangeBytes { bytes: object.bytes.slice(from..to), object_len: Some(len as u64) })
        };
        match self.read(location, range).await? {
            (_, Some(0)) => Err(answer(Fault::Transient, None, None)),
            (mut range, cut) => {
                range.bytes.truncate(cut.unwrap_or(usize::MAX));
                Ok(range)
            }
        }
    }
}

impl FakeObject {
    fn etag(&self) -> String {
        format!("\"{:08x}\"", crc32fast::hash(&self.bytes))
    }

    fn head(&self, version: Option<String>) -> Head {
        Head {
            len: Some(self.bytes.len() as u64),
            version: Some(ObjectVersion { etag: self.etag(), id: version }),
            last_modified: None,
            content_encoding: self.content_encoding.map(str::to_owned),
            metadata: self.metadata.clone(),
            applied: applied(&self.encryption),
            storage_class: self.storage_class.clone(),
            headers: KeptHeaders::default(),
        }
    }
}

impl StoreReader for FakeStore {
    fn list<'a>(&'a self, location: &'a S3Location, from: ListFrom<'a>) -> Attempted<'a, ListPage> {
        Box::pin(
            async move { Ok(self.read(location, |state, bucket| Ok(state.list(bucket, from))).await?.0) },
        )
    }

    fn head_of<'a>(
        &'a self,
        location: &'a S3Location,
        key: &'a ObjectKey,
        version: Option<&'a str>,
    ) -> Attempted<'a, Head> {
        Box::pin(async move {
            lock(&self.state).heads += 1;
            let head = |state: &State, bucket: &str| {
                state.head(bucket, key).filter(|_| version.is_none()).ok_or_else(not_found)
            };
            Ok(self.read(location, head).await?.0)
        })
    }

    fn get<'a>(&'a self, location: &'a S3Location, key: &'a ObjectKey) -> Attempted<'a, ObjectBody> {
        Box::pin(async move {
            let bytes = |state: &State, bucket: &str| {
                Ok(state.object(bucket, key).ok_or_else(not_found)?.bytes.clone())
            };
            let (bytes, cut) = self.read(location, bytes).await?;
            Ok(ObjectBody::new(ByteStream::from_body_1_x(FakeBody { bytes, cut })))
        })
    }

    fn range<'a>(
        &'a self,
        location: &'a S3Location,
        key: &'a ObjectKey,
        version: Option<&'a ObjectVersion>,
        wanted: ByteRange,
    ) -> Attempted<'a, RangeBytes> {
        Box::pin(self.range_once(location, key, version, wanted))
    }
}

impl Store for FakeStore {
    fn replace<'a>(&'a self, put: &'a Put, etag: &'a str) -> Attempted<'a, Stored> {
        Box::pin(async move {
            let there = self.object(put.location.bucket.bucket(), put.key.as_str());
            match there.map(|object| object.etag() == etag) {
                Some(true) => self.put_once(&Put { mode: PutMode::Overwrite, ..put.clone() }).await,
                Some(false) => Err(answer(Fault::Exists, Some(412), Some("PreconditionFailed"))),
                None => Err(answer(Fault::Refused, Some(404), Some("NoSuchKey"))),
            }
        })
    }
}

/// The bytes of an object as one piece, cut off where the connection breaks.
struct FakeBody {
    bytes: Bytes,
    cut: Option<usize>,
}

impl hyper::body::Body for FakeBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let mut piece = std::mem::take(&mut self.bytes);
        piece.truncate(self.cut.unwrap_or(usize::MAX));
        if !piece.is_empty() {
            self.cut = self.cut.map(|_| 0);
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        Poll::Ready(self.cut.take().map(|_| Err(io::ErrorKind::ConnectionReset.into())))
    }
}

/// Puts a name into a set, or takes it out.
fn set(names: &mut BTreeSet<String>, name: &str, present: bool) {
    names.remove(name);
    names.extend(present.then(|| name.to_owned()));
}

fn not_found() -> StoreError {
    answer(Fault::NotFound, Some(404), Some("NotFound"))
}

/// The encryption that a store reports if it applies what was requested.
fn applied(asked: &Encryption) -> Option<AppliedEncryption> {
    Some(AppliedEncryption {
        algorithm: asked.algorithm().map(str::to_owned),
        kms_key: asked.kms().map(|kms| kms.key.to_string()),
        bucket_key: asked.kms().and_then(|kms| kms.bucket_key).unwrap_or(false),
    })
}

impl State {
    fn refuses(&self, location: &S3Location) -> bool {
        self.refused_buckets.contains(location.bucket.bucket()) || self.refuses_role(location)
    }

    fn object(&self, bucket: &str, key: &ObjectKey) -> Option<&FakeObject> {
        let object = self.objects.get(&(bucket.to_owned(), key.as_str().to_owned()));
        object.filter(|_| !self.missing_buckets.contains(bucket))
    }

    /// The id of an object's version, if versions have ids.
    fn version_of(&self, object: &FakeObject) -> Option<String> {
        self.versions_named.then(|| format!("version-{}", object.writes))
    }

    fn head(&self, bucket: &str, key: &ObjectKey) -> Option<Head> {
        self.object(bucket, key).map(|object| object.head(self.version_of(object)))
    }

    fn list(&self, bucket: &str, from: ListFrom<'_>) -> ListPage {
        let (mut page, mut last) = (ListPage::default(), None);
        for ((_, key), object) in self.objects.iter().filter(|((of, _), _)| of == bucket) {
            let Some(inside) = key.strip_prefix(from.prefix) else { continue };
            let folder = inside.split_once('/').filter(|_| from.folders);
            let shown = folder.map_or(key.clone(), |(name, _)| format!("{}{name}/", from.prefix));
            let is_before = from.after.is_some_and(|after| key.as_str() <= after)
                || from.next.is_some_and(|next| shown.as_str() <= next);
            if is_before || page.folders.last() == Some(&shown) {
                continue;
            }
            if page.objects.len() + page.folders.len() == PAGE_MAX {
                page.next = last;
                break;
            }
            last = Some(shown.clone());
            if folder.is_some() {
                page.folders.push(shown);
            } else {
                let (key, len) = (ObjectKey::listed(shown), object.bytes.len() as u64);
                let (etag, storage_class) = (Some(object.etag()), None);
                page.objects.push(Listed {
                    key,
                    len,
                    last_modified: None,
                    etag,
                    storage_class,
                    is_restored: false,
                });
            }
        }
        page
    }

    fn refuses_role(&self, location: &S3Location) -> bool {
        location.role.as_ref().is_some_and(|role| self.refused_roles.contains(role.arn.as_str()))
    }

    fn apply(&mut self, put: &Put) -> Result<Stored, StoreError> {
        let bucket = put.location.bucket.bucket();
        let refuses = |folder: &String| put.key.as_str().starts_with(folder.as_str());
        if self.refuses(&put.location) || self.refused_folders.iter().any(refuses) {
            return Err(answer(Fault::Refused, Some(403), Some("AccessDenied")));
        }
        if self.missing_buckets.contains(bucket) {
            return Err(answer(Fault::Refused, Some(404), Some("NoSuchBucket")));
        }
        if put.location.encryption.kms().is_some_and(|kms| self.refused_keys.contains(kms.key.as_str())) {
            return Err(answer(Fault::Refused, Some(400), Some("KMS.DisabledException")));
        }
        let bytes = bytes_of(&put.body)?;
        if crc32fast::hash(&bytes) != put.crc32 {
            return Err(answer(Fault::Digest, Some(400), Some("BadDigest")));
        }
        let place = (bucket.to_owned(), put.key.as_str().to_owned());
        let writes = self.objects.get(&place).map_or(0, |object| object.writes);
        if writes > 0 && put.mode == PutMode::CreateOnly && !self.conditions_ignored {
            return Err(answer(Fault::Exists, Some(412), Some("PreconditionFailed")));
        }
        let object = FakeObject {
            bytes,
            metadata: put.metadata.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
            content_encoding: put.content_encoding,
            encryption: put.location.encryption.clone(),
            writes: writes + 1,
            tags: put.tags.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
            storage_class: put.location.storage_class.map(|class| class.as_str().to_owned()),
        };
        let (etag, version) = (object.etag(), self.version_of(&object));
        self.objects.insert(place, object);
        Ok(Stored {
            etag: Some(etag),
            applied: self.encrypts_as.clone().or_else(|| applied(&put.location.encryption)),
            version,
        })
    }
}

impl ObjectStore for FakeStore {
    fn put<'a>(&'a self, put: &'a Put) -> Attempted<'a, Stored> {
        Box::pin(self.put_once(put))
    }

    fn head<'a>(&'a self, location: &'a S3Location, key: &'a ObjectKey) -> Attempted<'a, Head> {
        Box::pin(self.head_once(location, key))
    }
}

fn bytes_of(body: &Body) -> Result<Bytes, StoreError> {
    match body {
        Body::Bytes(bytes) => Ok(bytes.clone()),
        Body::File { path, len } => match std::fs::read(path) {
            Ok(bytes) if bytes.len() as u64 == *len => Ok(Bytes::from(bytes)),
            _ => Err(answer(Fault::Local, None, None)),
        },
    }
}

fn answer(fault: Fault, status: Option<u16>, code: Option<&str>) -> StoreError {
    match status {
        Some(status) => StoreError::answered(fault, status, code, "scripted"),
        None => StoreError::local(fault, "scripted"),
    }
}

mod changer;
#[cfg(test)]
mod tests;
