//! The thread that tells the group how far partitions are and whom to refuse, and says in time when the log will
//! delete what waits.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::place::Seen;
use super::shared::Shared;
use crate::alarms::AlarmKind;
use crate::kafka::group::Offsets;
use crate::kafka::records::Records;
use crate::kafka::retention::{self, Times};
use crate::kafka::serve::Progress;
use crate::kafka::settings::Sees;
use crate::lock::lock;
use crate::partition::group::Metadata;
use crate::partition::retention::{is_short, time_left, to_set};
use crate::time::UnixMillis;

/// How often the group is told.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// How often the brokers are asked for how long they keep the log.
const ASK_EVERY: Duration = Duration::from_secs(600);
/// Looks over which rates are taken: five minutes.
const RATES_OVER: usize = 30;
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
    /// What each of them had read, at the last looks.
    read: BTreeMap<u32, VecDeque<Read>>,
}

/// What a term had read at a time.
struct Read {
    at: Duration,
    frames: u64,
    bytes: u64,
    term: String,
}

/// For how long the log still keeps what is needed.
#[derive(Clone, Copy, Default)]
struct Left {
    /// `None` if nothing waits, or it is not known.
    time: Option<Duration>,
    /// Whether that is so little that an alarm is raised.
    is_short: bool,
}

impl Tells {
    pub(super) fn new(shared: &Arc<Shared>, offsets: Offsets) -> Self {
        Self {
            shared: Arc::clone(shared),
            offsets,
            retention: None,
            logs: BTreeMap::new(),
            read: BTreeMap::new(),
        }
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
        match self.offsets.partitions() {
            // A broker that is behind may not know the topic.
            Ok(0) => {}
            Ok(partitions) => lock(&self.shared.of_log).partitions = Some(partitions),
            Err(error) => tracing::debug!(%error, "how many partitions the log has is not known"),
        }
        let mut told: BTreeMap<u32, (u64, Metadata)> = BTreeMap::new();
        for (partition, place, live) in Arc::clone(&self.shared).live() {
            let progress = live.served.progress();
            let rates = self.rates(partition, &progress);
            let (times, left) = self.look(partition, live.served.needed_from());
            let Left { time: time_left, is_short } = left;
            *lock(&place.seen) = Seen { end: times.map(|times| times.end), time_left, is_short, rates };
            // Without retention nobody is refused.
            let half_ago = times.filter(|_| self.retention.is_some_and(|(known, _)| known.is_some()));
            told.insert(partition, live.served.told(half_ago.map(|times| times.later)));
        }
        self.logs.retain(|partition, _| told.contains_key(partition));
        self.read.retain(|partition, _| told.contains_key(partition));
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
        lock(&self.shared.of_log).retention = retention;
        retention
    }

    /// Frames and bytes that a partition reads in a second, over the last minutes. `None` while that is not known.
    #[expect(clippy::cast_precision_loss, reason = "an estimate for people")]
    fn rates(&mut self, partition: u32, progress: &Progress) -> Option<(f64, f64)> {
        let now = Read {
            at: self.shared.deps.clock.monotonic(),
            frames: progress.frames,
            bytes: progress.bytes,
            term: progress.term.clone(),
        };
        let reads = self.read.entry(partition).or_default();
        // A new term counts from zero, and reads again what others have read.
        reads.retain(|read| read.term == now.term);
        reads.push_back(now);
        if reads.len() > RATES_OVER {
            reads.pop_front();
        }
        let (first, last) = (reads.front()?, reads.back()?);
        let seconds = last.at.saturating_sub(first.at).as_secs_f64();
        let rate = |of: fn(&Read) -> u64| of(last).saturating_sub(of(first)) as f64 / seconds;
        (seconds > 0.0).then(|| (rate(|read| read.frames), rate(|read| read.bytes)))
    }

    /// What the log says of a partition, and for how long it keeps the record at `needed_from`. Raises the alarm if
    /// it will soon delete that record.
    fn look(&mut self, partition: u32, needed_from: Option<u64>) -> (Option<Times>, Left) {
        let retention = self.retention();
        let now = self.shared.deps.clock.wall();
        let times =
            match self.times(partition, needed_from, retention.map(|retention| now.minus(retention / 2))) {
                Ok(times) => times,
                Err(error) => {
                    tracing::debug!(error, partition, "the log does not say when its records were written");
                    return (None, Left::default());
                }
            };
        let left = time_left(times.written_at, now, retention);
        let deps = &self.shared.deps;
        let subject = format!("retention of partition {partition}");
        let short = left.zip(retention).filter(|(left, retention)| is_short(*left, *retention));
        match short {
            Some((left, retention)) => {
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
        (Some(times), Left { time: left, is_short: short.is_some() })
    }

    fn times(
        &mut self,
        partition: u32,
        needed_from: Option<u64>,
        since: Option<UnixMillis>,
    ) -> Result<Times, String> {
        let settings = &self.shared.deps.settings;
        let log = match self.logs.entry(partition) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let log = Records::new(settings, &settings.topic, partition, Sees::All);
                new.insert(log.map_err(|error| error.to_string())?)
            }
        };
        retention::look(log, needed_from, since).map_err(|error| error.to_string())
    }
}
