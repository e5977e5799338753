//! The queue file of a lane: its lines that wait, copied out of the log, so that the log can release its
//! segments.
//!
//! Without it, the log would keep everything since the oldest call of a slow function, and most of that may
//! be for others. The queue consists of files (*pieces*). Each has the lane's lines after one position and up
//! to another, as frames of the log's form. A piece counts once the kept positions ([`Kept`]) list it. Until
//! then the log keeps the lines, and after a crash the piece is written again. What the list says of a piece
//! shows whether its file is missing or cut.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex};

use sha2::Digest as _;

use super::positions::{Kept, LaneId, Loss, Losses, Piece, Route, add_loss};
use crate::disk::{Disk, if_there, publish, read_all, read_sound, temporary_name};
use crate::lock::lock;
use crate::log::frame::{self, FRAME_MAX, Frame, Salt};
use crate::log::{Follow, Go, Range, Read, ReadThrough, Visit};

/// The directory of all pieces, in that of the spool.
pub const DIRECTORY: &str = "queued";
/// The most bytes of lines after which a piece is complete.
pub const PIECE_BYTES_MAX: u64 = 16 << 20;
/// The most frames of the log that are read for one piece. It bounds the time to copy if few of them are the
/// lane's.
const LOOKED_AT_MAX: u64 = 500_000;
/// Bytes that are written, and read, at a time.
const CHUNK_BYTES: usize = 1 << 20;

/// Where the next frame of a piece is.
#[derive(Clone, Copy, Debug, Default)]
struct InPiece {
    /// The position after which the piece begins.
    after: u64,
    /// The frame's first byte.
    offset: u64,
    /// Sound frames before it.
    frames: u64,
    /// Positions before it that are lost.
    lost: u64,
}

/// How far a lane has read.
#[derive(Clone, Copy, Debug)]
pub struct QueueReadThrough {
    /// The place in the log, or the position up to which pieces were read.
    log: ReadThrough,
    /// Where the next frame of a piece begins.
    next: InPiece,
}

impl QueueReadThrough {
    /// The place behind a position.
    pub fn after(position: u64) -> Self {
        Self { log: ReadThrough::after(position), next: InPiece { after: position, ..InPiece::default() } }
    }

    /// Everything up to this position was read.
    pub fn through(&self) -> u64 {
        self.log.through
    }

    /// Passes the lines of the log after it, of a lane that has no pieces, and moves behind what was passed.
    /// Errors: the disk's error, or that of `visit`.
    pub(super) fn follow(&mut self, log: &dyn Follow, visit: &mut Visit<'_>) -> io::Result<()> {
        log.follow(&mut self.log, visit)
    }
}

#[derive(Debug)]
struct State {
    /// The lane's lines up to here are in the pieces, if they are not finished.
    through: u64,
    /// The pieces, by the position after which they begin.
    pieces: BTreeMap<u64, Piece>,
    /// Where in the log the last copy ended. The next one begins there, if that piece was published.
    copied: Option<ReadThrough>,
    /// What readers found to be lost, and nobody has noted yet.
    lost: Losses,
}

/// The pieces of one lane.
#[derive(Debug)]
pub struct Queue {
    disk: Arc<dyn Disk>,
    /// What names the lane in file names and checksums.
    id: [u8; 16],
    state: Mutex<State>,
}

impl Queue {
    /// The queue of a lane that has finished everything up to `finished` and whose lines up to `copied` are
    /// in these pieces. It changes nothing.
    pub fn look(
        disk: Arc<dyn Disk>,
        lane: &LaneId,
        (finished, copied): (u64, Option<u64>),
        pieces: &[Piece],
    ) -> Self {
        let through = copied.unwrap_or(finished).max(finished);
        let pieces = pieces.iter().filter(|piece| piece.through > finished);
        let pieces = pieces.map(|piece| (piece.after, *piece)).collect();
        let state = State { through, pieces, copied: None, lost: Losses::new() };
        Self { disk, id: id_of(lane), state: Mutex::new(state) }
    }

    /// The queue, as [`Queue::look`] has it. Removes files that are not needed, or that a crash left.
    pub fn open(
        disk: Arc<dyn Disk>,
        lane: &LaneId,
        range: (u64, Option<u64>),
        pieces: &[Piece],
    ) -> io::Result<Self> {
        let queue = Self::look(disk, lane, range, pieces);
        for (name, _) in queue.disk.list(DIRECTORY)? {
            let known = |after| lock(&queue.state).pieces.contains_key(&after);
            if after_of(&name, queue.id).is_some_and(|after| !known(after)) {
                queue.disk.remove(&format!("{DIRECTORY}/{name}"))?;
            }
        }
        Ok(queue)
    }

    /// Pieces whose files are missing or shorter than they were, and what is wrong with each.
    pub fn cut(&self) -> io::Result<Vec<(Piece, String)>> {
        let files: BTreeMap<String, u64> = self.disk.list(DIRECTORY)?.into_iter().collect();
        let pieces: Vec<Piece> = lock(&self.state).pieces.values().copied().collect();
        let wrong = |piece: Piece| {
            let name = self.name(piece.after);
            let len = files.get(name.rsplit('/').next().unwrap_or_default());
            match len {
                None => Some((piece, format!("{name} is missing"))),
                Some(len) if *len < piece.bytes => {
                    Some((piece, format!("{name} has {len} of its {} bytes", piece.bytes)))
                }
                Some(_) => None,
            }
        };
        Ok(pieces.into_iter().filter_map(wrong).collect())
    }

    /// Reads every piece, and returns what is lost of them.
    pub fn check(&self) -> io::Result<Losses> {
        let pieces: Vec<Piece> = lock(&self.state).pieces.values().copied().collect();
        for piece in pieces {
            self.read(piece, &mut QueueReadThrough::after(piece.after), &mut |_| Ok(Go::On))?;
        }
        Ok(self.take_losses())
    }

    /// What readers found to be lost of pieces since this was last called.
    pub fn take_losses(&self) -> Losses {
        std::mem::take(&mut lock(&self.state).lost)
    }

    /// Removes files that belong to none of these lanes, or were not complete when the process died.
    pub fn sweep<'a>(disk: &dyn Disk, lanes: impl Iterator<Item = &'a LaneId>) -> io::Result<()> {
        unknown(disk, lanes)?.into_iter().try_for_each(|name| disk.remove(&format!("{DIRECTORY}/{name}")))
    }

    /// Passes the lane's lines after `place`, from the pieces and then from the log, and moves `place` behind
    /// what was passed. Of the log, lines of others are passed, too. Damaged frames of a piece are passed as
    /// a loss of all positions up to the next. No piece may be published meanwhile: the log may then release
    /// what is being read. Errors: the disk's error, or that of `visit`.
    pub fn follow(
        &self,
        log: &dyn Follow,
        place: &mut QueueReadThrough,
        visit: &mut Visit<'_>,
    ) -> io::Result<()> {
        loop {
            let (next, end) = {
                let state = lock(&self.state);
                let next = state.pieces.values().find(|piece| piece.through > place.log.through);
                (next.copied(), state.through)
            };
            if place.log.through >= end {
                return log.follow(&mut place.log, visit);
            }
            match next {
                None => *place = QueueReadThrough::after(end),
                Some(piece) => {
                    if self.read(piece, place, visit)? == Go::Stop {
                        return Ok(());
                    }
                }
            }
        }
    }

    fn read(&self, piece: Piece, place: &mut QueueReadThrough, visit: &mut Visit<'_>) -> io::Result<Go> {
        let salt = self.salt(piece.after);
        let file = if_there(self.disk.open(&self.name(piece.after)))?;
        let mut next = if place.next.after == piece.after {
            place.next
        } else {
            InPiece { after: piece.after, ..InPiece::default() }
        };
        let mut end = if file.is_some() { piece.bytes } else { 0 };
        let (mut bytes, mut filled, mut used, mut is_damaged) =
            (vec![0; CHUNK_BYTES + FRAME_MAX], 0, 0, false);
        loop {
            let rest = bytes.get(used..filled).unwrap_or_default();
            if let Some(file) = &file
                && rest.len() < FRAME_MAX
                && next.offset + (rest.len() as u64) < end
            {
                let (kept, from) = (rest.len(), next.offset + rest.len() as u64);
                bytes.copy_within(used..filled, 0);
                let most = usize::try_from(end - from).unwrap_or(usize::MAX).min(bytes.len() - kept);
                let read = read_sound(&**file, bytes.get_mut(kept..kept + most).unwrap_or_default(), from)?;
                (used, filled) = (0, kept + read);
                if read == 0 {
                    // The file is shorter than it was.
                    end = from;
                }
                continue;
            }
            if rest.is_empty() {
                break;
            }
            match sound_frame(rest, (piece.after, piece.through), salt) {
                Some((frame, len)) => {
                    used += len;
                    (next.offset, next.frames) = (next.offset + len as u64, next.frames + 1);
                    let position = frame.position;
                    if position > place.log.through {
                        let lost = Range::between(place.log.through + 1, position).filter(|_| is_damaged);
                        is_damaged = false;
                        if let Some(lost) = lost {
                            next.lost += lost.last - lost.first + 1;
                            visit(Read::Lost(lost))?;
                        }
                        let go = visit(Read::Frame(frame))?;
                        *place = QueueReadThrough { next, ..QueueReadThrough::after(position) };
                        if go == Go::Stop {
                            return Ok(Go::Stop);
                        }
                    }
                }
                // The length may be what is damaged, so the next frame may begin at any byte.
                None => {
                    is_damaged = true;
                    (next.offset, used) = (next.offset + 1, used + 1);
                }
            }
        }
        is_damaged |= end < piece.bytes;
        let lost = Range::between(place.log.through + 1, piece.through + 1).filter(|_| is_damaged);
        next.lost += lost.map_or(0, |lost| lost.last - lost.first + 1);
        // The list knows how many lines there were; without it they are at most as many as positions.
        let calls = piece.calls.map_or(next.lost, |calls| calls.saturating_sub(next.frames));
        if calls > 0 {
            add_loss(&mut lock(&self.state).lost, piece.after + 1, Loss { last: piece.through, calls });
        }
        let go = lost.map_or(Ok(Go::On), |lost| visit(Read::Lost(lost)))?;
        *place = QueueReadThrough::after(piece.through);
        Ok(go)
    }

    /// Copies the lane's next lines after `finished` out of the log, durably: those up to `through`, or
    /// `most` bytes of them. They count only after [`Queue::publish`]; until then the log must keep them.
    /// `after_line` is called with the length of each line that was read, so that a thread can offer its core
    /// to others. Errors: the disk's error. Nothing has changed then.
    pub fn copy(
        &self,
        (log, after_line): (&dyn Follow, &mut dyn FnMut(usize)),
        (routes, function): (&[Route], &str),
        (finished, through): (u64, u64),
        most: u64,
    ) -> io::Result<(Piece, Losses)> {
        let after = self.copied_through().max(finished);
        let (name, salt) = (self.name(after), self.salt(after));
        let mut file = None;
        let (mut out, mut bytes, mut calls, mut looked_at) = (Vec::new(), 0_u64, 0, 0);
        let mut lost = Losses::new();
        let copied = lock(&self.state).copied.filter(|place| place.through == after);
        let mut place = copied.unwrap_or(ReadThrough::after(after));
        let mut write = |out: &mut Vec<u8>, bytes: &mut u64| -> io::Result<()> {
            let file = match &file {
                Some(file) => file,
                None => file.insert(self.disk.create(&temporary_name(&name))?),
            };
            file.write_at(&[IoSlice::new(out)], *bytes)?;
            *bytes += out.len() as u64;
            out.clear();
            Ok(())
        };
        log.follow(&mut place, &mut |read| {
            let reached = match read {
                Read::Lost(range) => {
                    let calls = range.last - range.first + 1;
                    add_loss(&mut lost, range.first, Loss { last: range.last, calls });
                    range.last
                }
                Read::Frame(frame) => {
                    after_line(frame.payload.len());
                    if let Some((source, _)) = Kept::call_for(&frame, routes, function) {
                        calls += 1;
                        let of = (Some(&source), frame.name);
                        let start = frame::begin(&mut out, frame.kind, of, frame.received_at, None);
                        out.extend_from_slice(frame.payload);
                        frame::finish(&mut out, start, frame.fingerprint);
                        frame::stamp(out.get_mut(start..).unwrap_or_default(), frame.position, salt);
                    }
                    frame.position
                }
            };
            let is_full = bytes + out.len() as u64 >= most;
            if out.len() >= CHUNK_BYTES {
                write(&mut out, &mut bytes)?;
            }
            looked_at += 1;
            let enough = reached >= through || is_full || looked_at >= LOOKED_AT_MAX;
            Ok(if enough { Go::Stop } else { Go::On })
        })?;
        if !out.is_empty() {
            write(&mut out, &mut bytes)?;
        }
        if let Some(file) = file {
            file.sync()?;
            publish(&*self.disk, &name)?;
        }
        lock(&self.state).copied = Some(place);
        Ok((Piece { after, through: place.through, bytes, calls: Some(calls) }, lost))
    }

    /// From now on a piece's lines are read from it. The kept positions say so already, and the log still has
    /// them. Nobody may read meanwhile.
    pub fn publish(&self, piece: Piece) {
        let mut state = lock(&self.state);
        state.through = state.through.max(piece.through);
        if piece.bytes > 0 {
            state.pieces.insert(piece.after, piece);
        }
    }

    /// Whether there are pieces whose lines are finished.
    pub fn has_finished(&self, through: u64) -> bool {
        self.first().is_some_and(|piece| piece.through <= through)
    }

    fn first(&self) -> Option<Piece> {
        lock(&self.state).pieces.first_key_value().map(|(_, piece)| *piece)
    }

    /// Removes pieces whose lines are finished.
    /// Errors: the disk's error. What is left is removed another time.
    pub fn finished(&self, through: u64) -> io::Result<()> {
        loop {
            let Some(piece) = self.first().filter(|piece| piece.through <= through) else { return Ok(()) };
            self.disk.remove(&self.name(piece.after))?;
            lock(&self.state).pieces.remove(&piece.after);
        }
    }

    /// Calls of all pieces behind a position; at most so many.
    pub fn calls_after(&self, position: u64) -> u64 {
        let state = lock(&self.state);
        let behind = state.pieces.values().filter(|piece| piece.through > position);
        behind
            .map(|piece| {
                let positions = piece.through.saturating_sub(position.max(piece.after));
                piece.calls.unwrap_or_else(|| piece.positions()).min(positions)
            })
            .sum()
    }

    /// The lane's lines up to here are in pieces, if they are not finished.
    pub fn copied_through(&self) -> u64 {
        lock(&self.state).through
    }

    /// Bytes of all pieces.
    pub fn bytes(&self) -> u64 {
        lock(&self.state).pieces.values().map(|piece| piece.bytes).sum()
    }

    /// How far calls must be given up so that `over` bytes become free: the end of a piece.
    pub fn end_of_oldest(&self, over: u64) -> u64 {
        let state = lock(&self.state);
        let mut freed = 0;
        let enough = state.pieces.values().find(|piece| {
            freed += piece.bytes;
            freed >= over
        });
        enough.map_or(state.through, |piece| piece.through)
    }

    pub(super) fn name(&self, after: u64) -> String {
        format!("{DIRECTORY}/{}-{after:020}", hex::encode(self.id))
    }

    fn salt(&self, after: u64) -> Salt {
        Salt::new(&self.id, after)
    }
}

/// Files that belong to none of these lanes.
pub fn unknown<'a>(disk: &dyn Disk, lanes: impl Iterator<Item = &'a LaneId>) -> io::Result<Vec<String>> {
    let known: Vec<[u8; 16]> = lanes.map(id_of).collect();
    let mut names = disk.list(DIRECTORY)?;
    names.retain(|(name, _)| !known.iter().any(|id| after_of(name, *id).is_some()));
    Ok(names.into_iter().map(|(name, _)| name).collect())
}

/// The pieces of a lane, as their files are, if no list of them can be used. Each ends where the next begins.
/// The last ends at `copied`, or without that at its last line: what follows is in the log.
pub fn found(disk: &dyn Disk, lane: &LaneId, copied: Option<u64>) -> io::Result<Vec<Piece>> {
    let id = id_of(lane);
    let mut pieces = Vec::new();
    let mut through = copied;
    for (name, bytes) in disk.list(DIRECTORY)?.into_iter().rev() {
        let Some(after) = after_of(&name, id) else { continue };
        let end = match through {
            Some(end) => end,
            None => last_position(disk, &name, (after, Salt::new(&id, after)))?.unwrap_or(after),
        };
        // Behind what is copied it is a file that a crash left.
        if end > after {
            pieces.push(Piece { after, through: end, bytes, calls: None });
            through = Some(after);
        }
    }
    pieces.reverse();
    Ok(pieces)
}

/// The frame at the beginning of `bytes`, and its length, if it is sound and after one position and up to
/// another. Of what is damaged, nearly nothing has such a position: only that is worth a checksum.
fn sound_frame(bytes: &[u8], (after, through): (u64, u64), salt: Salt) -> Option<(Frame<'_>, usize)> {
    frame::position(bytes).filter(|at| *at > after && *at <= through)?;
    frame::read(bytes, salt).ok()
}

/// The position of the last sound line of a piece.
fn last_position(disk: &dyn Disk, name: &str, (after, salt): (u64, Salt)) -> io::Result<Option<u64>> {
    let bytes = read_all(&*disk.open(&format!("{DIRECTORY}/{name}"))?)?;
    let (mut at, mut last) = (0, None);
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        match sound_frame(rest, (after, u64::MAX), salt) {
            Some((frame, len)) => (at, last) = (at + len, Some(frame.position)),
            None => at += 1,
        }
    }
    Ok(last)
}

fn id_of(lane: &LaneId) -> [u8; 16] {
    lane.digest().finalize().first_chunk().copied().unwrap_or_default()
}

/// The position after which a lane's piece of this name begins.
fn after_of(name: &str, id: [u8; 16]) -> Option<u64> {
    let digits = name.strip_prefix(hex::encode(id).as_str())?.strip_prefix('-')?;
    (digits.len() == 20).then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::destinations::positions::reconfigured;
    use crate::destinations::settings::tests::settings;
    use crate::disk::real_disk::RealDisk;
    use crate::log::frame::{Frame, FrameKind};
    use crate::sources::SourceId;
    use crate::time::UnixMillis;

    /// A log of `track` and `page` calls in turn, at positions 1 to its number. It keeps them all, and says
    /// up to where it was asked.
    #[derive(Debug)]
    struct Calls(u64);

    impl Follow for Calls {
        fn durable_through(&self) -> u64 {
            self.0
        }

        fn hold_after(&self, _: Option<u64>) {}

        fn held_bytes(&self) -> u64 {
            0
        }

        fn held_end(&self, _: u64) -> u64 {
            0
        }

        fn follow(&self, place: &mut ReadThrough, visit: &mut Visit<'_>) -> io::Result<()> {
            while place.through < self.0 {
                let position = place.through + 1;
                let line = line(position);
                let frame = Frame {
                    position,
                    kind: FrameKind::Call,
                    source: "web",
                    name: "",
                    of_dead: false,
                    received_at: UnixMillis(7),
                    fingerprint: 1,
                    row_key: None,
                    origin: None,
                    payload: line.as_bytes(),
                };
                let go = visit(Read::Frame(frame))?;
                place.through = position;
                if go == Go::Stop {
                    break;
                }
            }
            Ok(())
        }
    }

    fn line(position: u64) -> String {
        let kind = if position % 2 == 1 { "track" } else { "page" };
        format!(r#"{{"type":"{kind}","messageId":"{position}","pad":"{}"}}"#, "x".repeat(1_000))
    }

    struct Rig {
        dir: tempfile::TempDir,
        disk: Arc<dyn Disk>,
        lane: LaneId,
        routes: Vec<Route>,
    }

    impl Rig {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let disk: Arc<dyn Disk> = Arc::new(RealDisk::open(dir.path()).unwrap());
            let destination = SourceId::new("crm").unwrap();
            let kept = reconfigured(BTreeMap::new(), &[settings("crm", &[("track", "f")])], 0);
            let routes = kept[&destination].routes.clone();
            Self { dir, disk, lane: LaneId { destination, function: "f".to_owned() }, routes }
        }

        fn open(&self, finished: u64, copied: Option<u64>) -> Queue {
            self.open_listed(finished, copied, &found(&*self.disk, &self.lane, copied).unwrap())
        }

        fn open_listed(&self, finished: u64, copied: Option<u64>, pieces: &[Piece]) -> Queue {
            Queue::open(Arc::clone(&self.disk), &self.lane, (finished, copied), pieces).unwrap()
        }

        fn copy(&self, queue: &Queue, log: &Calls, finished: u64, through: u64) -> Piece {
            let copied =
                queue.copy((log, &mut |_| ()), (&self.routes, "f"), (finished, through), PIECE_BYTES_MAX);
            copied.unwrap().0
        }

        fn files(&self) -> usize {
            self.disk.list(DIRECTORY).unwrap().len()
        }
    }

    /// The positions of the lane's own lines after `place`, each with its own line, and how many positions
    /// are lost.
    fn own(queue: &Queue, log: &Calls, after: u64) -> (Vec<u64>, u64) {
        let (mut place, mut seen, mut lost) = (QueueReadThrough::after(after), Vec::new(), 0);
        queue
            .follow(log, &mut place, &mut |read| {
                match read {
                    Read::Lost(range) => lost += range.last + 1 - range.first,
                    Read::Frame(frame) => {
                        assert_eq!(frame.payload, line(frame.position).as_bytes());
                        assert_eq!(frame.received_at, UnixMillis(7));
                        seen.push(frame.position);
                    }
                }
                Ok(Go::On)
            })
            .unwrap();
        assert_eq!(place.through(), log.0);
        seen.retain(|position| position % 2 == 1);
        (seen, lost)
    }

    fn odd(range: std::ops::RangeInclusive<u64>) -> Vec<u64> {
        range.filter(|position| position % 2 == 1).collect()
    }

    #[test]
    fn lines_are_read_from_pieces_and_then_from_the_log() {
        let (rig, log) = (Rig::new(), Calls(5_000));
        let queue = rig.open(0, None);
        let piece = rig.copy(&queue, &log, 0, 3_000);
        assert_eq!((piece.after, piece.through, rig.files()), (0, 3_000, 1));
        assert!(piece.bytes > 1_500_000 && piece.bytes < 1_800_000, "only its own lines: {}", piece.bytes);
        assert_eq!((queue.bytes(), queue.copied_through()), (0, 0), "not before it is published");
        queue.publish(piece);
        queue.publish(rig.copy(&queue, &log, 0, 4_001));
        assert_eq!((rig.files(), queue.copied_through()), (2, 4_001));
        for after in [0, 1, 2_999, 3_000, 3_001, 4_000, 4_001, 4_002, 5_000] {
            assert_eq!(own(&queue, &log, after), (odd(after + 1..=5_000), 0), "after {after}");
        }
        queue.finished(2_999).unwrap();
        assert_eq!(rig.files(), 2);
        queue.finished(3_000).unwrap();
        assert_eq!((rig.files(), own(&queue, &log, 3_000)), (1, (odd(3_001..=5_000), 0)));
        assert_eq!((queue.end_of_oldest(1), queue.end_of_oldest(u64::MAX)), (4_001, 4_001));
    }

    #[test]
    fn reading_goes_on_where_it_stopped() {
        let (rig, log) = (Rig::new(), Calls(4_000));
        let queue = rig.open(0, None);
        queue.publish(rig.copy(&queue, &log, 0, 3_000));
        let (mut place, mut seen) = (QueueReadThrough::after(0), Vec::new());
        while place.through() < 4_000 {
            let mut room = 7;
            queue
                .follow(&log, &mut place, &mut |read| {
                    let Read::Frame(frame) = read else { panic!("{read:?}") };
                    seen.push(frame.position);
                    room -= 1;
                    Ok(if room == 0 { Go::Stop } else { Go::On })
                })
                .unwrap();
        }
        seen.retain(|position| position % 2 == 1);
        assert_eq!(seen, odd(1..=4_000));
    }

    #[test]
    fn after_a_start_pieces_are_found_and_those_that_do_not_count_are_removed() {
        let (rig, log) = (Rig::new(), Calls(4_000));
        let queue = rig.open(0, None);
        for through in [1_000, 2_000, 3_000] {
            queue.publish(rig.copy(&queue, &log, 0, through));
        }
        drop(queue);
        rig.disk.create(&format!("{DIRECTORY}/other-1.tmp")).unwrap();
        Queue::sweep(&*rig.disk, [&rig.lane].into_iter()).unwrap();
        assert_eq!(rig.files(), 3);
        // The kept positions do not have the last piece; the first is finished.
        let queue = rig.open(1_000, Some(2_000));
        assert_eq!((rig.files(), queue.copied_through()), (1, 2_000));
        assert_eq!(own(&queue, &log, 1_000), (odd(1_001..=4_000), 0));
        // The same piece is written again.
        queue.publish(rig.copy(&queue, &log, 1_000, 3_000));
        let queue = rig.open(1_500, Some(3_000));
        assert_eq!((rig.files(), own(&queue, &log, 1_500)), (2, (odd(1_501..=4_000), 0)));
        drop(queue);
        Queue::sweep(&*rig.disk, std::iter::empty()).unwrap();
        assert_eq!(rig.files(), 0);
    }

    #[test]
    fn a_piece_ends_when_it_is_full() {
        let (rig, log) = (Rig::new(), Calls(5_000));
        let queue = rig.open(0, None);
        let piece = queue.copy((&log, &mut |_| ()), (&rig.routes, "f"), (0, 5_000), 100_000).unwrap().0;
        assert!((100_000..102_000).contains(&piece.bytes) && piece.through < 250, "{piece:?}");
        queue.publish(piece);
        assert_eq!(own(&queue, &log, 0), (odd(1..=5_000), 0));
    }

    #[test]
    fn a_piece_without_lines_of_its_own_has_no_file() {
        let (rig, log) = (Rig::new(), Calls(4_000));
        let queue = rig.open(0, None);
        let piece =
            queue.copy((&log, &mut |_| ()), (&rig.routes, "other"), (0, 4_000), PIECE_BYTES_MAX).unwrap().0;
        queue.publish(piece);
        assert_eq!((piece.bytes, rig.files(), queue.copied_through()), (0, 0, 4_000));
        assert_eq!(own(&queue, &log, 0), (Vec::new(), 0));
    }

    #[test]
    fn a_damaged_frame_is_a_loss_and_the_others_are_read() {
        let (rig, log) = (Rig::new(), Calls(1_000));
        let queue = rig.open(0, None);
        let piece = rig.copy(&queue, &log, 0, 1_000);
        queue.publish(piece);
        let path = rig.dir.path().join(queue.name(0));
        let good = std::fs::read(&path).unwrap();
        let frame = frame::length(&good).unwrap();
        let mut bad = good.clone();
        bad[frame + 500] ^= 1;
        std::fs::write(&path, &bad).unwrap();
        let (seen, lost) = own(&queue, &log, 0);
        assert_eq!((seen.len(), seen[0], seen[1], lost), (499, 1, 5, 3));
        // The next line is found too if the length is what is damaged.
        let len_of = u32::try_from(frame).unwrap();
        for len in [0, 1, 60, len_of - 1, len_of + 1, 8_000, u32::MAX] {
            bad[frame..frame + 4].copy_from_slice(&len.to_le_bytes());
            std::fs::write(&path, &bad).unwrap();
            let (seen, lost) = own(&queue, &log, 0);
            assert_eq!((seen.len(), seen[0], seen[1], lost), (499, 1, 5, 3), "{len}");
            assert_eq!(queue.check().unwrap(), Losses::from([(1, Loss { last: 1_000, calls: 1 })]), "{len}");
            assert_eq!(found(&*rig.disk, &rig.lane, None).unwrap()[0].through, 999, "{len}");
        }
        std::fs::write(&path, &good[..frame * 2]).unwrap();
        assert_eq!(own(&queue, &log, 0), (vec![1, 3], 997));
    }

    #[test]
    fn what_a_missing_or_cut_file_had_is_counted_exactly() {
        let (rig, log) = (Rig::new(), Calls(3_000));
        let queue = rig.open(0, None);
        let pieces = [1_000, 2_000, 3_000].map(|through| {
            let piece = rig.copy(&queue, &log, 0, through);
            queue.publish(piece);
            piece
        });
        let path = rig.dir.path().join(queue.name(1_000));
        let good = std::fs::read(&path).unwrap();
        let frame = frame::length(&good).unwrap();
        let cut = |len: usize| Some(good[..len].to_vec());
        for (damage, read) in
            [(None, 0), (cut(0), 0), (cut(frame), 1), (cut(frame * 3), 3), (cut(frame + 9), 1)]
        {
            match damage {
                None => std::fs::remove_file(&path).unwrap(),
                Some(bytes) => std::fs::write(&path, bytes).unwrap(),
            }
            let lost = Losses::from([(1_001, Loss { last: 2_000, calls: 500 - read })]);
            // Also if its first lines are finished, and if it is read in parts.
            for finished in [0, 1_001] {
                let queue = Queue::look(Arc::clone(&rig.disk), &rig.lane, (finished, Some(3_000)), &pieces);
                assert_eq!(queue.cut().unwrap().len(), 1);
                let (mut place, mut seen) = (QueueReadThrough::after(finished), 0);
                while place.through() < 3_000 {
                    let mut visit = |read: Read<'_>| {
                        seen += u64::from(matches!(read, Read::Frame(_)));
                        Ok(Go::Stop)
                    };
                    queue.follow(&log, &mut place, &mut visit).unwrap();
                }
                let skipped = if finished == 0 { 0 } else { 500 + read.min(1) };
                assert_eq!((seen, queue.take_losses()), (1_000 + read - skipped, lost.clone()));
                assert_eq!(queue.check().unwrap(), lost);
            }
        }
    }

    #[test]
    fn without_a_list_the_pieces_are_as_they_are_found() {
        let (rig, log) = (Rig::new(), Calls(4_000));
        let queue = rig.open(0, None);
        for through in [1_000, 2_000, 3_000] {
            queue.publish(rig.copy(&queue, &log, 0, through));
        }
        let pieces = found(&*rig.disk, &rig.lane, None).unwrap();
        let ranges: Vec<(u64, u64)> = pieces.iter().map(|piece| (piece.after, piece.through)).collect();
        assert_eq!(ranges, [(0, 1_000), (1_000, 2_000), (2_000, 2_999)]);
        let queue = rig.open_listed(0, Some(2_999), &pieces);
        assert_eq!(own(&queue, &log, 0), (odd(1..=4_000), 0));
    }
}
