//! The calls that were sampled last: the one list that all viewers read. Pure.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::live_call::{LiveCall, REJECTED};
use crate::sources::SourceId;

/// The most calls kept.
pub const CALLS_MAX: usize = 512;
/// The most memory that they take, in bytes.
pub const BYTES_MAX: usize = 8 << 20;

/// Rejected items that are kept beyond [`CALLS_MAX`]: they are few, and valid calls would displace them
/// within seconds.
pub const REJECTED_MAX: usize = 50;
/// The most memory that these take, in bytes.
const REJECTED_BYTES_MAX: usize = 1 << 20;

/// The calls that were sampled last, oldest first. Their numbers have no gaps.
#[derive(Debug, Default)]
pub struct Recent {
    calls: Bounded,
    /// Rejected items from before.
    rejected: Bounded,
}

/// A queue, and the memory that it takes.
#[derive(Debug, Default)]
struct Bounded {
    calls: VecDeque<Arc<LiveCall>>,
    bytes: usize,
}

impl Bounded {
    fn push(&mut self, call: Arc<LiveCall>) {
        self.bytes += call.memory();
        self.calls.push_back(call);
    }

    /// Removes the oldest call if there is more than the bounds allow.
    fn pop_beyond(&mut self, calls: usize, bytes: usize) -> Option<Arc<LiveCall>> {
        if !self.is_beyond(calls, bytes) {
            return None;
        }
        let oldest = self.calls.pop_front()?;
        self.bytes = self.bytes.saturating_sub(oldest.memory());
        Some(oldest)
    }

    fn is_beyond(&self, calls: usize, bytes: usize) -> bool {
        self.calls.len() > calls || (self.bytes > bytes && self.calls.len() > 1)
    }

    /// Removes the oldest call of the source that has the most, so that one source does not displace all
    /// others.
    fn drop_of_the_loudest(&mut self) {
        let mut counts: BTreeMap<&SourceId, usize> = BTreeMap::new();
        for call in &self.calls {
            *counts.entry(&call.source).or_default() += 1;
        }
        let loudest = counts.into_iter().max_by_key(|(_, count)| *count).map(|(source, _)| source.clone());
        let of_it = |call: &Arc<LiveCall>| Some(&call.source) == loudest.as_ref();
        if let Some(dropped) = self.calls.iter().position(of_it).and_then(|at| self.calls.remove(at)) {
            self.bytes = self.bytes.saturating_sub(dropped.memory());
        }
    }
}

impl Recent {
    /// Adds a call, and drops the oldest ones beyond the bounds.
    pub fn push(&mut self, call: LiveCall) {
        self.calls.push(Arc::new(call));
        while let Some(oldest) = self.calls.pop_beyond(CALLS_MAX, BYTES_MAX - REJECTED_BYTES_MAX) {
            if oldest.filter_type() == REJECTED {
                self.rejected.push(oldest);
                while self.rejected.is_beyond(REJECTED_MAX, REJECTED_BYTES_MAX) {
                    self.rejected.drop_of_the_loudest();
                }
            }
        }
    }

    /// The calls numbered from `next` on, and how many of those were dropped before. The first ones, if their
    /// lines have more than `bytes` bytes.
    pub fn since(&self, next: u64, bytes: usize) -> (Vec<Arc<LiveCall>>, u64) {
        let Some(oldest) = self.calls.calls.front() else { return (Vec::new(), 0) };
        let known = usize::try_from(next.saturating_sub(oldest.id)).unwrap_or(usize::MAX);
        let rejected = self.rejected.calls.iter().filter(|call| call.id >= next);
        let missed = oldest.id.saturating_sub(next).saturating_sub(rejected.clone().count() as u64);
        let mut taken = 0_usize;
        let calls = rejected.chain(self.calls.calls.iter().skip(known)).take_while(|call| {
            let before = taken;
            taken = taken.saturating_add(call.json_bytes());
            before < bytes
        });
        (calls.cloned().collect(), missed)
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::Sample;
    use super::*;
    use crate::object::Stream;
    use crate::time::UnixMillis;

    fn call(id: u64, len: usize) -> LiveCall {
        of_stream(Stream::Calls, id, len)
    }

    fn of_stream(stream: Stream, id: u64, len: usize) -> LiveCall {
        of_source("web", stream, id, len)
    }

    fn of_source(source: &str, stream: Stream, id: u64, len: usize) -> LiveCall {
        let (source, at) = (SourceId::new(source).unwrap(), UnixMillis(0));
        let mut sample = Sample::new(source.clone(), at);
        let line = format!(r#"{{"a":"{}"}}"#, "x".repeat(len));
        sample.push(stream, line.as_bytes(), None);
        LiveCall::new(id, (source, at), sample.lines.remove(0), false, true)
    }

    #[test]
    fn rejected_items_are_kept_longer() {
        let mut recent = Recent::default();
        for id in 0..20_000_u64 {
            let stream = if id.is_multiple_of(100) { Stream::Rejected } else { Stream::Calls };
            recent.push(of_stream(stream, id, 10));
        }
        let (calls, missed) = recent.since(0, usize::MAX);
        let oldest = 20_000 - CALLS_MAX as u64;
        let (early, late): (Vec<_>, Vec<_>) = calls.iter().partition(|call| call.id < oldest);
        assert_eq!((early.len(), late.len()), (REJECTED_MAX, CALLS_MAX));
        assert!(early.iter().all(|call| call.filter_type() == REJECTED), "{early:?}");
        assert!(calls.is_sorted_by_key(|call| call.id), "oldest first");
        assert_eq!(missed, oldest - REJECTED_MAX as u64);
    }

    #[test]
    fn a_viewer_gets_what_it_has_not_seen_and_learns_what_it_missed() {
        let mut recent = Recent::default();
        assert_eq!(recent.since(0, usize::MAX).1, 0);
        for id in 0..600 {
            recent.push(call(id, 10));
        }
        let (calls, missed) = recent.since(0, usize::MAX);
        assert_eq!(
            (calls.len(), missed, calls[0].id),
            (CALLS_MAX, 600 - CALLS_MAX as u64, 600 - CALLS_MAX as u64)
        );
        let (calls, missed) = recent.since(598, usize::MAX);
        assert_eq!((calls.len(), missed), (2, 0));
        let (calls, missed) = recent.since(500, calls[0].json_bytes() + 1);
        assert_eq!((calls.len(), missed, calls[0].id), (2, 0, 500));
        assert_eq!(recent.since(600, usize::MAX).0.len(), 0);
    }

    #[test]
    fn memory_is_bounded() {
        let mut recent = Recent::default();
        for id in 0..200 {
            recent.push(call(id, 60_000));
        }
        let (calls, _) = recent.since(0, usize::MAX);
        let memory: usize = calls.iter().map(|call| call.memory()).sum();
        assert!(memory <= BYTES_MAX && calls.len() > 20, "{memory} bytes, {} calls", calls.len());
    }

    #[test]
    fn one_source_does_not_displace_the_rejected_items_of_another() {
        let mut recent = Recent::default();
        for id in 0..20_000 {
            let source = if id < 3 { "ios" } else { "web" };
            recent.push(of_source(source, Stream::Rejected, id, 10));
        }
        let (calls, _) = recent.since(0, usize::MAX);
        let ids: Vec<u64> = calls.iter().take(4).map(|call| call.id).collect();
        assert_eq!((&ids[..3], calls.len()), (&[0, 1, 2][..], REJECTED_MAX + CALLS_MAX));
        assert!(ids[3] > 19_000, "{ids:?}");
    }
}
