//! Receives messages of a queue, and imports the objects that they name. A message is deleted only after each
//! of these objects is imported or skipped.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::event::{Notified, notified_in};
use super::fate::{Fate, MessageBecame, RecordEnd, fate, of_files, of_skip};
use super::given_back::GivenBack;
use crate::import::bucket_import::{AfterDone, Became, NotifiedEnd, NotifiedObjects};
use crate::import::run::FileReport;
use crate::queue::{HIDDEN_MAX, Queue, QueueError, QueueFault, QueueMessage, RECEIVE_MAX};
use crate::random::Random;
use crate::retry::Backoff;

/// How long a message is hidden at a time, renewed at half of it. Others get the message soon if this process
/// ends.
pub const HIDDEN: Duration = Duration::from_secs(30);
/// The waits after a request to receive failed.
const RECEIVE_AGAIN: Backoff = Backoff { first: Duration::from_secs(1), cap: Duration::from_secs(60) };
/// The wait before a request about a message is sent again, and how often.
const SOON: Duration = Duration::from_secs(1);
const TRIES_MAX: u32 = 3;
/// How long a stopped import waits until the queue has its messages back.
const GIVE_BACK_WITHIN: Duration = Duration::from_secs(2);

/// What became of one record of a message.
#[derive(Debug)]
pub struct RecordEnded {
    /// What it means for the message.
    pub end: RecordEnd,
    /// The object's name, or what is known of it.
    pub name: String,
    /// What became of the object's files.
    pub files: Vec<(Became, FileReport)>,
    /// What was done with the object once it was imported.
    pub after: BTreeMap<AfterDone, u64>,
    /// Why nothing was read, if that is not said by the files.
    pub why: Option<String>,
}

/// What became of a message.
#[derive(Debug)]
pub struct MessageEnded {
    /// The message's id.
    pub id: String,
    /// What became of it.
    pub became: MessageBecame,
    /// What became of its records.
    pub records: Vec<RecordEnded>,
}

/// Is told what happens.
pub trait Watch: Send + Sync + std::fmt::Debug {
    /// A request to receive was answered, or failed. It is sent again.
    fn asked(&self, answer: Result<(), &QueueError>);

    /// A message was received.
    fn received(&self, message: &QueueMessage);

    /// What is done with a message is decided.
    fn ended(&self, ended: &MessageEnded);
}

/// What the work with each message uses.
struct Work {
    queue: Arc<dyn Queue>,
    objects: Arc<NotifiedObjects>,
    watch: Arc<dyn Watch>,
    given_back: GivenBack,
    stop: CancellationToken,
}

/// Receives messages until it is stopped, at most as many as objects can begin. Messages that have not ended
/// then go back to the queue. Not cancel-safe: stop it with `stop`, which must also stop the imports of
/// `objects`.
pub async fn receive(
    queue: Arc<dyn Queue>,
    objects: Arc<NotifiedObjects>,
    watch: Arc<dyn Watch>,
    random: &dyn Random,
    stop: &CancellationToken,
) {
    let (parallel, places) = (objects.parallel(), objects.places());
    let given_back = GivenBack::default();
    let work = Arc::new(Work { queue, objects, watch, given_back, stop: stop.clone() });
    let (mut tasks, mut failures) = (JoinSet::new(), 0_u32);
    while !stop.is_cancelled() {
        while let Some(ended) = tasks.try_join_next() {
            noted(ended);
        }
        if tasks.len() >= parallel {
            if let Some(Some(ended)) = stop.run_until_cancelled(tasks.join_next()).await {
                noted(ended);
            }
            continue;
        }
        // A pass may have all places. It is not held up: the place is free again before the queue is asked.
        let Some(Ok(place)) = stop.run_until_cancelled(places.acquire()).await else { break };
        drop(place);
        let room = parallel.saturating_sub(tasks.len()).min(places.available_permits());
        let asked = work.queue.receive(room.clamp(1, RECEIVE_MAX), HIDDEN);
        match stop.run_until_cancelled(asked).await {
            None => break,
            Some(Ok(messages)) => {
                failures = 0;
                work.watch.asked(Ok(()));
                for message in messages {
                    work.watch.received(&message);
                    let work = Arc::clone(&work);
                    tasks.spawn(async move { work.message(message).await });
                }
            }
            Some(Err(error)) => {
                failures = failures.saturating_add(1);
                work.watch.asked(Err(&error));
                let wait = sleep(RECEIVE_AGAIN.wait(failures, random));
                stop.run_until_cancelled(wait).await.unwrap_or_default();
            }
        }
    }
    while let Some(ended) = tasks.join_next().await {
        noted(ended);
    }
}

/// A message whose work panicked shows again by itself.
fn noted(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "the work with a message of a queue failed; this is a bug in Forebay");
    }
}

impl Work {
    async fn message(&self, message: QueueMessage) {
        let records = tokio::select! {
            biased;
            records = self.records(&message) => records,
            never = self.keep_hidden(&message) => match never {},
        };
        let ends: Vec<RecordEnd> = records.iter().map(|record| record.end).collect();
        let (became, done) = fate(&ends, self.given_back.times(&message.id));
        self.given_back.note(&message.id, done);
        self.watch.ended(&MessageEnded { id: message.id.clone(), became, records });
        let told = self.tell(&message, done);
        let told = match self.stop.is_cancelled() {
            true => timeout(GIVE_BACK_WITHIN, told).await.unwrap_or(Ok(())),
            false => told.await,
        };
        // With an ended receipt it is shown again already, or is gone.
        if let Err(error) = told
            && error.fault != QueueFault::ReceiptEnded
        {
            // If it was to be deleted, it comes again, and the journal knows its objects.
            tracing::warn!(%error, message = message.id, "what became of a message is not told to its queue");
        }
    }

    /// Tells the queue what to do with a message, and again if that fails but may pass.
    async fn tell(&self, message: &QueueMessage, done: Fate) -> Result<(), QueueError> {
        let mut tries = 1;
        loop {
            let asked = match done {
                Fate::Delete => self.queue.delete(&message.receipt),
                Fate::GiveBack(hidden) => self.queue.hide(&message.receipt, hidden),
            };
            match asked.await {
                Err(error) if error.fault == QueueFault::Passing && tries < TRIES_MAX => {
                    tries += 1;
                    sleep(SOON).await;
                }
                answer => return answer,
            }
        }
    }

    /// Keeps a message hidden from its receipt on, as long as the queue allows it.
    async fn keep_hidden(&self, message: &QueueMessage) -> Infallible {
        let until = Instant::now() + HIDDEN_MAX;
        while Instant::now() + HIDDEN + HIDDEN / 2 < until {
            sleep(HIDDEN / 2).await;
            match self.tell(message, Fate::GiveBack(HIDDEN)).await {
                Ok(()) => {}
                Err(error) if error.fault == QueueFault::ReceiptEnded => break,
                Err(error) => {
                    tracing::warn!(%error, message = message.id, "a message may show again before its objects are imported");
                }
            }
        }
        // Who receives it again waits for the object, and finds in the journal what became of it.
        std::future::pending().await
    }

    /// Imports the objects that a message names, one after the other.
    async fn records(&self, message: &QueueMessage) -> Vec<RecordEnded> {
        let told = match notified_in(&message.body) {
            Ok(told) => told,
            Err(error) => {
                let name = format!("the message {}", message.id);
                return vec![ended(RecordEnd::Unreadable, name, Some(error.to_string()))];
            }
        };
        let mut records = Vec::with_capacity(told.len());
        for notified in told {
            records.push(self.record(notified).await);
        }
        records
    }

    async fn record(&self, notified: Notified) -> RecordEnded {
        let record = match notified {
            Notified::Created(record) => record,
            Notified::Other(what) => return ended(RecordEnd::Other, what, None),
            Notified::Bad { name, why } => return ended(RecordEnd::Unreadable, name, Some(why)),
        };
        let name = record.name();
        if let Some(why) = self.objects.skips(&record.bucket, &record.key) {
            return ended(of_skip(why), name, None);
        }
        if self.stop.is_cancelled() {
            return ended(RecordEnd::Stopped, name, None);
        }
        match self.objects.import(&record.key).await {
            Ok(NotifiedEnd::Skipped(why)) => ended(of_skip(why), name, None),
            Ok(NotifiedEnd::Files(files, after)) => {
                let end = of_files(files.iter().map(|(became, _)| *became));
                RecordEnded { files, after, ..ended(end, name, None) }
            }
            Ok(NotifiedEnd::DeliveredElsewhere) => ended(RecordEnd::Settled, name, None),
            Ok(NotifiedEnd::Elsewhere) => ended(RecordEnd::Elsewhere, name, None),
            Ok(NotifiedEnd::Unknown(why)) => ended(RecordEnd::GivenUp, name, Some(why)),
            Ok(NotifiedEnd::Unclaimed(why)) => ended(RecordEnd::Failed, name, Some(why.masked().to_owned())),
            Err(error) => ended(RecordEnd::Failed, name, Some(error.to_string())),
        }
    }
}

fn ended(end: RecordEnd, name: String, why: Option<String>) -> RecordEnded {
    RecordEnded { end, name, files: Vec::new(), after: BTreeMap::new(), why }
}
