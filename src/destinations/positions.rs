//! What is kept of destinations on disk: which calls go where, from which position on, and how far each function has
//! finished.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::class::Class;
use super::select::{Head, Selection};
use super::settings::{DestinationSettings, is_web};
use crate::disk::{Disk, is_no_space, read_all, temporary_name, write_durably};
use crate::log::frame::Frame;
use crate::sources::SourceId;

/// The file, in the spool's directory.
pub const FILE: &str = "destinations.json";
/// Bytes of disk that are kept for the next version of the file: only once it is written, what destinations have finished
/// is freed.
const RESERVE: &str = "destinations.reserve";
/// The least bytes of it.
const RESERVE_MIN: usize = 4_096;
/// The version of the file's form.
const VERSION: u32 = 1;
/// With more routes of a destination than this, its lines that wait are copied into queues, which need no routes.
const ROUTES_MANY: usize = 100;
/// With so many routes of a destination, which it has only if nothing can be copied, its selection cannot be changed.
pub const ROUTES_MAX: usize = 10_000;

/// One function of one destination.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LaneId {
    /// The destination's name.
    pub destination: SourceId,
    /// The function's ARN, or what stands for it.
    pub function: String,
}

impl LaneId {
    /// A digest of destination and function, to be continued: it names the lane where a function's own name may be too long.
    pub(super) fn digest(&self) -> Sha256 {
        let mut digest = Sha256::new();
        for part in [self.destination.as_str().as_bytes(), self.function.as_bytes()] {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        digest
    }

    /// What fixes a failure of this function.
    pub fn remedy(&self, class: Class) -> &'static str {
        remedy(&self.function, class)
    }
}

/// What fixes a failure of a function, which may be one behind a web address.
pub fn remedy(function: &str, class: Class) -> &'static str {
    if is_web(function) { class.web_remedy() } else { class.remedy() }
}

/// Whether what a failure says may be the function's own words, which may hold personal data. What AWS says does not.
pub fn is_own_text(function: &str, class: Class) -> bool {
    class == Class::ExecutionError || is_web(function) && !matches!(class, Class::Network | Class::Timeout)
}

/// Which calls go where, from a position on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// It is for calls after this position, as far as the next route.
    pub after: u64,
    /// Which calls go where.
    pub selection: Selection,
}

/// What is kept of one destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The TOML that it was read from last. A destination that was removed sends what waits with these settings.
    pub typed: String,
    /// Whether the configuration no longer has it.
    pub removed: bool,
    /// Which calls go where. The last route is the one in force.
    pub routes: Vec<Route>,
    /// How far each function has finished.
    pub lanes: BTreeMap<String, u64>,
    /// How far the lines of functions are copied into their queues ([`Queue`](super::queue::Queue)), where that is further.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub copied: BTreeMap<String, u64>,
}

/// All destinations, by name.
pub type All = BTreeMap<SourceId, Kept>;

impl Kept {
    /// The selection for calls at a position.
    pub fn selection_at(routes: &[Route], position: u64) -> Option<&Selection> {
        routes.iter().rev().find(|route| route.after < position).map(|route| &route.selection)
    }

    /// The function that gets a call.
    pub fn function_for<'a>(
        routes: &'a [Route],
        position: u64,
        source: &SourceId,
        head: &Head,
    ) -> Option<&'a str> {
        Self::selection_at(routes, position)?.function_for(source, head)
    }

    /// The source and head of a line of the log that goes to a function.
    pub fn call_for(frame: &Frame<'_>, routes: &[Route], function: &str) -> Option<(SourceId, Head)> {
        let (source, head) = Self::call_of(frame)?;
        (Self::function_for(routes, frame.position, &source, &head)? == function).then_some((source, head))
    }

    /// The same of a line that may be in the queue of the function, whose lines up to `queued` are there: they are its own,
    /// whatever the routes say now.
    pub fn waiting_call_for(
        frame: &Frame<'_>,
        routes: &[Route],
        function: &str,
        queued: u64,
    ) -> Option<(SourceId, Head)> {
        if frame.position <= queued { Self::call_of(frame) } else { Self::call_for(frame, routes, function) }
    }

    fn call_of(frame: &Frame<'_>) -> Option<(SourceId, Head)> {
        let stream = frame.stream()?;
        let source = SourceId::new(frame.source).ok()?;
        Some((source, Head::of(&stream, std::str::from_utf8(frame.payload).ok()?)?))
    }

    /// How far lines must be copied so that the routes become few again. `None` if they are few.
    pub fn copied_for_few_routes(&self) -> Option<u64> {
        let oldest_kept = self.routes.len().checked_sub(ROUTES_MANY / 2)?;
        (self.routes.len() > ROUTES_MANY).then(|| self.routes.get(oldest_kept).map(|route| route.after))?
    }

    /// Up to where a function needs no routes: it has finished its lines, or they are in its queue.
    fn needs_routes_after(&self, function: &str, finished: u64) -> u64 {
        self.copied.get(function).map_or(finished, |copied| finished.max(*copied))
    }

    /// Calls after `now` go elsewhere.
    fn reroute(&mut self, selection: Selection, now: u64) {
        if self.routes.last().is_some_and(|route| route.selection.is_same(&selection)) {
            return;
        }
        for function in selection.all_functions() {
            self.lanes.entry(function.to_owned()).or_insert(now);
        }
        // A route that began here had no calls.
        self.routes.retain(|route| route.after != now);
        self.routes.push(Route { after: now, selection });
    }

    /// Drops what no call needs: functions that get no calls any more and have finished theirs, and routes of calls that
    /// are finished.
    fn prune(&mut self) {
        if let Some(Route { after, selection }) = self.routes.last() {
            let used = selection.all_functions();
            self.lanes.retain(|function, finished| used.contains(&**function) || *finished < *after);
        }
        let lanes = &self.lanes;
        self.copied.retain(|function, copied| lanes.get(function).is_some_and(|finished| finished < copied));
        let needed =
            self.lanes.iter().map(|(function, finished)| self.needs_routes_after(function, *finished));
        let lowest = needed.min().unwrap_or(u64::MAX);
        let in_use = self.routes.iter().rposition(|route| route.after <= lowest).unwrap_or(0);
        self.routes.drain(..in_use);
    }
}

/// What is to be kept after the configuration was read with the log at `now`: calls after it go as configured, and those
/// before it as they would have.
pub fn reconfigured(mut kept: All, configured: &[DestinationSettings], now: u64) -> All {
    for destination in configured {
        let new = || Kept {
            typed: String::new(),
            removed: false,
            routes: Vec::new(),
            lanes: BTreeMap::new(),
            copied: BTreeMap::new(),
        };
        let one = kept.entry(destination.name.clone()).or_insert_with(new);
        one.typed.clone_from(&destination.typed);
        one.removed = false;
        one.reroute(destination.selection.clone(), now);
    }
    for (name, one) in &mut kept {
        if !configured.iter().any(|destination| destination.name == *name) {
            one.removed = true;
            one.reroute(Selection { name: name.as_str().to_owned(), ..Selection::default() }, now);
        }
    }
    pruned(kept)
}

/// What is to be kept after functions have finished.
pub fn advanced(mut kept: All, finished: &BTreeMap<LaneId, u64>) -> All {
    for (lane, through) in finished {
        if let Some(position) =
            kept.get_mut(&lane.destination).and_then(|one| one.lanes.get_mut(&lane.function))
        {
            *position = (*position).max(*through);
        }
    }
    pruned(kept)
}

/// What is to be kept after the lines of a function were copied into its queue.
pub fn copied(mut kept: All, lane: &LaneId, through: u64) -> All {
    if let Some(one) = kept.get_mut(&lane.destination).filter(|one| one.lanes.contains_key(&lane.function)) {
        let far = one.copied.entry(lane.function.clone()).or_default();
        *far = through.max(*far);
    }
    pruned(kept)
}

fn pruned(mut kept: All) -> All {
    kept.values_mut().for_each(Kept::prune);
    kept.retain(|_, one| !(one.removed && one.lanes.is_empty()));
    kept
}

/// Each function, with the position up to which it has finished everything, and the one up to which its lines are copied, if
/// that is further.
pub fn lanes(kept: &All) -> BTreeMap<LaneId, (u64, Option<u64>)> {
    let of_one = |(name, one): (&SourceId, &Kept)| {
        let lane = |(function, finished): (&String, &u64)| {
            let id = LaneId { destination: name.clone(), function: function.clone() };
            (id, (*finished, one.copied.get(function).copied()))
        };
        one.lanes.iter().map(lane).collect::<Vec<_>>()
    };
    kept.iter().flat_map(of_one).collect()
}

/// The position after which the log must keep everything: the lowest of all. `None` without functions.
pub fn lowest(kept: &All) -> Option<u64> {
    lanes(kept)
        .into_values()
        .map(|(finished, copied)| copied.map_or(finished, |copied| finished.max(copied)))
        .min()
}

#[derive(Serialize, Deserialize)]
struct File {
    version: u32,
    destinations: All,
}

/// The file.
#[derive(Debug)]
pub struct Positions {
    disk: Arc<dyn Disk>,
    kept: All,
    /// Whether the last write failed: the file may be as it should have become.
    unsure: bool,
    /// Bytes of the reserve.
    reserved: usize,
}

impl Positions {
    /// Reads the file. Without one there are no destinations.
    ///
    /// # Errors
    /// The disk's error; `InvalidData` if the file is damaged or of a newer release.
    pub fn read(disk: Arc<dyn Disk>) -> io::Result<Self> {
        let reserved = disk.open(RESERVE).and_then(|file| file.len()).unwrap_or(0);
        let reserved = usize::try_from(reserved).unwrap_or(0);
        let file = match disk.open(FILE) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Self { disk, kept: All::new(), unsure: false, reserved });
            }
            Err(error) => return Err(error),
        };
        let wrong = |what: String| io::Error::new(io::ErrorKind::InvalidData, format!("{FILE} {what}"));
        let bytes = read_all(&*file)?;
        let version = serde_json::from_slice::<serde_json::Value>(&bytes)
            .map_err(|error| wrong(format!("is damaged: {error}")))?
            .get("version")
            .and_then(serde_json::Value::as_u64);
        if version.is_some_and(|version| version > u64::from(VERSION)) {
            return Err(wrong(format!("is of a newer release (version {})", version.unwrap_or_default())));
        }
        let File { destinations, .. } =
            serde_json::from_slice(&bytes).map_err(|error| wrong(format!("is damaged: {error}")))?;
        Ok(Self { disk, kept: destinations, unsure: false, reserved })
    }

    /// What is kept.
    pub fn kept(&self) -> &All {
        &self.kept
    }

    /// The position after which the log must keep everything. `None` without functions.
    pub fn lowest(&self) -> Option<u64> {
        lowest(&self.kept)
    }

    /// Whether the file is as what is kept: the last write did not fail.
    pub fn is_certain(&self) -> bool {
        !self.unsure
    }

    /// Whether [`Positions::keep`] of this would write nothing.
    pub fn has(&self, kept: &All) -> bool {
        self.is_certain() && *kept == self.kept
    }

    /// Writes what is to be kept durably, unless it is there already.
    ///
    /// # Errors
    /// The disk's error. The file is then as before, or becomes so with the next call.
    pub fn keep(&mut self, kept: All) -> io::Result<()> {
        if self.has(&kept) {
            return Ok(());
        }
        let file = File { version: VERSION, destinations: kept };
        self.unsure = true;
        let bytes = serde_json::to_vec(&file).map_err(io::Error::other)?;
        match write_durably(&*self.disk, FILE, &bytes) {
            Err(error) if is_no_space(&error) => {
                self.disk.remove(RESERVE)?;
                self.reserved = 0;
                write_durably(&*self.disk, FILE, &bytes)?;
            }
            Err(error) => return Err(error),
            Ok(()) if file.destinations.is_empty() => {}
            Ok(()) => self.reserve(bytes.len()),
        }
        self.kept = file.destinations;
        self.unsure = false;
        Ok(())
    }

    /// Makes the reserve, if there is none for a file of `len` bytes. Without space it is made another time.
    fn reserve(&mut self, len: usize) {
        if self.reserved > len {
            return;
        }
        let wanted = (2 * len).max(RESERVE_MIN);
        // The bytes are not zero, so that every file system allocates them.
        match write_durably(&*self.disk, RESERVE, &vec![0xFF; wanted]) {
            Ok(()) => self.reserved = wanted,
            Err(error) => {
                tracing::debug!(%error, "no space is reserved for {FILE}");
                if let Err(error) = self.disk.remove(&temporary_name(RESERVE)) {
                    tracing::debug!(%error, "the beginning of {RESERVE} stays until the next start");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::destinations::settings::tests::settings;
    use crate::disk::real_disk::RealDisk;
    use crate::object::Stream;

    fn name(text: &str) -> SourceId {
        SourceId::new(text).unwrap()
    }

    fn lane(destination: &str, function: &str) -> LaneId {
        LaneId { destination: name(destination), function: function.to_owned() }
    }

    fn track(position: u64, kept: &Kept) -> Option<&str> {
        let head = Head::of(&Stream::Calls, r#"{"type":"track"}"#).unwrap();
        Kept::function_for(&kept.routes, position, &name("web"), &head)
    }

    #[test]
    fn a_full_disk_has_space_for_the_next_version() {
        let dir = tempfile::tempdir().unwrap();
        let real: Arc<dyn Disk> = Arc::new(RealDisk::open(dir.path()).unwrap());
        let capped = |max: u64| crate::spool::capped(Arc::clone(&real), max);
        let mut positions = Positions::read(capped(1 << 20)).unwrap();
        let at = |position: u64| reconfigured(All::new(), &[settings("crm", &[("track", "f")])], position);
        positions.keep(at(1)).unwrap();
        let used: u64 = real.list("").unwrap().into_iter().map(|(_, len)| len).sum();
        // Not a byte is free.
        let mut positions = Positions::read(capped(used)).unwrap();
        positions.keep(at(2)).unwrap();
        assert_eq!(*Positions::read(Arc::clone(&real)).unwrap().kept(), at(2));
        // Once there is space, it is reserved again.
        let mut positions = Positions::read(capped(1 << 20)).unwrap();
        positions.keep(at(3)).unwrap();
        let again: u64 = real.list("").unwrap().into_iter().map(|(_, len)| len).sum();
        assert_eq!(again, used);
    }

    #[test]
    fn what_is_kept_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let disk: Arc<dyn Disk> = Arc::new(RealDisk::open(dir.path()).unwrap());
        let mut positions = Positions::read(Arc::clone(&disk)).unwrap();
        assert_eq!((positions.lowest(), positions.kept().len()), (None, 0));
        let kept = reconfigured(All::new(), &[settings("crm", &[("track", "a"), ("page", "b")])], 3);
        let kept = advanced(kept, &BTreeMap::from([(lane("crm", "a"), 7)]));
        positions.keep(kept.clone()).unwrap();
        let again = Positions::read(Arc::clone(&disk)).unwrap();
        assert_eq!((again.lowest(), again.kept()), (Some(3), &kept));
        write_durably(&*disk, FILE, br#"{"version":2,"lanes":[]}"#).unwrap();
        assert!(Positions::read(Arc::clone(&disk)).unwrap_err().to_string().contains("newer release"));
        write_durably(&*disk, FILE, b"{").unwrap();
        assert!(Positions::read(disk).unwrap_err().to_string().contains("is damaged"));
    }

    #[test]
    fn calls_go_where_the_configuration_sent_them_when_they_came() {
        let kept = reconfigured(All::new(), &[settings("crm", &[("track", "a")])], 10);
        let kept = reconfigured(kept, &[settings("crm", &[("track", "b")])], 20);
        // The same again changes nothing.
        let kept = reconfigured(kept, &[settings("crm", &[("track", "b")])], 25);
        let one = &kept[&name("crm")];
        assert_eq!(
            [10, 11, 20, 21, 99].map(|at| track(at, one)),
            [None, Some("a"), Some("a"), Some("b"), Some("b")]
        );
        assert_eq!(one.lanes, BTreeMap::from([("a".to_owned(), 10), ("b".to_owned(), 20)]));
        // The old function has no calls after 20.
        let kept = advanced(kept, &BTreeMap::from([(lane("crm", "a"), 19)]));
        assert_eq!(lowest(&kept), Some(19));
        let kept = advanced(kept, &BTreeMap::from([(lane("crm", "a"), 20)]));
        let one = &kept[&name("crm")];
        assert_eq!((one.lanes.len(), one.routes.len(), track(21, one)), (1, 1, Some("b")));
    }

    #[test]
    fn a_call_that_waits_keeps_its_route_however_often_the_selection_changes() {
        let functions = ["a", "b"];
        let at = |round: u64| functions[usize::try_from(round % 2).unwrap()];
        let mut kept = All::new();
        for round in 0..1_000 {
            kept = reconfigured(kept, &[settings("crm", &[("track", at(round))])], round * 10);
        }
        let one = &kept[&name("crm")];
        assert!((0..1_000).all(|round| track(round * 10 + 1, one) == Some(at(round))));
        // Once lines are in queues, what the log still has needs few routes.
        let through = one.copied_for_few_routes().unwrap();
        assert!(through > 9_000);
        for function in functions {
            kept = copied(kept, &lane("crm", function), through);
        }
        let one = &kept[&name("crm")];
        assert!(one.routes.len() <= ROUTES_MANY, "{}", one.routes.len());
        assert_eq!(one.copied_for_few_routes(), None);
        assert!((through / 10..1_000).all(|round| track(round * 10 + 1, one) == Some(at(round))));
    }

    #[test]
    fn a_selection_that_is_the_same_is_no_change() {
        let of = |sources: &[&str]| {
            let mut one = settings("crm", &[("track", "a")]);
            one.selection.sources = Some(sources.iter().copied().map(name).collect());
            one
        };
        let kept = reconfigured(All::new(), &[of(&["ios", "web"])], 10);
        let again = reconfigured(kept.clone(), &[of(&["web", "ios"])], 20);
        assert_eq!(again, kept);
        // Changes without a call between them are one.
        let there = reconfigured(kept.clone(), &[of(&["web"])], 20);
        assert_eq!(reconfigured(there, &[of(&["ios"])], 20)[&name("crm")].routes.len(), 2);
    }

    #[test]
    fn the_log_need_not_keep_what_was_copied() {
        let kept = reconfigured(All::new(), &[settings("crm", &[("track", "a"), ("page", "b")])], 10);
        let kept = copied(kept, &lane("crm", "a"), 50);
        assert_eq!(lowest(&kept), Some(10));
        let kept = copied(kept, &lane("crm", "b"), 30);
        assert_eq!(lowest(&kept), Some(30));
        let kept = advanced(kept, &BTreeMap::from([(lane("crm", "b"), 40)]));
        let one = &kept[&name("crm")];
        assert_eq!((lowest(&kept), one.copied.len()), (Some(40), 1), "what is finished is not in a queue");
        let unknown = copied(kept.clone(), &lane("crm", "c"), 60);
        assert_eq!(unknown, kept);
    }

    #[test]
    fn a_removed_destination_is_kept_until_its_queue_is_empty() {
        let kept = reconfigured(All::new(), &[settings("crm", &[("track", "a")])], 10);
        let kept = reconfigured(kept, &[], 20);
        let one = &kept[&name("crm")];
        assert_eq!((one.removed, track(20, one), track(21, one)), (true, Some("a"), None));
        // A restart without it changes nothing.
        let kept = reconfigured(kept, &[], 30);
        assert_eq!(kept[&name("crm")].routes.len(), 2);
        // It comes back, and takes calls from then on.
        let back = reconfigured(kept.clone(), &[settings("crm", &[("track", "a")])], 40);
        let one = &back[&name("crm")];
        assert_eq!([20, 21, 40, 41].map(|at| track(at, one)), [Some("a"), None, None, Some("a")]);
        let kept = advanced(kept, &BTreeMap::from([(lane("crm", "a"), 20)]));
        assert!(kept.is_empty());
    }
}
