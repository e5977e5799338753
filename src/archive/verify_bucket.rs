//! Verifies an archive day by day: lists, reads metadata, judges, and optionally reads the lines.
//!
//! ```text
//! listings of several sources ──▶ days, several at once ──▶ in order ──▶ objects read, several at once ──▶ in order ──▶ reports
//! ```
//!
//! Each arrow is bounded. Days are returned in the order of sources and days regardless of the duration of
//! their requests, so that repeats can be found within a sliding window.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::RandomState;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::{JoinError, JoinSet};
use tokio_util::task::AbortOnDropHandle;

use super::bucket::{Archive, ArchiveError, Got, LenAndMetadata};
use super::day::{Day, DayReport, FoundMarker, Rules, Sum, judge};
use super::day_chain::{DayChain, Link, links};
use super::finding::{BucketFinding, BucketPlace, BucketProblem};
use super::lines::{Content, Expected};
use super::listing::{DayListing, Days, FOREIGN_NAMED_MAX, Span, is_folder};
use super::object::{ContentFacts, Facts, Stored};
use super::part::{StoredPart, same_rows};
use super::repeats::{self, Repeats, Windows};
use crate::object::{ObjectKey, ParsedObjectKey, ParsedPartKey, Stream};
use crate::sources::SourceId;
use crate::store::reader::{ListFrom, Listed};
use crate::time::{ReceivedDay, UnixMillis};
use crate::words::outside_text;

/// The most sources listed at once.
const SOURCES_AHEAD: usize = 8;
/// The most listed days that wait per source.
const LISTED_AHEAD: usize = 4;
/// The most days examined at once.
const DAYS_AHEAD: usize = 64;
/// The most objects of the days examined at once. A day with more objects is examined alone.
const OBJECTS_AHEAD: u32 = 50_000;

/// The most objects that are read concurrently: the facts about each one's lines are kept until its turn.
const READERS_MAX: usize = 16;

/// What is verified, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// Verify only this source.
    pub source: Option<SourceId>,
    /// Verify only these days.
    pub span: Span,
    /// Whether the objects' lines are read.
    pub deep: bool,
    /// Whether foreign objects are accepted.
    pub allow_foreign: bool,
    /// The most objects read at once.
    pub readers: usize,
    /// The current time: markers of days that ended less than an hour ago may still come.
    pub now: UnixMillis,
}

impl Options {
    /// How many objects are read at once, with at most so many requests. Reading is limited by the processor:
    /// two objects per core keep it busy while one of them waits for its bytes.
    pub fn readers_for(requests: usize) -> usize {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        requests.min(processors * 2).min(READERS_MAX)
    }
}

/// Why an archive could not be verified.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The bucket cannot be read.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// A task of this program panicked.
    #[error("this is a bug in Forebay")]
    Task(#[from] JoinError),
}

/// What is outside of the days.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Around {
    /// The first day in the bucket with a marker; without any marker the ends of days cannot be proved.
    pub markers_since: Option<ReceivedDay>,
    /// Folders that contain no calls and were not read.
    pub beside: Vec<String>,
    /// Keys that are in no source's folder and are not Forebay's.
    pub findings: Vec<BucketFinding>,
    /// The number of further findings of this kind.
    pub findings_left_out: u64,
}

/// A day whose metadata and markers were examined.
struct Looked {
    report: DayReport,
    links: Vec<Link>,
    /// By spool: the positions within which it recognises repeats, as its marker says.
    repeats_within: Vec<(String, u64)>,
    /// Objects still to be read, chain by chain, in the order of their first positions; then parts of
    /// imports.
    unread: VecDeque<Unread>,
    _objects: OwnedSemaphorePermit,
}

/// A day whose report waits for its objects.
struct Waiting {
    report: DayReport,
    /// The number of its objects not yet read to the end.
    left: usize,
    _objects: OwnedSemaphorePermit,
}

/// An object whose lines are to be read.
enum Unread {
    Object(Stored),
    Part(StoredPart),
}

impl Unread {
    fn key(&self) -> &ObjectKey {
        let (Self::Object(Stored { key, .. }) | Self::Part(StoredPart { key, .. })) = self;
        key
    }

    fn len(&self) -> u64 {
        let (Self::Object(Stored { len, .. }) | Self::Part(StoredPart { len, .. })) = self;
        *len
    }

    fn place(&self) -> BucketPlace {
        match self {
            Self::Object(object) => object.place(),
            Self::Part(part) => part.place(),
        }
    }

    fn expected(&self) -> Expected {
        match self {
            Self::Object(object) => expected(object),
            Self::Part(StoredPart { at, .. }) => Expected {
                stream: at.stream.clone(),
                source: at.source.clone(),
                day: at.received_at.day(),
                times: Some((at.received_at, at.received_at)),
                positions: None,
                wanted: None,
            },
        }
    }

    fn facts(&self) -> Option<&ContentFacts> {
        match self {
            Self::Object(object) => object.content_facts(),
            Self::Part(part) => part.facts.as_ref(),
        }
    }
}

/// An object that is being read.
type Reading = (Unread, AbortOnDropHandle<Result<Got<Content>, ArchiveError>>);

/// A verification in progress. Dropping it stops it.
pub struct Verify {
    archive: Arc<Archive>,
    options: Options,
    around: Around,
    days: mpsc::Receiver<AbortOnDropHandle<Result<Looked, VerifyError>>>,
    feeder: Option<AbortOnDropHandle<Result<(), ArchiveError>>>,
    waiting: VecDeque<Waiting>,
    unread: VecDeque<Unread>,
    reading: VecDeque<Reading>,
    hasher: RandomState,
    /// By spool: the positions within which it recognises repeats, if a marker said so. A day without a marker
    /// is compared like the others of its spool.
    repeats_within: BTreeMap<String, u64>,
    /// For the current source.
    chain: DayChain,
    windows: Windows,
    letters: Windows,
    windows_of: Option<SourceId>,
}

debug_fields!(Verify { options });

impl Verify {
    /// Lists the sources and starts.
    pub async fn start(archive: Arc<Archive>, options: Options) -> Result<Self, VerifyError> {
        let all = archive.sources().await?;
        let mut around = Around {
            beside: all.beside.into_iter().map(|name| format!("{name}/")).collect(),
            ..Around::default()
        };
        around.markers_since = markers_since(&archive, all.marked).await?;
        if !options.allow_foreign && options.source.is_none() && options.span.is_all() {
            strays(&archive, &all.foreign, &mut around).await?;
        }
        let (now, markers_since, allow_foreign) = (options.now, around.markers_since, options.allow_foreign);
        let rules = Rules { now, markers_since, allow_foreign };
        let wanted = |source: &SourceId| options.source.as_ref().is_none_or(|only| only == source);
        let mut streams = all.streams;
        let mut with_streams = |source| (streams.remove(&source).unwrap_or_default(), source);
        let sources = all.sources.into_iter().filter(wanted).map(&mut with_streams).collect();
        let (sender, days) = mpsc::channel(DAYS_AHEAD);
        let feeder = Feeder { archive: Arc::clone(&archive), span: options.span, deep: options.deep, rules };
        Ok(Self {
            archive,
            options,
            around,
            days,
            feeder: Some(AbortOnDropHandle::new(tokio::spawn(feeder.run(sources, sender)))),
            waiting: VecDeque::new(),
            unread: VecDeque::new(),
            reading: VecDeque::new(),
            hasher: RandomState::new(),
            repeats_within: BTreeMap::new(),
            chain: DayChain::default(),
            windows: Windows::default(),
            letters: Windows::default(),
            windows_of: None,
        })
    }

    /// What is outside of the days.
    pub fn around(&self) -> &Around {
        &self.around
    }

    /// The next day, in the order of sources and days; `None` after the last.
    /// Errors: [`VerifyError`]: no more days will come.
    pub async fn next(&mut self) -> Result<Option<DayReport>, VerifyError> {
        loop {
            if self.waiting.front().is_some_and(|day| day.left == 0) {
                return Ok(self.waiting.pop_front().map(|day| day.report));
            }
            if self.reading.len() >= self.options.readers.max(1) {
                self.finish_reading().await?;
            } else if let Some(object) = self.unread.pop_front() {
                self.begin(object);
            } else if !self.take_day().await? {
                if self.reading.is_empty() {
                    return Ok(None);
                }
                self.finish_reading().await?;
            }
        }
    }

    /// Accepts the next examined day. `false` after the last.
    async fn take_day(&mut self) -> Result<bool, VerifyError> {
        let Some(day) = self.days.recv().await else {
            if let Some(feeder) = self.feeder.take() {
                feeder.await??;
            }
            return Ok(false);
        };
        let Looked { mut report, links, repeats_within, unread, _objects } = day.await??;
        for (spool, positions) in repeats_within {
            // The fewest that any of its markers names: that finds too little, never too much.
            let known = self.repeats_within.entry(spool).or_insert(positions);
            *known = positions.min(*known);
        }
        report.found(self.missing_days(&report, &links).await?);
        self.waiting.push_back(Waiting { report, left: unread.len(), _objects });
        self.unread.extend(unread);
        Ok(true)
    }

    /// Earlier days that the markers of this day name but that are missing.
    async fn missing_days(
        &mut self,
        report: &DayReport,
        links: &[Link],
    ) -> Result<Vec<BucketFinding>, VerifyError> {
        let Some(day) = report.day else { return Ok(Vec::new()) };
        let mut findings = Vec::new();
        let named = self.chain.take(&report.source, day, links);
        for (at, missing) in named.into_iter().filter(|(_, missing)| self.options.span.has(*missing)) {
            // The missing day may have arrived after the listing.
            let again = Days::of_day(&self.archive, &report.source, missing).await?;
            if !again.has_spool(&at.spool_id) {
                let place = BucketPlace {
                    source: Some(report.source.clone()),
                    day: Some(missing),
                    node: Some(at.node),
                    spool: Some(at.spool_id),
                    ..BucketPlace::default()
                };
                findings.push(BucketFinding { place, problem: BucketProblem::DayMissing(day) });
            }
        }
        Ok(findings)
    }

    fn begin(&mut self, object: Unread) {
        let (archive, hasher) = (Arc::clone(&self.archive), self.hasher.clone());
        let (key, expected) = (object.key().clone(), object.expected());
        let read = tokio::spawn(async move { archive.read(&key, &expected, &hasher).await });
        self.reading.push_back((object, AbortOnDropHandle::new(read)));
    }

    /// Waits for the object whose reading started first.
    async fn finish_reading(&mut self) -> Result<(), VerifyError> {
        let Some((object, read)) = self.reading.pop_front() else { return Ok(()) };
        let (mut not_compared, mut letters_twice) = (0, 0);
        let place = object.place();
        let findings = match read.await?? {
            Got::Read(content) => {
                let mut findings = judge_content(&place, object.facts(), &content);
                // Rows of files have ids of their own file, and no position.
                if let Unread::Object(object) = &object
                    && matches!(object.at.stream, Stream::Calls | Stream::Dead(_))
                {
                    not_compared = content.lines - content.prints.len() as u64;
                    let (letters, repeats) = self.repeats(object, &content);
                    letters_twice = letters;
                    findings.extend(repeats);
                }
                findings
            }
            Got::Gone => place.with([BucketProblem::Vanished]),
            Got::Archived(why) => place.with([BucketProblem::Unreadable(why)]),
            Got::Damaged(why) => place.with([BucketProblem::Damaged(why)]),
        };
        if let Some(day) = self.waiting.iter_mut().find(|day| day.left > 0) {
            day.left -= 1;
            day.report.found(findings);
            day.report.lines_not_compared += not_compared;
            day.report.letters_twice += letters_twice;
        }
        Ok(())
    }

    /// Lines of an object that are stored a second time: how many dead letters, and findings of calls. A dead
    /// letter may be written again after a crash (decision 0144).
    fn repeats(&mut self, object: &Stored, content: &Content) -> (u64, Vec<BucketFinding>) {
        let last = object.facts.as_ref().map(|facts| facts.last_position);
        // Without the last position, or if the object is incomplete, the positions of its lines are unknown.
        let (Some(last), None) = (last, &content.damage) else { return (0, Vec::new()) };
        if self.windows_of.as_ref() != Some(&object.at.source) {
            self.windows.clear();
            self.letters.clear();
            self.windows_of = Some(object.at.source.clone());
        }
        let (first, lines, prints) = (object.at.first_position, content.lines, &content.prints);
        let lines = repeats::Object { first, last, lines, prints };
        let within = self.repeats_within.get(&object.at.spool_id).copied();
        if let Stream::Dead(destination) = &object.at.stream {
            let of = format!("{}/{destination}", object.at.spool_id);
            let repeats = self.letters.take(&of, within, &lines);
            return (repeats.iter().map(|repeats| repeats.count).sum(), Vec::new());
        }
        let repeats = self.windows.take(&object.at.spool_id, within, &lines);
        let place = object.place();
        let finding = |Repeats { certain, line, of, count }: Repeats| BucketFinding {
            place: BucketPlace { line: Some(line), positions: None, ..place.clone() },
            problem: BucketProblem::Repeats { certain, of, count },
        };
        (0, repeats.into_iter().map(finding).collect())
    }
}

pub(super) fn expected(object: &Stored) -> Expected {
    let times = |facts: &Facts| (facts.first_received_at, facts.last_received_at);
    Expected {
        stream: object.at.stream.clone(),
        source: object.at.source.clone(),
        day: object.at.day,
        times: object.facts.as_ref().map(times),
        positions: object.facts.as_ref().map(|facts| (object.at.first_position, facts.last_position)),
        wanted: None,
    }
}

/// Compares the content of the object at `place` with what its metadata says of its lines.
pub(super) fn judge_content(
    place: &BucketPlace,
    facts: Option<&ContentFacts>,
    content: &Content,
) -> Vec<BucketFinding> {
    let at = |problem| BucketFinding { place: place.clone(), problem };
    let mut findings = Vec::new();
    if let Some(why) = &content.damage {
        // An incomplete object also differs in everything else.
        return place.with([BucketProblem::Damaged(outside_text(why).to_string())]);
    }
    if let Some(facts) = facts {
        let all = [
            ("calls", facts.calls.to_string(), content.lines.to_string()),
            ("bytes of lines", facts.bytes.to_string(), content.bytes.to_string()),
            ("SHA-256", facts.sha256.clone(), content.sha256.clone()),
        ];
        if let Some((what, metadata, content)) = all.into_iter().find(|(_, said, read)| said != read) {
            findings.push(at(BucketProblem::Content { what, metadata, content }));
        }
    }
    for (fault, (line, count)) in &content.faults {
        let mut finding = at(BucketProblem::Lines { fault: *fault, count: *count });
        finding.place.line = Some(*line);
        finding.place.positions = None;
        findings.push(finding);
    }
    findings
}

/// The first day in the bucket with a marker.
async fn markers_since(
    archive: &Arc<Archive>,
    marked: impl IntoIterator<Item = SourceId>,
) -> Result<Option<ReceivedDay>, VerifyError> {
    let (mut asked, mut first) = (JoinSet::new(), None::<ReceivedDay>);
    for source in marked {
        if asked.len() >= SOURCES_AHEAD
            && let Some(day) = asked.join_next().await
        {
            first = first.into_iter().chain(day??).min();
        }
        let archive = Arc::clone(archive);
        asked.spawn(async move { archive.first_marked(&source).await });
    }
    while let Some(day) = asked.join_next().await {
        first = first.into_iter().chain(day??).min();
    }
    Ok(first)
}

/// Lists keys that are in no source's folder.
async fn strays(archive: &Archive, foreign: &[String], around: &mut Around) -> Result<(), VerifyError> {
    for prefix in foreign {
        let mut next = None::<String>;
        loop {
            let from = ListFrom { prefix, next: next.as_deref(), ..ListFrom::default() };
            let page = archive.list(from).await?;
            // A single key's name may be a prefix of other keys; those are listed with their own folder.
            let whole = |key: &str| prefix.ends_with('/') || key == prefix;
            let is_stray = |listed: &Listed| whole(listed.key.as_str()) && !is_folder(listed);
            for listed in page.objects.into_iter().filter(is_stray) {
                if around.findings.len() >= FOREIGN_NAMED_MAX {
                    around.findings_left_out += 1;
                    continue;
                }
                let place = BucketPlace { key: Some(listed.key), ..BucketPlace::default() };
                around.findings.push(BucketFinding { place, problem: BucketProblem::Foreign });
            }
            next = page.next;
            if next.is_none() || !prefix.ends_with('/') {
                break;
            }
        }
    }
    Ok(())
}

/// Lists days and starts to examine them.
struct Feeder {
    archive: Arc<Archive>,
    span: Span,
    deep: bool,
    rules: Rules,
}

type Listings = mpsc::Receiver<Result<DayListing, ArchiveError>>;

impl Feeder {
    async fn run(
        self,
        mut sources: VecDeque<(BTreeSet<Stream>, SourceId)>,
        days: mpsc::Sender<AbortOnDropHandle<Result<Looked, VerifyError>>>,
    ) -> Result<(), ArchiveError> {
        let objects = Arc::new(Semaphore::new(OBJECTS_AHEAD as usize));
        let mut listings: VecDeque<(Listings, AbortOnDropHandle<()>)> = VecDeque::new();
        loop {
            while listings.len() < SOURCES_AHEAD
                && let Some((streams, source)) = sources.pop_front()
            {
                listings.push_back(self.list(source, &streams));
            }
            let Some((front, _)) = listings.front_mut() else { return Ok(()) };
            let Some(listing) = front.recv().await else {
                listings.pop_front();
                continue;
            };
            let listing = listing?;
            let weight = u32::try_from(listing.objects.len() + listing.parts.len())
                .map_or(OBJECTS_AHEAD, |objects| objects.clamp(1, OBJECTS_AHEAD));
            let Ok(permit) = Arc::clone(&objects).acquire_many_owned(weight).await else { return Ok(()) };
            let look = look(Arc::clone(&self.archive), listing, self.rules, self.deep, permit);
            if days.send(AbortOnDropHandle::new(tokio::spawn(look))).await.is_err() {
                return Ok(());
            }
        }
    }

    /// Lists the days of one source, a few ahead.
    fn list(&self, source: SourceId, streams: &BTreeSet<Stream>) -> (Listings, AbortOnDropHandle<()>) {
        let (sender, listings) = mpsc::channel(LISTED_AHEAD);
        let mut days = Days::new(&self.archive, source, streams, self.span);
        let task = tokio::spawn(async move {
            while let Some(day) = days.next().await.transpose() {
                let failed = day.is_err();
                if sender.send(day).await.is_err() || failed {
                    return;
                }
            }
        });
        (listings, AbortOnDropHandle::new(task))
    }
}

/// Examines one day. If something is missing, the day is listed once more, because the missing object may
/// have arrived meanwhile.
async fn look(
    archive: Arc<Archive>,
    listing: DayListing,
    rules: Rules,
    deep: bool,
    permit: OwnedSemaphorePermit,
) -> Result<Looked, VerifyError> {
    let judged = async |listing: &DayListing| {
        let (day, parts) = ask(&archive, listing).await?;
        let said = (links(&day), repeats_within(&day));
        Ok::<_, VerifyError>((said, parts, judge(archive.bucket(), day, &rules)))
    };
    let (mut said, mut parts, (mut report, mut objects)) = judged(&listing).await?;
    let moved = |finding: &BucketFinding| {
        use BucketProblem::{Marker, MarkerDiffers, Missing, NoMarker, Vanished};
        matches!(finding.problem, Missing | NoMarker | Marker { .. } | MarkerDiffers { .. } | Vanished)
    };
    if let Some(day) = listing.day
        && report.findings.iter().any(moved)
    {
        let again = Days::of_day(&archive, &listing.source, day).await?;
        if !again.is_same(&listing) {
            (said, parts, (report, objects)) = judged(&again).await?;
        }
    }
    let all = objects.into_iter().map(Unread::Object).chain(parts.into_iter().map(Unread::Part));
    let unread = all.filter(|object| deep && object.len() > 0).collect();
    let (links, repeats_within) = said;
    Ok(Looked { report, links, repeats_within, unread, _objects: permit })
}

/// By spool: the positions within which it recognises repeats, as far as the markers of a day say.
fn repeats_within(day: &Day) -> Vec<(String, u64)> {
    let said = day.markers.iter().filter_map(|marker| marker.said.as_ref().ok());
    said.filter_map(|marker| Some((marker.spool.clone(), marker.repeats_within?))).collect()
}

/// Reads the metadata of a day's objects and parts of imports, and its markers.
async fn ask(archive: &Arc<Archive>, listing: &DayListing) -> Result<(Day, Vec<StoredPart>), VerifyError> {
    let mut day = Day {
        source: listing.source.clone(),
        day: listing.day,
        objects: Vec::with_capacity(listing.objects.len()),
        markers: Vec::with_capacity(listing.markers.len()),
        imported: Sum::default(),
        foreign: listing.foreign.clone(),
        foreign_more: listing.foreign_more,
        findings: Vec::new(),
    };
    let mut parts = Vec::with_capacity(listing.parts.len());
    let objects = listing.objects.iter().map(|(at, listed)| (At::Object(at.clone()), &listed.key));
    let imported = listing.parts.iter().map(|(at, listed)| (At::Part(at.clone()), &listed.key));
    let mut asked = JoinSet::new();
    for (at, key) in objects.chain(imported) {
        // Start no more requests than may be in flight: further ones would only wait.
        if asked.len() >= archive.requests_max()
            && let Some(answer) = asked.join_next().await
        {
            take(&mut day, &mut parts, answer??);
        }
        let (archive, key) = (Arc::clone(archive), key.clone());
        asked.spawn(async move { Ok::<_, ArchiveError>((archive.head(&key).await?, key, at)) });
    }
    while let Some(answer) = asked.join_next().await {
        take(&mut day, &mut parts, answer??);
    }
    parts.sort_by(|a: &StoredPart, b| a.key.cmp(&b.key));
    day.imported = Sum::of_parts(&parts);
    day.findings.extend(same_rows(&parts));
    for at in &listing.markers {
        let said = match archive.marker(at).await? {
            Got::Read(said) => said,
            Got::Gone => continue,
            Got::Archived(why) | Got::Damaged(why) => Err(why),
        };
        day.markers.push(FoundMarker { at: at.clone(), said });
    }
    Ok((day, parts))
}

/// The facts in the key of an object whose metadata is asked for.
enum At {
    Object(ParsedObjectKey),
    Part(ParsedPartKey),
}

fn take(day: &mut Day, parts: &mut Vec<StoredPart>, (head, key, at): (Got<LenAndMetadata>, ObjectKey, At)) {
    let problem = match head {
        Got::Read(head) => {
            let findings = match at {
                At::Object(at) => {
                    let (object, findings) = Stored::new(key, at, &head);
                    day.objects.push(object);
                    findings
                }
                At::Part(at) => {
                    let (part, findings) = StoredPart::new(key, at, &head);
                    parts.push(part);
                    findings
                }
            };
            day.findings.extend(findings);
            return;
        }
        Got::Gone => BucketProblem::Vanished,
        Got::Archived(why) => BucketProblem::Unreadable(why),
        Got::Damaged(why) => BucketProblem::Damaged(why),
    };
    let (source, of_day, stream) = match at {
        At::Object(at) => (at.source, at.day, at.stream),
        At::Part(at) => (at.source, at.received_at.day(), at.stream),
    };
    let place = BucketPlace {
        source: Some(source),
        day: Some(of_day),
        stream: Some(stream),
        key: Some(key),
        ..BucketPlace::default()
    };
    day.findings.push(BucketFinding { place, problem });
}
