//! [`FakeStore`]: a store in memory that obeys the store's contract, for tests and simulations.
//!
//! It uses no threads, clock or randomness: faults are scripted, and a waiting future waits for a [`Gate`]
//! that the test opens. A simulation that polls it by hand is therefore reproducible from its seed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use bytes::Bytes;

use super::{Body, Fault, Head, ObjectStore, Put, PutMode, StoreError, Stored};
use crate::boxed_future::BoxFuture;
use crate::lock::lock;
use crate::object::{AppliedEncryption, Encryption, ObjectKey, S3Location};

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

/// What happens to one put.
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
    refused_buckets: BTreeSet<String>,
    refused_folders: BTreeSet<String>,
    refused_keys: BTreeSet<String>,
    refused_roles: BTreeSet<String>,
    encrypts_as: Option<AppliedEncryption>,
    missing_buckets: BTreeSet<String>,
    gates: BTreeMap<String, Gate>,
    puts: u64,
    heads: u64,
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

    /// Answers all requests to a bucket with 403, or stops doing so.
    pub fn refuse_bucket(&self, bucket: &str, refuse: bool) {
        let refused = &mut lock(&self.state).refused_buckets;
        if refuse {
            refused.insert(bucket.to_owned());
        } else {
            refused.remove(bucket);
        }
    }

    /// Answers puts below a key prefix with 403, like a policy that grants only some folders; or stops doing
    /// so.
    pub fn refuse_below(&self, folder: &str, refuse: bool) {
        let refused = &mut lock(&self.state).refused_folders;
        if refuse {
            refused.insert(folder.to_owned());
        } else {
            refused.remove(folder);
        }
    }

    /// Answers puts with this KMS key as S3 does while the key is disabled, or stops doing so.
    pub fn refuse_key(&self, key: &str, refuse: bool) {
        let refused = &mut lock(&self.state).refused_keys;
        if refuse {
            refused.insert(key.to_owned());
        } else {
            refused.remove(key);
        }
    }

    /// Answers all requests with a role as if it could not be assumed, or stops doing so.
    pub fn refuse_role(&self, arn: &str, refuse: bool) {
        let refused = &mut lock(&self.state).refused_roles;
        if refuse {
            refused.insert(arn.to_owned());
        } else {
            refused.remove(arn);
        }
    }

    /// Applies and reports another encryption than requested; `None`: the requested one.
    pub fn encrypt_as(&self, applied: Option<AppliedEncryption>) {
        lock(&self.state).encrypts_as = applied;
    }

    /// Makes a bucket missing, or restores it.
    pub fn miss_bucket(&self, bucket: &str, missing: bool) {
        let buckets = &mut lock(&self.state).missing_buckets;
        if missing {
            buckets.insert(bucket.to_owned());
        } else {
            buckets.remove(bucket);
        }
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
            Step::Proper => lock(&self.state).apply(put),
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
        if state.heads_refused || state.refused_buckets.contains(bucket) || state.refuses_role(location) {
            return Err(answer(Fault::Refused, Some(403), None));
        }
        let object = state
            .objects
            .get(&(bucket.to_owned(), key.as_str().to_owned()))
            .filter(|_| !state.missing_buckets.contains(bucket))
            .ok_or_else(|| answer(Fault::NotFound, Some(404), Some("NotFound")))?;
        Ok(Head {
            len: object.bytes.len() as u64,
            metadata: object.metadata.clone(),
            applied: applied(&object.encryption),
        })
    }
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
    fn refuses_role(&self, location: &S3Location) -> bool {
        location.role.as_ref().is_some_and(|role| self.refused_roles.contains(role.arn.as_str()))
    }

    fn apply(&mut self, put: &Put) -> Result<Stored, StoreError> {
        let bucket = put.location.bucket.bucket();
        let refuses = |folder: &String| put.key.as_str().starts_with(folder.as_str());
        if self.refused_buckets.contains(bucket)
            || self.refused_folders.iter().any(refuses)
            || self.refuses_role(&put.location)
        {
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
        };
        self.objects.insert(place, object);
        Ok(Stored {
            etag: Some(format!("\"{:08x}\"", put.crc32)),
            applied: self.encrypts_as.clone().or_else(|| applied(&put.location.encryption)),
            version: None,
        })
    }
}

impl ObjectStore for FakeStore {
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

#[cfg(test)]
mod tests;
