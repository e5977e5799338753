//! An object in the way: whose it is, and what is said where it is not ours.

use super::after_put::{Next, after_head};
use super::scheduler::blocking;
use super::upload::Upload;
use super::{Inner, lock};
use crate::alarms::AlarmKind;
use crate::object::metadata::SHA256;
use crate::spool::Stopped;
use crate::spool::note::PendingSeal;
use crate::store::{PutMode, Stored};

impl Upload<'_> {
    /// After a 412: the key is taken. By us, in an earlier try whose answer was lost?
    pub(super) async fn ask_whose(&self, may_replace: bool) -> Result<(Next, Stored), Stopped> {
        let head = self.inner.parts.store.head(&self.inner.reach_of(&self.seal), &self.seal.object_key).await;
        let pending = self.inner.parts.outlet.pending_seal(self.seal.number);
        let amended = pending.and_then(|pending| pending.amended).map(|amend| amend.sha256);
        let mut ours = vec![self.seal.sha256.as_str()];
        ours.extend(amended.as_deref());
        let found = head.as_ref().map(|head| head.metadata.get(SHA256).map(String::as_str));
        let next = after_head(found.map_err(|error| error.fault), &ours, may_replace);
        if next == Next::Retry(PutMode::Overwrite) {
            self.inner.parts.metrics.puts_unasked.inc();
        }
        if next == Next::Commit
            && amended.is_some()
            && found.is_ok_and(|hash| hash == Some(&self.seal.sha256))
        {
            tracing::info!(
                seal = self.seal.number,
                "the whole object had been stored before its frames were damaged: nothing of it is lost"
            );
            let (parts, seal) = (self.inner.parts.clone(), self.seal.clone());
            blocking(self.inner, move || parts.outlet.restored(&seal)).await?;
        }
        match head {
            Ok(head) => Ok((next, Stored { applied: head.applied, ..Stored::default() })),
            Err(error) => {
                self.failed(&error, "head");
                Ok((next, Stored::default()))
            }
        }
    }

    /// Notes that a person must decide what becomes of the seal, and says so.
    pub(super) async fn conflict(&mut self) -> Result<(), Stopped> {
        let (parts, seal) = (self.inner.parts.clone(), self.seal.clone());
        blocking(self.inner, move || parts.outlet.conflict(&seal)).await?;
        if let Some(pending) = self.inner.parts.outlet.pending_seal(self.seal.number) {
            raise_conflict(self.inner, &pending);
        }
        Ok(())
    }
}

/// Puts nothing more for the seal's source, and tells a person why.
pub(super) fn raise_conflict(inner: &Inner, pending: &PendingSeal) {
    let seal = &pending.seal;
    lock(&inner.conflicts).insert(seal.batch.source.clone());
    let why = match &pending.amended {
        None => "another object with other content has",
        Some(_) => "some of its lines were lost, and a put could replace a whole object that stands under",
    };
    let what = format!(
        "seal {}: {why} the key {} in {}; nothing more is put for this source until `forebay spool resolve` is told what \
         to do",
        seal.number,
        seal.object_key,
        seal.destination.bucket.bucket()
    );
    inner.progress.waiting(&seal.batch.source, what.clone());
    inner.parts.alarms.raise(AlarmKind::Conflict, seal.batch.source.as_str(), what);
}
