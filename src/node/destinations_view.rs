//! Shows destinations on the admin listener.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::view::NodeView;
use crate::admin::{
    AllDestinations, AskedAttempts, Attempt, Attempts, ClassCount, DestinationError, DestinationStatus,
    DestinationsView, FailureStatus, FunctionStatus,
};
use crate::boxed_future::BoxFuture;
use crate::destinations::class::Class;
use crate::destinations::positions::{lost_calls, remedy};
use crate::destinations::progress::Progress;
use crate::destinations::records::Record;
use crate::destinations::runner::{CommandError, Shown};
use crate::destinations::settings::DestinationSettings;
use crate::live::Mode;
use crate::lock::lock;
use crate::log::Rows;
use crate::object::Stream;
use crate::sources::SourceId;
use crate::words::Told;

impl DestinationsView for NodeView {
    fn destinations(&self) -> AllDestinations {
        let Some(destinations) = self.destinations.get() else { return AllDestinations::default() };
        let shown = destinations.shown();
        // The ledger has a row for each source, of which there may be ten thousand.
        let letters = if shown.is_empty() { BTreeMap::new() } else { self.dead_letters() };
        let stored = |name| letters.get(name).copied().unwrap_or_default();
        AllDestinations {
            destinations: shown.iter().map(|(name, one)| self.destination(name, one, stored(name))).collect(),
            held_bytes: self.follow.held_bytes(),
        }
    }

    fn attempts(&self, asked: &AskedAttempts) -> Result<Attempts, DestinationError> {
        let unknown = || DestinationError::Unknown(asked.name.to_string());
        let shown = self.destinations.get().map(|destinations| destinations.shown());
        let one = shown.and_then(|mut shown| shown.remove(&asked.name)).ok_or_else(unknown)?;
        let class = asked.class.as_deref().map(Class::of_slug);
        let masked = self.live.mode() != Mode::Full;
        let records = lock(&one.records).last(class, asked.limit);
        Ok(Attempts { attempts: records.into_iter().map(|record| attempt(record, masked)).collect(), masked })
    }

    fn discard(&self, name: SourceId) -> BoxFuture<'_, Result<(), DestinationError>> {
        Box::pin(async move {
            let unknown = || DestinationError::Unknown(name.to_string());
            let destinations = self.destinations.get().ok_or_else(unknown)?;
            destinations.discard(name.clone()).await.map_err(|error| match error {
                CommandError::Unknown(_) => unknown(),
                CommandError::Configured(_) => DestinationError::Configured(error.to_string()),
                CommandError::TooManyChanges(_) | CommandError::Io(_) | CommandError::Ending => {
                    DestinationError::Failed(error.to_string())
                }
            })
        })
    }
}

impl NodeView {
    /// The number of dead letters of each destination, from the ledger.
    fn dead_letters(&self) -> BTreeMap<SourceId, u64> {
        let report = self.logs.ledger(Rows::Totals);
        let mut all = report.removed;
        report.accounts.iter().for_each(|of| all.add(&of.account, &of.total));
        all.dead.into_iter().map(|(destination, row)| (destination, row.stored)).collect()
    }

    /// The sources that have dead letters of each destination, from the ledger. Sources that were forgotten
    /// have no bucket any more.
    pub(super) fn dead_letters_by_source(&self) -> BTreeMap<String, Vec<SourceId>> {
        let mut sources: BTreeMap<String, Vec<SourceId>> = BTreeMap::new();
        for of in self.logs.ledger(Rows::Totals).accounts {
            if let Stream::Dead(destination) = of.account.stream()
                && of.total.stored > 0
            {
                sources.entry(destination.to_string()).or_default().push(of.account.source.clone());
            }
        }
        sources
    }

    fn destination(&self, name: &SourceId, shown: &Shown, dead_stored: u64) -> DestinationStatus {
        let (mut failed, mut dead, mut succeeded) = (BTreeMap::new(), BTreeMap::new(), 0);
        for progress in shown.lanes.values() {
            let seen = progress.seen();
            succeeded += seen.succeeded();
            for (class, count) in seen.failed() {
                *failed.entry(class).or_default() += count;
            }
            for (class, count) in &seen.dead {
                *dead.entry(*class).or_default() += count;
            }
        }
        let settings = shown.settings.as_ref();
        let functions = shown.lanes.iter();
        DestinationStatus {
            name: name.to_string(),
            kind: settings.map_or("", |settings| settings.functions_at.kind()).to_owned(),
            config: self.config_file.get().map(|path| path.display().to_string()),
            removed: shown.removed,
            succeeded,
            failed: counts(&failed),
            dead: counts(&dead),
            dead_stored,
            functions: functions
                .map(|(function, progress)| self.function(function, progress, settings))
                .collect(),
            ..DestinationStatus::default()
        }
    }

    fn function(
        &self,
        function: &str,
        progress: &Arc<Progress>,
        settings: Option<&DestinationSettings>,
    ) -> FunctionStatus {
        let types = settings.map(|settings| {
            let of_it = settings.selection.functions.iter().filter(|(_, arn)| *arn == function);
            of_it.map(|(kind, _)| kind.clone()).collect()
        });
        let (wall, now) = (self.clock.wall(), self.clock.monotonic());
        let wall_of = |at| wall.minus(now.saturating_sub(at)).0;
        let seen = progress.seen();
        let failing = seen.failing.as_ref().map(|failure| {
            let (since, masked) = (seen.failing_since.map(wall_of), self.live.mode() != Mode::Full);
            failure_status(function, (failure.class, &failure.what), since, masked)
        });
        let unread = seen.unread_lines(self.follow.durable_through());
        FunctionStatus {
            function: function.to_owned(),
            types: types.unwrap_or_default(),
            behind: seen.waiting_calls().saturating_add(unread),
            waiting: seen.waiting_calls(),
            unread,
            queued_bytes: seen.queued,
            oldest_ms: seen.oldest.map(|at| at.0),
            in_flight: seen.in_flight as u64,
            open_since_ms: seen.circuit.map(|(_, since)| wall_of(since)),
            failing,
            lost: lost_calls(&seen.lost),
        }
    }
}

fn failure_status(
    function: &str,
    (class, what): (Class, &Told),
    since_ms: Option<i64>,
    masked: bool,
) -> FailureStatus {
    FailureStatus {
        class: class.slug().to_owned(),
        shown: class.to_string(),
        what: what.shown(!masked).to_owned(),
        remedy: remedy(function, class).to_owned(),
        since_ms,
    }
}

fn attempt(record: Record, masked: bool) -> Attempt {
    let id =
        |id: Option<Told>| id.filter(|id| !masked || id.full() == id.masked()).map(|id| id.full().to_owned());
    Attempt {
        at_ms: record.at.0,
        function: record.function.to_string(),
        source: record.source.to_string(),
        kind: record.kind,
        message_id: record.message_id,
        attempt: record.attempt,
        millis: record.millis,
        failed: record
            .failed
            .map(|(class, what)| failure_status(&record.function, (class, &what), None, masked)),
        request_id: id(record.request_id),
        version: id(record.version),
        log_tail: record.log_tail.filter(|_| !masked),
    }
}

fn counts(by_class: &BTreeMap<Class, u64>) -> Vec<ClassCount> {
    let count = |(class, count): (&Class, &u64)| ClassCount {
        class: class.slug().to_owned(),
        shown: class.to_string(),
        count: *count,
    };
    by_class.iter().map(count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::UnixMillis;

    const SECRET: &str = "jane@example.com";

    #[test]
    fn what_a_function_says_is_hidden_unless_everything_is_shown() {
        let shown = |said: fn(&str) -> Told, masked: bool| {
            let record = Record {
                at: UnixMillis(0),
                function: "f".into(),
                source: SourceId::new("web").unwrap(),
                kind: "track".to_owned(),
                message_id: "m".to_owned(),
                attempt: 1,
                millis: 5,
                failed: Some((Class::ExecutionError, Told::plain("503: ").and(&said(SECRET)))),
                request_id: Some(said(SECRET)),
                version: Some(said(SECRET)),
                log_tail: Some(SECRET.to_owned()),
            };
            attempt(record, masked)
        };
        let masked = shown(|text| Told::private(text), true);
        assert!(!serde_json::to_string(&masked).unwrap().contains(SECRET), "{masked:?}");
        assert_eq!(masked.failed.unwrap().what, "503: [hidden]");
        let full = shown(|text| Told::private(text), false);
        assert_eq!(serde_json::to_string(&full).unwrap().matches(SECRET).count(), 4, "{full:?}");
        let known = shown(|text| Told::plain(text), true);
        assert_eq!((known.request_id.as_deref(), known.log_tail), (Some(SECRET), None));
    }
}
