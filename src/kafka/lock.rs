//! The lock of a partition: its transactional id, under which all its notes are committed. Whoever took it
//! last is the owner, and the brokers refuse every other one.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Message, Timestamp};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer};

use super::answers;
use super::settings::{NoClient, Reporting, Settings, TakesReports};
use crate::lock::lock;
use crate::partition::answer::{Then, TransactionError, then_of_notes};
use crate::partition::note::Note;
use crate::time::{Clock, UnixMillis};

/// How long one call of the library waits: whoever asked for it may have to stop meanwhile.
const CALL: Duration = Duration::from_secs(5);
/// Time between two looks for reports, which is part of the time of a commit.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// Where a note stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Noted {
    /// Its offset in the notes.
    pub offset: u64,
    /// The broker's time of it, if the topic has the broker's times.
    pub at: Option<UnixMillis>,
    /// Its length in bytes.
    pub bytes: usize,
}

/// The transactional id of a partition, in the hands of this process, until another one takes it.
pub struct Lock {
    producer: BaseProducer<Reporting<Reports>>,
    topic: String,
    partition: i32,
    /// For how long a call is repeated that can be.
    repeats_for: Duration,
    clock: Arc<dyn Clock>,
}

debug_fields!(Lock { topic, partition });

/// The reports of records, by their place among those of their transaction.
#[derive(Debug, Default)]
struct Reports(Mutex<Vec<(usize, Result<Noted, TransactionError>)>>);

impl TakesReports for Reports {
    type With = Box<usize>;

    fn takes(&self, report: &DeliveryResult<'_>, place: Box<usize>) {
        let report = match report {
            Ok(message) => match u64::try_from(message.offset()) {
                Ok(offset) => {
                    Ok(Noted { offset, at: broker_time(message.timestamp()), bytes: message.payload_len() })
                }
                Err(_) => Err(TransactionError::Unknown),
            },
            Err((error, _)) => Err(answers::of_transaction(error)),
        };
        lock(&self.0).push((*place, report));
    }
}

impl Reports {
    fn take(&self) -> Vec<(usize, Result<Noted, TransactionError>)> {
        std::mem::take(&mut lock(&self.0))
    }
}

impl Lock {
    /// A client that can take the lock. It has taken nothing yet.
    /// Errors: [`NoClient`].
    pub fn new(
        settings: &Settings,
        id: &str,
        partition: u32,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, NoClient> {
        let producer = settings.of_owner(id).create_with_context(Reporting::<Reports>::default());
        Ok(Self {
            producer: producer.map_err(|cause| settings.no_client(cause))?,
            topic: settings.notes_topic.clone(),
            partition: i32::try_from(partition).unwrap_or(i32::MAX),
            repeats_for: settings.transaction_timeout,
            clock,
        })
    }

    /// Takes the lock: the brokers abort what the owner before has open, and refuse whatever it tries from
    /// then on. Waits for at most five seconds; if the answer is [`TransactionError::Retriable`], call it
    /// again.
    /// Errors: [`TransactionError`].
    pub fn take(&self) -> Result<(), TransactionError> {
        self.producer.init_transactions(CALL).map_err(|error| answers::of_transaction(&error))
    }

    /// Begins a transaction and writes notes in it, and waits until each is reported.
    /// Errors: [`TransactionError`]: the transaction is open, and the term is over.
    pub fn write(&self, notes: &[Note]) -> Result<Vec<Noted>, TransactionError> {
        self.try_to_write(notes).map_err(|error| self.cause(error))
    }

    /// What ended the producer, if a report does not say it: records of a producer that was fenced are
    /// reported as purged.
    fn cause(&self, error: TransactionError) -> TransactionError {
        let fatal = self.producer.client().fatal_error();
        match (error, fatal) {
            (TransactionError::Unknown, Some((code, _))) => answers::of_code(code),
            (error, _) => error,
        }
    }

    fn try_to_write(&self, notes: &[Note]) -> Result<Vec<Noted>, TransactionError> {
        let meaning = |error: &KafkaError| answers::of_transaction(error);
        self.producer.begin_transaction().map_err(|error| meaning(&error))?;
        // Of a transaction before, if it was refused.
        drop(self.producer.context().0.take());
        let mut reported: Vec<Option<Noted>> = vec![None; notes.len()];
        for (place, note) in notes.iter().enumerate() {
            let value = note.encode();
            let mut record = BaseRecord::<(), [u8], Box<usize>>::with_opaque_to(&self.topic, Box::new(place))
                .partition(self.partition)
                .payload(&value);
            loop {
                match self.producer.send(record) {
                    Ok(()) => break,
                    // The library's queue is full: no more than backpressure.
                    Err((error, again)) if is_full(&error) => {
                        record = again;
                        self.look(&mut reported)?;
                    }
                    Err((error, _)) => return Err(meaning(&error)),
                }
            }
        }
        // The transaction has a time-out, at which the library reports every record.
        while reported.iter().any(Option::is_none) {
            self.look(&mut reported)?;
        }
        Ok(reported.into_iter().flatten().collect())
    }

    fn look(&self, reported: &mut [Option<Noted>]) -> Result<(), TransactionError> {
        self.producer.poll(Duration::ZERO);
        let reports = self.producer.context().0.take();
        if reports.is_empty() {
            // A longer poll does not end with a report, and spins in its last millisecond: all of it, here.
            std::thread::sleep(LOOK_EVERY);
        }
        for (place, report) in reports {
            let noted = report?;
            if let Some(of) = reported.get_mut(place) {
                *of = Some(noted);
            }
        }
        Ok(())
    }

    /// Commits the transaction. Waits for at most five seconds; if the answer is
    /// [`TransactionError::Retriable`], call it again, without having written anything.
    /// Errors: [`TransactionError`]. Nothing but success says whether the notes count.
    pub fn commit(&self) -> Result<(), TransactionError> {
        let answer = self.producer.commit_transaction(CALL);
        answer.map_err(|error| self.cause(answers::of_transaction(&error)))
    }

    /// Aborts the transaction: none of what was written in it counts. Waits for at most five seconds.
    /// Errors: [`TransactionError`]: brokers abort it once it times out, or once somebody takes the lock.
    pub fn abort(&self) -> Result<(), TransactionError> {
        self.producer.abort_transaction(CALL).map_err(|error| answers::of_transaction(&error))
    }

    /// Commits notes of a term that has begun: all of them count, or none. Calls that can be repeated are,
    /// for as long as a transaction may be open.
    /// Errors: what ended the term. Nothing may be done on the strength of these notes, or of the state.
    pub fn note(&self, notes: &[Note]) -> Result<Vec<Noted>, TransactionError> {
        let until = self.clock.monotonic().saturating_add(self.repeats_for);
        let noted = self.write(notes)?;
        loop {
            let answer = self.commit();
            match then_of_notes(answer, self.clock.monotonic() < until) {
                Then::Counts => return Ok(noted),
                Then::Again => {}
                Then::TermOver | Then::Dropped => {
                    return Err(answer.err().unwrap_or(TransactionError::Unknown));
                }
            }
        }
    }
}

/// The time that a broker gave a record. That of a client says nothing of the broker's clock.
pub(super) fn broker_time(of: Timestamp) -> Option<UnixMillis> {
    match of {
        Timestamp::LogAppendTime(ms) => Some(UnixMillis(ms)),
        Timestamp::CreateTime(_) | Timestamp::NotAvailable => None,
    }
}

fn is_full(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull)
}
