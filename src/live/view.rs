//! The live view: what intake hands over, and what viewers read.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use super::filter::Filter;
use super::live_call::LiveCall;
use super::pace::{Pace, Turn, Wanted};
use super::recent::Recent;
use super::refused::{RefusedGroup, RefusedKind, RefusedList, RefusedRequests};
use super::refused_request::RefusedRequest;
use super::sample::Sample;
use super::seen::SeenSource;
use crate::lock::{lock, read, write};
use crate::sources::SourceId;
use crate::time::UnixMillis;

/// Viewers at once. Each holds a connection of the admin listener.
pub const VIEWERS_MAX: usize = 64;
/// Sources of which more is kept than counters. As many as intake keeps counters ready for.
const SOURCES_MAX: usize = 10_000;
/// The longest text to search for, in bytes.
pub const TEXT_MAX: usize = 200;

closed_list! {
    /// How much the live view shows, by its name in the configuration.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub enum Mode by slug {
        /// Everything that is stored.
        Full = "full",
        /// Everything but personal data ([`super::mask`]).
        #[default]
        Masked = "masked",
        /// Nothing. Only the names of SDKs are noted.
        Off = "off",
    }
}

/// The live view of one process.
#[derive(Debug)]
pub struct LiveView {
    mode: AtomicU8,
    viewers: AtomicUsize,
    /// No source that is not quiet may be sampled before this time: monotonic microseconds.
    not_before: AtomicU64,
    pace: Mutex<Pace>,
    /// The number of the next call, and the last calls.
    recent: Mutex<(u64, Recent)>,
    stored: AtomicU64,
    rejected: AtomicU64,
    shown: AtomicU64,
    sources: RwLock<HashMap<SourceId, Arc<SeenSource>>>,
    refused: Mutex<RefusedRequests>,
}

/// Counts of calls since the process started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Valid calls and object sets in stored requests, repeats included.
    pub stored: u64,
    /// Rejected items.
    pub rejected: u64,
    /// Sampled ones of both.
    pub shown: u64,
}

/// Someone who watches. Dropping it ends that.
#[derive(Debug)]
pub struct Viewer {
    view: Arc<LiveView>,
    filter: Filter,
    /// The number of the first call that it has not read. `None` before it has read any.
    next: Option<u64>,
    /// The number of the first call that came after it did.
    began: u64,
    /// The number of the first change of refused requests that it has not read.
    refused_next: u64,
    counts: Counts,
}

/// Calls that a viewer had not read.
#[derive(Debug)]
pub struct Unread {
    /// Those that pass its filter.
    pub calls: Vec<Arc<LiveCall>>,
    /// How many were dropped before it read them.
    pub missed: u64,
    /// Whether there are more.
    pub cut: bool,
}

impl Default for LiveView {
    fn default() -> Self {
        Self::new(Mode::default(), Duration::ZERO)
    }
}

impl LiveView {
    /// A view at monotonic time `now`.
    pub fn new(mode: Mode, now: Duration) -> Self {
        Self {
            mode: AtomicU8::new(mode as u8),
            viewers: AtomicUsize::new(0),
            not_before: AtomicU64::new(0),
            pace: Mutex::new(Pace::new(now)),
            recent: Mutex::default(),
            stored: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            shown: AtomicU64::new(0),
            sources: RwLock::default(),
            refused: Mutex::default(),
        }
    }

    /// How much it shows.
    pub fn mode(&self) -> Mode {
        let mode = self.mode.load(Ordering::Acquire);
        [Mode::Full, Mode::Off].into_iter().find(|known| *known as u8 == mode).unwrap_or(Mode::Masked)
    }

    /// Changes how much it shows. Calls that were sampled before are no longer shown.
    pub fn set_mode(&self, mode: Mode) {
        let (mut recent, mut refused) = (lock(&self.recent), lock(&self.refused));
        let before = self.mode.swap(mode as u8, Ordering::AcqRel);
        if before != mode as u8 {
            recent.1 = Recent::default();
            refused.groups.clear();
        }
    }

    /// What was seen of a source. `None` above the limit of sources.
    pub fn source(&self, id: &SourceId) -> Option<Arc<SeenSource>> {
        if let Some(seen) = self.seen(id) {
            return Some(seen);
        }
        let mut sources = write(&self.sources);
        if sources.len() >= SOURCES_MAX && !sources.contains_key(id) {
            return None;
        }
        Some(Arc::clone(sources.entry(id.clone()).or_default()))
    }

    /// What was seen of a source, if anything was.
    pub fn seen(&self, id: &SourceId) -> Option<Arc<SeenSource>> {
        read(&self.sources).get(id).cloned()
    }

    /// Forgets what was seen of a source that is no longer configured.
    pub fn forget(&self, id: &SourceId) {
        write(&self.sources).remove(id);
    }

    /// Whether some of a request's `calls` and `rejected` items may be copied now. Costs two loads if not,
    /// and nothing was rejected.
    pub fn turn(&self, source: &SeenSource, (calls, rejected): (u32, u32), now: Duration) -> Option<Turn> {
        let quiet = source.is_quiet(now);
        if !quiet && rejected == 0 && micros(now) < self.not_before.load(Ordering::Relaxed) {
            return None;
        }
        let watched = self.viewers.load(Ordering::Relaxed) > 0;
        match lock(&self.pace).take(Wanted { calls, rejected, quiet }, watched, now) {
            Ok(turn) => {
                source.sampled(now);
                Some(turn)
            }
            Err(at) => {
                if !quiet {
                    self.not_before.store(micros(at), Ordering::Relaxed);
                }
                None
            }
        }
    }

    /// Counts a request that was stored.
    pub fn stored(&self, calls: u32, rejected: u32) {
        self.stored.fetch_add(u64::from(calls), Ordering::Relaxed);
        if rejected > 0 {
            self.rejected.fetch_add(u64::from(rejected), Ordering::Relaxed);
        }
    }

    /// Counts a request that was refused as a whole. No request that is taken waits for the lock.
    pub fn refused(&self, request: RefusedRequest<'_>, at: UnixMillis) {
        lock(&self.refused).count(request, at);
    }

    /// The requests that were refused as a whole since the process started, the last kind first.
    pub fn refusals(&self) -> Vec<RefusedKind> {
        lock(&self.refused).kinds()
    }

    /// The groups of refused requests that pass a filter, at most `max`, the one with the last request first.
    pub fn refused_groups(&self, filter: &Filter, max: usize) -> RefusedList {
        self.refused_since(0, filter, max).0
    }

    /// The groups that changed since the change `next`, and the number of the next change.
    fn refused_since(&self, next: u64, filter: &Filter, max: usize) -> (RefusedList, u64) {
        let refused = lock(&self.refused);
        let full = self.mode() == Mode::Full;
        let (newest, (dropped_groups, dropped_requests)) = (refused.groups.newest(), refused.groups.dropped);
        let next_change = refused.groups.next;
        drop(refused);
        let changed = newest.iter().take_while(|group| group.changed >= next);
        let shown = changed.map(|group| RefusedGroup::of(group, full));
        let mut groups: Vec<RefusedGroup> = shown.filter(|group| filter.passes_refused(group)).collect();
        let more = groups.len().saturating_sub(max) as u64;
        groups.truncate(max);
        (RefusedList { groups, more, dropped_groups, dropped_requests }, next_change)
    }

    /// Shows the sample of a request that was stored. `repeated`: all its calls were repeats.
    pub fn show(&self, sample: Sample, seen: &SeenSource, repeated: bool) {
        let Sample { source, at, lines } = sample;
        for line in &lines {
            if let Some((name, version)) = &line.head.library {
                seen.saw((name, version), at);
            }
        }
        let mut recent = lock(&self.recent);
        let mode = self.mode();
        if mode == Mode::Off {
            return;
        }
        let (next, recent) = &mut *recent;
        for line in lines {
            recent.push(LiveCall::new(*next, (source.clone(), at), line, repeated, mode == Mode::Full));
            *next += 1;
            self.shown.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The calls that were sampled last, oldest first.
    pub fn recent(&self) -> Vec<Arc<LiveCall>> {
        lock(&self.recent).1.since(0, usize::MAX).0
    }

    /// Begins to watch. `None` if too many do already.
    pub fn watch(self: &Arc<Self>, filter: Filter) -> Option<Viewer> {
        let taken = self.viewers.fetch_update(Ordering::AcqRel, Ordering::Acquire, |viewers| {
            (viewers < VIEWERS_MAX).then_some(viewers + 1)
        });
        taken.ok()?;
        // The rate is higher now.
        self.not_before.store(0, Ordering::Relaxed);
        let began = lock(&self.recent).0;
        let counts = self.counts();
        Some(Viewer { view: Arc::clone(self), filter, next: None, began, refused_next: 0, counts })
    }

    fn counts(&self) -> Counts {
        Counts {
            stored: self.stored.load(Ordering::Relaxed),
            rejected: self.rejected.load(Ordering::Relaxed),
            shown: self.shown.load(Ordering::Relaxed),
        }
    }
}

impl Viewer {
    /// Whether there are calls that it has not read.
    pub fn has_news(&self) -> bool {
        self.next.unwrap_or(0) < lock(&self.view.recent).0
    }

    /// Whether it came after `call` did.
    pub fn came_after(&self, call: &LiveCall) -> bool {
        call.id < self.began
    }

    /// Calls that it has not read and that pass the filter, oldest first. The first time: from the oldest
    /// that is still known. It reads about `bytes` bytes of lines.
    pub fn calls(&mut self, bytes: usize) -> Unread {
        let recent = lock(&self.view.recent);
        let (mut calls, missed) = recent.1.since(self.next.unwrap_or(0), bytes);
        // Of what came before it did, nothing counts as missed.
        let missed = if self.next.is_some() { missed } else { recent.1.since(self.began, 0).1 };
        let next = calls.last().map_or(recent.0, |last| last.id + 1);
        let cut = next < recent.0;
        drop(recent);
        self.next = Some(next);
        calls.retain(|call| self.filter.passes(call));
        Unread { calls, missed, cut }
    }

    /// Whether requests were refused since it last read which.
    pub fn has_refused(&self) -> bool {
        self.refused_next < lock(&self.view.refused).groups.next
    }

    /// The groups of refused requests that changed since the last time, at most `max`, the one with the last
    /// request first.
    pub fn refused(&mut self, max: usize) -> RefusedList {
        let (list, next) = self.view.refused_since(self.refused_next, &self.filter, max);
        self.refused_next = next;
        list
    }

    /// What was counted since the last time.
    pub fn counts(&mut self) -> Counts {
        let (now, before) = (self.view.counts(), self.counts);
        self.counts = now;
        Counts {
            stored: now.stored.saturating_sub(before.stored),
            rejected: now.rejected.saturating_sub(before.rejected),
            shown: now.shown.saturating_sub(before.shown),
        }
    }

    /// How much is shown.
    pub fn mode(&self) -> Mode {
        self.view.mode()
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.view.viewers.fetch_sub(1, Ordering::AcqRel);
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::refused_request::tests::request;
    use super::*;
    use crate::object::Stream;

    fn web() -> SourceId {
        SourceId::new("web").unwrap()
    }

    fn show(view: &LiveView, line: &str) {
        let seen = view.source(&web()).unwrap();
        let mut sample = Sample::new(web(), UnixMillis(1));
        sample.push(Stream::Calls, line.as_bytes(), Some(line.as_bytes()));
        view.stored(1, 0);
        view.show(sample, &seen, false);
    }

    const LINE: &str = r#"{"type":"track","event":"Order Done","userId":"u1","context":{"library":{"name":"x","version":"2"}}}"#;

    #[test]
    fn a_viewer_sees_what_passes_its_filter() {
        let view = Arc::new(LiveView::new(Mode::Full, Duration::ZERO));
        show(&view, LINE);
        let watch = |source: &str, kind: &str, text: &str| {
            let set = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
            let source = Some(source).filter(|id| !id.is_empty()).map(|id| SourceId::new(id).unwrap());
            let filter = Filter { source, kind: set(kind), text: set(text) };
            view.watch(filter).unwrap().calls(usize::MAX).calls.len()
        };
        assert_eq!(watch("", "", ""), 1);
        assert_eq!((watch("web", "track", "order d"), watch("ios", "", "")), (1, 0));
        assert_eq!((watch("", "page", ""), watch("", "", "none")), (0, 0));
    }

    #[test]
    fn nothing_hidden_can_be_searched() {
        let view = Arc::new(LiveView::new(Mode::Masked, Duration::ZERO));
        show(&view, LINE);
        let filter = Filter { text: Some("u1".to_owned()), ..Filter::default() };
        assert_eq!(view.watch(filter).unwrap().calls(usize::MAX).calls.len(), 0);
    }

    #[test]
    fn a_view_that_is_off_notes_sdks_and_keeps_no_call() {
        let view = Arc::new(LiveView::new(Mode::Off, Duration::ZERO));
        show(&view, LINE);
        view.set_mode(Mode::Full);
        assert_eq!(view.watch(Filter::default()).unwrap().calls(usize::MAX).calls.len(), 0);
        assert_eq!(view.seen(&web()).unwrap().libraries()[0].name, "x");
    }

    #[test]
    fn a_change_of_the_mode_shows_no_call_of_before() {
        let view = Arc::new(LiveView::new(Mode::Full, Duration::ZERO));
        show(&view, LINE);
        view.set_mode(Mode::Masked);
        let mut viewer = view.watch(Filter::default()).unwrap();
        assert_eq!(viewer.calls(usize::MAX).calls.len(), 0);
        show(&view, LINE);
        assert!(!viewer.calls(usize::MAX).calls[0].json().contains("u1"));
    }

    #[test]
    fn viewers_are_counted_and_bounded() {
        let view = Arc::new(LiveView::new(Mode::Full, Duration::ZERO));
        let mut viewers: Vec<Viewer> =
            (0..VIEWERS_MAX).map(|_| view.watch(Filter::default()).unwrap()).collect();
        assert!(view.watch(Filter::default()).is_none());
        viewers.pop();
        let mut viewer = view.watch(Filter::default()).unwrap();
        show(&view, LINE);
        assert_eq!(viewer.counts(), Counts { stored: 1, rejected: 0, shown: 1 });
        assert_eq!(viewer.counts(), Counts::default());
    }

    #[test]
    fn the_first_call_of_a_quiet_source_is_sampled_while_another_is_busy() {
        let view = LiveView::new(Mode::Full, Duration::ZERO);
        let (busy, quiet) = (SeenSource::default(), SeenSource::default());
        let at = Duration::from_millis;
        for ms in 0..=5_000 {
            view.turn(&busy, (100, 0), at(ms));
        }
        assert_eq!(view.turn(&busy, (100, 0), at(5_050)), None);
        assert_eq!(view.turn(&busy, (100, 3), at(5_050)), Some(Turn { calls: 0, rejected: 3 }));
        assert_eq!(view.turn(&quiet, (100, 0), at(5_050)), Some(Turn { calls: 1, rejected: 0 }));
        assert_eq!(view.turn(&quiet, (100, 0), at(5_051)), None);
    }

    #[test]
    fn filters_apply_to_refused_requests() {
        let view = LiveView::new(Mode::Full, Duration::ZERO);
        view.refused(request(), UnixMillis(1));
        let check = |source: &str, kind: &str, text: &str, passes: bool| {
            let set = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
            let source = Some(source).filter(|id| !id.is_empty()).map(|id| SourceId::new(id).unwrap());
            let filter = Filter { source, kind: set(kind), text: set(text) };
            let groups = view.refused_groups(&filter, 9).groups;
            assert_eq!(groups.len(), usize::from(passes), "{filter:?}");
        };
        check("", "", "", true);
        check("", "refused", "/v1/batch", true);
        check("", "", "192.0.2", true);
        check("", "track", "", false);
        check("web", "", "", false);
        check("", "", "no such text", false);
    }

    #[test]
    fn a_viewer_gets_the_refused_requests_that_it_has_not_read() {
        let view = Arc::new(LiveView::new(Mode::Full, Duration::ZERO));
        view.refused(request(), UnixMillis(1));
        let mut viewer = view.watch(Filter::default()).unwrap();
        let read = |viewer: &mut Viewer, max: usize| {
            let list = viewer.refused(max);
            let seen: Vec<_> = list.groups.iter().map(|group| (group.last.0, group.requests)).collect();
            (seen, list.more)
        };
        assert!(viewer.has_refused());
        assert_eq!(read(&mut viewer, 9), (vec![(1, 1)], 0));
        assert!(!viewer.has_refused());
        assert_eq!(read(&mut viewer, 9), (vec![], 0));
        view.refused(RefusedRequest { method: "PUT", ..request() }, UnixMillis(2));
        view.refused(request(), UnixMillis(3));
        assert_eq!(read(&mut viewer, 1), (vec![(3, 2)], 1));
        assert_eq!(read(&mut viewer, 1), (vec![], 0));
    }

    #[test]
    fn a_change_of_the_mode_shows_no_refused_request_of_before() {
        let view = LiveView::new(Mode::Masked, Duration::ZERO);
        view.refused(request(), UnixMillis(1));
        view.set_mode(Mode::Full);
        let list = view.refused_groups(&Filter::default(), 9);
        assert_eq!((list.groups.len(), list.dropped_groups, list.dropped_requests), (0, 1, 1));
        assert_eq!(view.refusals()[0].requests, 1);
    }
}
