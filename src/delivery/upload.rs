//! From a seal to its commit: put, understand the answer, try again for as long as it takes.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;

use super::after_put::{Next, after_head, after_put};
use super::encode::{self, sha256_of_nothing};
use super::progress::LastObject;
use super::scheduler::blocking;
use super::settings::REFUSALS_BEFORE_ALARM;
use super::staging::{Staged, file_body};
use super::{Inner, lock};
use crate::alarms::AlarmKind;
use crate::metrics::{KindLabel, SourceLabel};
use crate::object::Stream;
use crate::object::metadata::{Metadata, SHA256};
use crate::spool::Stopped;
use crate::spool::note::{Amend, Parked, PendingSeal, Seal};
use crate::spool::outlet::parked_name;
use crate::store::{Body, Fault, Put, PutMode, StoreError, Stored};

/// Starts a task for each seal that an earlier process left without a commit.
pub(super) fn resume(inner: &Arc<Inner>) {
    for pending in inner.parts.outlet.pending_seals() {
        let seal = pending.seal.clone();
        if pending.conflict {
            raise_conflict(inner, &seal);
        }
        // What is parked holds no frames: the batch may go on beside it.
        if pending.parked.is_none() {
            lock(&inner.busy).insert(seal.batch.clone());
        }
        let inner_of_task = Arc::clone(inner);
        inner.tasks.spawn(async move {
            let inner = inner_of_task;
            let batch = seal.batch.clone();
            let slots = inner.slots(&seal.destination);
            let slot = match pending.parked {
                Some(_) => None,
                None => Arc::clone(&slots.sealed).acquire_owned().await.ok(),
            };
            let outcome = tokio::select! {
                outcome = deliver(&inner, seal, None, slot) => outcome,
                () = inner.stop.cancelled() => Ok(()),
            };
            if pending.parked.is_none() {
                lock(&inner.busy).remove(&batch);
            }
            inner.kick.notify_one();
            if outcome.is_err() {
                tracing::debug!(%batch, "delivery ends: the spool has stopped");
            }
        });
    }
}

/// What is put: the staged object, or the parked file.
enum Source {
    Staged(Staged),
    Parked(Parked),
}

/// One seal on its way.
struct Upload<'a> {
    inner: &'a Arc<Inner>,
    seal: Seal,
    source: Option<Source>,
    slot: Option<OwnedSemaphorePermit>,
    mode: PutMode,
    tries: u32,
    since: Duration,
}

/// Puts a sealed object until the store has it. Returns when it is committed, or when the spool has stopped.
///
/// Dropping it half-way is safe: the seal is synced, and the same object is put under the same key after the next start.
pub(super) async fn deliver(
    inner: &Arc<Inner>,
    seal: Seal,
    staged: Option<Staged>,
    slot: Option<OwnedSemaphorePermit>,
) -> Result<(), Stopped> {
    let decided = inner.parts.outlet.pending_seal(seal.number).is_some_and(|pending| pending.overwrite);
    let mut upload = Upload {
        inner,
        seal,
        source: staged.map(Source::Staged),
        slot,
        mode: if decided { PutMode::Overwrite } else { inner.settings.put_mode },
        tries: 0,
        since: inner.parts.clock.monotonic(),
    };
    loop {
        let next = if lock(&inner.conflicts).contains(&upload.seal.batch.source) {
            Next::RetryAtCap
        } else {
            upload.attempt().await?
        };
        match next {
            Next::Commit => return Ok(()),
            Next::AskWhose => {}
            Next::Retry(mode) => upload.mode = mode,
            Next::RetryAtCap => {}
            Next::Rebuild => upload.source = None,
            Next::Conflict => {
                let (parts, seal) = (inner.parts.clone(), upload.seal.clone());
                blocking(inner, move || parts.outlet.conflict(&seal)).await?;
                raise_conflict(inner, &upload.seal);
            }
        }
        upload.wait(next).await?;
    }
}

fn raise_conflict(inner: &Inner, seal: &Seal) {
    lock(&inner.conflicts).insert(seal.batch.source.clone());
    let what = format!(
        "seal {}: another object with other content has the key {} in {}; nothing more is put for this source until \
         `forebay spool resolve` is told what to do",
        seal.number,
        seal.object_key,
        seal.destination.bucket.bucket()
    );
    inner.progress.waiting(&seal.batch.source, what.clone());
    inner.parts.alarms.raise(AlarmKind::Conflict, seal.batch.source.as_str(), what);
}

impl Upload<'_> {
    /// Tries to put once, and asks whose an object in the way is.
    async fn attempt(&mut self) -> Result<Next, Stopped> {
        let Some(put) = self.put().await? else { return Ok(Next::RetryAtCap) };
        let slots = self.inner.slots(&self.seal.destination);
        let Ok(slot) = slots.puts.acquire().await else { return Ok(Next::RetryAtCap) };
        self.tries += 1;
        let before = self.inner.parts.clock.monotonic();
        let answer = self.inner.parts.store.put(&put).await;
        let took = self.inner.parts.clock.monotonic().saturating_sub(before);
        let (next, stored) = match answer {
            Ok(stored) => {
                self.inner.parts.metrics.upload_seconds.observe(took.as_secs_f64());
                (Next::Commit, stored)
            }
            Err(error) => {
                self.failed(&error, "put");
                let mut next = after_put(error.fault, put.mode);
                let mut stored = Stored::default();
                if next == Next::AskWhose {
                    (next, stored) = self.ask_whose().await;
                }
                (next, stored)
            }
        };
        drop(slot);
        if next == Next::Commit {
            self.commit(&put, &stored).await?;
        }
        Ok(next)
    }

    /// After a 412: the key is taken. By us, in an earlier try whose answer was lost?
    async fn ask_whose(&self) -> (Next, Stored) {
        let head = self.inner.parts.store.head(&self.seal.destination, &self.seal.object_key).await;
        let pending = self.inner.parts.outlet.pending_seal(self.seal.number);
        let amended = pending.and_then(|pending| pending.amended).map(|amend| amend.sha256);
        let mut ours = vec![self.seal.sha256.as_str()];
        ours.extend(amended.as_deref());
        let found = head.as_ref().map(|head| head.metadata.get(SHA256).map(String::as_str));
        let next = after_head(found.map_err(|error| error.fault), &ours);
        match head {
            Ok(head) => (next, Stored { encryption_applied: head.encryption_applied, ..Stored::default() }),
            Err(error) => {
                self.failed(&error, "head");
                (next, Stored::default())
            }
        }
    }

    /// The put of this seal. `None` where its object cannot be made for now.
    async fn put(&mut self) -> Result<Option<Put>, Stopped> {
        let Some(pending) = self.inner.parts.outlet.pending_seal(self.seal.number) else { return Ok(None) };
        if self.source.is_none() {
            self.source = match pending.parked {
                Some(parked) => Some(Source::Parked(parked)),
                None => self.make_again(pending.clone()).await?.map(Source::Staged),
            };
        }
        // Making it may have found frames lost: what is put says what is in it.
        let Some(pending) = self.inner.parts.outlet.pending_seal(self.seal.number) else { return Ok(None) };
        let made = self.source.as_ref().map(|source| match source {
            Source::Staged(staged) => staged.body().map(|body| (body, staged.crc32)),
            Source::Parked(parked) => self.parked_body(*parked).map(|body| (body, parked.crc32)),
        });
        match made {
            None => Ok(None),
            Some(Ok((body, crc32))) => Ok(Some(self.request(&pending, body, crc32))),
            Some(Err(error)) => {
                self.waiting(format!("read the staged object: {error}"));
                self.source = None;
                Ok(None)
            }
        }
    }

    fn request(&self, pending: &PendingSeal, body: Body, crc32: u32) -> Put {
        let seal = &self.seal;
        let amended = pending.amended.as_ref();
        let metadata = Metadata {
            calls: amended.map_or(seal.frames, |amend| amend.frames),
            first_received_at: seal.first_received_at,
            last_received_at: seal.last_received_at,
            node: &self.inner.parts.outlet.node(),
            first_position: seal.first,
            last_position: seal.last,
            bytes: amended.map_or(seal.bytes, |amend| amend.bytes),
            sha256: amended.map_or(&seal.sha256, |amend| &amend.sha256),
            previous_last_position: seal.previous_last,
        };
        Put {
            destination: seal.destination.clone(),
            key: seal.object_key.clone(),
            body,
            crc32,
            content_encoding: self.inner.settings.content_encoding.then_some("gzip"),
            metadata: metadata.pairs(),
            mode: self.mode,
        }
    }

    fn parked_body(&self, parked: Parked) -> io::Result<Body> {
        let name = parked_name(self.seal.number);
        let disk = self.inner.parts.outlet.disk();
        let file = disk.open(&name)?;
        file_body(&**disk, &name, &*file, parked.len)
    }

    /// Makes the object again from the spool, after a restart or where the store received other bytes.
    async fn make_again(&self, pending: PendingSeal) -> Result<Option<Staged>, Stopped> {
        let inner = Arc::clone(self.inner);
        let Ok(_encoder) = self.inner.encoders.acquire().await else { return Ok(None) };
        blocking(self.inner, move || make_again(&inner, &pending)).await
    }

    async fn commit(&self, put: &Put, stored: &Stored) -> Result<(), Stopped> {
        let (parts, seal) = (self.inner.parts.clone(), self.seal.clone());
        blocking(self.inner, move || parts.outlet.commit(&seal)).await?;
        let len = match &put.body {
            Body::Bytes(bytes) => bytes.len() as u64,
            Body::File { len, .. } => *len,
        };
        let metrics = &self.inner.parts.metrics;
        metrics.objects.inc();
        metrics.object_bytes.inc_by(len);
        let source = self.seal.batch.source.to_string();
        if self.seal.batch.stream == Stream::Calls {
            metrics.delivered.get_or_create(&SourceLabel { source }).inc_by(self.seal.frames);
        }
        let object = LastObject {
            key: self.seal.object_key.clone(),
            at: self.inner.parts.clock.wall(),
            calls: self.seal.frames,
            bytes: len,
            encryption: stored.encryption_applied.clone(),
        };
        self.inner.progress.delivered(&self.seal, object);
        let bucket = &self.seal.destination.bucket;
        lock(&self.inner.refusals).remove(bucket);
        self.inner.parts.alarms.clear(AlarmKind::Refused, &bucket.to_string());
        tracing::debug!(seal = self.seal.number, key = %self.seal.object_key, "delivered");
        Ok(())
    }

    fn failed(&self, error: &StoreError, what: &'static str) {
        let kind = match error.fault {
            Fault::Exists => "exists",
            Fault::Busy => "busy",
            Fault::NotFound => "not_found",
            Fault::Refused => "refused",
            Fault::Digest => "digest",
            Fault::Region => "region",
            Fault::Transient => "transient",
        };
        self.inner.parts.metrics.upload_failures.get_or_create(&KindLabel { kind }).inc();
        // A create-only put that finds our own object is the normal end of a try whose answer was lost.
        if error.fault == Fault::Exists {
            return;
        }
        let bucket = &self.seal.destination.bucket;
        self.waiting(format!("{what} {} to {}: {error}", self.seal.object_key, bucket.bucket()));
        if error.fault == Fault::Refused && what == "put" {
            let mut refusals = lock(&self.inner.refusals);
            let count = refusals.entry(bucket.clone()).or_default();
            *count += 1;
            if *count >= REFUSALS_BEFORE_ALARM {
                let what = format!(
                    "the store refuses puts: {error}; nothing is dropped, they are tried again every minute"
                );
                self.inner.parts.alarms.raise(AlarmKind::Refused, &bucket.to_string(), what);
            }
        }
    }

    fn waiting(&self, why: String) {
        if self.tries <= 1 || self.tries.is_multiple_of(10) {
            tracing::warn!(tries = self.tries, source = %self.seal.batch.source, "waiting to deliver: {why}");
        }
        self.inner.progress.waiting(&self.seal.batch.source, why);
    }

    /// Waits before the next try; parks the object meanwhile if it has waited for long or the space is needed.
    async fn wait(&mut self, next: Next) -> Result<(), Stopped> {
        let backoff = self.inner.settings.backoff;
        let wait = match next {
            Next::RetryAtCap | Next::Conflict => {
                backoff.cap.mul_f64(0.5) + backoff.wait(u32::MAX, &*self.inner.parts.random).mul_f64(0.5)
            }
            _ => backoff.wait(self.tries.max(1), &*self.inner.parts.random),
        };
        let end = self.inner.parts.clock.monotonic().saturating_add(wait);
        loop {
            let now = self.inner.parts.clock.monotonic();
            let waited = now.saturating_sub(self.since);
            let press =
                waited >= self.inner.settings.park_after || self.inner.parts.outlet.is_under_pressure();
            if press && matches!(self.source, Some(Source::Staged(_))) {
                self.park().await?;
            }
            let left = end.saturating_sub(now);
            if left.is_zero() {
                return Ok(());
            }
            tokio::time::sleep(left.min(Duration::from_secs(1))).await;
        }
    }

    async fn park(&mut self) -> Result<(), Stopped> {
        let Some(Source::Staged(staged)) = self.source.take() else { return Ok(()) };
        let parked = Parked { len: staged.len, crc32: staged.crc32 };
        let (parts, seal) = (self.inner.parts.clone(), self.seal.clone());
        let fitted = blocking(self.inner, move || {
            let fitted = parts.outlet.park(&seal, &mut staged.reader(), parked)?;
            Ok((fitted, staged))
        })
        .await?;
        self.source = match fitted {
            (true, _) => {
                tracing::warn!(seal = self.seal.number, source = %self.seal.batch.source, bytes = parked.len, "parked: its destination cannot be reached");
                // The frames are released: the batch may go on beside this object.
                self.slot = None;
                lock(&self.inner.busy).remove(&self.seal.batch);
                self.inner.kick.notify_one();
                Some(Source::Parked(parked))
            }
            (false, staged) => Some(Source::Staged(staged)),
        };
        Ok(())
    }
}

/// Makes a sealed object again. Where its content is no longer what was sealed, what is left is noted before it is put.
fn make_again(inner: &Inner, pending: &PendingSeal) -> Result<Option<Staged>, Stopped> {
    let seal = &pending.seal;
    let outlet = &inner.parts.outlet;
    let made = match encode::encode_again(outlet, &inner.staging, seal) {
        Ok(made) => made,
        Err(error) => {
            let why = format!("make object {} again: {error}", seal.object_key);
            tracing::warn!("{why}");
            inner.progress.waiting(&seal.batch.source, why);
            return Ok(None);
        }
    };
    let expected = pending.amended.as_ref().map_or(&seal.sha256, |amend| &amend.sha256);
    let Some(object) = made else {
        if *expected != sha256_of_nothing() {
            tracing::error!(
                seal = seal.number,
                "all of a sealed range was lost; an empty object takes its place"
            );
            let range = crate::spool::scan::Range { first: seal.first, last: seal.last };
            let amend = Amend { frames: 0, bytes: 0, sha256: sha256_of_nothing(), lost: vec![range] };
            outlet.amend(seal, amend)?;
        }
        return Ok(encode::encode_nothing(&inner.staging)
            .inspect_err(|error| tracing::warn!(%error, "an empty object could not be staged"))
            .ok());
    };
    if object.encoded.sha256 != *expected {
        tracing::error!(seal = seal.number, lost = ?object.lost, "a sealed range was damaged before its object was stored; what is left is delivered");
        let amend = Amend {
            frames: object.encoded.frames,
            bytes: object.encoded.bytes,
            sha256: object.encoded.sha256.clone(),
            lost: object.lost,
        };
        outlet.amend(seal, amend)?;
    }
    Ok(Some(object.staged))
}
