//! Reads every frame of a spool in order, and names what cannot be read: which bytes, which positions, and
//! whether their calls had been acknowledged.

use crate::log::frame::Frame;
use crate::log::{Lost, Range};
use crate::spool::format::ByteRange;
use crate::spool::format::scan::{FoundBlock, scan_noting};
use crate::spool::format::segment::{
    BLOCK_HEADER, HeaderCheck, SEGMENT_HEADER, check_header, index_name, segment_name,
};
use crate::spool::offline::view::{SegmentFile, View, ViewError};

/// Whether the calls of damaged frames had been answered 200.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answered {
    /// All of them: later data proves that they had been synced.
    Yes,
    /// Only those up to some position within the range.
    Partly,
    /// No later data proves it.
    NotKnown,
}

/// The kind of damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// Frames within a block.
    Frames,
    /// Blocks, or the bytes where blocks should be.
    Blocks,
    /// A file that the manifest names is missing.
    Missing,
    /// A segment's header.
    Header,
    /// The manifest.
    Manifest,
    /// One of two copies of data that is stored twice. The other copy is sound.
    Copy,
    /// A segment's index, which is a cache.
    Index,
    /// A fingerprint file.
    Fingerprints,
    /// What destinations keep: the archive does not need it.
    Destinations,
    /// The journal of imports: the archive does not need it.
    Imports,
    /// A parked object.
    Parked,
    /// The frames of a sealed object are no longer what was sealed.
    Seal,
}

/// One instance of damage.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// What kind.
    pub(crate) kind: Kind,
    /// The file, from the spool's directory.
    pub file: String,
    /// The damaged bytes.
    pub(crate) bytes: Option<ByteRange>,
    /// The positions of the damaged frames.
    pub positions: Option<Range>,
    /// Whether their calls had been answered; `None` if no frame is damaged.
    pub(crate) answered: Option<Answered>,
    /// The meaning, as text for the user.
    pub what: String,
}

impl Finding {
    /// Whether lines may be missing because of it.
    pub(crate) fn hides_lines(&self) -> bool {
        match self.kind {
            Kind::Frames | Kind::Blocks | Kind::Missing | Kind::Manifest | Kind::Parked | Kind::Seal => true,
            Kind::Header
            | Kind::Copy
            | Kind::Index
            | Kind::Fingerprints
            | Kind::Destinations
            | Kind::Imports => false,
        }
    }

    /// Damage of a file that destinations keep.
    pub fn of_destinations(file: String, what: String) -> Self {
        Self::new(Kind::Destinations, file, what)
    }

    /// Damage of the journal of imports.
    pub fn of_imports(file: String, what: String) -> Self {
        Self::new(Kind::Imports, file, what)
    }

    pub(in crate::spool) fn new(kind: Kind, file: impl Into<String>, what: impl Into<String>) -> Self {
        Self { kind, file: file.into(), bytes: None, positions: None, answered: None, what: what.into() }
    }

    pub(in crate::spool) fn at(mut self, from: u64, to: u64) -> Self {
        self.bytes = Some(ByteRange { from, to });
        self
    }

    pub(in crate::spool) fn of(mut self, positions: Range) -> Self {
        self.positions = Some(positions);
        self
    }
}

/// The result of a survey of all segments.
#[derive(Debug, Default)]
pub struct Surveyed {
    /// Damage, in the order of the spool.
    pub findings: Vec<Finding>,
    /// Normal conditions worth mentioning.
    pub notes: Vec<String>,
    /// Segments read.
    pub segments: usize,
    /// Bytes of segments.
    pub bytes: u64,
    /// Sound frames.
    pub frames: u64,
    /// Damaged segments. Their indexes cannot be compared with their frames.
    pub damaged: Vec<u64>,
}

/// Receives the frames of a survey.
pub trait Visitor {
    /// A sound frame and its offset in its segment.
    fn frame(&mut self, segment: u64, offset: u64, frame: &Frame<'_>);

    /// Whether the rest of the segments need not be read.
    fn has_enough(&self) -> bool {
        false
    }
}

/// Reads every segment of `view`, until the visitor has enough. `progress` is called with the bytes of
/// segments read so far and their total. Errors: [`ViewError`] if the disk reports an error, or a newer
/// release wrote a segment.
pub fn survey(
    view: &View,
    visitor: &mut dyn Visitor,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Surveyed, ViewError> {
    let total = view.segments.iter().filter_map(|segment| segment.len).sum();
    let mut survey =
        Survey { view, out: Surveyed::default(), last: None, missing: Vec::new(), tail: None, durable: 0 };
    for segment in &view.segments {
        match segment.len {
            Some(len) => survey.segment(segment, len, visitor)?,
            None => survey.missing.push(segment.number),
        }
        progress(survey.out.bytes, total);
        if visitor.has_enough() {
            break;
        }
    }
    Ok(survey.end())
}

/// The last block read so far.
struct Last {
    segment: u64,
    end: u64,
    len: u64,
    position: u64,
}

struct Survey<'a> {
    view: &'a View,
    out: Surveyed,
    last: Option<Last>,
    /// Missing segments since the last block.
    missing: Vec<u64>,
    /// Damage that is only a torn last write if nothing follows.
    tail: Option<Finding>,
    /// The highest position that a later block calls durable.
    durable: u64,
}

/// Consecutive sound frames.
struct Sound {
    from: u64,
    to: u64,
    first: u64,
    last: u64,
}

impl Survey<'_> {
    fn segment(
        &mut self,
        segment: &SegmentFile,
        len: u64,
        visitor: &mut dyn Visitor,
    ) -> Result<(), ViewError> {
        let name = segment_name(segment.number);
        let file = self.view.disk.open(&name).map_err(ViewError::disk(&name))?;
        let mut head = vec![0; usize::try_from(SEGMENT_HEADER).unwrap_or(0)];
        let read = file.read_at(&mut head, 0).map_err(ViewError::disk(&name))?;
        head.truncate(read);
        self.header(segment.number, &name, &head)?;
        let mut sound: Vec<Sound> = Vec::new();
        let mut unreadable = false;
        let mut visit = |offset: u64, frame: &Frame<'_>| {
            self.out.frames += 1;
            let (to, position) = (offset + frame.stored_len() as u64, frame.position);
            match sound.last_mut().filter(|last| last.to == offset && last.last + 1 == position) {
                Some(last) => (last.to, last.last) = (to, position),
                None => sound.push(Sound { from: offset, to, first: position, last: position }),
            }
            visitor.frame(segment.number, offset, frame);
        };
        let blocks = scan_noting(&*file, self.view.salt(segment.number), &mut visit, &mut unreadable)
            .map_err(ViewError::disk(&name))?;
        for (index, block) in blocks.iter().enumerate() {
            self.gap(segment.number, block);
            let last = index + 1 == blocks.len();
            for lost in &block.lost {
                let finding = damaged_frames(&name, block, *lost, &sound);
                let closed = self.view.disk.open(&index_name(segment.number)).is_ok();
                self.found(segment.number, finding, last && !closed && !unreadable);
            }
            self.durable = self.durable.max(block.header.durable_position);
            self.last = Some(Last {
                segment: segment.number,
                end: block.end(),
                len,
                position: block.last_position(),
            });
        }
        if unreadable {
            let what = "the disk cannot read all of it; other blocks may have followed the last one found";
            self.damage(segment.number, Finding::new(Kind::Blocks, &name, what));
        }
        self.out.segments += 1;
        self.out.bytes += len;
        Ok(())
    }

    fn header(&mut self, number: u64, name: &str, head: &[u8]) -> Result<(), ViewError> {
        let id = &self.view.ident.spool_id;
        match check_header(head, id, number) {
            HeaderCheck::Newer(major) => return Err(ViewError::Newer(name.to_owned(), major)),
            HeaderCheck::Good => {}
            HeaderCheck::Bad => {
                let other = head.get(16..32).and_then(|id| <&[u8; 16]>::try_from(id).ok());
                let of_another = other.is_some_and(|id| check_header(head, id, number) == HeaderCheck::Good);
                let what = if of_another {
                    "it belongs to a spool with another identity; if all segments do, IDENT is damaged: \
                     restore a copy of it"
                } else {
                    "its header is damaged; nothing is lost, because each block identifies itself"
                };
                self.out.findings.push(Finding::new(Kind::Header, name, what).at(0, 64));
            }
        }
        let padding = head.get(64..).unwrap_or(&[]);
        if let Some(first) = padding.iter().position(|byte| *byte != 0) {
            let last = padding.iter().rposition(|byte| *byte != 0).unwrap_or(first);
            let what = "bytes that Forebay never writes are not zero; nothing is lost";
            let (from, to) = (64 + first as u64, 65 + last as u64);
            self.out.findings.push(Finding::new(Kind::Header, name, what).at(from, to));
        }
        Ok(())
    }

    /// Checks for missing blocks between the last block and this one.
    fn gap(&mut self, segment: u64, block: &FoundBlock) {
        let same = self.last.as_ref().filter(|last| last.segment == segment);
        let from = same.map_or(SEGMENT_HEADER, |last| last.end);
        let next = self.last.as_ref().map_or(block.header.first_position, |last| last.position + 1);
        let first = block.header.first_position;
        if let Some(tail) = self.tail.take() {
            // Valid data follows, so it was not a torn last write.
            self.push_damage(tail);
        }
        let state = &self.view.manifest.state;
        let lost = state.calls.lost.iter().map(Lost::range);
        let known = || Range::merge(state.files.released.iter().copied().chain(lost));
        let lost = Range::between(next, first).map(|range| range.outside(&known())).unwrap_or_default();
        let missing = std::mem::take(&mut self.missing);
        for number in &missing {
            let mut finding = missing_segment(*number);
            finding.positions = lost.first().copied();
            self.push_damage(finding);
        }
        if !missing.is_empty() {
            return;
        }
        // The missing blocks were in unreadable bytes of this segment or, if it has none, at the end of the
        // previous segment.
        let unread = from < block.offset;
        let (number, from, to) = match self.last.as_ref().filter(|_| !unread) {
            Some(last) => (last.segment, last.end.min(last.len), last.len),
            None => (segment, from, block.offset),
        };
        let name = segment_name(number);
        if lost.is_empty() && unread {
            let what = match &self.last {
                Some(_) => {
                    "there are unknown bytes between blocks; the positions continue after them, so no frame is \
                     missing"
                        .into()
                }
                None => {
                    format!("there are unknown bytes; they may have held frames before position {first}")
                }
            };
            self.damage(number, Finding::new(Kind::Blocks, name, what).at(from, to));
            return;
        }
        for range in lost {
            let what = if from < to {
                "blocks that were written here can no longer be read"
            } else {
                "the file ends here; the blocks that followed are missing"
            };
            self.damage(number, Finding::new(Kind::Blocks, name.clone(), what).at(from, to).of(range));
        }
    }

    fn found(&mut self, segment: u64, finding: Finding, may_be_torn: bool) {
        self.out.damaged.push(segment);
        if may_be_torn && self.tail.is_none() {
            self.tail = Some(finding);
        } else {
            self.push_damage(finding);
        }
    }

    fn damage(&mut self, segment: u64, finding: Finding) {
        self.out.damaged.push(segment);
        self.push_damage(finding);
    }

    fn push_damage(&mut self, finding: Finding) {
        let known = || Range::merge(self.view.manifest.state.calls.lost.iter().map(Lost::range));
        if finding.kind != Kind::Missing
            && let Some(range @ Range { first, last }) = finding.positions
            && range.outside(&known()).is_empty()
        {
            let note = format!("{}: positions {first} to {last} are already noted as lost", finding.file);
            self.out.notes.push(note);
            return;
        }
        self.out.findings.push(finding);
    }

    fn end(mut self) -> Surveyed {
        // Positions before the noted `next_position` were durable too.
        let durable = self.durable.max(self.view.manifest.state.calls.next_position.saturating_sub(1));
        let missing = std::mem::take(&mut self.missing);
        self.out.findings.extend(missing.into_iter().map(missing_segment));
        if let Some(tail) = self.tail.take() {
            let first = tail.positions.map_or(0, |range| range.first);
            if durable >= first && first > 0 {
                self.push_damage(tail);
            } else {
                let (from, to) = tail.bytes.map_or((0, 0), |bytes| (bytes.from, bytes.to));
                self.out.notes.push(format!(
                    "{}: bytes {from} to {to} are a torn last write; its calls were never acknowledged",
                    tail.file
                ));
            }
        }
        for finding in &mut self.out.findings {
            finding.answered = finding.positions.map(|range| match durable {
                durable if durable >= range.last => Answered::Yes,
                durable if durable >= range.first => Answered::Partly,
                _ => Answered::NotKnown,
            });
        }
        self.out.damaged.dedup();
        self.out
    }
}

fn missing_segment(number: u64) -> Finding {
    let what = "the manifest names this segment, but its file is missing; restore it if you have a copy";
    Finding::new(Kind::Missing, segment_name(number), what)
}

/// The bytes of damaged frames: those between the sound frames before and after them in their block.
fn damaged_frames(name: &str, block: &FoundBlock, lost: Range, sound: &[Sound]) -> Finding {
    let body = block.offset + BLOCK_HEADER as u64;
    let in_block = || sound.iter().filter(|run| run.from >= body && run.to <= block.end());
    let from = in_block().filter(|run| run.last < lost.first).map(|run| run.to).max().unwrap_or(body);
    let to = in_block().filter(|run| run.first > lost.last).map(|run| run.from).min().unwrap_or(block.end());
    Finding::new(Kind::Frames, name, "frames are damaged: their checksums differ").at(from, to).of(lost)
}
