//! Shows what logs have: the sources with calls in them, their days, and where the calls of a receipt are. The same
//! for a spool and for partitions of a log.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use super::ledger_view;
use super::logs::{NodeBatch, NodeLog, NodeLogs};
use crate::admin::{
    self, AdminError, BatchStatus, Days, FlushOutcome, PositionsStatus, ReceiptState, ReceiptStatus, Refused,
    SourceStatus, Totals, UnclosedDay,
};
use crate::alarms::{Alarm, AlarmKind, Alarms};
use crate::call::RejectReason;
use crate::live::LiveView;
use crate::log::{AccountKey, LOCATION_FULL, Located, PendingSeal, Report, Row, SPOOL_FULL, Standing};
use crate::metrics::{Metrics, ReasonLabel, SourceLabel, count};
use crate::object::Stream;
use crate::receipt::Receipt;
use crate::sources::SourceId;
use crate::time::UnixMillis;
use crate::words::date;

/// The reasons for refusing requests because of a lack of space.
pub(super) const REFUSED: [&str; 2] = [SPOOL_FULL, LOCATION_FULL];
/// The most open batches of a source that are shown.
const BATCHES_SHOWN_MAX: usize = 50;

/// Logs, and what is known beside them.
#[derive(Clone, Copy)]
pub(super) struct LogsView<'v> {
    pub(super) logs: &'v NodeLogs,
    pub(super) metrics: &'v Metrics,
    pub(super) alarms: &'v Alarms,
    /// What arrived lately.
    pub(super) live: &'v LiveView,
}

/// What waits in the logs, computed once for all sources: there may be ten thousand.
pub(super) struct Waiting<'v> {
    rows: BTreeMap<AccountKey, Row>,
    undelivered: BTreeMap<SourceId, (u64, UnixMillis)>,
    open: BTreeMap<SourceId, Vec<NodeBatch<'v>>>,
    /// Open batches of all sources.
    pub(super) open_batches: u64,
    /// Sealed objects of all sources.
    pub(super) sealed_objects: u64,
}

impl<'v> LogsView<'v> {
    /// What waits, with the accounts of a report of all totals.
    pub(super) fn waiting(&self, report: Report) -> Waiting<'v> {
        let (mut open_batches, mut open) = (0, BTreeMap::<SourceId, Vec<NodeBatch<'v>>>::new());
        let undelivered = self.logs.undelivered();
        for batch in self.logs.open_batches() {
            open_batches += 1;
            open.entry(batch.0.key.source.clone()).or_default().push(batch);
        }
        let mut sealed_objects = 0;
        self.logs.each_pending_seal(&mut |_, _| sealed_objects += 1);
        let rows = report.accounts.into_iter().map(|of| (of.account, of.total)).collect();
        Waiting { rows, undelivered, open, open_batches, sealed_objects }
    }

    /// Calls received from a source.
    pub(super) fn received(&self, source: &str) -> u64 {
        count(&self.metrics.received, &SourceLabel { source: source.to_owned() })
    }

    /// The totals of a source, or of the removed sources.
    pub(super) fn totals(&self, source: &str) -> Totals {
        let label = SourceLabel { source: source.to_string() };
        let rejected = |reason: RejectReason| {
            let label = ReasonLabel { source: source.to_string(), reason: reason.slug() };
            count(&self.metrics.rejected, &label)
        };
        Totals {
            received: self.received(source),
            stored: count(&self.metrics.stored, &label),
            repeated: count(&self.metrics.repeated, &label),
            rejected: RejectReason::ALL.into_iter().map(rejected).sum(),
            delivered: count(&self.metrics.delivered, &label),
        }
    }

    /// A source. `refused`: why its calls are refused, if they are.
    pub(super) fn source(
        &self,
        id: &SourceId,
        waiting: &Waiting<'_>,
        refused: Option<Refused>,
        now: UnixMillis,
    ) -> SourceStatus {
        let rows = &waiting.rows;
        let open = waiting.open.get(id).map(Vec::as_slice).unwrap_or_default();
        let undelivered = waiting.undelivered.get(id);
        let of_calls = AccountKey::of_calls(id.clone());
        let progress = self.logs.progress(id);
        let (pending, oldest) = (undelivered.map_or(0, |(calls, _)| *calls), undelivered.map(|(_, at)| *at));
        let to = self.logs.current_location(id);
        let seen = self.live.seen(id);
        let requests = |reason| count(&self.metrics.refused, &ReasonLabel { source: id.to_string(), reason });
        SourceStatus {
            last_received_ms: seen.as_ref().and_then(|seen| seen.last_received()).map(|at| at.0),
            libraries: seen.iter().flat_map(|seen| seen.libraries()).collect(),
            batches: open.iter().take(BATCHES_SHOWN_MAX).map(batch_status).collect(),
            id: id.to_string(),
            bucket: to.as_ref().map_or_else(String::new, |to| to.bucket.to_string()),
            encryption: to.as_ref().map_or_else(String::new, |to| to.encryption.to_string()),
            role: to.and_then(|to| to.role).map(|role| role.arn.to_string()),
            totals: self.totals(id.as_str()),
            ledger: ledger_view::counts(rows.get(&of_calls).unwrap_or(&Row::default())),
            streams: rows
                .range((Bound::Excluded(&of_calls), Bound::Unbounded))
                .take_while(|(account, _)| account.source == *id)
                .map(|(account, row)| admin::StreamStatus {
                    stream: account.stream().to_string(),
                    ledger: ledger_view::counts(row),
                })
                .collect(),
            pending_calls: pending,
            oldest_undelivered_seconds: oldest.map(|at| now.since(at).as_secs()),
            last_object: progress.last_object.map(|object| admin::LastObject {
                key: object.key.to_string(),
                delivered_at_ms: object.delivered_at.0,
                bytes: object.bytes,
                calls: object.calls,
                encryption: object.encryption.map(Into::into),
            }),
            refused,
            requests_refused: REFUSED.map(requests).into_iter().sum(),
            waiting: progress.waiting.as_ref().map(|_| self.waits_for(id).to_owned()),
            last_error: progress.waiting,
            last_error_since_ms: progress.waiting_since.map(|at| at.0),
        }
    }

    /// What a source waits for after a failed attempt.
    fn waits_for(&self, id: &SourceId) -> &'static str {
        let conflict = |alarm: &Alarm| alarm.kind == AlarmKind::Conflict && alarm.subject == id.as_str();
        if self.alarms.standing().iter().any(conflict) {
            "a decision: see the alarm"
        } else {
            "the next attempt"
        }
    }
}

impl NodeLogs {
    /// The days that are not closed, of one source or of all.
    pub(super) fn days_shown(&self, source: Option<&SourceId>) -> Days {
        let (mut waiting, days) = (self.waiting_to_close(), self.days());
        let (over, unclosed) = (days.over, days.unclosed.into_iter());
        let wanted = unclosed.filter(|((_, id), _)| source.is_none_or(|source| source == id));
        let days = wanted.map(|((day, id), stage)| UnclosedDay {
            day: day.start().0,
            date: date(day),
            stage: stage.slug().to_owned(),
            source: id.to_string(),
            why: waiting.remove(&(day, id)),
        });
        Days { over_through: over.map(|day| day.start().0), unclosed: days.collect(), kafka: None }
    }

    /// Flushes a source or all, and waits as [`NodeLogs::flush`] does.
    pub(super) async fn flush_shown(&self, source: Option<&SourceId>, wait: Duration) -> FlushOutcome {
        let flushed = self.flush(source, wait).await;
        FlushOutcome { sealed: flushed.sealed, delivered: flushed.delivered, pending: flushed.pending }
    }

    /// Where the positions of a receipt are. `other` is the id that is shown if it is of no log.
    /// Errors: [`AdminError`]: the log could not be read.
    pub(super) async fn receipt_shown(
        &self,
        receipt: Receipt,
        other: impl FnOnce() -> String,
    ) -> Result<ReceiptStatus, AdminError> {
        let bucket = self.current_location(&receipt.source).map(|to| to.bucket.to_string());
        let Some(of) = self.of_receipt(&receipt) else {
            return Ok(ReceiptStatus { spool_id: other(), bucket, ..ReceiptStatus::default() });
        };
        let (log, spool_id, source) = (Arc::clone(&of.log), of.log.spool_id(), receipt.source.clone());
        let located = tokio::task::spawn_blocking(move || log.locate(&receipt)).await;
        let located = located.map_err(|error| AdminError::Unread(error.to_string()))?;
        let located = located.map_err(|error| AdminError::Unread(error.to_string()))?;
        let waiting = of.delivery.progress().of(&source).waiting;
        let positions = located.into_iter().map(|located| positions(of, located, waiting.as_ref()));
        let positions = positions.collect();
        Ok(ReceiptStatus { spool_id, bucket, positions, ..ReceiptStatus::default() })
    }
}

/// Alarms that stand, as a status shows them.
pub(super) fn alarms_shown(standing: Vec<Alarm>) -> Vec<admin::Alarm> {
    let shown = |alarm: Alarm| admin::Alarm {
        kind: alarm.kind.slug().to_owned(),
        what: format!("{}: {}", alarm.subject, alarm.what),
        subject: alarm.subject,
        since_ms: alarm.since.0,
    };
    standing.into_iter().map(shown).collect()
}

/// The sum of the totals of sources.
pub(super) fn sum_of_totals<'t>(totals: impl Iterator<Item = &'t Totals> + Clone) -> Totals {
    let sum = |of: fn(&Totals) -> u64| totals.clone().map(of).sum();
    Totals {
        received: sum(|totals| totals.received),
        stored: sum(|totals| totals.stored),
        repeated: sum(|totals| totals.repeated),
        rejected: sum(|totals| totals.rejected),
        delivered: sum(|totals| totals.delivered),
    }
}

/// The state of positions, for a receipt of a log. `waiting`: the reason why the source's objects wait.
fn positions(of: &NodeLog, located: Located, waiting: Option<&String>) -> PositionsStatus {
    let Located { first, last, reason, standing } = located;
    let status = PositionsStatus { first, last, reason, ..PositionsStatus::default() };
    let stream = |stream: &Stream| Some(stream.to_string());
    match standing {
        Standing::Open(batch) => PositionsStatus {
            state: ReceiptState::Pending,
            stream: stream(&batch.key.stream),
            since_ms: Some(batch.first_received_at.0),
            batch_lines: Some(batch.frames),
            due_ms: Some(of.delivery.due_at(&batch).0),
            waiting: waiting.cloned(),
            ..status
        },
        Standing::Sealed(seals) => {
            let any = |is: fn(&PendingSeal) -> bool| seals.iter().any(is);
            let state = if any(|pending| pending.conflict) {
                ReceiptState::Conflict
            } else if any(|pending| pending.parked.is_some()) {
                ReceiptState::Parked
            } else {
                ReceiptState::Sealed
            };
            let object = |pending: &PendingSeal| {
                let seal = &pending.seal;
                format!("{}/{}", seal.location.bucket.bucket(), pending.object_key())
            };
            let only = if let [one] = &seals[..] { stream(&one.seal.batch.stream) } else { None };
            PositionsStatus {
                state,
                stream: only,
                objects: seals.iter().map(object).collect(),
                waiting: waiting.cloned(),
                ..status
            }
        }
        Standing::Lost => PositionsStatus { state: ReceiptState::Lost, ..status },
        Standing::NotGiven => PositionsStatus { state: ReceiptState::NotGiven, ..status },
        Standing::NotHere => PositionsStatus { state: ReceiptState::NotHere, ..status },
    }
}

fn batch_status((batch, delivery): &NodeBatch<'_>) -> BatchStatus {
    BatchStatus {
        stream: batch.key.stream.to_string(),
        day_ms: batch.key.day.start().0,
        calls: batch.frames,
        bytes: batch.bytes,
        object_bytes_estimate: delivery.object_bytes(batch),
        first_received_at_ms: batch.first_received_at.0,
        due_at_ms: delivery.due_at(batch).0,
    }
}
