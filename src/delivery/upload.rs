//! From a seal to its commit: put, understand the answer, try again for as long as it takes.

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;

use super::after_put::{Next, after_put};
use super::busy::Busy;
use super::progress::LastObject;
use super::reached::Hearer;
use super::scheduler::noted;
use super::settings::REFUSALS_BEFORE_ALARM;
use super::staging::{Staged, file_body};
use super::{Inner, lock};
use crate::alarms::AlarmKind;
use crate::metrics::{KindLabel, SourceLabel};
use crate::object::metadata::Metadata;
use crate::object::{ObjectKey, ObjectName, Stream};
use crate::planted::{PlantedBug, PlantedPanic, panic_if_planted, planted};
use crate::spool::Stopped;
use crate::spool::disk::is_no_handle;
use crate::spool::note::{Parked, PendingSeal, Seal};
use crate::spool::outlet::parked_name;
use crate::store::{Body, Fault, Put, PutMode, StoreError, Stored};

/// What is put: the staged object, or the parked file.
pub(super) enum Source {
    Staged(Staged),
    Parked(Parked),
}

/// What a sealed object keeps to itself while its frames stand in the spool's segments.
pub(super) struct Hold {
    pub(super) _busy: Busy,
    pub(super) _slot: OwnedSemaphorePermit,
}

/// One seal on its way.
pub(super) struct Upload<'a> {
    pub(super) inner: &'a Arc<Inner>,
    pub(super) seal: Seal,
    pub(super) source: Option<Source>,
    pub(super) hold: Option<Hold>,
    /// The staged object that was parked during the put under way.
    pub(super) replaced: Option<Staged>,
    mode: PutMode,
    tries: u32,
    /// Puts refused in a row.
    refusals: u32,
    /// The last try met credentials that had ended.
    met_the_end: bool,
    /// Told when another object of the destination got through.
    reached: Hearer,
    pub(super) since: Duration,
}

/// Puts a sealed object until the store has it. Returns when it is committed, or when the spool has stopped.
///
/// Dropping it half-way is safe: the seal is synced, and the same object is put under the same key after the next start.
pub(super) async fn deliver(
    inner: &Arc<Inner>,
    seal: Seal,
    staged: Option<Staged>,
    hold: Option<Hold>,
) -> Result<(), Stopped> {
    let decided = inner.parts.outlet.pending_seal(seal.number).is_some_and(|pending| pending.overwrite);
    let reached = inner.slots(&seal.destination).reached.hearer();
    let mut upload = Upload {
        inner,
        seal,
        source: staged.map(Source::Staged),
        hold,
        replaced: None,
        mode: if decided { PutMode::Overwrite } else { inner.settings.put_mode },
        tries: 0,
        refusals: 0,
        met_the_end: false,
        reached,
        since: inner.parts.clock.monotonic(),
    };
    loop {
        let next = if lock(&inner.conflicts).contains(&upload.seal.batch.source) {
            // It waits for a person, and not for another try.
            upload.refusals = 0;
            Next::RetryAtCap
        } else {
            upload.attempt().await?
        };
        upload.replaced = None;
        match next {
            Next::Commit => return Ok(()),
            // A plain put in place of one that could not be asked about is refused, too: the next one asks again.
            Next::RetryAtCap if !decided => upload.mode = inner.settings.put_mode,
            Next::AskWhose | Next::RetryAtCap => {}
            Next::Retry(mode) => upload.mode = mode,
            Next::Rebuild => upload.rebuild(),
            // Where a parked file is really gone, the next look says so.
            Next::ReadAgain => upload.source = None,
            Next::Conflict => upload.conflict().await?,
        }
        upload.wait(next).await?;
    }
}

impl Upload<'_> {
    /// Tries to put once, and asks whose an object in the way is.
    async fn attempt(&mut self) -> Result<Next, Stopped> {
        panic_if_planted(PlantedPanic::Upload);
        let (put, may_replace) = match self.put().await? {
            Ready::Put { put, may_replace } => (*put, may_replace),
            Ready::NotNow => {
                self.refusals = 0;
                return Ok(Next::RetryAtCap);
            }
            Ready::Conflict => return Ok(Next::Conflict),
        };
        self.tries += 1;
        let (next, stored) = match self.put_while_parking(&put).await? {
            Ok(stored) => (Next::Commit, stored),
            Err(error) => {
                self.failed(&error, "put");
                self.met_the_end = error.fault == Fault::Expired;
                self.refusals = if matches!(error.fault, Fault::Refused | Fault::NoAccess) {
                    self.refusals.saturating_add(1)
                } else {
                    0
                };
                match after_put(error.fault, put.mode) {
                    Next::AskWhose if planted(PlantedBug::ExistsUnchecked) => {
                        (Next::Commit, Stored::default())
                    }
                    Next::AskWhose => self.ask_whose(may_replace).await?,
                    next => (next, Stored::default()),
                }
            }
        };
        if next == Next::Commit {
            self.commit(&put, &stored).await?;
        }
        Ok(next)
    }

    /// Puts once, in one of the destination's slots. An endpoint that hangs keeps its slots, and nothing in the spool:
    /// the object is parked meanwhile.
    async fn put_while_parking(&mut self, put: &Put) -> Result<Result<Stored, StoreError>, Stopped> {
        let inner = Arc::clone(self.inner);
        let slots = inner.slots(&self.seal.destination);
        let (source, to) = (self.seal.batch.source.clone(), self.inner.reach_of(&self.seal));
        // Since the slot was had: who waits for one has not been kept waiting by the store.
        let began = OnceLock::new();
        self.reached.forget();
        let trying = async {
            let failing = lock(&inner.health).is_failing(&source, &to);
            let _turn = if failing { Some(slots.failing_puts.acquire().await.ok()?) } else { None };
            let _slot = slots.puts.acquire().await.ok()?;
            let before = *began.get_or_init(|| inner.parts.clock.monotonic());
            let answer = inner.parts.store.put(put).await;
            let took = inner.parts.clock.monotonic().saturating_sub(before);
            if answer.is_ok() {
                inner.parts.metrics.upload_seconds.observe(took.as_secs_f64());
            }
            Some(answer)
        };
        tokio::pin!(trying);
        loop {
            tokio::select! {
                biased;
                answer = &mut trying => return answer.ok_or(Stopped),
                () = tokio::time::sleep(self.park_look()) => {
                    if let Some(began) = began.get() {
                        lock(&inner.health).under_way(&source, &to, *began, inner.parts.clock.monotonic());
                    }
                    self.park_if_due().await?;
                }
            }
        }
    }

    /// The put of this seal.
    async fn put(&mut self) -> Result<Ready, Stopped> {
        let outlet = &self.inner.parts.outlet;
        let Some(pending) = outlet.pending_seal(self.seal.number) else { return Ok(Ready::NotNow) };
        if self.source.is_none() {
            self.source = match pending.parked {
                Some(parked) => Some(Source::Parked(parked)),
                None => self.make_again(pending).await?.map(Source::Staged),
            };
        }
        // Making it again may have found damage.
        let Some(pending) = outlet.pending_seal(self.seal.number) else { return Ok(Ready::NotNow) };
        let may_replace = pending.amended.is_none() || pending.overwrite;
        if self.mode == PutMode::Overwrite && !may_replace {
            return Ok(Ready::Conflict);
        }
        let made = self.source.as_ref().map(|source| match source {
            Source::Staged(staged) => staged.body().map(|body| (body, staged.crc32)),
            Source::Parked(parked) => self.parked_body(*parked).map(|body| (body, parked.crc32)),
        });
        match made {
            None => Ok(Ready::NotNow),
            Some(Ok((body, crc32))) => {
                Ok(Ready::Put { put: Box::new(self.request(&pending, body, crc32)), may_replace })
            }
            Some(Err(error)) => {
                if matches!(self.source, Some(Source::Parked(_))) && !is_no_handle(&error) {
                    self.parked_is_damaged(&error.to_string());
                }
                self.waiting(format!("read the object to be put: {error}"));
                self.source = None;
                Ok(Ready::NotNow)
            }
        }
    }

    /// Goes back to the spool for the object's bytes. A parked object has nothing there any more.
    fn rebuild(&mut self) {
        if matches!(self.source, Some(Source::Parked(_))) {
            self.parked_is_damaged("the store received other bytes than were parked");
        }
        self.source = None;
    }

    fn parked_is_damaged(&self, why: &str) {
        let name = parked_name(self.seal.number);
        let what = format!(
            "the parked object {name} ({} calls of {}) cannot be put: {why}; it is kept and tried again, and if the file is \
             damaged its calls can only come from a copy of it",
            self.seal.frames, self.seal.batch.source
        );
        self.inner.parts.alarms.raise(AlarmKind::Damage, &name, what);
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
            lost_calls: amended.map_or(0, |amend| seal.frames.saturating_sub(amend.frames)),
        };
        Put {
            destination: self.inner.reach_of(seal),
            key: self.key(),
            body,
            crc32,
            content_encoding: self.inner.settings.content_encoding.then_some("gzip"),
            metadata: metadata.pairs(),
            tags: self.inner.settings.tags.pairs(&seal.batch.source, seal.batch.day),
            mode: self.mode,
        }
    }

    /// The key that was sealed.
    fn key(&self) -> ObjectKey {
        let seal = &self.seal;
        let other = match () {
            () if planted(PlantedBug::RandomObjectName) => self.since.as_millis(),
            () if planted(PlantedBug::NewNameOnRetry) => u128::from(self.tries),
            () => return seal.object_key.clone(),
        };
        let (node, spool_id) = (format!("x{other}"), self.inner.parts.outlet.spool_id());
        let name = ObjectName {
            first_received_at: seal.first_received_at,
            node: &node,
            spool_id: &spool_id,
            first_position: seal.first,
        };
        let batch = &seal.batch;
        ObjectKey::of_batch(&seal.destination.bucket, batch.stream, &batch.source, batch.day, name)
    }

    fn parked_body(&self, parked: Parked) -> io::Result<Body> {
        let name = parked_name(self.seal.number);
        let disk = self.inner.parts.outlet.disk();
        // A file that is gone is reported here.
        disk.open(&name)?;
        file_body(&**disk, &name, parked.len)
    }

    async fn commit(&self, put: &Put, stored: &Stored) -> Result<(), Stopped> {
        let (parts, seal) = (self.inner.parts.clone(), self.seal.clone());
        let applied = stored.applied.clone();
        let pending = parts.outlet.pending_seal(seal.number);
        let calls = pending.and_then(|pending| pending.amended).map_or(seal.frames, |amend| amend.frames);
        let len = match &put.body {
            Body::Bytes(bytes) => bytes.len() as u64,
            Body::File { len, .. } => *len,
        };
        // Counted where it is noted: this task may be gone before it is told.
        let commit = move || {
            panic_if_planted(PlantedPanic::ObjectCommit);
            parts.outlet.commit(&seal, applied.clone())?;
            parts.metrics.objects.inc();
            parts.metrics.object_bytes.inc_by(len);
            if seal.batch.stream == Stream::Calls {
                let source = seal.batch.source.to_string();
                parts.metrics.delivered.get_or_create(&SourceLabel { source }).inc_by(calls);
            }
            Ok(())
        };
        noted(self.inner, Some(&self.seal.batch.source), commit).await?;
        self.inner.slots(&self.seal.destination).reached.tell();
        let object = LastObject {
            key: self.seal.object_key.clone(),
            at: self.inner.parts.clock.wall(),
            calls,
            bytes: len,
            encryption: stored.applied.clone(),
        };
        self.inner.progress.delivered(&self.seal, object);
        let source = &self.seal.batch.source;
        self.inner.taken(source, &put.destination, self.seal.object_key.as_str(), stored.applied.as_ref());
        self.inner.parts.alarms.clear(AlarmKind::Damage, &parked_name(self.seal.number));
        tracing::debug!(seal = self.seal.number, key = %self.seal.object_key, "delivered");
        Ok(())
    }

    pub(super) fn failed(&self, error: &StoreError, what: &'static str) {
        let kind = match error.fault {
            Fault::Exists => "exists",
            Fault::Busy => "busy",
            Fault::NotFound => "not_found",
            Fault::Refused => "refused",
            Fault::Expired => "expired",
            Fault::NoAccess => "no_access",
            Fault::Digest => "digest",
            Fault::Local => "local",
            Fault::Region => "region",
            Fault::Transient => "transient",
        };
        self.inner.parts.metrics.upload_failures.get_or_create(&KindLabel { kind }).inc();
        // A create-only put that finds our own object is the normal end of a try whose answer was lost.
        if error.fault == Fault::Exists {
            return;
        }
        let to = self.inner.reach_of(&self.seal);
        let (key, bucket) = (&self.seal.object_key, to.bucket.bucket());
        if what == "head" && error.fault == Fault::NotFound {
            let nothing = StoreError {
                fault: Fault::Transient,
                status: Some(412),
                code: error.code.clone(),
                message: "the store says that the key is taken, and finds nothing under it".to_owned(),
            };
            self.waiting(format!("put {key} to {bucket}: {nothing}"));
            self.inner.put_failed(&self.seal.batch.source, &to, &nothing);
            return;
        }
        let doing = if what == "head" { "ask whose object is in the way (412) of" } else { what };
        self.waiting(format!("{doing} {key} to {bucket}: {error}"));
        // A local failure is not the store's. All objects under way meet the end of a session: it stands for something only where
        // the next session fares no better.
        let says_nothing =
            error.fault == Fault::Local || (error.fault == Fault::Expired && !self.met_the_end);
        if what == "put" && !says_nothing {
            self.inner.put_failed(&self.seal.batch.source, &to, error);
        }
    }

    fn waiting(&self, why: String) {
        if let Some(line) = self.inner.happened("put", self.seal.destination.bucket.bucket()) {
            tracing::warn!(
                failures = line.times,
                others = line.others,
                tries = self.tries,
                source = %self.seal.batch.source,
                "waiting to deliver: {why}"
            );
        }
        self.inner.progress.waiting(&self.seal.batch.source, why);
    }

    /// Waits before the next try; the object may be parked meanwhile.
    async fn wait(&mut self, next: Next) -> Result<(), Stopped> {
        let backoff = self.inner.settings.backoff;
        let wait = match next {
            // The first refusals come soon, so that the alarm does not wait for minutes.
            Next::RetryAtCap if (1..REFUSALS_BEFORE_ALARM).contains(&self.refusals) => {
                backoff.wait(AFTER_RECOVERY_TRIES, &*self.inner.parts.random)
            }
            Next::RetryAtCap | Next::Conflict => {
                backoff.cap.mul_f64(0.5) + backoff.wait(u32::MAX, &*self.inner.parts.random).mul_f64(0.5)
            }
            _ => backoff.wait(self.tries.max(1), &*self.inner.parts.random),
        };
        let clock = Arc::clone(&self.inner.parts.clock);
        let mut end = clock.monotonic().saturating_add(wait);
        // An outage ends for all objects of a destination at once: the first that gets through tells the others. They come
        // after a short wait of their own, and once, so that one refused key among good ones is not tried without pause.
        let mut may_be_told = matches!(next, Next::Retry(_) | Next::RetryAtCap);
        self.park_if_due().await?;
        // Others may get through meanwhile; this one is made again for its next try.
        let is_last_resort =
            |source: &Source| matches!(source, Source::Staged(staged) if staged.is_last_resort());
        let gave_way = self.source.take_if(|source| is_last_resort(source)).is_some();
        loop {
            if !gave_way {
                self.park_if_due().await?;
            }
            let left = end.saturating_sub(clock.monotonic());
            if left.is_zero() {
                return Ok(());
            }
            tokio::select! {
                biased;
                () = tokio::time::sleep(left.min(self.park_look())) => {}
                () = self.reached.told(), if may_be_told => {
                    may_be_told = false;
                    let soon = backoff.wait(AFTER_RECOVERY_TRIES, &*self.inner.parts.random);
                    end = end.min(clock.monotonic().saturating_add(soon));
                }
            }
        }
    }
}

/// How far a backoff has come from which an object is told that its destination is back: a second or so.
const AFTER_RECOVERY_TRIES: u32 = 4;

/// Whether a seal can be put now.
enum Ready {
    Put {
        put: Box<Put>,
        /// Whether the put may take the place of what has the key: not where it is less than what was sealed.
        may_replace: bool,
    },
    /// Its object cannot be made for now.
    NotNow,
    /// A person must decide first.
    Conflict,
}
