//! Puts the marker of a closed day until the store has it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::closing_days::ClosingDay;
use crate::alarms::AlarmKind;
use crate::delivery::put::after_put::Next;
use crate::delivery::put::put_until_stored::{Deliverable, Pace, Ready, Tries, put_until_stored};
use crate::delivery::settings::{REFUSALS_BEFORE_ALARM, UNREACHABLE_BEFORE_ALARM};
use crate::delivery::shared::Shared;
use crate::log::{Closable, Stopped};
use crate::object::{ObjectKey, S3Location};
use crate::store::{Body, Put, StoreError, Stored};

/// The body of a marker, and its metadata.
pub(in crate::delivery) type Made = (Bytes, Vec<(&'static str, String)>);

/// Puts the marker until the store has it.
pub(in crate::delivery) async fn deliver(
    shared: &Arc<Shared>,
    closable: &Closable,
    day: &ClosingDay,
    key: &ObjectKey,
    (body, metadata): Made,
) -> Result<(), Stopped> {
    let accepted = shared.put_locations.slots(&closable.location).accepted.waiter();
    let mut marker = Marker {
        shared,
        closable,
        day,
        key,
        crc32: crc32fast::hash(&body),
        body,
        metadata,
        since: shared.deps.clock.monotonic(),
    };
    put_until_stored(shared, &mut marker, shared.settings.put_mode, accepted).await
}

struct Marker<'a> {
    shared: &'a Shared,
    closable: &'a Closable,
    day: &'a ClosingDay,
    key: &'a ObjectKey,
    body: Bytes,
    crc32: u32,
    /// The content hash comes first.
    metadata: Vec<(&'static str, String)>,
    since: Duration,
}

impl Deliverable for Marker<'_> {
    const PACE: Pace = Pace::Markers;

    async fn ready(&mut self, tries: &Tries) -> Result<Ready, Stopped> {
        let place = &self.closable.place;
        let put = Put {
            location: self.location(),
            key: self.key.clone(),
            body: Body::Bytes(self.body.clone()),
            crc32: self.crc32,
            content_encoding: None,
            metadata: self.metadata.clone(),
            tags: self.shared.settings.tags.pairs(&place.source, place.day),
            mode: tries.mode,
        };
        let ours = self.metadata.first().map(|(_, hash)| hash.clone()).into_iter().collect();
        Ok(Ready::Put { put: Box::new(put), ours, may_replace: true })
    }

    async fn put_once(&mut self, put: &Put) -> Result<Result<Stored, StoreError>, Stopped> {
        let slots = self.shared.put_locations.slots(&put.location);
        let Some(_slot) = slots.puts.take().await else { return Err(Stopped) };
        Ok(self.shared.deps.store.put(put).await)
    }

    fn failed(&mut self, error: &StoreError, next: Next, tries: &Tries) {
        if next == Next::AskWhose {
            return;
        }
        let why = format!("put {} to {}: {error}", self.key, self.location());
        let waited = self.shared.deps.clock.monotonic().saturating_sub(self.since);
        if waited >= UNREACHABLE_BEFORE_ALARM || tries.refusals + 1 >= REFUSALS_BEFORE_ALARM {
            // Objects may get through meanwhile, so the alarms about objects do not cover this.
            let what = format!(
                "days are not closed: {why}; the puts of their markers are retried until they succeed"
            );
            self.day.raise_alarm(&self.shared.deps.alarms, what);
        }
        self.day.waits(&self.shared.repeated, why, tries.number);
    }

    fn location(&self) -> S3Location {
        self.shared.current_location(&self.closable.place.source, &self.closable.location)
    }

    async fn commit(&mut self, _put: &Put, _stored: &Stored) -> Result<(), Stopped> {
        let alarms = &self.shared.deps.alarms;
        alarms.clear(AlarmKind::Conflict, self.key.as_str());
        self.day.clear_alarm(alarms);
        self.shared.put_locations.slots(&self.closable.location).accepted.notify();
        Ok(())
    }

    async fn not_yet(&mut self, next: Next, tries: &Tries) -> Result<(), Stopped> {
        if next == Next::Conflict {
            let what = format!(
                "another marker, with different content, exists at {} in {}: this node does not close the day while \
                 that marker exists; check the day with `forebay verify {}`, and find out what put the marker",
                self.key,
                self.closable.location.bucket.bucket(),
                self.closable.location.bucket
            );
            self.day.waits(&self.shared.repeated, what.clone(), tries.number);
            self.shared.deps.alarms.raise(AlarmKind::Conflict, self.key.as_str(), what);
        }
        Ok(())
    }
}
