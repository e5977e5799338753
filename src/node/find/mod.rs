//! Finds calls in what is recent: the live view's memory, the spool, and the objects of the last hour.
//!
//! One search at a time, on threads of low priority, with a bound on the bytes that it reads and on the time
//! that it takes. It looks where calls come from first and where they go last, so a call that moves on
//! meanwhile is found.

mod collected;
mod spool_search;
mod wanted;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use self::collected::{Collected, Line};
use self::spool_search::{SpoolSearch, SpoolSearched};
use self::wanted::Wanted;
use super::archive_view::NodeArchive;
use crate::admin::refused_words::IN_STATUS_MAX;
use crate::admin::{AskedCalls, Denied, Found, FoundPlace, NotShown, Searched};
use crate::archive::StoredLines;
use crate::delivery::Delivered;
use crate::give_way::GiveWay;
use crate::live::live_call::LiveCall;
use crate::live::refused_groups::GROUPS_MAX;
use crate::live::{Filter, Mode, RefusedGroup};
use crate::object::Stream;
use crate::policy::PolicyBucket;
use crate::sources::SourceId;
use crate::store::Fault;
use crate::store::reader::{ByteRange, StoreReader as _};
use crate::time::Clock;
use crate::words::{about_bytes, about_duration, counted};

/// How long a search takes at most.
const SEARCH_MAX: Duration = Duration::from_secs(10);
/// Objects that were delivered before are not searched.
const RECENT: Duration = Duration::from_secs(3_600);
/// The most objects that a search reads: the newest ones.
const OBJECTS_MAX: usize = 30;
/// The most bytes of one object that a search reads, and of all.
const OBJECT_BYTES_MAX: u64 = 16 << 20;
const OBJECTS_BYTES_MAX: u64 = 64 << 20;
/// The most bytes of text that are unpacked of one object: little can become very much.
const TEXT_BYTES_MAX: usize = 256 << 20;
/// The most problems of objects that an answer names.
const PROBLEMS_MAX: usize = 5;

/// One search.
struct Search {
    asked: AskedCalls,
    wanted: Arc<Wanted>,
    /// Kept by each thread that works for the search, which may outlive the request.
    turn: Arc<OwnedSemaphorePermit>,
    /// When it ends, in monotonic time.
    until: Duration,
    searched: Searched,
}

impl NodeArchive {
    /// Finds calls. Errors: [`NotShown::Off`], and [`NotShown::Searching`] while another search is under way.
    pub(super) async fn find_calls(&self, asked: AskedCalls) -> Result<Found, NotShown> {
        let mode = self.node.live.mode();
        if mode == Mode::Off {
            return Err(NotShown::Off);
        }
        let turn = Arc::clone(&self.search).try_acquire_owned().map_err(|_| NotShown::Searching)?;
        let until = self.node.clock.monotonic().saturating_add(SEARCH_MAX);
        let wanted = Arc::new(Wanted::new(&asked));
        let mut search = Search { asked, wanted, turn: Arc::new(turn), until, searched: Searched::default() };
        let collected = Collected::new(mode == Mode::Full);
        let collected = self.find_before_the_store(&mut search, collected).await?;
        let collected = self.find_in_objects(&mut search, collected).await?;
        let (calls, more) = collected.newest();
        let refused = self.may_have_held(search.asked.source.as_ref());
        Ok(Found { calls, more, searched: search.searched, refused, masked: mode != Mode::Full })
    }

    /// Looks through the live view's memory and the spool.
    async fn find_before_the_store(
        &self,
        search: &mut Search,
        mut collected: Collected,
    ) -> Result<Collected, NotShown> {
        let (node, log) = (Arc::clone(&self.node), Arc::clone(&self.log));
        let (wanted, turn, until) = (Arc::clone(&search.wanted), Arc::clone(&search.turn), search.until);
        let source = search.asked.source.clone();
        let work = self.background.spawn_blocking(move || {
            let live_calls = find_in_memory(&node.live.recent(), source.as_ref(), &wanted, &mut collected);
            let searched = SpoolSearch {
                log: &*log,
                delivery: &node.delivery,
                clock: &*node.clock,
                wanted: &wanted,
                source: source.as_ref(),
                until,
                collected: &mut collected,
            }
            .run();
            drop(turn);
            (collected, live_calls, searched)
        });
        let done = work.await.map_err(|error| NotShown::Internal(error.to_string()))?;
        let (collected, live_calls, SpoolSearched { bytes, left_out }) = done;
        search.searched.live_calls = live_calls;
        search.searched.spool_bytes = bytes;
        search.searched.left_out = left_out;
        Ok(collected)
    }

    /// Looks through the newest objects of the last hour.
    async fn find_in_objects(
        &self,
        search: &mut Search,
        mut collected: Collected,
    ) -> Result<Collected, NotShown> {
        let (source, now) = (search.asked.source.clone(), self.node.clock.wall());
        let listed = self.read(move |list| list.recent(source.as_ref(), OBJECTS_MAX + 1)).await;
        let (mut entries, missing, _) = listed?;
        if let Some(problem) = missing.problem {
            search.searched.left_out.push(format!("objects in the store: {problem}"));
        }
        entries.retain(|entry| {
            now.since(entry.delivered_at) <= RECENT && !matches!(entry.stream, Stream::Dead(_))
        });
        let mut left_out = LeftOut::default();
        for (index, entry) in entries.iter().enumerate() {
            let left = OBJECTS_BYTES_MAX.saturating_sub(search.searched.object_bytes);
            let now = self.node.clock.monotonic();
            if index >= OBJECTS_MAX || left == 0 || now >= search.until || search.searched.denied.is_some() {
                left_out.objects += entries.len().saturating_sub(index) as u64;
                break;
            }
            match self.beginning(entry, left.min(OBJECT_BYTES_MAX), search.until.saturating_sub(now)).await {
                Ok((bytes, is_whole)) => {
                    search.searched.objects += 1;
                    search.searched.object_bytes += bytes.len() as u64;
                    let (work, problem) = self.look_into(search, entry, (bytes, is_whole), collected).await?;
                    collected = work;
                    left_out.problems.extend(problem.map(|problem| format!("{}: {problem}", entry.key)));
                }
                Err(Unread::Denied(denied)) => {
                    left_out.objects += 1;
                    search.searched.denied = Some(*denied);
                }
                Err(Unread::Other(why)) => left_out.problems.push(format!("{}: {why}", entry.key)),
            }
        }
        search.searched.left_out.extend(left_out.in_words(search.searched.denied.as_ref()));
        Ok(collected)
    }

    /// The first `len` bytes of an object, and whether these are all.
    async fn beginning(
        &self,
        entry: &Delivered,
        len: u64,
        within: Duration,
    ) -> Result<(Bytes, bool), Unread> {
        let mut to = self.location(&entry.source).map_err(|why| Unread::Other(why.to_string()))?;
        // The object may be in another bucket than the source's current one.
        to.bucket = entry.bucket.clone();
        let range = self.store.range(&to, &entry.key, None, ByteRange { from: 0, len });
        let Ok(answer) = timeout(within, self.ask(range)).await else {
            return Err(Unread::Other("the search took too long".to_owned()));
        };
        match answer {
            Ok(Ok(range)) => {
                let is_whole = range.is_whole();
                Ok((range.bytes, is_whole))
            }
            Ok(Err(error)) if error.fault == Fault::Refused => {
                let mut place = PolicyBucket::of(&to, false, false);
                let applied = entry.encryption.as_ref().and_then(|applied| applied.kms_key.clone());
                place.kms_key = applied.or(place.kms_key);
                let decrypts = place.kms_key.is_some();
                let statements: &[_] =
                    if decrypts { &["ReaderReads", "ReaderDecrypts"] } else { &["ReaderReads"] };
                let denied = self.denied(&error, place, statements);
                Err(denied.map_or_else(
                    |why| Unread::Other(why.to_string()),
                    |denied| Unread::Denied(Box::new(denied)),
                ))
            }
            Ok(Err(error)) => Err(Unread::Other(error.told().shown(self.shows_all()).to_owned())),
            Err(why) => Err(Unread::Other(why.to_string())),
        }
    }

    /// Looks into an object's bytes. The second value is what could not be read of it.
    async fn look_into(
        &self,
        search: &Search,
        entry: &Delivered,
        object: (Bytes, bool),
        mut collected: Collected,
    ) -> Result<(Collected, Option<String>), NotShown> {
        let (wanted, turn, until) = (Arc::clone(&search.wanted), Arc::clone(&search.turn), search.until);
        let (entry, clock) = (entry.clone(), Arc::clone(&self.node.clock));
        let work = self.background.spawn_blocking(move || {
            let problem = find_in_object(&entry, object, &wanted, (&*clock, until), &mut collected);
            drop(turn);
            (collected, problem)
        });
        work.await.map_err(|error| NotShown::Internal(error.to_string()))
    }

    /// The latest refused requests of a source and of no known source, or all.
    fn may_have_held(&self, source: Option<&SourceId>) -> Vec<RefusedGroup> {
        let mut groups = self.node.live.refused_groups(&Filter::default(), GROUPS_MAX).groups;
        groups.retain(|group| {
            source.is_none_or(|id| group.source.as_ref().is_none_or(|other| other == id.as_str()))
        });
        groups.truncate(IN_STATUS_MAX);
        groups
    }
}

/// Why an object was not read.
enum Unread {
    Denied(Box<Denied>),
    Other(String),
}

/// Objects that were not searched.
#[derive(Default)]
struct LeftOut {
    objects: u64,
    problems: Vec<String>,
}

impl LeftOut {
    fn in_words(mut self, denied: Option<&Denied>) -> Vec<String> {
        let mut words = Vec::new();
        if self.objects > 0 {
            let objects = counted(self.objects, "object", "objects");
            let why = match denied {
                Some(denied) => format!("{} may not read them: {}", denied.whom, denied.error),
                None => format!(
                    "a search reads {OBJECTS_MAX} objects, {} of them, and takes {}",
                    about_bytes(OBJECTS_BYTES_MAX),
                    about_duration(SEARCH_MAX)
                ),
            };
            words.push(format!("at least {objects} of the last hour: {why}"));
        }
        let more = self.problems.len().saturating_sub(PROBLEMS_MAX);
        self.problems.truncate(PROBLEMS_MAX);
        words.extend(self.problems);
        if more > 0 {
            words.push(format!("and {}", counted(more as u64, "more object", "more objects")));
        }
        words
    }
}

/// Looks through calls of the live view. Returns how many.
fn find_in_memory(
    recent: &[Arc<LiveCall>],
    wanted_source: Option<&SourceId>,
    wanted: &Wanted,
    collected: &mut Collected,
) -> u64 {
    let mut searched = 0;
    for call in recent {
        let (source, stream, text, at, repeated) = call.stored();
        let Some(text) = text.filter(|_| wanted_source.is_none_or(|wanted| wanted == source)) else {
            continue;
        };
        searched += 1;
        if wanted.fits(text.as_bytes(), stream) {
            let place = if repeated { FoundPlace::Repeat } else { FoundPlace::Stored };
            collected.add(Line { source, stream, text: text.as_bytes(), received_at: Some(at) }, place);
        }
    }
    searched
}

/// Looks through the lines of an object. Returns what could not be read of it.
fn find_in_object(
    entry: &Delivered,
    (bytes, is_whole): (Bytes, bool),
    wanted: &Wanted,
    (clock, until): (&dyn Clock, Duration),
    collected: &mut Collected,
) -> Option<String> {
    let only_the_beginning = || {
        let of = about_bytes(entry.bytes);
        Some(format!("only its beginning was read, {} of {of}", about_bytes(bytes.len() as u64)))
    };
    let lines = match StoredLines::of_pieces(vec![bytes.clone()]) {
        Ok(lines) => lines,
        Err(error) => return Some(error.to_string()),
    };
    let (mut give_way, mut read) = (GiveWay::new(clock), 0_usize);
    for line in lines {
        let (number, text) = match line {
            Ok(line) => line,
            // What was not read may be what is missing.
            Err(_) if !is_whole => return only_the_beginning(),
            Err(error) => return Some(error.to_string()),
        };
        if wanted.fits(&text, &entry.stream) {
            let place = FoundPlace::Delivered {
                bucket: entry.bucket.bucket().to_owned(),
                key: entry.key.to_string(),
                line: number,
                delivered_at_ms: entry.delivered_at.0,
            };
            let line = Line { source: &entry.source, stream: &entry.stream, text: &text, received_at: None };
            collected.add(line, place);
        }
        read = read.saturating_add(text.len());
        give_way.after(text.len());
        if read >= TEXT_BYTES_MAX || clock.monotonic() >= until {
            return only_the_beginning();
        }
    }
    if is_whole { None } else { only_the_beginning() }
}
