//! What is kept of destinations: which calls go where, from which position on, how far each function has
//! finished, what is queued for it, and what damage took from it. Pure; [`Positions`] is its file.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::class::Class;
pub use super::positions_file::{COPY, FILE, Positions};
use super::select::{Head, Selection};
use super::settings::{DestinationSettings, is_web};
use crate::log::frame::Frame;
use crate::sources::SourceId;

/// With more routes of a destination than this, its lines that wait are copied into queues, which need no
/// routes.
const ROUTES_MANY: usize = 100;
/// With so many routes of a destination, which it has only if nothing can be copied, its selection cannot be
/// changed.
pub const ROUTES_MAX: usize = 10_000;
/// The most losses of a function that are kept apart; further ones are added to the last.
const LOSSES_MAX: usize = 1_000;

/// One function of one destination.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LaneId {
    /// The destination's name.
    pub destination: SourceId,
    /// The function's ARN, or what stands for it.
    pub function: String,
}

impl LaneId {
    /// A digest of destination and function, to be continued: it names the lane where a function's own name
    /// may be too long.
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

/// Which calls go where, from a position on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The route is for calls after this position, as far as the next route.
    pub after: u64,
    /// Which calls go where.
    pub selection: Selection,
}

/// A piece of a queue: lines of a lane in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// The position after which the file has the lane's lines.
    pub after: u64,
    /// The last position whose line the file may have.
    pub through: u64,
    /// The length of the file in bytes; 0 if no line was the lane's, and there is no file.
    pub bytes: u64,
    /// The number of lines. `None` for a piece that was found without a list.
    pub calls: Option<u64>,
}

impl Piece {
    pub(super) fn positions(&self) -> u64 {
        self.through.saturating_sub(self.after)
    }
}

/// What is kept of one destination.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The TOML that it was read from last. A destination that was removed sends what waits with these
    /// settings.
    pub typed: String,
    /// Whether the configuration no longer has the destination.
    pub removed: bool,
    /// Which calls go where. The last route is the one in force.
    pub routes: Vec<Route>,
    /// How far each function has finished.
    pub lanes: BTreeMap<String, u64>,
    /// What functions have finished beyond that, where a call holds it up.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ahead: BTreeMap<String, Ahead>,
    /// How far the lines of functions are copied into their queues ([`Queue`](super::queue::Queue)), where
    /// that is further.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub copied: BTreeMap<String, u64>,
    /// The files of each queue, in order, so that one that is missing or cut is noticed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pieces: BTreeMap<String, Vec<Piece>>,
    /// What damage took from each function.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub lost: BTreeMap<String, Losses>,
}

/// Positions that cannot be read any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// The last lost position.
    pub last: u64,
    /// The function's calls among them; at most so many if a segment of the log is damaged, which has calls
    /// of others, too.
    pub calls: u64,
}

/// What damage took from a function, by the first position.
pub type Losses = BTreeMap<u64, Loss>;

/// The calls of all losses.
pub fn lost_calls(losses: &Losses) -> u64 {
    losses.values().fold(0, |sum, loss| sum.saturating_add(loss.calls))
}

/// Adds a loss. One that is there already is counted once.
pub fn add_loss(losses: &mut Losses, first: u64, loss: Loss) {
    if losses.len() < LOSSES_MAX || losses.contains_key(&first) {
        losses.insert(first, loss);
    } else if let Some((_, last)) = losses.iter_mut().next_back() {
        last.last = last.last.max(loss.last);
        last.calls = last.calls.saturating_add(loss.calls);
    }
}

/// The most positions of an [`Ahead`].
pub const UNFINISHED_MAX: usize = 1_000;

/// The calls that a function has finished behind one that waits for its next try. Without this, all of them
/// would be sent again after a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ahead {
    /// Everything up to here is finished, but for `unfinished`.
    pub through: u64,
    /// Positions that are not finished, in order; at most [`UNFINISHED_MAX`].
    pub unfinished: Vec<u64>,
}

impl Ahead {
    /// Whether a call is finished, as far as this says.
    pub fn is_finished(&self, position: u64) -> bool {
        position <= self.through && self.unfinished.binary_search(&position).is_err()
    }
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

    /// The source and head of a line that may be in the function's queue. Lines up to `queued` are there:
    /// they are its own, whatever the routes say now.
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

    /// Drops what no call needs: functions that get no calls any more and have finished theirs, and routes of
    /// calls that are finished.
    fn prune(&mut self) {
        if let Some(Route { after, selection }) = self.routes.last() {
            let used = selection.all_functions();
            self.lanes.retain(|function, finished| used.contains(&**function) || *finished < *after);
        }
        let lanes = &self.lanes;
        self.copied.retain(|function, copied| lanes.get(function).is_some_and(|finished| finished < copied));
        self.lost.retain(|function, _| lanes.contains_key(function));
        self.ahead
            .retain(|function, ahead| lanes.get(function).is_some_and(|finished| *finished < ahead.through));
        for (function, pieces) in &mut self.pieces {
            let finished = lanes.get(function).copied().unwrap_or(u64::MAX);
            pieces.retain(|piece| piece.through > finished);
        }
        self.pieces.retain(|_, pieces| !pieces.is_empty());
        // A function needs no routes for lines that it has finished, or that are in its queue.
        let needed_after = |(function, finished): (&String, &u64)| {
            self.copied.get(function).map_or(*finished, |copied| *copied.max(finished))
        };
        let lowest = self.lanes.iter().map(needed_after).min().unwrap_or(u64::MAX);
        let in_use = self.routes.iter().rposition(|route| route.after <= lowest).unwrap_or(0);
        self.routes.drain(..in_use);
    }
}

/// What is to be kept after the configuration was read with the log at `now`: calls after it go as
/// configured, and those before it as they would have.
pub fn reconfigured(mut kept: All, configured: &[DestinationSettings], now: u64) -> All {
    for destination in configured {
        let one = kept.entry(destination.name.clone()).or_default();
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

/// What is to be kept after lines of functions were found to be lost.
pub fn with_losses(mut kept: All, lost: BTreeMap<LaneId, Losses>) -> All {
    for (lane, losses) in lost.into_iter().filter(|(_, losses)| !losses.is_empty()) {
        if let Some(one) =
            kept.get_mut(&lane.destination).filter(|one| one.lanes.contains_key(&lane.function))
        {
            one.lost.insert(lane.function, losses);
        }
    }
    kept
}

/// What is to be kept after functions have finished calls behind one that holds them up. `None`: none does.
pub fn with_ahead(mut kept: All, ahead: BTreeMap<LaneId, Option<Ahead>>) -> All {
    for (lane, ahead) in ahead {
        let Some(one) = kept.get_mut(&lane.destination) else { continue };
        match ahead.filter(|_| one.lanes.contains_key(&lane.function)) {
            Some(ahead) => drop(one.ahead.insert(lane.function, ahead)),
            None => drop(one.ahead.remove(&lane.function)),
        }
    }
    kept
}

/// What is to be kept after the lines of a function were copied into its queue.
pub fn copied(mut kept: All, lane: &LaneId, piece: &Piece) -> All {
    if let Some(one) = kept.get_mut(&lane.destination).filter(|one| one.lanes.contains_key(&lane.function)) {
        let far = one.copied.entry(lane.function.clone()).or_default();
        *far = piece.through.max(*far);
        if piece.bytes > 0 {
            one.pieces.entry(lane.function.clone()).or_default().push(*piece);
        }
    }
    pruned(kept)
}

/// What is to be kept if nothing is known any more but the configuration and the files of queues: what the
/// log has is sent again, which may repeat calls but loses none.
pub fn rebuilt(configured: &[DestinationSettings], found: &BTreeMap<LaneId, Vec<Piece>>) -> All {
    let of_one = |destination: &DestinationSettings| {
        let mut one = Kept {
            typed: destination.typed.clone(),
            routes: vec![Route { after: 0, selection: destination.selection.clone() }],
            ..Kept::default()
        };
        for function in destination.selection.all_functions() {
            let lane = LaneId { destination: destination.name.clone(), function: function.to_owned() };
            let pieces = found.get(&lane).cloned().unwrap_or_default();
            one.lanes.insert(lane.function.clone(), pieces.first().map_or(0, |piece| piece.after));
            if let Some(last) = pieces.last() {
                one.copied.insert(lane.function.clone(), last.through);
                one.pieces.insert(lane.function, pieces);
            }
        }
        (destination.name.clone(), one)
    };
    configured.iter().map(of_one).collect()
}

fn pruned(mut kept: All) -> All {
    kept.values_mut().for_each(Kept::prune);
    kept.retain(|_, one| !(one.removed && one.lanes.is_empty()));
    kept
}

/// Each function, with the position up to which it has finished everything, and the one up to which its lines
/// are copied, if that is further.
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

/// The pieces of a function's queue.
pub fn pieces<'a>(kept: &'a All, lane: &LaneId) -> &'a [Piece] {
    kept.get(&lane.destination).and_then(|one| one.pieces.get(&lane.function)).map_or(&[], Vec::as_slice)
}

/// The position after which the log must keep everything: the lowest of all. `None` without functions.
pub fn lowest(kept: &All) -> Option<u64> {
    lanes(kept)
        .into_values()
        .map(|(finished, copied)| copied.map_or(finished, |copied| finished.max(copied)))
        .min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::destinations::settings::tests::settings;
    use crate::object::Stream;

    fn name(text: &str) -> SourceId {
        SourceId::new(text).unwrap()
    }

    fn lane(destination: &str, function: &str) -> LaneId {
        LaneId { destination: name(destination), function: function.to_owned() }
    }

    fn piece(after: u64, through: u64) -> Piece {
        Piece { after, through, bytes: 10, calls: Some(1) }
    }

    fn track(position: u64, kept: &Kept) -> Option<&str> {
        let head = Head::of(&Stream::Calls, r#"{"type":"track"}"#).unwrap();
        Kept::function_for(&kept.routes, position, &name("web"), &head)
    }

    #[test]
    fn calls_go_where_the_configuration_sent_them_when_they_came() {
        let kept = reconfigured(All::new(), &[settings("crm", &[("track", "a")])], 10);
        let kept = reconfigured(kept, &[settings("crm", &[("track", "b")])], 20);
        // Noting the same again changes nothing.
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
            kept = copied(kept, &lane("crm", function), &piece(0, through));
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
        let kept = copied(kept, &lane("crm", "a"), &piece(10, 50));
        assert_eq!(lowest(&kept), Some(10));
        let kept = copied(kept, &lane("crm", "b"), &piece(10, 30));
        assert_eq!(lowest(&kept), Some(30));
        let kept = advanced(kept, &BTreeMap::from([(lane("crm", "b"), 40)]));
        let one = &kept[&name("crm")];
        assert_eq!((lowest(&kept), one.copied.len()), (Some(40), 1), "what is finished is not in a queue");
        assert_eq!(one.pieces, BTreeMap::from([("a".to_owned(), vec![piece(10, 50)])]));
        let unknown = copied(kept.clone(), &lane("crm", "c"), &piece(10, 60));
        assert_eq!(unknown, kept);
    }

    #[test]
    fn losses_are_counted_once_and_bounded() {
        let mut losses = Losses::new();
        for _ in 0..2 {
            for first in 0..LOSSES_MAX as u64 {
                add_loss(&mut losses, first * 10, Loss { last: first * 10 + 4, calls: 5 });
            }
        }
        assert_eq!(lost_calls(&losses), 5 * LOSSES_MAX as u64);
        add_loss(&mut losses, 100_000, Loss { last: 100_001, calls: 2 });
        assert_eq!((losses.len(), lost_calls(&losses)), (LOSSES_MAX, 5 * LOSSES_MAX as u64 + 2));
    }

    #[test]
    fn a_list_that_is_lost_is_made_from_the_configuration_and_the_files_of_queues() {
        let found = BTreeMap::from([(lane("crm", "a"), vec![piece(5, 9), piece(20, 30)])]);
        let kept = rebuilt(&[settings("crm", &[("track", "a"), ("page", "b")])], &found);
        assert_eq!(
            lanes(&kept),
            BTreeMap::from([(lane("crm", "a"), (5, Some(30))), (lane("crm", "b"), (0, None))])
        );
        assert_eq!(lowest(&kept), Some(0));
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
        // The destination comes back, and takes calls from then on.
        let back = reconfigured(kept.clone(), &[settings("crm", &[("track", "a")])], 40);
        let one = &back[&name("crm")];
        assert_eq!([20, 21, 40, 41].map(|at| track(at, one)), [Some("a"), None, None, Some("a")]);
        let kept = advanced(kept, &BTreeMap::from([(lane("crm", "a"), 20)]));
        assert!(kept.is_empty());
    }
}
