//! What a writer has read of a partition and not released: in memory here, on its disk in production.

use std::collections::BTreeMap;

use forebay::batch::BatchKey;
use forebay::log::{AccountKey, Hour, Row, Seal};
use forebay::partition::left::Pass;
use forebay::partition::lines::Lines;
use forebay::partition::open::{FirstOpen, read_from};
use forebay::partition::position::before;
use forebay::partition::reader::{ReadFrame, Reader};
use forebay::partition::repeats::Repeats;
use forebay::partition::state::State;

use super::log_topic::Consumer;

/// Frames, and the reader that brought them.
#[derive(Debug)]
pub(super) struct Cache {
    pub(super) reader: Reader,
    pub(super) consumer: Consumer,
    /// The first record that the reader read.
    pub(super) began: u64,
    open: BTreeMap<BatchKey, BTreeMap<u64, ReadFrame<'static>>>,
    /// What is counted in no tally: the record's offset, and its counts.
    counts: Vec<(u64, AccountKey, Hour, Row)>,
    pub(super) repeats: Repeats,
}

impl Cache {
    pub(super) fn new(state: &State) -> Self {
        let reader = Reader::of_base(state);
        let began = reader.next();
        Self {
            reader,
            began,
            consumer: Consumer::default(),
            open: BTreeMap::new(),
            counts: Vec::new(),
            repeats: Repeats::default(),
        }
    }

    /// Goes on in another term of the same process, with another client of the brokers.
    pub(super) fn goes_on(mut self, state: &State) -> Self {
        self.consumer = Consumer::default();
        self.reader.based(&state.base);
        self.release(state);
        self.counts.retain(|(offset, ..)| before(*offset) >= state.calls.tallied_through());
        self
    }

    pub(super) fn takes(
        &mut self,
        offset: u64,
        frames: Vec<ReadFrame<'_>>,
        counts: Vec<(AccountKey, Hour, Row)>,
        state: &State,
    ) {
        if before(offset) >= state.calls.tallied_through() {
            self.counts.extend(counts.into_iter().map(|(account, hour, row)| (offset, account, hour, row)));
        }
        frames.iter().for_each(|frame| self.repeats.sees(frame, state));
        let is_open = |frame: &ReadFrame<'_>| {
            !frame.repeat
                && frame.position >= state.base.read_from
                && state.needs(&frame.batch, frame.position)
        };
        for frame in frames.into_iter().filter(is_open) {
            self.open.entry(frame.batch.clone()).or_default().insert(frame.position, frame.into_owned());
        }
    }

    /// Forgets what the notes say is not needed.
    pub(super) fn release(&mut self, state: &State) {
        for (batch, frames) in &mut self.open {
            frames.retain(|position, _| state.needs(batch, *position));
        }
        self.open.retain(|_, frames| !frames.is_empty());
    }

    /// Forgets the frames of one object.
    pub(super) fn forget(&mut self, seal: &Seal) {
        if let Some(frames) = self.open.get_mut(&seal.batch) {
            frames.retain(|position, _| !(seal.first..=seal.last).contains(position));
        }
        self.open.retain(|_, frames| !frames.is_empty());
    }

    pub(super) fn len(&self) -> usize {
        self.open.values().map(BTreeMap::len).sum()
    }

    pub(super) fn batches(&self) -> impl Iterator<Item = &BatchKey> {
        self.open.keys()
    }

    /// The first frame of each batch.
    pub(super) fn firsts(&self) -> impl Iterator<Item = (&BatchKey, u64)> + Clone {
        self.open.iter().filter_map(|(batch, frames)| Some((batch, *frames.keys().next()?)))
    }

    /// The frames of a batch that are in no seal.
    pub(super) fn unsealed<'c>(
        &'c self,
        batch: &'c BatchKey,
        state: &'c State,
    ) -> impl Iterator<Item = &'c ReadFrame<'static>> {
        let frames = self.open.get(batch).into_iter().flat_map(BTreeMap::values);
        frames.filter(|frame| frame.position > state.calls.sealed_through(batch))
    }

    /// The lines of a sealed object, and whether they are those of its seal.
    pub(super) fn lines_of(&self, seal: &Seal) -> (Vec<(u64, Vec<u8>)>, bool) {
        let mut lines = Lines::default();
        let frames = self.open.get(&seal.batch).into_iter().flat_map(|of| of.range(seal.first..=seal.last));
        let frames: Vec<&ReadFrame<'_>> = frames.map(|(_, frame)| frame).collect();
        frames.iter().for_each(|frame| lines.push(frame));
        (
            frames.iter().map(|frame| (frame.position, frame.line().to_vec())).collect(),
            lines.are_those_of(seal),
        )
    }

    pub(super) fn read_from(&self, state: &State) -> u64 {
        let first = |(batch, frames): (&BatchKey, &BTreeMap<u64, ReadFrame<'_>>)| {
            let position = *frames.keys().next().unwrap();
            FirstOpen { position, sealed: position <= state.calls.sealed_through(batch) }
        };
        read_from(self.open.iter().map(first), self.reader.next(), state.base.read_from)
    }

    /// What is counted so far, and is in no tally.
    pub(super) fn tally(&self) -> Vec<(AccountKey, Hour, Row)> {
        let mut rows: BTreeMap<(AccountKey, Hour), Row> = BTreeMap::new();
        for (_, account, hour, row) in &self.counts {
            rows.entry((account.clone(), *hour)).or_default().add(row);
        }
        rows.into_iter().map(|((account, hour), row)| (account, hour, row)).collect()
    }

    pub(super) fn tallied(&mut self, through: u64) {
        self.counts.retain(|(offset, ..)| before(*offset) >= through);
    }
}

/// A pass over the log that builds left objects again.
#[derive(Debug)]
pub(super) struct Rebuild {
    pub(super) pass: Pass,
    pub(super) reader: Reader,
    pub(super) consumer: Consumer,
    /// The positions and lines of each object, by the number of its seal.
    pub(super) lines: BTreeMap<u64, Vec<(u64, Vec<u8>)>>,
    /// Whether the log begins after the first record that it needs.
    pub(super) cut_short: bool,
}
