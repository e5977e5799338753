//! Alarms: what stands wrong until it is mended. Each is an ERROR line when it is raised, a gauge while it stands, and an
//! entry in the status.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::metrics::{KindLabel, Metrics};
use crate::time::{Clock, UnixMillis};

/// What kind of thing is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AlarmKind {
    /// A destination refuses puts until somebody changes something.
    Refused,
    /// No put has got through to a destination for minutes.
    Unreachable,
    /// A store applied another encryption than it was asked for.
    Encryption,
    /// Another object with a sealed key is in the bucket.
    Conflict,
    /// Frames of the spool were lost.
    Damage,
    /// The wall clock is more than a day behind the newest frame.
    Clock,
    /// Markers of closed days are not taken.
    Closing,
    /// Whoever is to be told of closed days does not hear.
    Hook,
    /// The two sides of the ledger do not meet.
    Ledger,
    /// A task died by a panic, or the spool has stopped.
    Task,
}

impl AlarmKind {
    /// All there are.
    pub const ALL: [Self; 10] = [
        Self::Refused,
        Self::Unreachable,
        Self::Encryption,
        Self::Conflict,
        Self::Damage,
        Self::Clock,
        Self::Closing,
        Self::Hook,
        Self::Ledger,
        Self::Task,
    ];

    /// The label's value.
    pub fn slug(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::Encryption => "encryption",
            Self::Conflict => "conflict",
            Self::Damage => "damage",
            Self::Clock => "clock",
            Self::Closing => "closing",
            Self::Hook => "hook",
            Self::Ledger => "ledger",
            Self::Task => "task",
        }
    }
}

/// A standing alarm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// What kind.
    pub kind: AlarmKind,
    /// What it is about: a source, a bucket.
    pub subject: String,
    /// What happened and what to do.
    pub what: String,
    /// Since when.
    pub since: UnixMillis,
}

/// All standing alarms.
#[derive(Debug)]
pub struct Alarms {
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    standing: Mutex<BTreeMap<(AlarmKind, String), Alarm>>,
    ending: watch::Sender<Option<String>>,
}

impl Alarms {
    /// None stands.
    pub fn new(clock: Arc<dyn Clock>, metrics: Arc<Metrics>) -> Self {
        // Each gauge is there from the start: a rule on one that is missing is never met.
        for kind in AlarmKind::ALL {
            metrics.alarm.get_or_create(&KindLabel { kind: kind.slug() }).set(0);
        }
        Self { clock, metrics, standing: Mutex::default(), ending: watch::Sender::new(None) }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(AlarmKind, String), Alarm>> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Raises an alarm, or renews what a standing one says.
    pub fn raise(&self, kind: AlarmKind, subject: &str, what: String) {
        let mut standing = self.lock();
        let new = Alarm { kind, subject: subject.to_owned(), what, since: self.clock.wall() };
        match standing.get_mut(&(kind, subject.to_owned())) {
            Some(old) => old.what = new.what,
            None => {
                tracing::error!(kind = kind.slug(), subject, "alarm: {}", new.what);
                standing.insert((kind, subject.to_owned()), new);
            }
        }
        self.count(kind, &standing);
    }

    /// Raises an alarm for a task that cannot go on, and asks for the end of the process: only a restart may help.
    pub fn end_process(&self, subject: &str, what: String) {
        self.ending.send_if_modified(|ending| {
            let first = ending.is_none();
            ending.get_or_insert_with(|| format!("{subject}: {what}"));
            first
        });
        self.raise(AlarmKind::Task, subject, what);
    }

    /// Why the process must end, once it must.
    pub fn ending(&self) -> watch::Receiver<Option<String>> {
        self.ending.subscribe()
    }

    /// Takes an alarm back, if it stands.
    pub fn clear(&self, kind: AlarmKind, subject: &str) {
        let mut standing = self.lock();
        if standing.remove(&(kind, subject.to_owned())).is_some() {
            tracing::info!(kind = kind.slug(), subject, "alarm cleared");
        }
        self.count(kind, &standing);
    }

    fn count(&self, kind: AlarmKind, standing: &BTreeMap<(AlarmKind, String), Alarm>) {
        let stands = standing.keys().any(|(of, _)| *of == kind);
        self.metrics.alarm.get_or_create(&KindLabel { kind: kind.slug() }).set(i64::from(stands));
    }

    /// Every standing alarm.
    pub fn standing(&self) -> Vec<Alarm> {
        self.lock().values().cloned().collect()
    }
}
