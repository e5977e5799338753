//! The calls that were sampled last: the one list that all viewers read. Pure.

use std::collections::VecDeque;
use std::sync::Arc;

use super::live_call::LiveCall;

/// The most calls kept.
pub const CALLS_MAX: usize = 512;
/// The most memory that they take, in bytes.
pub const BYTES_MAX: usize = 8 << 20;

/// The calls that were sampled last, oldest first. Their numbers have no gaps.
#[derive(Debug, Default)]
pub struct Recent {
    calls: VecDeque<Arc<LiveCall>>,
    bytes: usize,
}

impl Recent {
    /// Adds a call, and drops the oldest ones beyond the bounds.
    pub fn push(&mut self, call: LiveCall) {
        self.bytes += call.memory();
        self.calls.push_back(Arc::new(call));
        while self.calls.len() > CALLS_MAX || (self.bytes > BYTES_MAX && self.calls.len() > 1) {
            let Some(oldest) = self.calls.pop_front() else { break };
            self.bytes = self.bytes.saturating_sub(oldest.memory());
        }
    }

    /// The calls numbered from `next` on, and how many of those were dropped before. The first ones, if their
    /// lines have more than `bytes` bytes.
    pub fn since(&self, next: u64, bytes: usize) -> (Vec<Arc<LiveCall>>, u64) {
        let Some(oldest) = self.calls.front() else { return (Vec::new(), 0) };
        let missed = oldest.id().saturating_sub(next);
        let known = usize::try_from(next.saturating_sub(oldest.id())).unwrap_or(usize::MAX);
        let mut taken = 0_usize;
        let calls = self.calls.iter().skip(known).take_while(|call| {
            let before = taken;
            taken = taken.saturating_add(call.json_bytes());
            before < bytes
        });
        (calls.cloned().collect(), missed)
    }

    /// Drops all calls.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::Sample;
    use super::*;
    use crate::object::Stream;
    use crate::sources::SourceId;
    use crate::time::UnixMillis;

    fn call(id: u64, len: usize) -> LiveCall {
        let (source, at) = (SourceId::new("web").unwrap(), UnixMillis(0));
        let mut sample = Sample::new(source.clone(), at);
        let line = format!(r#"{{"a":"{}"}}"#, "x".repeat(len));
        sample.push(Stream::Calls, line.as_bytes(), None);
        LiveCall::new(id, (source, at), sample.lines.remove(0), false, true)
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
            (calls.len(), missed, calls[0].id()),
            (CALLS_MAX, 600 - CALLS_MAX as u64, 600 - CALLS_MAX as u64)
        );
        let (calls, missed) = recent.since(598, usize::MAX);
        assert_eq!((calls.len(), missed), (2, 0));
        let (calls, missed) = recent.since(500, calls[0].json_bytes() + 1);
        assert_eq!((calls.len(), missed, calls[0].id()), (2, 0, 500));
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
}
