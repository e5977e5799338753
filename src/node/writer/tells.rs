//! The thread that tells the group how far partitions are and whom to refuse, and says in time when the log will
//! delete what waits.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use super::partition::Standing;
use super::shared::Shared;
use crate::alarms::AlarmKind;
use crate::kafka::group::Offsets;
use crate::kafka::records::Records;
use crate::kafka::retention;
use crate::kafka::settings::Sees;
use crate::partition::group::Metadata;
use crate::partition::retention::{is_short, time_left, to_set};
use crate::time::UnixMillis;

/// How often the group is told.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// How often the brokers are asked for how long they keep the log.
const ASK_EVERY: Duration = Duration::from_secs(600);
/// How often the end of the writer is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What the thread works with.
pub(super) struct Tells {
    shared: Arc<Shared>,
    offsets: Offsets,
    /// For how long the log keeps records, and when that was asked.
    retention: Option<(Option<Duration>, Duration)>,
    /// A reader of each partition that is delivered.
    logs: BTreeMap<u32, Records>,
}

impl Tells {
    pub(super) fn new(shared: &Arc<Shared>, offsets: Offsets) -> Self {
        Self { shared: Arc::clone(shared), offsets, retention: None, logs: BTreeMap::new() }
    }

    /// Tells until the writer ends.
    pub(super) fn run(mut self) {
        let mut next = Duration::ZERO;
        while !self.shared.ends() && self.shared.failed.borrow().is_none() {
            let now = self.shared.deps.clock.monotonic();
            if now >= next {
                next = now.saturating_add(TELL_EVERY);
                self.tell();
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    fn tell(&mut self) {
        let mut told: BTreeMap<u32, (u64, Metadata)> = BTreeMap::new();
        for (partition, place) in self.shared.places() {
            let Standing::Live(live) = place.standing() else { continue };
            let half_ago = self.half_ago(partition, live.served.progress().kept_from);
            told.insert(partition, live.served.told(half_ago));
        }
        self.logs.retain(|partition, _| told.contains_key(partition));
        if let Err(error) = self.offsets.tell(&told) {
            tracing::debug!(%error, "the group was not told how far partitions are");
        }
    }

    /// For how long the log keeps records. `None` if it deletes none, or does not say it.
    fn retention(&mut self) -> Option<Duration> {
        let now = self.shared.deps.clock.monotonic();
        if let Some((retention, at)) = self.retention
            && now.saturating_sub(at) < ASK_EVERY
        {
            return retention;
        }
        let retention = retention::of_log(&self.shared.deps.settings).unwrap_or_else(|error| {
            tracing::warn!(%error, "it is not known for how long the log is kept: no alarm says when it deletes what waits");
            None
        });
        self.retention = Some((retention, now));
        retention
    }

    /// The first record that was written half of the retention ago or later. Raises the alarm if the log will soon
    /// delete the record at `kept_from`.
    fn half_ago(&mut self, partition: u32, kept_from: u64) -> Option<u64> {
        let retention = self.retention()?;
        let now = self.shared.deps.clock.wall();
        let (written_at, half_ago) = match self.look(partition, kept_from, now.minus(retention / 2)) {
            Ok(found) => found,
            Err(error) => {
                tracing::debug!(error, partition, "the log does not say when its records were written");
                return None;
            }
        };
        let deps = &self.shared.deps;
        let subject = format!("retention of partition {partition}");
        match time_left(written_at, now, Some(retention)).filter(|left| is_short(*left, retention)) {
            Some(left) => {
                let what = format!(
                    "the log deletes calls of partition {partition} that are not delivered in {} minutes: fix what the \
                     other alarms name, or set retention.ms of {} to {}",
                    left.as_secs() / 60,
                    deps.settings.topic,
                    to_set(left, retention).as_millis()
                );
                deps.alarms.raise(AlarmKind::Refusing, &subject, what);
            }
            None => deps.alarms.clear(AlarmKind::Refusing, &subject),
        }
        Some(half_ago)
    }

    fn look(
        &mut self,
        partition: u32,
        kept_from: u64,
        since: UnixMillis,
    ) -> Result<(Option<UnixMillis>, u64), String> {
        let settings = &self.shared.deps.settings;
        let log = match self.logs.entry(partition) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let log = Records::new(settings, &settings.topic, partition, Sees::All);
                new.insert(log.map_err(|error| error.to_string())?)
            }
        };
        retention::look(log, kept_from, since).map_err(|error| error.to_string())
    }
}
