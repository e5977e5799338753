//! The report on the positions of a receipt, and its text for people.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::admin::{PositionsStatus, ReceiptState, ReceiptStatus};
use crate::archive::finding::shown;
use crate::archive::{Archive, ArchiveError, BucketFinding, HeldBy, Lookup};
use crate::object::{BucketString, Stream};
use crate::receipt::Receipt;
use crate::time::UnixMillis;
use crate::words::{counted, date, outside_key, outside_text, rfc3339};

/// The most findings per object that are reported.
const FINDINGS_MAX: usize = 10;

/// All results.
#[derive(Clone, Debug, serde::Serialize)]
pub struct ReceiptReport {
    /// The receipt.
    #[serde(serialize_with = "as_text")]
    pub receipt: Receipt,
    /// Why the collector's state is unknown; calls that are not yet delivered are then not found.
    pub collector_unknown: Option<String>,
    /// The bucket that was searched, if that was necessary.
    pub bucket: Option<String>,
    /// All positions, in order. Adjacent ones with the same state are combined, unless they are in an object.
    pub positions: Vec<Positions>,
    /// Objects that may contain positions but cannot be read, with the reasons.
    pub unreadable: Vec<Unreadable>,
    /// What is wrong with the objects that were read.
    pub damaged: Vec<BucketFinding>,
}

/// Adjacent positions with the same state.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Positions {
    /// The first position.
    pub first: u64,
    /// The last position.
    pub last: u64,
    /// The state of these positions.
    #[serde(flatten)]
    pub state: State,
}

/// The state of positions.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// In a line of an object that is in the bucket.
    Delivered(Line),
    /// In a line of an object of the rejected stream.
    Rejected(Line),
    /// In the collector, which has not delivered it yet.
    OnItsWay {
        /// The collector's answer.
        collector: PositionsStatus,
    },
    /// Not found anywhere.
    NotFound {
        /// What is known about the position.
        why: &'static str,
    },
}

/// A line of an object.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Line {
    /// The object's key.
    pub key: String,
    /// The line's number, from 1.
    pub line: u64,
    /// `receivedAt`, as in the line, like the members that follow.
    #[serde(rename = "receivedAt")]
    pub received_at: String,
    /// `type`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// `messageId`.
    #[serde(rename = "messageId", skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// Why the item was rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// An object that cannot be read.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Unreadable {
    /// The object's key.
    pub key: String,
    /// Why the object cannot be read.
    pub why: String,
}

fn as_text<S: serde::Serializer>(receipt: &Receipt, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(receipt)
}

const DELIVERED_OR_NEVER: &str = "neither in the spool nor in an object of this day in the bucket";
const REPEAT_OR_GONE: &str = "in no object of this day or the next: it repeats a call that was sent before, since repeats have positions \
     of their own in a log over Kafka, or its object was removed";
const NEVER: &str = "the spool has not reached this position yet";
const LOST: &str = "it was damaged in the spool and can no longer be read: `forebay spool verify SPOOL` says \
     more, with the collector stopped";
const CANNOT_SAY: &str =
    "in no object of this day in the bucket; whether a collector still holds it is unknown";

impl ReceiptReport {
    /// A report with the collector's answer: what it has, or why that is unknown.
    pub fn new(receipt: Receipt, answer: Result<ReceiptStatus, String>) -> Self {
        let (positions, collector_unknown) = match answer {
            Ok(ReceiptStatus { positions, repeats_have_positions, .. }) => {
                let not_here = if repeats_have_positions { REPEAT_OR_GONE } else { DELIVERED_OR_NEVER };
                (positions.into_iter().map(|status| positions_of(status, not_here)).collect(), None)
            }
            Err(why) => {
                let state = State::NotFound { why: CANNOT_SAY };
                (vec![Positions { first: receipt.first, last: receipt.last, state }], Some(why))
            }
        };
        let (unreadable, damaged) = (Vec::new(), Vec::new());
        Self { receipt, collector_unknown, bucket: None, positions, unreadable, damaged }
    }

    /// A report with what the collector at this URL answers, if that is the one which issued the receipt, and the bucket
    /// that it reports.
    pub fn of_answer(
        receipt: Receipt,
        url: &str,
        answer: Result<ReceiptStatus, String>,
    ) -> (Self, Option<String>) {
        let bucket = answer.as_ref().ok().and_then(|status| status.bucket.clone());
        let answer = answer.and_then(|status| match status.spool_id.as_str() {
            id if id == receipt.spool_id => Ok(status),
            "" => Err(format!(
                "the process at {url} does not have the partition of the receipt: query the writers of the log, one after the \
                 other (--admin)"
            )),
            _ => Err(format!(
                "the collector at {url} has another spool: query the one that issued the receipt (--admin)"
            )),
        });
        (Self::new(receipt, answer), bucket)
    }

    /// What to do about damage, if there is any.
    pub fn damage(&self) -> Option<String> {
        (!self.damaged.is_empty()).then(|| {
            format!(
                "an object is damaged: run `forebay verify {} --deep` for details",
                self.bucket.as_deref().unwrap_or("BUCKET")
            )
        })
    }

    /// The positions of the receipt that may be in the bucket.
    pub fn unanswered(&self) -> Option<Receipt> {
        let open = |positions: &&Positions| matches!(positions.state, State::NotFound { why } if [DELIVERED_OR_NEVER, REPEAT_OR_GONE, CANNOT_SAY, LOST].contains(&why));
        let first = self.positions.iter().find(open)?.first;
        let last = self.positions.iter().rev().find(open)?.last;
        Some(Receipt { first, last, ..self.receipt.clone() })
    }

    /// Looks in the bucket for what the collector does not have: in the day of the receipt, and then in the one after
    /// it, where a log over Kafka stores what came after the end of its day.
    /// Errors: [`ArchiveError`].
    pub async fn look_up(
        &mut self,
        bucket: &BucketString,
        archive: &Arc<Archive>,
    ) -> Result<(), ArchiveError> {
        for day in [self.receipt.day, self.receipt.day.end().day()] {
            let Some(unanswered) = self.unanswered() else { return Ok(()) };
            self.take_in(bucket, archive.lookup(&Receipt { day, ..unanswered }).await?);
        }
        Ok(())
    }

    /// Adds what was found in the bucket.
    pub fn take_in(&mut self, bucket: &BucketString, lookup: Lookup) {
        self.bucket = Some(bucket.to_string());
        let unreadable = lookup.unreadable.into_iter();
        self.unreadable.extend(unreadable.map(|(key, why)| Unreadable { key: key.to_string(), why }));
        let mut lines = BTreeMap::new();
        for held in lookup.objects {
            if !held.is_sound() {
                self.damaged.extend(held.findings.iter().take(FINDINGS_MAX).cloned());
            }
            lines.extend(states(held));
        }
        self.positions = std::mem::take(&mut self.positions)
            .into_iter()
            .flat_map(|positions| match positions.state {
                State::NotFound { .. } => split(&positions, &mut lines),
                _ => vec![positions],
            })
            .collect();
    }

    /// The number of positions that were not found.
    pub fn not_found(&self) -> u64 {
        let missing = |positions: &&Positions| matches!(positions.state, State::NotFound { .. });
        self.positions.iter().filter(missing).map(|positions| positions.last - positions.first + 1).sum()
    }

    /// The text for people: a paragraph for each object or state in the collector, with a line for each
    /// position.
    pub fn render(&self) -> String {
        let Receipt { source, day, spool_id, .. } = &self.receipt;
        let positions = numbers(self.receipt.first, self.receipt.last);
        let mut text = format!("{positions} of {source}, {}, spool {spool_id}\n", date(*day));
        // Lines are grouped by heading, in the order of their first positions: rejected items lie between the
        // calls of one object.
        let mut headings: Vec<(String, String)> = Vec::new();
        for positions in &self.positions {
            let Positions { first, last, state } = positions;
            let (heading, line) = match state {
                State::Delivered(line) => (self.object("delivered", line), describe_line(line)),
                State::Rejected(line) => (self.object("rejected", line), describe_line(line)),
                State::OnItsWay { collector } => on_its_way(collector),
                State::NotFound { why } => ("not found".to_owned(), (*why).to_owned()),
            };
            let line = format!("  {}: {line}\n", numbers(*first, *last));
            match headings.iter_mut().find(|(known, _)| *known == heading) {
                Some((_, lines)) => lines.push_str(&line),
                None => headings.push((heading, line)),
            }
        }
        text.extend(headings.iter().map(|(heading, lines)| format!("\n{heading}\n{lines}")));
        if !self.unreadable.is_empty() || !self.damaged.is_empty() || self.collector_unknown.is_some() {
            text.push('\n');
        }
        for Unreadable { key, why } in &self.unreadable {
            let (key, why) = (outside_key(key), outside_text(why));
            text += &format!("{key} may contain missing positions, but cannot be read: {why}\n");
        }
        for finding in &self.damaged {
            let key = finding.place.key.as_ref().map(|key| shown(key).to_string()).unwrap_or_default();
            text += &format!("{key} is damaged: {}\n", finding.problem);
        }
        if let Some(why) = &self.collector_unknown {
            text += &format!("The collector's state is unknown: {why}\n");
        }
        text
    }

    fn object(&self, what: &str, line: &Line) -> String {
        let bucket = self.bucket.as_deref().unwrap_or_default();
        let bucket = bucket.split('/').next().unwrap_or_default();
        format!("{what} in s3://{bucket}/{}", outside_key(&line.key))
    }
}

/// `not_here`: what is known of positions that the log does not have.
fn positions_of(status: PositionsStatus, not_here: &'static str) -> Positions {
    use ReceiptState as S;
    let (first, last) = (status.first, status.last);
    let state = match status.state {
        S::Pending | S::Sealed | S::Parked | S::Conflict => State::OnItsWay { collector: status },
        S::Lost => State::NotFound { why: LOST },
        S::NotGiven => State::NotFound { why: NEVER },
        S::NotHere => State::NotFound { why: not_here },
        S::Unknown => State::NotFound { why: CANNOT_SAY },
    };
    Positions { first, last, state }
}

/// The state of each position that the lines of an object have.
fn states(held: HeldBy) -> impl Iterator<Item = (u64, State)> {
    let HeldBy { object, lines, .. } = held;
    lines.into_iter().map(move |seen| {
        let line = Line {
            key: object.key.to_string(),
            line: seen.line,
            received_at: seen.received_at,
            kind: seen.kind,
            message_id: seen.message_id,
            reason: seen.reason,
        };
        let state = match object.at.stream {
            Stream::Rejected => State::Rejected(line),
            Stream::Calls | Stream::Objects(_) | Stream::Dead(_) => State::Delivered(line),
        };
        (seen.position, state)
    })
}

/// Splits positions that were not found, because some may be in `lines`.
fn split(positions: &Positions, lines: &mut BTreeMap<u64, State>) -> Vec<Positions> {
    let mut all: Vec<Positions> = Vec::new();
    for position in positions.first..=positions.last {
        let found = lines.remove(&position);
        match (found, all.last_mut()) {
            (None, Some(before)) if before.state == positions.state => before.last = position,
            (found, _) => {
                let state = found.unwrap_or_else(|| positions.state.clone());
                all.push(Positions { first: position, last: position, state });
            }
        }
    }
    all
}

fn numbers(first: u64, last: u64) -> String {
    if first == last { format!("position {first}") } else { format!("positions {first} to {last}") }
}

fn describe_line(line: &Line) -> String {
    let mut told = format!("line {}, received {}", line.line, outside_text(&line.received_at));
    let about = [("", &line.reason), ("", &line.kind), ("messageId ", &line.message_id)];
    for (name, text) in about {
        if let Some(text) = text {
            told += &format!(", {name}{}", outside_text(text));
        }
    }
    told
}

/// The heading for the collector's answer, and the text after the positions.
fn on_its_way(status: &PositionsStatus) -> (String, String) {
    let at = |ms: Option<i64>| ms.map_or_else(|| "an unknown time".to_owned(), |ms| rfc3339(UnixMillis(ms)));
    let objects = status.objects.iter().map(|object| format!("s3://{}", outside_key(object)));
    let object = objects.collect::<Vec<_>>().join(" or ");
    let failed = |why| format!("; the last attempt failed: {}", outside_text(why));
    let waiting = status.waiting.as_deref().map(failed).unwrap_or_default();
    let what = match status.state {
        ReceiptState::Sealed => format!("sealed, in delivery to {object}{waiting}"),
        ReceiptState::Parked => format!("parked until its bucket is available, for {object}{waiting}"),
        ReceiptState::Conflict => format!(
            "held back by a conflict: another object has its key {object}; its alarm in `forebay status` says how to \
             decide"
        ),
        _ => format!(
            "pending in a batch of {} since {}, due by {}{waiting}",
            counted(status.batch_lines.unwrap_or_default(), "line", "lines"),
            at(status.since_ms),
            at(status.due_ms)
        ),
    };
    let line = match (&status.reason, status.stream.as_deref()) {
        (Some(reason), _) => format!("rejected, {}", outside_text(reason)),
        (None, Some("rejected")) => "rejected".to_owned(),
        (None, Some(_)) => "a call".to_owned(),
        (None, None) => "a call, or rejected".to_owned(),
    };
    (what, line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_nowhere_may_be_a_repeat_where_repeats_have_positions() {
        let receipt: Receipt = "web/1763596800000/0123456789abcdef0123456789abcdef/42".parse().unwrap();
        let why = |repeats_have_positions, state| {
            let at = PositionsStatus { first: 42, last: 42, state, ..PositionsStatus::default() };
            let answer =
                ReceiptStatus { repeats_have_positions, positions: vec![at], ..ReceiptStatus::default() };
            let report = ReceiptReport::new(receipt.clone(), Ok(answer));
            assert_eq!(
                (report.not_found(), report.unanswered().is_some()),
                (1, state != ReceiptState::NotGiven)
            );
            match &report.positions[0].state {
                State::NotFound { why } => *why,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(why(false, ReceiptState::NotHere), DELIVERED_OR_NEVER);
        assert_eq!(why(true, ReceiptState::NotHere), REPEAT_OR_GONE);
        assert_eq!(why(true, ReceiptState::Lost), LOST);
        assert_eq!(why(true, ReceiptState::NotGiven), NEVER);
    }
}
