//! Begins a term: does what [`Opening`] asks for, until it says that the term has begun or has not.

use std::sync::Arc;
use std::time::Duration;

use super::lock::Lock;
use super::records::{Fetched, NotRead, Records};
use super::settings::{NoClient, Sees, Settings};
use super::short::Short;
use crate::partition::brokers_clock::BrokersClock;
use crate::partition::group::Metadata;
use crate::partition::note::{Note, TermNote};
use crate::partition::opening::{Found, Next, Opening, Stop, WaitsFor, Who};
use crate::partition::state::State;
use crate::time::Clock;

/// How long one read waits for records.
const READ: Duration = Duration::from_millis(500);
/// Time between two looks whether to go on.
const GOES_ON_EVERY: Duration = Duration::from_millis(100);
/// Records of notes that are passed on at once.
const NOTES_AT_ONCE: usize = 512;

/// What came of it.
#[derive(Debug)]
pub enum Began {
    /// A term has begun.
    Live(Box<Term>),
    /// Another process has the lock, or nobody knows: if the partition is still assigned, begin again.
    Over,
    /// The partition stops until a person acts.
    Stopped(Stop),
    /// The caller wanted to go on no longer.
    GivenUp,
}

/// A term that has begun.
#[derive(Debug)]
pub struct Term {
    /// The lock, taken.
    pub lock: Lock,
    /// The state that the notes add up to, up to the term's own.
    pub state: State,
    /// The clock of the brokers, by the term's own note.
    pub brokers: Option<BrokersClock>,
    /// Bytes of notes since the last snapshot.
    pub notes_bytes: u64,
    /// Whether the cache of this process's last term is still what the notes say.
    pub keeps_cache: bool,
    /// The offset of the log's next record when the term began.
    pub log_end: u64,
}

/// Why no term could be tried: try again later.
#[derive(Debug, thiserror::Error)]
pub enum NotBegun {
    /// A client could not be made.
    #[error(transparent)]
    NoClient(#[from] NoClient),
    /// Notes or log could not be read.
    #[error(transparent)]
    NotRead(#[from] NotRead),
}

/// What a term begins with.
#[derive(Clone, Debug)]
pub struct Beginning {
    /// The partition.
    pub partition: u32,
    /// The first note.
    pub note: TermNote,
    /// What the group's metadata says.
    pub metadata: Option<Metadata>,
    /// The token of the last term of this process, if it still has that term's cache.
    pub cache_of: Option<String>,
}

/// What others learn while a term begins, and say to it.
#[expect(missing_debug_implementations, reason = "closures")]
#[derive(Clone, Copy)]
pub struct Follows<'f> {
    /// Whether it goes on, asked between two calls.
    pub goes_on: &'f dyn Fn() -> bool,
    /// Called with what the term waits for, while it does, and with `None` once its notes are read.
    pub waits: &'f dyn Fn(Option<WaitsFor>),
}

impl<'f> Follows<'f> {
    /// For those who want to hear nothing.
    pub fn of(goes_on: &'f dyn Fn() -> bool) -> Self {
        Self { goes_on, waits: &|_| {} }
    }
}

/// Begins a term of a partition that is assigned to this process.
/// Errors: [`NotBegun`]. The lock may have been taken.
pub fn begin(
    settings: &Settings,
    beginning: Beginning,
    clock: &Arc<dyn Clock>,
    Follows { goes_on, waits }: Follows<'_>,
) -> Result<Began, NotBegun> {
    let Beginning { partition, note, metadata, cache_of } = beginning;
    let who = Who { name: settings.name.clone(), group: settings.group.clone(), term: note };
    let mut opening = Opening::new(who, metadata);
    let mut notes = Records::new(settings, &settings.notes_topic, partition, Sees::Committed)?;
    let mut lock: Option<Lock> = None;
    let (mut written, mut brokers, mut log_end): (Option<u64>, _, _) = (None, None, 0);
    // Until when calls are repeated that can be.
    let (mut until, mut short) = (None, None);
    // What an earlier attempt waited for stands until this one has read its notes.
    let says = |opening: &Opening| {
        if let waits_for @ Some(_) = opening.waits_for() {
            waits(waits_for);
        }
    };
    while goes_on() {
        let may_repeat = |until: &mut Option<Duration>| {
            let now = clock.monotonic();
            now < *until.get_or_insert_with(|| now.saturating_add(settings.transaction_timeout))
        };
        match opening.next().clone() {
            Next::ReadNotes(from) => {
                let (records, end) = match read(&mut notes, from)? {
                    Some(read) => read,
                    // A later owner has deleted what stands before its snapshot.
                    None => return Ok(Began::Over),
                };
                opening.read(&records, end, clock.monotonic());
                says(&opening);
            }
            Next::AskNotesEnd => {
                // A reader of committed records is told where it must stop, and another one the end.
                let stable = notes.bounds()?.1;
                let end = Records::new(settings, &settings.notes_topic, partition, Sees::All)?.bounds()?.1;
                opening.notes_end(stable, end, clock.monotonic());
                says(&opening);
            }
            Next::Take(id) => {
                if lock.is_none() {
                    lock = Some(Lock::new(settings, &id, partition, Arc::clone(clock))?);
                }
                let Some(lock) = &lock else { continue };
                opening.taken(lock.take(), may_repeat(&mut until));
            }
            Next::CommitTerm(term) => {
                let Some(lock) = &lock else { return Ok(Began::Over) };
                let answer = match written {
                    Some(_) => lock.commit(),
                    None => lock.write(&[Note::Term(term)]).and_then(|noted| {
                        written = noted.first().map(|noted| noted.offset);
                        let at = noted.first().and_then(|noted| noted.at);
                        brokers = at.map(|at| BrokersClock::told(at, clock.monotonic()));
                        lock.commit()
                    }),
                };
                // A call is repeated, never a record.
                opening.committed(written, answer, written.is_some() && may_repeat(&mut until));
            }
            Next::ReadLog(offset) => {
                waits(None);
                let (found, end) = look(settings, partition, offset, goes_on)?;
                let now = clock.monotonic();
                let mut cut_at = end;
                if opening.is_short(found, end) {
                    let said = Short::said(short, now, end);
                    short = Some(said);
                    cut_at = said.end();
                    if !said.is_cut() {
                        while goes_on() && said.rests(clock.monotonic()) {
                            std::thread::sleep(GOES_ON_EVERY);
                        }
                        continue;
                    }
                }
                log_end = end;
                opening.log_read(found, cut_at);
            }
            Next::Begun => {
                let notes_bytes = opening.notes_bytes();
                let keeps_cache = cache_of.as_deref().is_some_and(|token| opening.keeps_cache_of(token));
                let (Some(lock), Some(state)) = (lock, opening.into_state()) else { return Ok(Began::Over) };
                return Ok(Began::Live(Box::new(Term {
                    lock,
                    state,
                    brokers,
                    notes_bytes,
                    keeps_cache,
                    log_end,
                })));
            }
            Next::Over => return Ok(Began::Over),
            Next::Stopped(stop) => {
                // The term is not worked on, so nothing relies on whether the note counts.
                if let (Some(lock), Some(note)) = (lock, opening.stop_note())
                    && let Err(error) = lock.note(&[note])
                {
                    tracing::debug!(%error, partition, "why the partition stops could not be noted");
                }
                return Ok(Began::Stopped(stop));
            }
        }
    }
    Ok(Began::GivenUp)
}

/// Records with their offsets, and where reading ended.
type Read = (Vec<(u64, Vec<u8>)>, u64);

/// The next committed notes from an offset on. `None` if they are gone.
fn read(notes: &mut Records, from: Option<u64>) -> Result<Option<Read>, NotRead> {
    if from.is_none() || notes.next() != from {
        notes.go_to(from)?;
    }
    let (client, mut records) = (notes.client(), Vec::new());
    while records.len() < NOTES_AT_ONCE {
        match notes.fetch(&client, READ)? {
            Fetched::Record { offset, value, .. } => records.push((offset, value.to_vec())),
            Fetched::End | Fetched::Nothing => break,
            Fetched::OutOfRange => return Ok(None),
        }
    }
    // The offset after the last record, not the topic's end: the end trails, and after a change of leaders it
    // may for a moment be one that a reader has passed.
    let end = match (notes.next(), from) {
        (Some(next), _) => next,
        (None, Some(from)) => from,
        (None, None) => notes.bounds()?.0,
    };
    Ok(Some((records, end)))
}

/// What stands at an offset of the log, and the log's end.
fn look(
    settings: &Settings,
    partition: u32,
    offset: Option<u64>,
    goes_on: &dyn Fn() -> bool,
) -> Result<(Option<Found>, u64), NotBegun> {
    let mut log = Records::new(settings, &settings.topic, partition, Sees::All)?;
    let (start, end) = log.bounds()?;
    let Some(offset) = offset else { return Ok((None, end)) };
    if offset < start {
        return Ok((Some(Found::BeforeStart), end));
    }
    if offset >= end {
        return Ok((Some(Found::AfterEnd), end));
    }
    log.go_to(Some(offset))?;
    let client = log.client();
    while goes_on() {
        match log.fetch(&client, READ)? {
            Fetched::Record { offset: at, value, .. } if at == offset => {
                return Ok((Some(Found::of_record(offset, &value)), end));
            }
            Fetched::Record { .. } => return Ok((Some(Found::Record(None)), end)),
            Fetched::End | Fetched::Nothing => {}
            // Retention, since the bounds were asked for.
            Fetched::OutOfRange => return Ok((Some(Found::BeforeStart), end)),
        }
    }
    Ok((Some(Found::BeforeStart), end))
}
