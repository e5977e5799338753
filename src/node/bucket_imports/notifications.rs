//! What the queue of an import brought: for its alarms, metrics and status.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::after_status;
use super::deps::ImportsDeps;
use super::pass_status::{are_given_up, denied_of, error_of, masked_error_of};
use super::plan::ImportPlan;
use super::since_start::SinceStart;
use super::views::InViews;
use crate::admin::{FileNotDone, NotificationsStatus, QueueDepth};
use crate::alarms::AlarmKind;
use crate::check::ImportReader;
use crate::config::Discovery;
use crate::import::FileEnd;
use crate::import::bucket_import::{Became, NotDone};
use crate::import::notifications::{MessageEnded, RecordEnd, RecordEnded, Watch};
use crate::lock::lock;
use crate::metrics::{ImportLabel, PassLabel, QueueLabel};
use crate::queue::{QueueAddress, QueueError, QueueFacts, QueueFault, QueueMessage};
use crate::time::UnixMillis;
use crate::words::outside_text_within;

/// The most files of a status whose messages were given back.
const NAMED_IN_STATUS: usize = 20;
/// Refused files, and files that are given up, that are remembered until each could be read.
const REMEMBERED_MAX: usize = 1_000;
/// How long a failure that may pass lasts until it is an alarm.
const LASTING: Duration = Duration::from_secs(60);
/// How much of a text of others is shown, in bytes.
const SHOWN_MAX: usize = 300;

/// The notifications of an import, for people, alarms and metrics.
#[derive(Debug)]
pub(super) struct Notifications {
    name: String,
    pub(super) queue: QueueAddress,
    reader: Option<ImportReader>,
    /// Whether files that are given up are known by messages alone; else a pass tells of them.
    tells_of_given_up: bool,
    deps: Arc<ImportsDeps>,
    since_start: Arc<SinceStart>,
    seen: Mutex<SeenOfQueue>,
}

/// What is known of a queue.
#[derive(Debug, Default)]
pub(super) struct SeenOfQueue {
    /// Whether its alarms and gauges are no longer updated.
    is_gone: bool,
    /// How many messages the queue has, and why it does not say so now.
    depth: Option<QueueDepth>,
    not_counted: Option<String>,
    /// When the messages in hand were sent.
    in_hand: BTreeMap<String, UnixMillis>,
    failing: Option<(String, UnixMillis)>,
    /// Files that the store refuses, of which the alarm tells; the first of them.
    refused: BTreeSet<String>,
    /// Files that are given up, of which an alarm tells; the first of them.
    given_up: BTreeSet<String>,
    /// Whether the alarm of a pass over the whole bucket tells of such files.
    told_by_pass: bool,
    /// The last files whose messages were given back.
    not_done: VecDeque<InViews<FileNotDone>>,
}

impl Notifications {
    /// Those of an import; `None` if it reads no queue. `left`: what was known before of the same queue.
    pub(super) fn of(
        plan: &ImportPlan,
        deps: &Arc<ImportsDeps>,
        since_start: &Arc<SinceStart>,
        left: Option<SeenOfQueue>,
    ) -> Option<Arc<Self>> {
        let queue = plan.settings.discovery.queue()?.clone();
        let (name, reader) = (plan.settings.name.to_string(), plan.reader().ok());
        let tells_of_given_up = matches!(plan.settings.discovery, Discovery::Queue(_));
        let (deps, since_start) = (Arc::clone(deps), Arc::clone(since_start));
        let seen = Mutex::new(left.unwrap_or_default());
        Some(Arc::new(Self { name, queue, reader, tells_of_given_up, deps, since_start, seen }))
    }

    /// The subjects of its alarms. No import has such a name.
    fn of_queue(&self) -> String {
        format!("{} queue", self.name)
    }

    fn of_files(&self) -> String {
        format!("{} notified files", self.name)
    }

    fn of_given_up(&self) -> String {
        format!("{} notified files for a person", self.name)
    }

    /// Notes that nothing can be received, or that it goes on. What may pass by itself is an alarm only if it
    /// lasts.
    pub(super) fn note(&self, failed: Option<String>, may_pass: bool) {
        let mut seen = lock(&self.seen);
        if seen.is_gone {
            return;
        }
        match failed {
            None => {
                if seen.failing.take().is_some() {
                    self.deps.alarms.clear(AlarmKind::BucketImport, &self.of_queue());
                }
            }
            Some(what) => {
                let now = self.deps.clock.wall();
                let since = seen.failing.take().map_or(now, |(_, since)| since);
                if !may_pass || now.since(since) >= LASTING {
                    self.deps.alarms.raise(AlarmKind::BucketImport, &self.of_queue(), what.clone());
                }
                seen.failing = Some((what, since));
            }
        }
    }

    /// Clears what stands of an import that is paused.
    pub(super) fn clear(&self) {
        {
            let mut seen = lock(&self.seen);
            seen.failing = None;
            seen.refused.clear();
            seen.given_up.clear();
            seen.told_by_pass = false;
            seen.not_counted = None;
            self.show_depth(None);
        }
        self.deps.alarms.clear(AlarmKind::BucketImport, &self.of_queue());
        self.deps.alarms.clear(AlarmKind::BucketImport, &self.of_files());
        self.deps.alarms.clear(AlarmKind::BucketImport, &self.of_given_up());
    }

    /// Leaves what is known to the import that reads this queue from now on. The messages in hand go back to the queue.
    pub(super) fn leave(&self) -> SeenOfQueue {
        let mut seen = lock(&self.seen);
        let left = SeenOfQueue { in_hand: BTreeMap::new(), ..std::mem::take(&mut *seen) };
        seen.is_gone = true;
        self.show_oldest(&seen);
        left
    }

    /// Removes what the node shows of it.
    pub(super) fn forget(&self) {
        lock(&self.seen).is_gone = true;
        self.clear();
        let label = ImportLabel { import: self.name.clone() };
        self.deps.metrics.import_oldest_message.remove(&label);
    }

    /// Sets the gauge of the oldest message in hand.
    fn show_oldest(&self, seen: &SeenOfQueue) {
        let label = ImportLabel { import: self.name.clone() };
        let gauge = &self.deps.metrics.import_oldest_message;
        match seen.in_hand.values().min() {
            Some(oldest) if !seen.is_gone => {
                gauge.get_or_create(&label).set(oldest.since(UnixMillis(0)).as_secs_f64());
            }
            _ => drop(gauge.remove(&label)),
        }
    }

    /// Notes how many messages the queue has, or that it does not say so: that is no reason for an alarm.
    pub(super) fn counted(&self, answer: Result<QueueFacts, QueueError>) {
        let read_ms = self.deps.clock.wall().0;
        let depth = answer.map(|facts| {
            let numbers = facts.waiting.zip(facts.in_flight);
            numbers.map(|(waiting, in_flight)| QueueDepth { waiting, in_flight, read_ms })
        });
        let mut seen = lock(&self.seen);
        if seen.is_gone {
            return;
        }
        let (depth, why) = match depth {
            Ok(Some(depth)) => (Some(depth), None),
            Ok(None) => (None, Some("the queue does not say how many messages it has".to_owned())),
            Err(error) => (None, Some(self.not_counted(&error))),
        };
        self.show_depth(depth.as_ref());
        seen.not_counted = why;
        // The last numbers stay, with their time.
        seen.depth = depth.or(seen.depth.take());
    }

    fn not_counted(&self, error: &QueueError) -> String {
        let remedy = match error.fault {
            QueueFault::Denied => format!(
                "; `forebay policy import-sqs --import {}` prints the policy that allows it (sqs:GetQueueAttributes)",
                self.name
            ),
            _ => String::new(),
        };
        format!("how many messages the queue has is not known: {}{remedy}", error.message.shown(false))
    }

    /// Sets the gauges of messages in the queue, or removes them.
    fn show_depth(&self, depth: Option<&QueueDepth>) {
        let counts = depth.map(|depth| (depth.waiting, depth.in_flight)).unzip();
        for (state, count) in [("waiting", counts.0), ("in_flight", counts.1)] {
            let label = QueueLabel { import: self.name.clone(), state };
            let gauge = &self.deps.metrics.import_queue_messages;
            match count {
                Some(count) => {
                    gauge.get_or_create(&label).set(i64::try_from(count).unwrap_or(i64::MAX));
                }
                None => drop(gauge.remove(&label)),
            }
        }
    }

    /// Raises an alarm if the store refuses files, and clears it once each of those could be read.
    fn note_files(&self, records: &[RecordEnded], all_refused: &mut BTreeSet<String>) {
        let subject = self.of_files();
        let files = || records.iter().flat_map(|record| &record.files);
        let refused = files().find(|(became, _)| matches!(became, Became::Denied | Became::Refused));
        if let Some((became, report)) = refused {
            let file = NotDone { name: report.name.clone(), became: *became, end: report.end.clone() };
            let error = masked_error_of(&file.end).unwrap_or_default();
            let remedy = denied_of(&file).zip(self.reader.as_ref());
            let remedy =
                remedy.map_or_else(String::new, |(denied, reader)| format!("; {}", reader.sentence(&denied)));
            let what = format!(
                "import {} cannot read {}, which a notification names: {error}{remedy}; its message is received again",
                self.name, file.name
            );
            self.deps.alarms.raise(AlarmKind::BucketImport, &subject, what);
        }
        let had = !all_refused.is_empty();
        for record in records {
            let is_refused = |(became, _): &(Became, _)| matches!(became, Became::Denied | Became::Refused);
            if !record.files.iter().any(is_refused) {
                all_refused.remove(&record.name);
            } else if all_refused.len() < REMEMBERED_MAX {
                all_refused.insert(record.name.clone());
            }
        }
        if had && all_refused.is_empty() {
            self.deps.alarms.clear(AlarmKind::BucketImport, &subject);
        }
    }

    /// Raises an alarm if files are given up, and clears it once each of them is imported.
    fn note_given_up(&self, records: &[RecordEnded], seen: &mut SeenOfQueue) {
        if !self.tells_of_given_up || seen.told_by_pass {
            return;
        }
        let is_given_up = |became| matches!(became, Became::Poison | Became::Changed | Became::Gone);
        let all_given_up = &mut seen.given_up;
        let mut raised = None;
        let had = !all_given_up.is_empty();
        for record in records {
            if !record.files.iter().any(|(became, _)| is_given_up(*became)) {
                all_given_up.remove(&record.name);
            } else if all_given_up.len() < REMEMBERED_MAX {
                all_given_up.insert(record.name.clone());
                raised = Some(record);
            }
        }
        if let Some(record) = raised {
            let last = format!("{}: {}", record.name, what_of(record, masked_error_of).unwrap_or_default());
            let count = u64::try_from(all_given_up.len()).unwrap_or(u64::MAX);
            let what = match record.files.iter().any(|(became, _)| *became == Became::Poison) {
                true => are_given_up(&self.name, count, &format!(", the last {last}")),
                // The object is gone or was replaced.
                false => {
                    format!(
                        "import {0}: {last}; `forebay import list --import {0}` shows what to do",
                        self.name
                    )
                }
            };
            self.deps.alarms.raise(AlarmKind::BucketImport, &self.of_given_up(), what);
        } else if had && all_given_up.is_empty() {
            self.deps.alarms.clear(AlarmKind::BucketImport, &self.of_given_up());
        }
    }

    /// Leaves files that are given up to the alarm of a pass, which has looked at the whole bucket. `found`: whether there
    /// are any.
    pub(super) fn passed(&self, found: bool) {
        let mut seen = lock(&self.seen);
        seen.given_up.clear();
        seen.told_by_pass = found;
        self.deps.alarms.clear(AlarmKind::BucketImport, &self.of_given_up());
    }

    /// What is known, for people.
    pub(super) fn status(&self, shows_all: bool) -> NotificationsStatus {
        let messages = self.since_start.messages();
        let seen = lock(&self.seen);
        NotificationsStatus {
            queue: self.queue.url().to_owned(),
            received: messages.received,
            last_ms: messages.last.map(|at| at.0),
            in_hand: u64::try_from(seen.in_hand.len()).unwrap_or(u64::MAX),
            oldest_ms: seen.in_hand.values().min().map(|at| at.0),
            depth: seen.depth.clone(),
            not_counted: seen.not_counted.clone(),
            messages: messages
                .ended
                .iter()
                .map(|(became, count)| (became.slug().to_owned(), *count))
                .collect(),
            failing: seen.failing.as_ref().map(|(what, _)| what.clone()),
            failing_since_ms: seen.failing.as_ref().map(|(_, since)| since.0),
            not_done: seen.not_done.iter().map(|file| file.shown(shows_all).clone()).collect(),
        }
    }
}

impl Watch for Notifications {
    fn asked(&self, answer: Result<(), &QueueError>) {
        let may_pass = answer.is_err_and(|error| error.fault == QueueFault::Passing);
        let failed = answer.err().map(|error| {
            let remedy = match error.fault {
                QueueFault::Denied => format!(
                    "; allow its role or credentials to read the queue: `forebay policy import-sqs --import {}` prints the policy",
                    self.name
                ),
                QueueFault::NoQueue => "; make the queue, or correct queue_url".to_owned(),
                QueueFault::Refused | QueueFault::ReceiptEnded => "; check queue_url, region and role_arn".to_owned(),
                QueueFault::Passing => String::new(),
            };
            format!(
                "import {} cannot receive from {}: {}{remedy}; it tries again every minute",
                self.name,
                self.queue.url(),
                error.message.shown(false)
            )
        });
        self.note(failed, may_pass);
    }

    fn received(&self, message: &QueueMessage) {
        let now = self.deps.clock.wall();
        self.since_start.received(now);
        let mut seen = lock(&self.seen);
        seen.in_hand.insert(message.id.clone(), message.sent.unwrap_or(now));
        self.show_oldest(&seen);
    }

    fn ended(&self, ended: &MessageEnded) {
        let label = PassLabel { import: self.name.clone(), became: ended.became.slug() };
        self.deps.metrics.import_messages.get_or_create(&label).inc();
        for record in &ended.records {
            after_status::count(&self.deps.metrics, &self.name, &record.after);
        }
        for record in ended.records.iter().filter(|record| record.end >= RecordEnd::Unreadable) {
            let error = what_of(record, masked_error_of);
            tracing::warn!(
                import = self.name,
                file = record.name,
                message = ended.id,
                error,
                "the message of a file goes back to its queue"
            );
        }
        self.since_start.ended(ended.became);
        let mut seen = lock(&self.seen);
        seen.in_hand.remove(&ended.id);
        self.show_oldest(&seen);
        for record in &ended.records {
            seen.not_done.retain(|known| known.shown(false).name != record.name);
            if matches!(record.end, RecordEnd::Unreadable | RecordEnd::GivenUp | RecordEnd::Failed) {
                let became = record.files.iter().map(|(became, _)| became.slug()).next_back();
                let became = became.unwrap_or(ended.became.slug()).to_owned();
                let file = |all: bool| FileNotDone {
                    name: record.name.clone(),
                    became: became.clone(),
                    error: what_of(record, |end| error_of(end, all)),
                };
                seen.not_done.push_front(InViews::of(file));
            }
        }
        seen.not_done.truncate(NAMED_IN_STATUS);
        if !seen.is_gone {
            self.note_files(&ended.records, &mut seen.refused);
            self.note_given_up(&ended.records, &mut seen);
        }
    }
}

/// Why an object is not imported. `error`: what is said of the end of a file.
fn what_of(record: &RecordEnded, error: impl Fn(&FileEnd) -> Option<String>) -> Option<String> {
    let of_files = record.files.iter().find_map(|(_, report)| match &report.end {
        FileEnd::Done | FileEnd::DoneBefore => None,
        end => error(end),
    });
    of_files.or_else(|| Some(outside_text_within(record.why.as_deref()?, SHOWN_MAX).to_string()))
}
