//! Reading the log: what becomes of each record, and what is lost once the log begins later.

use forebay::log::notes::CallNote;
use forebay::partition::gone;
use forebay::partition::note::Note;
use forebay::partition::opening::Stop;
use forebay::partition::position::before;
use forebay::partition::reader::Took;
use forebay::planted_bugs::{PlantedBug, planted};
use forebay::time::{DAY_MS, UnixMillis};

use super::super::env::Env;
use super::super::log_topic::{Consumer, Fetched};
use super::super::owner::Process;
use super::transaction::After;
use super::{GRACE, Live, Step};

impl Live {
    pub(super) fn read(&mut self, process: Process, env: &mut Env) -> Step {
        if env.fails() {
            return Step::GoesOn;
        }
        let log = &env.log[self.partition as usize];
        if !self.cache.consumer.is_placed() {
            self.cache.reader.goes_anew(log.start);
        }
        let next = self.cache.reader.next();
        match log.fetch(self.cache.reader.expects(), &mut self.cache.consumer) {
            Fetched::End if self.cache.reader.ends_short(&self.state) => return cut(next),
            Fetched::End => self.at_end = true,
            Fetched::OutOfRange if next < log.start => {
                env.trace.count("logs whose start has passed");
                if self.transaction.is_none() {
                    let start = log.start;
                    let mut notes = gone::open_frames(&self.state, next, start);
                    // What the cache does not have can no longer be read.
                    let lost = self.state.calls.seals.values().filter(|pending| {
                        pending.amended.is_none()
                            && !self.state.left.contains_key(&pending.seal.number)
                            && gone::is_gone(&pending.seal, start)
                            && !self.cache.lines_of(&pending.seal).1
                    });
                    notes.extend(lost.flat_map(|pending| gone::object(&pending.seal)));
                    if notes.is_empty() {
                        self.cache.reader.skip_to(gone::goes_on_at(start, log.end()));
                    } else {
                        self.notes(notes, After::Nothing);
                    }
                }
            }
            Fetched::OutOfRange if log.end() < next => return cut(log.end()),
            // The log was cut while it was read. Whoever goes to the same place in what has grown since finds out.
            Fetched::OutOfRange => self.cache.consumer = Consumer::default(),
            Fetched::Record(offset, value) => {
                let ends_here = self.day_end.is_some_and(|(_, end)| offset >= end);
                if ends_here {
                    return Step::GoesOn;
                }
                self.at_end = false;
                if planted(PlantedBug::DaysOverByClock) {
                    self.days_over_by_clock(process, env, offset);
                }
                let before = self.cache.reader.covered().last.filter(|last| last.offset < offset);
                let reads_on =
                    before.is_some_and(|last| !log.has(last)) && !planted(PlantedBug::CutLogReadOn);
                match self.cache.reader.takes(offset, &value, &self.state) {
                    Took::Block { .. } | Took::Copy(_) if reads_on => {
                        env.is_wrong(format!("partition {} is read on behind a cut", self.partition));
                    }
                    Took::Block { frames, counts, .. } => {
                        self.cache.takes(offset, frames, counts, &self.state);
                    }
                    Took::Copy(_) => {
                        env.trace.count("second copies");
                        let first = log.records.iter().position(|known| known.as_deref() == Some(&value[..]));
                        if (first.unwrap() as u64) < self.cache.began {
                            env.trace.count("second copies of blocks that the reader has not read");
                        }
                    }
                    Took::Nothing => {}
                    Took::Unreadable(ranges) => {
                        env.trace.count("unreadable records");
                        if self.transaction.is_none() {
                            self.notes(ranges.into_iter().map(Note::Unread).collect(), After::Nothing);
                        }
                    }
                    Took::Cut => return cut(offset),
                    Took::Newer(version) => {
                        return Step::Stopped(Stop::NewerBlock { offset, version });
                    }
                }
            }
        }
        Step::GoesOn
    }

    /// With a planted bug: days end for the reader when the clock says so.
    fn days_over_by_clock(&mut self, process: Process, env: &Env, offset: u64) {
        let over = UnixMillis(process.wall(env).minus(GRACE).0 - DAY_MS).day();
        self.state.calls.apply(CallNote::DaysOver { through: over, from: Some(before(offset)) });
    }
}

fn cut(offset: u64) -> Step {
    Step::Stopped(Stop::LogCut(offset))
}
