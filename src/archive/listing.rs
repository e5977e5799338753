//! Lists a bucket source by source and day by day, in the order of its listings. Only one page of each
//! listing and the current day are kept in memory.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::bucket::{Archive, ArchiveError};
use crate::object::closed_marker::ParsedMarkerKey;
use crate::object::object_key::received_day;
use crate::object::stream::{DEAD_FOLDER, OBJECTS_FOLDER};
use crate::object::{OBJECTS, ObjectKey, ParsedObjectKey, ParsedPartKey, Stream};
use crate::sources::SourceId;
use crate::store::reader::{ListFrom, Listed};
use crate::time::ReceivedDay;

/// The most keys of a day that are not Forebay's and are kept by name. Further ones are counted.
pub const FOREIGN_NAMED_MAX: usize = 1_000;
/// From 2001-09-09 to 2286, days have 13 digits, so that their names sort like numbers.
const THIRTEEN_DIGITS: i64 = 1_000_000_000_000;

/// The wanted days, both ends included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// The first day; `None` for all from the beginning.
    pub from: Option<ReceivedDay>,
    /// The last day; `None` for all until the end.
    pub to: Option<ReceivedDay>,
}

impl Span {
    /// Whether a day is wanted.
    pub fn has(&self, day: ReceivedDay) -> bool {
        self.from.is_none_or(|from| from <= day) && self.to.is_none_or(|to| day <= to)
    }

    /// Whether all days are wanted.
    pub fn is_all(&self) -> bool {
        *self == Self::default()
    }

    /// The folder after which a listing may begin.
    fn after(&self) -> Option<String> {
        self.from.filter(|from| from.start().0 >= THIRTEEN_DIGITS).map(|from| from.to_string())
    }

    /// Whether neither this folder nor a later one can be wanted.
    fn ends_before(&self, folder: &str) -> bool {
        let long = |day: &ReceivedDay| day.start().0 >= THIRTEEN_DIGITS;
        let (Some(_), Some(to)) = (self.from.filter(long), self.to.filter(long)) else { return false };
        folder > to.to_string().as_str()
    }
}

/// Whether a key only marks a folder: consoles put one with "create folder", and Hadoop one that ends with
/// `_$folder$`.
pub(super) fn is_folder(listed: &Listed) -> bool {
    listed.len == 0 && (listed.key.as_str().ends_with('/') || listed.key.as_str().ends_with("_$folder$"))
}

/// The content of `segment-logs/`.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The sources with objects or markers.
    pub sources: BTreeSet<SourceId>,
    /// The sources with markers.
    pub marked: BTreeSet<SourceId>,
    /// The object and dead-letter streams of each source that has any.
    pub streams: BTreeMap<SourceId, BTreeSet<Stream>>,
    /// Folders next to the sources that contain no calls and are not read (`_check`).
    pub beside: BTreeSet<String>,
    /// Folders whose names cannot be source ids, and keys outside of any folder.
    pub foreign: Vec<String>,
}

/// The listing of one source's day.
#[derive(Clone, Debug)]
pub struct DayListing {
    /// The source.
    pub source: SourceId,
    /// The day; `None` for keys outside of any day's folder.
    pub day: Option<ReceivedDay>,
    /// Objects of all streams.
    pub objects: Vec<(ParsedObjectKey, Listed)>,
    /// Markers.
    pub markers: Vec<ParsedMarkerKey>,
    /// Parts of imports.
    pub parts: Vec<(ParsedPartKey, Listed)>,
    /// Keys that are not Forebay's, at most [`FOREIGN_NAMED_MAX`].
    pub foreign: Vec<ObjectKey>,
    /// The number of further keys that are not Forebay's.
    pub foreign_more: u64,
}

impl DayListing {
    fn new(source: SourceId, day: Option<ReceivedDay>) -> Self {
        let (objects, markers, parts, foreign) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { source, day, objects, markers, parts, foreign, foreign_more: 0 }
    }

    /// Whether two listings of a day are equal.
    pub fn is_same(&self, other: &Self) -> bool {
        let keys = |of: &Self| {
            let objects = of.objects.iter().map(|(_, listed)| listed.key.clone());
            objects.chain(of.parts.iter().map(|(_, listed)| listed.key.clone())).collect::<BTreeSet<_>>()
        };
        keys(self) == keys(other) && self.markers.len() == other.markers.len()
    }

    /// Whether there is an object or a marker of a spool.
    pub fn has_spool(&self, spool_id: &str) -> bool {
        self.objects.iter().any(|(at, _)| at.spool_id == spool_id)
            || self.markers.iter().any(|at| at.spool_id == spool_id)
    }

    /// Whether the day has no keys.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty() && self.markers.is_empty() && self.parts.is_empty() && self.foreign.is_empty()
    }

    fn push(&mut self, archive: &Archive, listed: Listed) {
        if is_folder(&listed) {
            return;
        }
        let key = listed.key.as_str();
        if let Some(at) = ParsedObjectKey::of(archive.bucket(), key) {
            self.objects.push((at, listed));
        } else if let Some(at) = ParsedMarkerKey::of(archive.bucket(), key) {
            self.markers.push(at);
        } else if let Some(at) = ParsedPartKey::of(archive.bucket(), key) {
            self.parts.push((at, listed));
        } else if self.foreign.len() < FOREIGN_NAMED_MAX {
            self.foreign.push(listed.key);
        } else {
            self.foreign_more += 1;
        }
    }
}

impl Archive {
    /// Lists the sources.
    pub async fn sources(&self) -> Result<Sources, ArchiveError> {
        let mut all = Sources::default();
        let source = |name: &str| SourceId::new(name).ok();
        for name in self.folders(OBJECTS, &mut all.foreign).await? {
            match source(&name) {
                Some(source) => drop(all.sources.insert(source)),
                None if name.starts_with('_') => drop(all.beside.insert(name)),
                None => all.foreign.push(self.key(&format!("{OBJECTS}{name}/"))),
            }
        }
        all.sources.extend(self.named(&format!("{OBJECTS}_rejected/"), source, &mut all.foreign).await?);
        all.marked.extend(self.named(&format!("{OBJECTS}_closed/"), source, &mut all.foreign).await?);
        all.sources.extend(all.marked.iter().cloned());
        for stream in self.named_streams(&mut all.foreign).await? {
            let folder = format!("{OBJECTS}{}", stream.folder());
            for source in self.named(&folder, source, &mut all.foreign).await? {
                all.sources.insert(source.clone());
                all.streams.entry(source).or_default().insert(stream.clone());
            }
        }
        let read = ["_rejected/", "_closed/", OBJECTS_FOLDER, DEAD_FOLDER];
        all.beside.retain(|name| !read.contains(&format!("{name}/").as_str()));
        Ok(all)
    }

    /// The collections and destinations with a folder in the bucket. Folders with other names, and keys
    /// directly beside them, are added to `strays`.
    async fn named_streams(&self, strays: &mut Vec<String>) -> Result<Vec<Stream>, ArchiveError> {
        let mut streams = Vec::new();
        for (beside, kind) in [(OBJECTS_FOLDER, "objects"), (DEAD_FOLDER, "dead")] {
            let folder = format!("{OBJECTS}{beside}");
            let stream = |name: &str| format!("{kind}/{name}").parse().ok();
            streams.extend(self.named(&folder, stream, strays).await?);
        }
        Ok(streams)
    }

    /// The streams that a source may have objects of: calls, rejected items, and every collection and
    /// destination in the bucket.
    pub async fn streams(&self) -> Result<Vec<Stream>, ArchiveError> {
        let mut streams = vec![Stream::Calls, Stream::Rejected];
        streams.extend(self.named_streams(&mut Vec::new()).await?);
        Ok(streams)
    }

    /// What the names of the folders in a folder mean. Those that mean nothing, and keys directly in it, are
    /// added to `strays`.
    async fn named<T>(
        &self,
        folder: &str,
        meaning: impl Fn(&str) -> Option<T>,
        strays: &mut Vec<String>,
    ) -> Result<Vec<T>, ArchiveError> {
        let mut all = Vec::new();
        for name in self.folders(folder, strays).await? {
            match meaning(&name) {
                Some(one) => all.push(one),
                None => strays.push(self.key(&format!("{folder}{name}/"))),
            }
        }
        Ok(all)
    }

    /// The names of the folders in a folder. Keys directly in it are added to `strays`.
    async fn folders(&self, folder: &str, strays: &mut Vec<String>) -> Result<Vec<String>, ArchiveError> {
        let prefix = self.key(folder);
        let (mut names, mut next) = (Vec::new(), None::<String>);
        loop {
            let from =
                ListFrom { prefix: &prefix, next: next.as_deref(), folders: true, ..ListFrom::default() };
            let page = self.list(from).await?;
            let name = |folder: &String| Some(folder.strip_prefix(&prefix)?.strip_suffix('/')?.to_owned());
            names.extend(page.folders.iter().filter_map(name));
            let stray = |listed: &Listed| listed.len > 0 || !listed.key.as_str().ends_with('/');
            let room = FOREIGN_NAMED_MAX.saturating_sub(strays.len());
            let found = page.objects.into_iter().filter(stray).take(room);
            strays.extend(found.map(|listed| listed.key.as_str().to_owned()));
            next = page.next;
            if next.is_none() {
                return Ok(names);
            }
        }
    }

    /// The first day of a source with a marker.
    pub async fn first_marked(&self, source: &SourceId) -> Result<Option<ReceivedDay>, ArchiveError> {
        let prefix = self.key(&format!("{OBJECTS}_closed/{source}/"));
        let page = self.list(ListFrom { prefix: &prefix, ..ListFrom::default() }).await?;
        let places =
            page.objects.iter().filter_map(|listed| ParsedMarkerKey::of(self.bucket(), listed.key.as_str()));
        Ok(places.map(|at| at.day).min())
    }
}

/// Lists the keys below one folder, page by page.
#[derive(Debug)]
struct Pages {
    archive: Arc<Archive>,
    prefix: String,
    after: Option<String>,
    next: Option<String>,
    begun: bool,
    page: VecDeque<Listed>,
}

impl Pages {
    fn new(archive: &Arc<Archive>, folder: &str, span: &Span) -> Self {
        let prefix = archive.key(folder);
        let after = span.after().map(|day| format!("{prefix}{day}"));
        Self { archive: Arc::clone(archive), prefix, after, next: None, begun: false, page: VecDeque::new() }
    }

    /// The next key.
    async fn next(&mut self) -> Result<Option<Listed>, ArchiveError> {
        self.fill().await?;
        Ok(self.page.pop_front())
    }

    /// Lists a page if none is left. There are no more keys if it stays empty.
    async fn fill(&mut self) -> Result<(), ArchiveError> {
        while self.page.is_empty() && !(self.begun && self.next.is_none()) {
            let after = self.after.take();
            let (prefix, next) = (&self.prefix, self.next.as_deref());
            let from = ListFrom { prefix, after: after.as_deref(), next, ..ListFrom::default() };
            let page = self.archive.list(from).await?;
            (self.begun, self.next, self.page) = (true, page.next, page.objects.into());
        }
        Ok(())
    }

    /// The name of the folder of the next key, or of the key itself.
    async fn folder(&mut self) -> Result<Option<String>, ArchiveError> {
        self.fill().await?;
        let Some(next) = self.page.front() else { return Ok(None) };
        let key = next.key.as_str();
        let rest = key.strip_prefix(&self.prefix).unwrap_or(key);
        Ok(Some(rest.split('/').next().unwrap_or_default().to_owned()))
    }

    /// Moves the next keys into `day`, as long as they are in `folder`.
    async fn take(&mut self, folder: &str, day: &mut DayListing) -> Result<(), ArchiveError> {
        while self.folder().await?.as_deref() == Some(folder) {
            if let Some(listed) = self.page.pop_front() {
                day.push(&self.archive, listed);
            }
        }
        Ok(())
    }
}

/// The days of one source, in the order of their folder names.
#[derive(Debug)]
pub struct Days {
    source: SourceId,
    span: Span,
    /// Markers first, so that the objects they cover already exist when they are listed.
    pages: Vec<Pages>,
}

impl Days {
    /// Lists the days in `span`. `streams` are the source's object and dead-letter streams.
    pub fn new(archive: &Arc<Archive>, source: SourceId, streams: &BTreeSet<Stream>, span: Span) -> Self {
        let plain = ["_closed/".to_owned(), Stream::Calls.folder(), Stream::Rejected.folder()];
        let folders = plain.into_iter().chain(streams.iter().map(Stream::folder));
        let pages = folders.map(|folder| Pages::new(archive, &format!("{OBJECTS}{folder}{source}/"), &span));
        Self { span, pages: pages.collect(), source }
    }

    /// The next day with any key.
    pub async fn next(&mut self) -> Result<Option<DayListing>, ArchiveError> {
        loop {
            let mut folder: Option<String> = None;
            for pages in &mut self.pages {
                let theirs = pages.folder().await?;
                // Keys are sorted with the slash of their folder: `1-/` comes before `1/`, because `-` sorts
                // before `/`.
                folder = match (folder, theirs) {
                    (Some(a), Some(b)) => Some(if sorts_before(&b, &a) { b } else { a }),
                    (a, b) => a.or(b),
                };
            }
            let Some(folder) = folder.filter(|folder| !self.span.ends_before(folder)) else {
                return Ok(None);
            };
            let day = received_day(&folder);
            let mut listing = DayListing::new(self.source.clone(), day);
            for pages in &mut self.pages {
                pages.take(&folder, &mut listing).await?;
            }
            let wanted = day.map_or(self.span.is_all(), |day| self.span.has(day));
            if wanted && !listing.is_empty() {
                return Ok(Some(listing));
            }
        }
    }

    /// Lists a single day.
    pub async fn of_day(
        archive: &Arc<Archive>,
        source: &SourceId,
        day: ReceivedDay,
    ) -> Result<DayListing, ArchiveError> {
        let mut listing = DayListing::new(source.clone(), Some(day));
        let streams = archive.streams().await?;
        for beside in std::iter::once("_closed/".to_owned()).chain(streams.iter().map(Stream::folder)) {
            let folder = format!("{OBJECTS}{beside}{source}/{day}/");
            let mut pages = Pages::new(archive, &folder, &Span::default());
            while let Some(listed) = pages.next().await? {
                listing.push(archive, listed);
            }
        }
        Ok(listing)
    }
}

/// The objects of one stream of one source, in the order of their keys: those that a spool delivered, and
/// parts of imports. Other keys are passed over.
#[derive(Debug)]
pub struct Objects {
    span: Span,
    pages: Pages,
}

impl Objects {
    /// The objects of the days in `span`.
    pub fn new(archive: &Arc<Archive>, stream: &Stream, source: &SourceId, span: Span) -> Self {
        let pages = Pages::new(archive, &format!("{OBJECTS}{}{source}/", stream.folder()), &span);
        Self { span, pages }
    }

    /// The next object.
    pub async fn next(&mut self) -> Result<Option<Listed>, ArchiveError> {
        while let Some(listed) = self.pages.next().await? {
            let (bucket, key) = (self.pages.archive.bucket(), listed.key.as_str());
            let of_part = || ParsedPartKey::of(bucket, key).map(|at| at.received_at.day());
            let day = ParsedObjectKey::of(bucket, key).map(|at| at.day).or_else(of_part);
            if day.is_some_and(|day| self.span.has(day)) {
                return Ok(Some(listed));
            }
        }
        Ok(None)
    }
}

/// Whether a folder's keys sort before another's.
fn sorts_before(a: &str, b: &str) -> bool {
    a.bytes().chain([b'/']).lt(b.bytes().chain([b'/']))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::UnixMillis;

    #[test]
    fn folders_are_ordered_like_their_keys() {
        assert!(sorts_before("0", "86400000"));
        assert!(sorts_before("1432684800000", "1432771200000"));
        assert!(sorts_before("-86400000", "0"));
        assert!(sorts_before("a-b", "a") && !sorts_before("a", "a-b"), "`-` sorts before `/`");
        assert!(sorts_before("14", "1432684800000"));
    }

    #[test]
    fn a_span_skips_only_unwanted_folders() {
        let day = |days: i64| Some(UnixMillis(days * 86_400_000).day());
        let check =
            |span: Span, days: i64, has: bool| assert_eq!(span.has(day(days).unwrap()), has, "{days}");
        let span = Span { from: day(20_000), to: day(20_002) };
        for (days, has) in [(19_999, false), (20_000, true), (20_002, true), (20_003, false)] {
            check(span, days, has);
        }
        assert_eq!(span.after().as_deref(), Some("1728000000000"));
        assert!(span.ends_before("1728259200000") && !span.ends_before("1728172800000"));
        // Days with fewer digits sort among those with more.
        let early = Span { from: day(1), to: day(20_000) };
        assert_eq!((early.after(), early.ends_before("9")), (None, false));
        assert!(!Span { from: None, to: day(20_000) }.ends_before("9"));
        assert!(Span::default().is_all() && !span.is_all());
    }
}
