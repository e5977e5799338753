//! Alarms: faults that stand until they are fixed. Each is an ERROR line when it is raised and once a minute
//! while it stands, a gauge, and an entry in the status. Many of one kind share a line.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;

use crate::lock::lock;
use crate::metrics::{KindLabel, Metrics};
use crate::once_a_minute;
use crate::time::{Clock, UnixMillis};

closed_list! {
    /// The kind of a fault.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    pub enum AlarmKind by slug {
        /// A bucket refuses puts until a person fixes the cause.
        Refused = "refused",
        /// No put to a bucket has succeeded for a minute.
        Unreachable = "unreachable",
        /// Clients are refused because the spool has no space left.
        Refusing = "refusing",
        /// A store applied a different encryption from the one requested.
        Encryption = "encryption",
        /// Another object with a sealed key is in the bucket.
        Conflict = "conflict",
        /// Frames of the spool were lost.
        Damage = "damage",
        /// The wall clock is more than a day before the newest frame.
        Clock = "clock",
        /// The store refuses closed-day markers.
        Closing = "closing",
        /// A hook for closed days fails.
        Hook = "hook",
        /// The two sides of the ledger differ.
        Ledger = "ledger",
        /// A destination's function cannot be used, or has failed for a minute.
        Destination = "destination",
        /// The journal of imports cannot be used.
        Imports = "imports",
        /// An import of a bucket cannot go on until a person fixes the cause.
        BucketImport = "bucket_import",
        /// A changed configuration, or a file that it names, cannot be used: what was in force before stays so.
        Configuration = "configuration",
        /// A task panicked, or the spool has stopped.
        Task = "task",
    }
}

/// A standing alarm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// Its kind.
    pub kind: AlarmKind,
    /// Its subject: a source, a bucket.
    pub subject: String,
    /// What happened and what to do.
    pub what: String,
    /// Since when.
    pub since: UnixMillis,
}

/// Lines a minute about one kind of alarm: raised, repeated and cleared. Further ones are counted in the next
/// line.
pub const LINES_MAX: usize = 3;

/// All standing alarms, as one part of the process raises and clears them: an alarm of several parts stands
/// until each of them has cleared it.
#[derive(Debug)]
pub struct Alarms {
    all: Arc<All>,
    part: Part,
}

/// Number of a part. 0 is the process itself.
type Part = u64;
const PROCESS: Part = 0;

#[derive(Debug)]
struct All {
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    standing: Mutex<Standing>,
    ending: watch::Sender<Option<String>>,
    /// Grows with each alarm that is raised or cleared.
    changes: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Standing {
    alarms: BTreeMap<(AlarmKind, String), Raised>,
    logs: BTreeMap<AlarmKind, Log>,
    /// The parts that have not ended, beside the process itself.
    parts: BTreeSet<Part>,
    /// The last part.
    last: Part,
}

/// What the parts say of an alarm. The first one's text is shown, so that it does not change from check to
/// check.
#[derive(Debug)]
struct Raised {
    by: BTreeMap<Part, String>,
    since: UnixMillis,
}

/// The log state of one kind.
#[derive(Debug)]
struct Log {
    /// The start of the minute in which lines are counted.
    minute: Duration,
    lines: usize,
    /// Alarms that were raised and cleared without a line.
    raised: u64,
    cleared: u64,
}

impl Log {
    /// Whether this minute allows one more line.
    fn takes_line(&mut self) -> bool {
        self.lines += 1;
        self.lines <= LINES_MAX
    }
}

impl Alarms {
    /// No alarms. What is raised here is the process's own.
    pub fn new(clock: Arc<dyn Clock>, metrics: Arc<Metrics>) -> Self {
        // Each gauge exists from the start: an alerting rule on a missing gauge never fires.
        for kind in AlarmKind::ALL {
            metrics.alarm.get_or_create(&KindLabel { kind: kind.slug() }).set(0);
        }
        let all = All {
            clock,
            metrics,
            standing: Mutex::default(),
            ending: watch::Sender::new(None),
            changes: watch::Sender::new(0),
        };
        Self { all: Arc::new(all), part: PROCESS }
    }

    /// The same alarms for a part of the process that may end before the process does.
    pub fn of_part(&self) -> Self {
        let mut standing = lock(&self.all.standing);
        standing.last += 1;
        let part = standing.last;
        standing.parts.insert(part);
        Self { all: Arc::clone(&self.all), part }
    }

    /// Clears what this part has raised. It raises nothing from now on. Does nothing for the process itself.
    pub fn end_part(&self) {
        let mut standing = lock(&self.all.standing);
        if standing.parts.remove(&self.part) {
            for (kind, subject) in standing.subjects_of(self.part, &AlarmKind::ALL) {
                self.all.clear(&mut standing, self.part, kind, &subject);
            }
        }
    }

    /// Raises an alarm, or updates the text of a standing one.
    pub fn raise(&self, kind: AlarmKind, subject: &str, what: String) {
        self.raise_of(kind, subject, what, self.all.clock.monotonic());
    }

    /// As [`Alarms::raise`], of a fault that began before it was one: at monotonic time `began`.
    pub fn raise_of(&self, kind: AlarmKind, subject: &str, what: String, began: Duration) {
        let all = &*self.all;
        let mut standing = lock(&all.standing);
        if self.part != PROCESS && !standing.parts.contains(&self.part) {
            return;
        }
        let key = (kind, subject.to_owned());
        if let Some(old) = standing.alarms.get_mut(&key) {
            old.by.insert(self.part, what);
            return;
        }
        let log = standing.log(kind, all.clock.monotonic());
        if log.takes_line() {
            tracing::error!(kind = kind.slug(), subject, "alarm: {what}");
        } else {
            log.raised += 1;
        }
        let ago = all.clock.monotonic().saturating_sub(began);
        let since = all.clock.wall().minus(ago);
        standing.alarms.insert(key, Raised { by: BTreeMap::from([(self.part, what)]), since });
        all.count(kind, &standing);
    }

    /// Raises an alarm for a task that cannot continue, and asks the process to end: only a restart may help.
    pub fn end_process(&self, subject: &str, what: String) {
        self.all.ending.send_if_modified(|ending| {
            let first = ending.is_none();
            ending.get_or_insert_with(|| format!("{subject}: {what}"));
            first
        });
        self.raise(AlarmKind::Task, subject, what);
    }

    /// The reason why the process must end; `None` while it can continue.
    pub fn ending(&self) -> watch::Receiver<Option<String>> {
        self.all.ending.subscribe()
    }

    /// Clears an alarm if this part has raised it. It stands on while another part has not cleared it.
    pub fn clear(&self, kind: AlarmKind, subject: &str) {
        self.all.clear(&mut lock(&self.all.standing), self.part, kind, subject);
    }

    /// Logs alarms again that have stood for a minute. `now` is monotonic.
    pub fn repeat(&self, now: Duration) {
        let mut standing = lock(&self.all.standing);
        let Standing { alarms, logs, .. } = &mut *standing;
        logs.retain(|kind, log| {
            if now.saturating_sub(log.minute) < once_a_minute::EVERY {
                return true;
            }
            let all: Vec<Alarm> = alarms
                .iter()
                .filter(|((of, _), _)| of == kind)
                .map(|(key, raised)| raised.alarm(key))
                .collect();
            let (raised, cleared) = (std::mem::take(&mut log.raised), std::mem::take(&mut log.cleared));
            (log.minute, log.lines) = (now, all.len().min(LINES_MAX));
            say_again(*kind, &all, (raised, cleared), self.all.clock.wall());
            !all.is_empty()
        });
    }

    /// Changes with each alarm that is raised or cleared.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.all.changes.subscribe()
    }

    /// Every standing alarm, of all parts.
    pub fn standing(&self) -> Vec<Alarm> {
        lock(&self.all.standing).alarms.iter().map(|(key, raised)| raised.alarm(key)).collect()
    }

    /// The subjects of the alarms of some kinds that this part has raised and not cleared.
    pub fn subjects(&self, kinds: &[AlarmKind]) -> Vec<(AlarmKind, String)> {
        lock(&self.all.standing).subjects_of(self.part, kinds)
    }
}

impl All {
    fn clear(&self, standing: &mut Standing, part: Part, kind: AlarmKind, subject: &str) {
        let key = (kind, subject.to_owned());
        let Some(raised) = standing.alarms.get_mut(&key) else { return };
        if raised.by.remove(&part).is_none() || !raised.by.is_empty() {
            return;
        }
        standing.alarms.remove(&key);
        let log = standing.log(kind, self.clock.monotonic());
        if log.takes_line() {
            tracing::info!(kind = kind.slug(), subject, "alarm cleared");
        } else {
            log.cleared += 1;
        }
        self.count(kind, standing);
    }

    /// Shows that an alarm of this kind was raised or cleared.
    fn count(&self, kind: AlarmKind, standing: &Standing) {
        let stands = standing.alarms.keys().any(|(of, _)| *of == kind);
        self.metrics.alarm.get_or_create(&KindLabel { kind: kind.slug() }).set(i64::from(stands));
        self.changes.send_modify(|changes| *changes = changes.wrapping_add(1));
    }
}

impl Standing {
    fn log(&mut self, kind: AlarmKind, now: Duration) -> &mut Log {
        self.logs.entry(kind).or_insert(Log { minute: now, lines: 0, raised: 0, cleared: 0 })
    }

    fn subjects_of(&self, part: Part, kinds: &[AlarmKind]) -> Vec<(AlarmKind, String)> {
        let of_part = |(key, raised): &(&(AlarmKind, String), &Raised)| {
            kinds.contains(&key.0) && raised.by.contains_key(&part)
        };
        self.alarms.iter().filter(of_part).map(|(key, _)| key.clone()).collect()
    }
}

impl Raised {
    fn alarm(&self, (kind, subject): &(AlarmKind, String)) -> Alarm {
        let what = self.by.values().next().cloned().unwrap_or_default();
        Alarm { kind: *kind, subject: subject.clone(), what, since: self.since }
    }
}

/// Writes the lines of one kind after a minute: one for each alarm, or one for all of them.
fn say_again(kind: AlarmKind, all: &[Alarm], (raised, cleared): (u64, u64), now: UnixMillis) {
    let kind = kind.slug();
    match all {
        [first, .., _] if all.len() > LINES_MAX => tracing::error!(
            kind,
            standing = all.len(),
            raised,
            cleared,
            "several alarms are still active, the first about {}: {}",
            first.subject,
            first.what
        ),
        few => {
            for alarm in few {
                let seconds = now.since(alarm.since).as_secs();
                tracing::error!(kind, subject = alarm.subject, seconds, "alarm still active: {}", alarm.what);
            }
            if raised + cleared > 0 {
                tracing::info!(kind, raised, cleared, "more alarms were raised and cleared");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[derive(Debug, Default)]
    struct StepClock(AtomicU64);

    impl Clock for StepClock {
        fn wall(&self) -> UnixMillis {
            UnixMillis(0).plus(self.monotonic())
        }
        fn monotonic(&self) -> Duration {
            Duration::from_secs(self.0.load(Ordering::Relaxed))
        }
    }

    #[derive(Clone, Debug, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The lines that `story` logs.
    fn logged(story: impl FnOnce(&StepClock, &Alarms)) -> Vec<String> {
        let (lines, clock) = (Lines::default(), Arc::new(StepClock::default()));
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .without_time()
            .with_ansi(false)
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            story(&clock, &Alarms::new(Arc::<StepClock>::clone(&clock), Arc::new(Metrics::new())));
        });
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// An hour in which something happens every second.
    fn hour(clock: &StepClock, alarms: &Alarms, mut each_second: impl FnMut(u64)) {
        for second in 0..3_600 {
            clock.0.store(second, Ordering::Relaxed);
            each_second(second);
            alarms.repeat(clock.monotonic());
        }
    }

    #[test]
    fn a_standing_alarm_is_a_line_a_minute() {
        let lines = logged(|clock, alarms| {
            hour(clock, alarms, |_| alarms.raise(AlarmKind::Refused, "lake", "403".to_owned()));
        });
        assert_eq!(lines.len(), 60, "{:#?}", &lines[..3]);
        assert!(lines[0].contains("alarm: 403 kind=\"refused\" subject=\"lake\""), "{}", lines[0]);
        assert!(
            lines[1].contains("alarm still active: 403") && lines[1].contains("seconds=60"),
            "{}",
            lines[1]
        );
    }

    #[test]
    fn a_thousand_alarms_of_one_kind_share_a_line() {
        let lines = logged(|clock, alarms| {
            hour(clock, alarms, |_| {
                for source in 0..1_000 {
                    alarms.raise(AlarmKind::Refused, &format!("s{source}"), "403".to_owned());
                }
            });
        });
        assert_eq!(lines.len(), LINES_MAX + 59, "{:#?}", &lines[..5]);
        assert!(lines[LINES_MAX].contains("standing=1000 raised=997"), "{}", lines[LINES_MAX]);
    }

    #[test]
    fn alarms_that_come_and_go_are_counted_but_not_logged_each_time() {
        let lines = logged(|clock, alarms| {
            hour(clock, alarms, |second| match second % 2 {
                0 => alarms.raise(AlarmKind::Refused, "lake", "403".to_owned()),
                _ => alarms.clear(AlarmKind::Refused, "lake"),
            });
        });
        assert!(lines.len() <= 60 * (LINES_MAX + 1), "{} lines", lines.len());
        let raised = lines.iter().filter(|line| line.contains("alarm: 403")).count();
        let said = |what: &str| -> usize {
            let counts = lines.iter().filter_map(|line| line.split_once(what)?.1.split(' ').next());
            counts.map(|count| count.parse::<usize>().unwrap()).sum()
        };
        assert!(raised + said("raised=") >= 1_700, "all but those of the last minute must be reported");
    }

    #[test]
    fn a_cleared_alarm_is_not_logged_again() {
        let lines = logged(|clock, alarms| {
            alarms.raise(AlarmKind::Refused, "lake", "403".to_owned());
            alarms.clear(AlarmKind::Refused, "lake");
            hour(clock, alarms, |_| ());
            assert!(alarms.standing().is_empty());
        });
        assert_eq!(lines.len(), 2, "{lines:#?}");
    }

    #[test]
    fn an_alarm_of_several_parts_stands_until_each_has_cleared_it_or_ended() {
        let metrics = Arc::new(Metrics::new());
        let process = Alarms::new(Arc::new(StepClock::default()), Arc::clone(&metrics));
        let (one, other) = (process.of_part(), process.of_part());
        let check = |expected: &[&str]| {
            let standing: Vec<String> = process.standing().into_iter().map(|alarm| alarm.what).collect();
            assert_eq!(standing, expected);
            let gauge = metrics.alarm.get_or_create(&KindLabel { kind: "refused" }).get();
            assert_eq!(gauge, i64::from(!expected.is_empty()));
        };
        one.raise(AlarmKind::Refused, "lake", "one".to_owned());
        other.raise(AlarmKind::Refused, "lake", "other".to_owned());
        other.raise(AlarmKind::Refused, "pond", "pond".to_owned());
        check(&["one", "pond"]);
        assert_eq!(one.subjects(&[AlarmKind::Refused]).len(), 1, "what the other raised is not its own");
        one.clear(AlarmKind::Refused, "pond");
        check(&["one", "pond"]);
        one.clear(AlarmKind::Refused, "lake");
        check(&["other", "pond"]);
        one.raise(AlarmKind::Refused, "lake", "one".to_owned());
        other.end_part();
        check(&["one"]);
        other.raise(AlarmKind::Refused, "pond", "late".to_owned());
        check(&["one"]);
        process.end_part();
        check(&["one"]);
        one.end_part();
        check(&[]);
    }
}
