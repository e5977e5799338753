//! The thread that tells the group how far partitions are and whom to refuse, and says in time when the log will
//! delete what waits.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::place::{Live, Place, Standing};
use super::shared::Shared;
use crate::alarms::{AlarmKind, Alarms};
use crate::kafka::group::Offsets;
use crate::kafka::records::Records;
use crate::kafka::retention::{self, Needed, Times};
use crate::kafka::serve::Progress;
use crate::kafka::settings::Sees;
use crate::lock::lock;
use crate::partition::brokers_clock::BrokersClock;
use crate::partition::group::{Metadata, OwnerSays, Owners};
use crate::partition::late;
use crate::partition::position::offset_of;
use crate::partition::retention::{is_short, time_left, to_set};
use crate::time::UnixMillis;
use crate::words::{about_seconds, with_causes};

/// How often the group is told.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// How often the brokers are asked for how long they keep the log.
const ASK_EVERY: Duration = Duration::from_secs(600);
/// The same while an alarm asks a person to set it, or while it is not known. Each failure is a line of the log.
const ASK_AGAIN_EVERY: Duration = Duration::from_secs(60);
/// Looks over which rates are taken: five minutes.
const RATES_OVER: usize = 30;
/// How often the end of the writer is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How long the log of a partition may not answer until that is an alarm: its leader may move.
const SILENT_FOR: Duration = Duration::from_secs(60);
/// How long the group may be without being told until that is an alarm.
const UNTOLD_FOR: Duration = Duration::from_secs(60);
/// The subject of that alarm.
const SUBJECT_OF_TELLING: &str = "what is told to the group";

/// What the thread works with.
pub(super) struct Tells {
    shared: Arc<Shared>,
    offsets: Offsets,
    /// When the brokers were last asked for how long they keep records.
    asked: Option<Duration>,
    /// For how long they keep records, as they said it last; `None` if they never did, within it `None` for ever.
    retention: Option<Option<Duration>>,
    /// The first record of each partition that may have calls which are not in the store, and when its owner said so.
    needed_from: BTreeMap<u32, (u64, UnixMillis)>,
    /// The first record of each partition that is younger than half of the retention, as the log said it last. It only
    /// grows, so an old one refuses less than it might.
    half_ago: BTreeMap<u32, u64>,
    /// Partitions whose retention has an alarm.
    alarmed: BTreeSet<u32>,
    /// Partitions whose late calls have one.
    late: BTreeSet<u32>,
    /// A reader of one partition after the other: each client takes threads and some 2 MB.
    log: Option<Records>,
    /// Since when the log of a partition that is delivered does not answer.
    silent: BTreeMap<u32, Duration>,
    /// What each of them had read, at the last looks.
    read: BTreeMap<u32, VecDeque<Read>>,
    /// The id of the log, as any partition told it.
    log_id: Option<String>,
    /// Why it cannot be read what the group was told before, so that nothing was told of a partition.
    unread: Option<String>,
    /// Since when the group cannot be told.
    untold: Option<Duration>,
    /// Alarms of this writer: a process may have several.
    alarms: Alarms,
}

/// What a term had read at a time.
struct Read {
    at: Duration,
    frames: u64,
    late: u64,
    bytes: u64,
    /// Frames, and late ones of them, of the same term at the look before.
    before: (u64, u64),
    term: String,
}

/// What the log of a partition said is not true any more.
fn forget_log(place: &Place) {
    let mut seen = lock(&place.seen);
    (seen.end, seen.end_at, seen.time_left) = (None, None, None);
}

/// The subject of the alarm about how long a partition is kept.
fn subject(partition: u32) -> String {
    format!("retention of partition {partition}")
}

/// The subject of the alarm about a log that does not answer.
fn subject_of_silent(partition: u32) -> String {
    format!("log of partition {partition}")
}

/// The subject of the alarm about late calls.
fn subject_of_late(partition: u32) -> String {
    format!("late calls of partition {partition}")
}

impl Tells {
    pub(super) fn new(shared: &Arc<Shared>, offsets: Offsets) -> Self {
        Self {
            shared: Arc::clone(shared),
            offsets,
            asked: None,
            retention: None,
            needed_from: BTreeMap::new(),
            half_ago: BTreeMap::new(),
            alarmed: BTreeSet::new(),
            late: BTreeSet::new(),
            log: None,
            silent: BTreeMap::new(),
            read: BTreeMap::new(),
            log_id: None,
            unread: None,
            untold: None,
            alarms: shared.deps.alarms.of_part(),
        }
    }

    /// Tells until the writer ends.
    pub(super) fn run(mut self) {
        let mut next = Duration::ZERO;
        while !self.shared.ends() && self.shared.failed.borrow().is_none() {
            let now = self.shared.deps.clock.monotonic();
            if now >= next {
                next = now.saturating_add(TELL_EVERY);
                self.shared.tells_beat.lives(now);
                self.tell();
                self.shared.tells_beat.rests();
            }
            std::thread::sleep(LOOK_EVERY);
        }
        // Whoever takes the partitions over says it.
        self.clear_all_but(&BTreeSet::new());
        self.alarms.end_part();
    }

    fn tell(&mut self) {
        match self.offsets.partitions() {
            // A broker that is behind may not know the topic.
            Ok(0) => {}
            Ok(partitions) => lock(&self.shared.of_log).partitions = Some(partitions),
            Err(error) => tracing::debug!(%error, "how many partitions the log has is not known"),
        }
        let mut told: BTreeMap<u32, (u64, Metadata)> = BTreeMap::new();
        let shared = Arc::clone(&self.shared);
        let places = shared.places();
        for (partition, place) in &places {
            shared.tells_beat.lives(shared.deps.clock.monotonic());
            let standing = place.standing();
            if !matches!(standing, Standing::Live(_)) {
                // It has other alarms.
                self.look_at_silence(*partition, true);
            }
            let says = match &standing {
                Standing::Begins => None,
                Standing::Live(live) => self.of_live(*partition, place, live),
                Standing::Waits(_) => self.of_idle(*partition, place, None),
                Standing::Stopped(stop) => self.of_idle(*partition, place, stop.cut_at()),
            };
            told.extend(says.map(|says| (*partition, says)));
        }
        if let Some(log) = &mut self.log {
            log.rests();
        }
        let here: BTreeSet<u32> = places.into_keys().collect();
        self.clear_all_but(&here);
        self.needed_from.retain(|partition, _| here.contains(partition));
        self.half_ago.retain(|partition, _| here.contains(partition));
        self.read.retain(|partition, _| here.contains(partition));
        shared.tells_beat.lives(shared.deps.clock.monotonic());
        let answer = if told.is_empty() { Ok(()) } else { self.offsets.tell(&told) };
        let why = answer.err().map(|error| with_causes(&error));
        let why = why.or(self.unread.take());
        self.has_told(why);
        self.hear();
    }

    /// Looks at a partition that this process delivers. Returns what to tell the group, if that is known.
    fn of_live(&mut self, partition: u32, place: &Place, live: &Live) -> Option<(u64, Metadata)> {
        let progress = live.served.progress();
        let rates = self.rates(partition, &progress);
        lock(&place.seen).rates = rates;
        self.look_at_late(partition);
        let waits_from = live.served.needed_from();
        // Once it is not delivered any more, the next record is needed too, when there is one.
        let next = offset_of(progress.read_before.saturating_add(1));
        let needed_from = waits_from.unwrap_or(next);
        let now = self.shared.deps.clock.wall();
        let times = self.look(partition, place, Needed::From(waits_from), progress.brokers);
        // What a shorter log says is older than what was read of it.
        if times.is_some_and(|times| times.end >= next) {
            self.needed_from.insert(partition, (needed_from, now));
        }
        // Without retention it is the end.
        if let Some(times) = times.filter(|_| self.retention.flatten().is_some()) {
            self.half_ago.insert(partition, times.later);
        }
        // Without times there is no reader, or it gets no answer.
        if let Some(log) = self.log.as_mut().filter(|_| times.is_some())
            && let Err(error) = live.served.looks_back(log, self.shared.deps.clock.monotonic())
        {
            tracing::debug!(%error, "whether the log still has what was read of it is not known");
        }
        let is_silent = self.look_at_silence(partition, times.is_some());
        live.served.set_silent(is_silent);
        if is_silent {
            forget_log(place);
        }
        let (kept_from, metadata) = self.refuses(partition, live)?;
        let owner = Some(self.says(place, live, &progress, needed_from));
        Some((kept_from, Metadata { owner, ..metadata }))
    }

    /// Looks at a partition that nobody delivers: its calls get older all the same. Returns what to tell the group, if it does not
    /// know that already. `cut_at`: from where on its log was cut, at the latest, if it was.
    fn of_idle(&mut self, partition: u32, place: &Place, cut_at: Option<u64>) -> Option<(u64, Metadata)> {
        let said = self.said_of_idle(partition);
        let times =
            said.and_then(|(from, at)| self.look(partition, place, Needed::Said { from, at, cut_at }, None));
        if times.is_none() {
            forget_log(place);
        }
        // While one of them is not known, who is refused stays refused.
        let (times, retention) = times.zip(self.retention)?;
        self.refuses_all_of(partition, retention.is_some() && times.is_needed_for_long())
    }

    /// What an owner tells the group: the first record that it needs, and the sources that it refuses. `None` if it depends on whom
    /// the last owner refused, and that cannot be read.
    fn refuses(&mut self, partition: u32, live: &Live) -> Option<(u64, Metadata)> {
        match self.retention {
            // Without retention nobody is refused.
            Some(None) => Some(live.served.told(None)),
            // If the log does not answer, what it said last refuses less than it might.
            Some(Some(_)) if let Some(half_ago) = self.half_ago.get(&partition) => {
                Some(live.served.told(Some(*half_ago)))
            }
            // It is not known how old calls may get. Sources that the last owner refused stay refused while their calls wait.
            _ => {
                let before = self.told_before(partition)?.map(|(_, before)| before).unwrap_or_default();
                let (kept_from, waits) = live.served.told(Some(u64::MAX));
                Some((kept_from, before.still_refuses(waits)))
            }
        }
    }

    /// What the group was told of a partition last, within it `None` if nothing. `None` if that cannot be read.
    fn told_before(&mut self, partition: u32) -> Option<Option<(u64, Metadata)>> {
        let told = self.offsets.told(partition);
        let told = told.inspect_err(|error| {
            tracing::debug!(%error, partition, "what its last owner told of a partition cannot be read");
            self.unread = Some(format!("what it was told before cannot be read: {}", with_causes(error)));
        });
        told.ok()
    }

    /// Tells collectors to refuse whatever would go to a partition that nobody reads, or to take it again. The rest stays as its
    /// last owner told it. Returns `None` if that cannot be read, or says so already.
    fn refuses_all_of(&mut self, partition: u32, refuses: bool) -> Option<(u64, Metadata)> {
        let Some((kept_from, metadata)) = self.told_before(partition)? else {
            // No owner has ever told anything of it, or Kafka has forgotten it: too long ago, or with a topic that was deleted. The
            // group must not forget the log, or `kafka create --new-log` would not know whose writers to keep out.
            let log_id = self.log_id.clone()?;
            return Some((0, Metadata { log_id, refuses_all: refuses, ..Metadata::default() }));
        };
        let refused = if refuses { metadata.refused.clone() } else { Vec::new() };
        let now = Metadata { refuses_all: refuses, refused, ..metadata.clone() };
        (now != metadata).then_some((kept_from, now))
    }

    /// The group was told, or `why` it was not.
    fn has_told(&mut self, why: Option<String>) {
        let (alarms, now) = (&self.alarms, self.shared.deps.clock.monotonic());
        let Some(why) = why else {
            if self.untold.take().is_some() {
                alarms.clear(AlarmKind::Refusing, SUBJECT_OF_TELLING);
            }
            return;
        };
        let since = *self.untold.get_or_insert(now);
        // A coordinator that moves is usual.
        if now.saturating_sub(since) < UNTOLD_FOR {
            return;
        }
        let what = format!(
            "the group cannot be told how its partitions are: {why}; collectors go on with what they heard last, so they may take \
             calls that Kafka deletes before their bucket takes them. `forebay kafka check` says whether a right is missing"
        );
        alarms.raise(AlarmKind::Refusing, SUBJECT_OF_TELLING, what);
    }

    /// What this process says of a partition that it delivers.
    fn says(&self, place: &Place, live: &Live, progress: &Progress, needed_from: u64) -> OwnerSays {
        let deps = &self.shared.deps;
        let left_seconds = lock(&place.seen).time_left.flatten().map(|left| left.as_secs());
        OwnerSays {
            host: deps.host.clone(),
            at: deps.clock.wall(),
            lag_seconds: (progress.behind != Duration::MAX).then_some(progress.behind.as_secs()),
            left_seconds,
            pin: live.served.pin().map(|pin| (pin.source.to_string(), pin.since)),
            needed_from: Some(needed_from),
        }
    }

    /// Hears what all owners say.
    fn hear(&mut self) {
        let Some(partitions) = lock(&self.shared.of_log).partitions else { return };
        match self.offsets.told_of(0..partitions) {
            Ok(told) => {
                let log_id = told.values().next().map(|(_, metadata)| metadata.log_id.clone());
                self.log_id = log_id.or(self.log_id.take());
                let all = told.iter().map(|(partition, (_, metadata))| (*partition, metadata));
                *lock(&self.shared.owners) = Some(Owners::heard(self.shared.deps.clock.wall(), all));
            }
            Err(error) => tracing::debug!(%error, "what the owners of other partitions say is not known"),
        }
    }

    /// What was said last of a partition that is not delivered, in this process or by an owner before: from which record on it
    /// is needed, and when that was said. All of it if nobody has said anything; `None` if that cannot be read.
    fn said_of_idle(&mut self, partition: u32) -> Option<(u64, UnixMillis)> {
        if let Some(known) = self.needed_from.get(&partition) {
            return Some(*known);
        }
        let never = UnixMillis(0);
        let Some((kept_from, metadata)) = self.told_before(partition)? else { return Some((0, never)) };
        let owner = metadata.owner.as_ref();
        // An earlier release says only from where its windows are kept, and those before it not when. Where a log has a new id,
        // the offset may be one of the log before.
        let kept_from = metadata.base_at.map_or(0, |_| kept_from);
        let from = owner.and_then(|owner| owner.needed_from).unwrap_or(kept_from);
        let said = (from, owner.map_or(never, |owner| owner.at));
        self.needed_from.insert(partition, said);
        Some(said)
    }

    /// Clears the alarms of partitions that are not here.
    fn clear_all_but(&mut self, here: &BTreeSet<u32>) {
        for gone in self.alarmed.extract_if(.., |partition| !here.contains(partition)) {
            self.shared.deps.alarms.clear(AlarmKind::Refusing, &subject(gone));
        }
        for (gone, _) in self.silent.extract_if(.., |partition, _| !here.contains(partition)) {
            self.shared.deps.alarms.clear(AlarmKind::Refusing, &subject_of_silent(gone));
        }
        for gone in self.late.extract_if(.., |partition| !here.contains(partition)) {
            self.shared.deps.alarms.clear(AlarmKind::Clock, &subject_of_late(gone));
        }
    }

    /// Asks for how long the log keeps records, unless that was asked a while ago. What is known stays known if there
    /// is no answer.
    fn ask_retention(&mut self) {
        let now = self.shared.deps.clock.monotonic();
        let is_urgent = !self.alarmed.is_empty() || self.retention.is_none();
        let every = if is_urgent { ASK_AGAIN_EVERY } else { ASK_EVERY };
        if self.asked.is_some_and(|at| now.saturating_sub(at) < every) {
            return;
        }
        self.asked = Some(now);
        match retention::of_log(&self.shared.deps.settings) {
            Ok(retention) => {
                self.retention = Some(retention);
                lock(&self.shared.of_log).retention = retention;
            }
            Err(error) if self.retention.is_none() => tracing::warn!(
                %error,
                "it is not known for how long the log is kept: no alarm says when it deletes what waits"
            ),
            Err(error) => tracing::warn!(%error, "the log does not say whether it is still kept for as long"),
        }
    }

    /// Frames and bytes that a partition reads in a second, over the last minutes. `None` while that is not known.
    #[expect(clippy::cast_precision_loss, reason = "an estimate for people")]
    fn rates(&mut self, partition: u32, progress: &Progress) -> Option<(f64, f64)> {
        let reads = self.read.entry(partition).or_default();
        // A new term counts from zero, and reads again what others have read.
        reads.retain(|read| read.term == progress.term);
        let now = Read {
            at: self.shared.deps.clock.monotonic(),
            frames: progress.frames,
            late: progress.late,
            bytes: progress.bytes,
            before: reads.back().map_or((0, 0), |read| (read.frames, read.late)),
            term: progress.term.clone(),
        };
        reads.push_back(now);
        if reads.len() > RATES_OVER {
            reads.pop_front();
        }
        let (first, last) = (reads.front()?, reads.back()?);
        let seconds = last.at.saturating_sub(first.at).as_secs_f64();
        let rate = |of: fn(&Read) -> u64| of(last).saturating_sub(of(first)) as f64 / seconds;
        (seconds > 0.0).then(|| (rate(|read| read.frames), rate(|read| read.bytes)))
    }

    /// Raises the alarm if too many of the calls that were read over the last minutes came after the end of their day.
    fn look_at_late(&mut self, partition: u32) {
        let reads = self.read.get(&partition);
        let Some((first, last)) = reads.and_then(|reads| reads.front().zip(reads.back())) else { return };
        let (frames_before, late_before) = first.before;
        let (late, frames) =
            (last.late.saturating_sub(late_before), last.frames.saturating_sub(frames_before));
        let (alarms, subject) = (&self.shared.deps.alarms, subject_of_late(partition));
        if late::are_too_many(late, frames) {
            let what = format!(
                "{late} of {frames} calls that were read of partition {partition} over the last minutes came after the end \
                 of their day, and are stored as of the day after: correct the clocks of collectors, or find what \
                 keeps them from writing"
            );
            alarms.raise(AlarmKind::Clock, &subject, what);
            self.late.insert(partition);
        } else if self.late.remove(&partition) {
            alarms.clear(AlarmKind::Clock, &subject);
        }
    }

    /// Raises the alarm if the log of a partition that is delivered has not answered for a while: this process may reach all
    /// brokers but the one that leads it. Returns whether it is so.
    fn look_at_silence(&mut self, partition: u32, answers: bool) -> bool {
        let (alarms, subject) = (&self.shared.deps.alarms, subject_of_silent(partition));
        if answers {
            if self.silent.remove(&partition).is_some() {
                alarms.clear(AlarmKind::Refusing, &subject);
            }
            return false;
        }
        let now = self.shared.deps.clock.monotonic();
        let lasts = now.saturating_sub(*self.silent.entry(partition).or_insert(now));
        if lasts < SILENT_FOR {
            return false;
        }
        let what = format!(
            "the broker that leads partition {partition} has not answered this writer for {}, so what comes in there is not \
             delivered: start that broker, or see that this machine reaches the address that it advertises",
            about_seconds(lasts.as_secs())
        );
        alarms.raise(AlarmKind::Refusing, &subject, what);
        true
    }

    /// Finds out for how long the log keeps the record that is needed first, and raises the alarm if that is too short.
    /// Returns what the log says, with the first offset that is younger than half of the retention. If it does not answer,
    /// what was known before stays.
    fn look(
        &mut self,
        partition: u32,
        place: &Place,
        needed: Needed,
        brokers: Option<BrokersClock>,
    ) -> Option<Times> {
        self.ask_retention();
        // Brokers delete by their clocks.
        let clock = &self.shared.deps.clock;
        let now = brokers.map_or_else(|| clock.wall(), |brokers| brokers.time(clock.monotonic()));
        let half_ago = self.retention.flatten().map(|retention| now.minus(retention / 2));
        let times = match self.times(partition, needed, half_ago) {
            Ok(times) => times,
            Err(error) => {
                tracing::debug!(error, partition, "the log does not say when its records were written");
                return None;
            }
        };
        let left = self.retention.map(|retention| (time_left(times.written_at, now, retention), retention));
        let short = left.and_then(|(left, retention)| left.zip(retention));
        let short = short.filter(|(left, retention)| is_short(*left, *retention));
        {
            let mut seen = lock(&place.seen);
            (seen.end, seen.end_at) = (Some(times.end), brokers.map(|_| now));
            (seen.time_left, seen.is_short) = (left.map(|(left, _)| left), short.is_some());
        }
        let (deps, subject) = (&self.shared.deps, subject(partition));
        match short {
            Some((left, retention)) => {
                let what = format!(
                    "in {} Kafka deletes calls of partition {partition} that are not delivered yet: fix what the other \
                     alarms name, or set retention.ms of {} to {}",
                    about_seconds(left.as_secs()),
                    deps.settings.topic,
                    to_set(left, retention).as_millis()
                );
                deps.alarms.raise(AlarmKind::Refusing, &subject, what);
                self.alarmed.insert(partition);
            }
            None if left.is_some() => {
                deps.alarms.clear(AlarmKind::Refusing, &subject);
                self.alarmed.remove(&partition);
            }
            None => {}
        }
        Some(times)
    }

    fn times(&mut self, partition: u32, needed: Needed, since: Option<UnixMillis>) -> Result<Times, String> {
        let settings = &self.shared.deps.settings;
        let log = match &mut self.log {
            Some(log) => log,
            none => {
                let log = Records::new(settings, &settings.topic, partition, Sees::All);
                none.insert(log.map_err(|error| error.to_string())?)
            }
        };
        log.turn_to(partition);
        retention::look(log, needed, since).map_err(|error| error.to_string())
    }
}
