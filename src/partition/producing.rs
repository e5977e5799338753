//! A collector's requests on their way into partitions: numbered blocks, one in flight in each partition while
//! the next fills, and an answer once every block of a request is reported.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::block::{self, BLOCK_BYTES, CollectorId, Part};
use super::position::FRAMES_MAX;
use crate::planted_bugs::{PlantedBug, planted};

/// Bytes that wait or are in flight in all partitions. Beyond it, requests are refused at once.
pub const WAITING_BYTES_MAX: usize = 64 * 1_024 * 1_024;
/// The same in one partition, so that one without a leader stops no other.
pub const PARTITION_BYTES_MAX: usize = 8 * 1_024 * 1_024;
/// How long a request waits for its reports.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(15);

/// There is no room for a request: 503, and nothing of it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too much waits for the brokers")]
pub struct NoRoom;

/// A block to be sent now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToSend {
    /// To this partition.
    pub partition: u32,
    /// Its producer.
    pub collector: CollectorId,
    /// Its number.
    pub number: u64,
    /// What it has of each request.
    pub parts: Vec<Part>,
}

impl ToSend {
    /// The value of its record. Made apart from taking the block, because it reads and copies every byte.
    pub fn value(&self) -> Vec<u8> {
        block::write(self.collector, self.number, &self.parts)
    }
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The request.
    pub request: u64,
    /// `Some`: every frame is in the log, 200. `None`: any of them may be, 503.
    pub stored: Option<Vec<StoredPart>>,
}

/// Where frames of a request are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredPart {
    /// The partition.
    pub partition: u32,
    /// The offset of the record.
    pub offset: u64,
    /// The index of the first frame, from 1.
    pub index: u64,
    /// How many.
    pub frames: u32,
}

#[derive(Clone, Debug, Default)]
struct Lane {
    /// The number of the last block.
    number: u64,
    /// Requests, their frames, and bytes.
    in_flight: Option<(Vec<(u64, u32)>, usize)>,
    waiting: VecDeque<(u64, Part)>,
    bytes: usize,
}

#[derive(Clone, Debug)]
struct Asked {
    until: Duration,
    /// Parts that are not reported.
    open: usize,
    stored: Vec<StoredPart>,
}

/// What a collector has on its way.
#[derive(Clone, Debug)]
pub struct Producing {
    collector: CollectorId,
    answer_within: Duration,
    lanes: BTreeMap<u32, Lane>,
    requests: BTreeMap<u64, Asked>,
}

impl Producing {
    /// A collector that has sent nothing. The id must be random.
    pub fn new(collector: CollectorId, answer_within: Duration) -> Self {
        Self { collector, answer_within, lanes: BTreeMap::new(), requests: BTreeMap::new() }
    }

    /// Takes a request: its parts, each with its partition.
    /// Errors: [`NoRoom`].
    pub fn offer(&mut self, request: u64, parts: Vec<(u32, Part)>, now: Duration) -> Result<(), NoRoom> {
        let parts: Vec<(u32, Part)> = parts
            .into_iter()
            .flat_map(|(partition, part)| split(part).into_iter().map(move |part| (partition, part)))
            .collect();
        let mut adds: BTreeMap<u32, usize> = BTreeMap::new();
        parts.iter().for_each(|(partition, part)| *adds.entry(*partition).or_default() += part.stored_len());
        let all = self.bytes() + adds.values().sum::<usize>();
        let has_room = |(partition, bytes): (&u32, &usize)| {
            self.lanes.get(partition).map_or(0, |lane| lane.bytes) + bytes <= PARTITION_BYTES_MAX
        };
        if all > WAITING_BYTES_MAX || !adds.iter().all(has_room) {
            return Err(NoRoom);
        }
        let asked = Asked { until: now + self.answer_within, open: parts.len(), stored: Vec::new() };
        self.requests.insert(request, asked);
        for (partition, part) in parts {
            let lane = self.lanes.entry(partition).or_default();
            lane.bytes += part.stored_len();
            lane.waiting.push_back((request, part));
        }
        Ok(())
    }

    /// The next block of a partition, if none is in flight there and something waits.
    pub fn next_block(&mut self, partition: u32) -> Option<ToSend> {
        let lane = self.lanes.get_mut(&partition).filter(|lane| lane.in_flight.is_none())?;
        let (mut parts, mut of, mut bytes, mut frames) = (Vec::new(), Vec::new(), 0, 0);
        while let Some((_, next)) = lane.waiting.front() {
            let adds = next.frames as usize;
            let is_full = bytes + next.stored_len() > BLOCK_BYTES || frames + adds > FRAMES_MAX;
            if is_full && !parts.is_empty() {
                break;
            }
            let Some((request, part)) = lane.waiting.pop_front() else { break };
            (bytes, frames) = (bytes + part.stored_len(), frames + adds);
            of.push((request, part.frames));
            parts.push(part);
        }
        if parts.is_empty() {
            return None;
        }
        lane.number += 1;
        lane.in_flight = Some((of, bytes));
        Some(ToSend { partition, collector: self.collector, number: lane.number, parts })
    }

    /// The block in flight in a partition is in the log at `offset`. Reports of earlier producers are ignored.
    pub fn reported(&mut self, partition: u32, collector: CollectorId, offset: u64) -> Vec<Answer> {
        let lane = self.lanes.get_mut(&partition).filter(|_| collector == self.collector);
        let Some((of, bytes)) = lane.and_then(|lane| {
            let flown = lane.in_flight.take()?;
            lane.bytes -= flown.1;
            Some(flown)
        }) else {
            return Vec::new();
        };
        debug_assert!(bytes > 0, "no block is empty");
        let (mut answers, mut index) = (Vec::new(), 1);
        for (request, frames) in of {
            let part = StoredPart { partition, offset, index, frames };
            index += u64::from(frames);
            let Some(asked) = self.requests.get_mut(&request) else { continue };
            asked.stored.push(part);
            asked.open -= 1;
            if asked.open == 0 || planted(PlantedBug::AnswerBeforeLastReport) {
                let stored = self.requests.remove(&request).map(|asked| asked.stored);
                answers.push(Answer { request, stored });
            }
        }
        answers
    }

    /// Any report of an error: blocks in flight may still be written, so a new producer takes their place, and
    /// its numbers never meet theirs. No block is sent again: its requests get 503, and their clients send
    /// them again.
    pub fn failed(&mut self, new: CollectorId) -> Vec<Answer> {
        self.collector = new;
        let mut gone = Vec::new();
        for lane in self.lanes.values_mut() {
            lane.number = 0;
            if let Some((of, bytes)) = lane.in_flight.take() {
                lane.bytes -= bytes;
                gone.extend(of.into_iter().map(|(request, _)| request));
            }
        }
        self.give_up(gone)
    }

    /// Answers requests that have waited too long. What is in flight stays so.
    pub fn timed_out(&mut self, now: Duration) -> Vec<Answer> {
        let late = self.requests.iter().filter(|(_, asked)| asked.until <= now);
        let late = late.map(|(request, _)| *request).collect();
        let mut answers = self.give_up(late);
        if planted(PlantedBug::AnswerAtTimeout) {
            answers.iter_mut().for_each(|answer| answer.stored = Some(Vec::new()));
        }
        answers
    }

    /// The producer of the blocks in flight.
    pub fn collector(&self) -> CollectorId {
        self.collector
    }

    /// Bytes that wait or are in flight.
    pub fn bytes(&self) -> usize {
        self.lanes.values().map(|lane| lane.bytes).sum()
    }

    /// The requests that have no answer.
    pub fn asked(&self) -> usize {
        self.requests.len()
    }

    /// Partitions in which something waits or is in flight.
    pub fn partitions(&self) -> impl Iterator<Item = u32> {
        self.lanes.iter().filter(|(_, lane)| lane.bytes > 0).map(|(partition, _)| *partition)
    }

    /// Answers requests with 503. Their parts that were not sent are not sent any more.
    fn give_up(&mut self, requests: Vec<u64>) -> Vec<Answer> {
        let mut answers = Vec::new();
        if requests.is_empty() {
            return answers;
        }
        for request in requests {
            answers.extend(self.requests.remove(&request).map(|_| Answer { request, stored: None }));
        }
        for lane in self.lanes.values_mut() {
            lane.waiting.retain(|(request, part)| {
                let stays = self.requests.contains_key(request);
                lane.bytes -= if stays { 0 } else { part.stored_len() };
                stays
            });
        }
        answers
    }
}

/// The part in pieces of at most [`FRAMES_MAX`] frames: only rejected items can be so many.
fn split(part: Part) -> Vec<Part> {
    if part.frames as usize <= FRAMES_MAX {
        return vec![part];
    }
    let (mut pieces, mut rest, mut items) = (Vec::new(), &part.bytes[..], part.items);
    while !rest.is_empty() {
        let mut len = 0;
        let mut frames = 0;
        while frames < FRAMES_MAX
            && let Some(next) = rest.get(len..).and_then(crate::log::frame::length)
        {
            (len, frames) = (len + next, frames + 1);
        }
        let Some((piece, behind)) = rest.split_at_checked(len).filter(|_| len > 0) else { break };
        // The items are those of the first piece.
        let frames = u32::try_from(frames).unwrap_or(0);
        let (source, stream) = (part.source.clone(), part.stream.clone());
        let items = std::mem::take(&mut items);
        pieces.push(Part { source, stream, items, frames, bytes: piece.to_vec() });
        rest = behind;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::frame::{self, FrameKind};
    use crate::object::Stream;
    use crate::sources::SourceId;
    use crate::time::UnixMillis;

    const NOW: Duration = Duration::from_secs(100);

    fn part(frames: usize, len: usize) -> Part {
        let source = SourceId::new("web").unwrap();
        let mut bytes = Vec::new();
        for _ in 0..frames {
            let start = frame::begin(&mut bytes, FrameKind::Call, (Some(&source), ""), UnixMillis(1), None);
            bytes.resize(bytes.len() + len, b'x');
            frame::finish(&mut bytes, start, 1);
        }
        Part::new(source, Stream::Calls, 3, bytes)
    }

    fn producing() -> Producing {
        Producing::new(CollectorId(1), ANSWER_WITHIN)
    }

    #[test]
    fn one_block_is_in_flight_while_the_next_fills() {
        let mut all = producing();
        all.offer(1, vec![(0, part(2, 9))], NOW).unwrap();
        let first = all.next_block(0).unwrap();
        assert_eq!((first.number, first.collector), (1, CollectorId(1)));
        all.offer(2, vec![(0, part(3, 9))], NOW).unwrap();
        all.offer(3, vec![(0, part(1, 9))], NOW).unwrap();
        assert_eq!(all.next_block(0), None);
        let stored = |offset, index, frames| vec![StoredPart { partition: 0, offset, index, frames }];
        let answers = all.reported(0, CollectorId(1), 7);
        assert_eq!(answers, [Answer { request: 1, stored: Some(stored(7, 1, 2)) }]);
        assert_eq!(all.next_block(0).unwrap().number, 2);
        let answers = all.reported(0, CollectorId(1), 9);
        assert_eq!(answers[0].stored, Some(stored(9, 1, 3)));
        assert_eq!(answers[1].stored, Some(stored(9, 4, 1)));
        assert_eq!(all.partitions().count(), 0);
    }

    #[test]
    fn a_request_is_answered_once_all_its_blocks_are_reported() {
        let mut all = producing();
        all.offer(1, vec![(0, part(1, 9)), (1, part(1, 9))], NOW).unwrap();
        assert!(all.next_block(0).is_some() && all.next_block(1).is_some());
        assert_eq!(all.reported(1, CollectorId(1), 5), []);
        assert_eq!(all.reported(0, CollectorId(1), 6)[0].stored.as_ref().unwrap().len(), 2);
    }

    #[test]
    fn a_time_out_is_no_success_and_frees_nothing_that_is_in_flight() {
        let mut all = producing();
        all.offer(1, vec![(0, part(1, 9))], NOW).unwrap();
        all.next_block(0).unwrap();
        all.offer(2, vec![(0, part(1, 9))], NOW).unwrap();
        assert_eq!(all.timed_out(NOW), []);
        let answers = all.timed_out(NOW + ANSWER_WITHIN);
        assert_eq!(answers, [1, 2].map(|request| Answer { request, stored: None }));
        assert_eq!((all.next_block(0), all.partitions().count()), (None, 1));
        assert_eq!(all.reported(0, CollectorId(1), 5), []);
        assert_eq!((all.next_block(0), all.partitions().count()), (None, 0));
    }

    #[test]
    fn after_an_error_a_new_producer_numbers_from_one_and_sends_no_block_again() {
        let mut all = producing();
        all.offer(1, vec![(0, part(1, 9)), (1, part(1, 9))], NOW).unwrap();
        all.next_block(0).unwrap();
        all.offer(2, vec![(0, part(1, 9))], NOW).unwrap();
        assert_eq!(all.failed(CollectorId(2)), [Answer { request: 1, stored: None }]);
        assert_eq!(all.reported(0, CollectorId(1), 4), [], "of the old producer");
        let next = all.next_block(0).unwrap();
        assert_eq!((next.collector, next.number), (CollectorId(2), 1));
        assert_eq!(all.next_block(1), None, "request 1 has its answer");
        assert_eq!(all.reported(0, CollectorId(2), 5)[0].request, 2);
    }

    #[test]
    fn blocks_and_windows_are_bounded() {
        let mut all = producing();
        all.offer(1, vec![(0, part(1, BLOCK_BYTES / 2)), (0, part(1, BLOCK_BYTES / 2))], NOW).unwrap();
        assert!(all.next_block(0).unwrap().value().len() <= BLOCK_BYTES);
        let large = || vec![(1, part(1, 2 * 1_024 * 1_024))];
        (2..5).for_each(|request| all.offer(request, large(), NOW).unwrap());
        assert_eq!(all.offer(5, large(), NOW), Err(NoRoom));
        assert_eq!(all.offer(6, vec![(2, part(1, 9))], NOW), Ok(()), "another partition");
        assert!(all.next_block(1).unwrap().value().len() > BLOCK_BYTES, "a long request has its own block");
    }

    #[test]
    fn a_part_with_more_frames_than_positions_is_split() {
        let mut all = producing();
        all.offer(1, vec![(0, part(FRAMES_MAX + 2, 0))], NOW).unwrap();
        for (offset, frames) in [(3, FRAMES_MAX), (4, 2)] {
            let value = all.next_block(0).unwrap().value();
            let read = block::read(&value).unwrap();
            assert_eq!(read.requests[0].frames.len(), frames);
            let answers = all.reported(0, CollectorId(1), offset);
            assert_eq!(answers.len(), usize::from(offset == 4));
        }
    }
}
