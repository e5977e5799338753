//! The frames of one request, built in place by the writer of its lines.

use std::borrow::Cow;

use crate::call::{LineSink, RejectReason};
use crate::log::frame::{self, FrameKind, Origin, RowKey};
use crate::log::imports::{ImportProgress, ImportStep};
use crate::object::Stream;
use crate::receipt;
use crate::sources::SourceId;
use crate::time::UnixMillis;

/// The frames of one request, with one source, one stream (besides the rejected one) and one `receivedAt`.
/// All of them go into one block of the spool.
///
/// Lines are written directly into the buffer that the spool passes to the disk.
#[derive(Debug)]
pub struct RequestFrames {
    pub(crate) source: SourceId,
    pub(crate) stream: Stream,
    pub(crate) received_at: UnixMillis,
    origin: Option<Origin>,
    /// The step of an import that the request is. Boxed, because few requests are steps, and every request is
    /// moved several times.
    pub(crate) import: Option<Box<ImportStep>>,
    say_positions: bool,
    pub(crate) bytes: Vec<u8>,
    open: usize,
    oversize: bool,
    calls: u32,
    rejected: [u32; RejectReason::ALL.len()],
    came: Option<u32>,
    /// The items that were closed as rejected, by their index.
    refused: Vec<(u32, RejectReason)>,
    pub(crate) only_if_new: Vec<u32>,
}

/// The most rejected items of a request that are remembered one by one.
const REFUSED_MAX: usize = 10_000;

impl RequestFrames {
    /// Creates an empty set of frames. `capacity` is the expected length of the lines in bytes.
    pub fn new(source: SourceId, received_at: UnixMillis, capacity: usize) -> Self {
        Self {
            source,
            stream: Stream::Calls,
            received_at,
            origin: None,
            import: None,
            say_positions: false,
            bytes: Vec::with_capacity(capacity),
            open: 0,
            oversize: false,
            calls: 0,
            rejected: [0; RejectReason::ALL.len()],
            came: None,
            refused: Vec::new(),
            only_if_new: Vec::new(),
        }
    }

    /// Frames that another log has, one after the other: finished, of one source, received at one time.
    pub fn of_finished(source: SourceId, stream: Stream, received_at: UnixMillis, bytes: Vec<u8>) -> Self {
        let mut frames = Self::new(source, received_at, 0);
        frames.stream = stream;
        frames.came = Some(u32::try_from(frame::fingerprints(&bytes).count()).unwrap_or(u32::MAX));
        frames.bytes = bytes;
        frames
    }

    /// Sets the stream of the valid lines: calls unless set. Lines closed as rejected go to the rejected
    /// stream.
    pub fn set_stream(&mut self, stream: Stream) {
        self.stream = stream;
    }

    /// The stream of the valid lines.
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Sets the number of items that the request had, counted by its reader. The ledger compares it with the
    /// lines.
    pub fn came(&mut self, items: usize) {
        self.came = Some(u32::try_from(items).unwrap_or(u32::MAX));
    }

    /// Sets the origin of the lines that follow.
    pub fn set_origin(&mut self, origin: Option<Origin>) {
        self.origin = origin;
    }

    /// Makes the request a step of an import. The lines that follow get its origin.
    pub fn set_import(&mut self, step: ImportStep) {
        self.set_origin(Some(step.origin));
        self.import = Some(Box::new(step));
    }

    /// Stores the request only if none of these items, which are in order, repeats a stored call: else it is
    /// refused with [`AppendError::Known`](super::AppendError::Known).
    pub fn only_if_new(&mut self, items: Vec<u32>) {
        self.only_if_new = items;
    }

    /// Takes the fingerprints of the lines so far: none of them is then found to be a repeat, or makes
    /// another one.
    pub fn forget_fingerprints(&mut self) {
        frame::forget_fingerprints(&mut self.bytes);
    }

    /// Gives rows their keys. Each has a range of lines, by their index among the lines so far. Its first
    /// line that is not rejected gets the key: if all are rejected, a corrected row with its key may still be
    /// stored.
    pub fn set_row_keys(&mut self, rows: &[(std::ops::Range<u32>, RowKey)]) {
        let mut rows = rows.iter().peekable();
        let mut rest = &mut self.bytes[..];
        let mut line = 0;
        while let Some((frame, behind)) = frame::length(rest).and_then(|len| rest.split_at_mut_checked(len)) {
            rest = behind;
            while rows.next_if(|(of, _)| of.end <= line).is_some() {}
            let is_call = frame::head(frame).is_some_and(|head| head.kind == FrameKind::of(&self.stream));
            if let Some((_, key)) = rows.next_if(|(of, _)| is_call && of.contains(&line)) {
                frame::set_row_key(frame, *key);
            }
            line += 1;
        }
    }

    /// Adds the frame that records the progress of the import, after all lines. The log fills it in.
    pub fn end_import_step(&mut self) {
        let Some(step) = &self.import else { return };
        let start = frame::begin(
            &mut self.bytes,
            FrameKind::ImportProgress,
            (Some(&self.source), ""),
            self.received_at,
            Some(step.origin),
        );
        self.bytes.extend_from_slice(&ImportProgress::default().encode());
        frame::finish(&mut self.bytes, start, 0);
    }

    /// Adds to each following line its position, as its last member.
    pub fn say_positions(&mut self, yes: bool) {
        self.say_positions = yes;
    }

    /// The source of all lines.
    pub fn source(&self) -> &SourceId {
        &self.source
    }

    /// When the request was received.
    pub fn received_at(&self) -> UnixMillis {
        self.received_at
    }

    /// The bytes of all frames.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The lines so far, in order, each with its stream. Those that will contain their position do not
    /// contain it yet.
    pub fn lines(&self) -> impl Iterator<Item = (Stream, Cow<'_, [u8]>)> {
        let mut rest = &self.bytes[..];
        let frames = std::iter::from_fn(move || {
            let (frame, behind) = rest.split_at_checked(frame::length(rest)?)?;
            rest = behind;
            frame::fields(frame)
        });
        frames.filter_map(|frame| Some((frame.stream()?, receipt::without_position(frame.payload))))
    }

    /// Whether a line is longer than a frame can hold, so that the request can never be stored.
    pub fn has_oversize(&self) -> bool {
        self.oversize
    }

    fn finish(&mut self, fingerprint: u128) {
        if self.say_positions && receipt::keep_room(&mut self.bytes) {
            frame::set_says_position(&mut self.bytes, self.open);
        }
        frame::finish(&mut self.bytes, self.open, fingerprint);
        self.oversize |= self.bytes.len() - self.open > frame::FRAME_MAX;
    }

    /// Whether there is nothing to store.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The items that the ledger counts as received: the number set, or the number of closed lines if none
    /// was set.
    pub fn items(&self) -> u32 {
        let closed = || self.calls.saturating_add(self.rejected_items());
        self.came.unwrap_or_else(closed)
    }

    /// Lines closed as calls.
    pub fn calls(&self) -> u32 {
        self.calls
    }

    /// Lines closed as rejected.
    pub fn rejected_items(&self) -> u32 {
        self.rejected.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Takes the items that were closed as rejected, by their index among all items.
    pub fn take_refused(&mut self) -> Vec<(u32, RejectReason)> {
        std::mem::take(&mut self.refused)
    }

    /// Lines closed as rejected, by reason.
    pub fn rejected_by_reason(&self) -> impl Iterator<Item = (RejectReason, u32)> + '_ {
        RejectReason::ALL.into_iter().zip(self.rejected).filter(|(_, count)| *count > 0)
    }
}

impl LineSink for RequestFrames {
    fn line(&mut self) -> &mut Vec<u8> {
        let place = (Some(&self.source), self.stream.name());
        let kind = FrameKind::of(&self.stream);
        self.open = frame::begin(&mut self.bytes, kind, place, self.received_at, self.origin);
        &mut self.bytes
    }

    fn call(&mut self, fingerprint: u128) {
        self.finish(fingerprint);
        self.calls += 1;
    }

    fn rejected(&mut self, reason: RejectReason) {
        if self.refused.len() < REFUSED_MAX {
            self.refused.push((self.calls.saturating_add(self.rejected_items()), reason));
        }
        frame::set_kind(&mut self.bytes, self.open, FrameKind::Rejected);
        self.finish(0);
        // `RejectReason::ALL`, which names the counts, is in the order of the values.
        if let Some(count) = self.rejected.get_mut(reason as usize) {
            *count += 1;
        }
    }

    fn discard(&mut self) {
        self.bytes.truncate(self.open);
    }
}
