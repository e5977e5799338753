//! How often this process has given each message back.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use super::fate::Fate;
use crate::lock::lock;

/// The most messages that are remembered. With more of them all are forgotten, and come back sooner.
const MESSAGES_MAX: usize = 10_000;

/// How often each message was given back that is not settled, by its id. The queue counts something else: how often
/// a message was received, also by processes that were killed, which says nothing of the message.
#[derive(Debug, Default)]
pub(super) struct GivenBack(Mutex<HashMap<String, u32>>);

impl GivenBack {
    /// How often a message was given back.
    pub(super) fn times(&self, id: &str) -> u32 {
        lock(&self.0).get(id).copied().unwrap_or(0)
    }

    /// Notes what is done with a message. One that shows again at once has not failed.
    pub(super) fn note(&self, id: &str, done: Fate) {
        let mut times = lock(&self.0);
        match done {
            Fate::Delete => drop(times.remove(id)),
            Fate::GiveBack(Duration::ZERO) => {}
            Fate::GiveBack(_) => {
                if times.len() >= MESSAGES_MAX && !times.contains_key(id) {
                    times.clear();
                }
                let times = times.entry(id.to_owned()).or_default();
                *times = times.saturating_add(1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_counted_until_it_is_deleted() {
        let (given_back, later) = (GivenBack::default(), Fate::GiveBack(Duration::from_secs(10)));
        for times in 0..3 {
            assert_eq!(given_back.times("a"), times);
            given_back.note("a", later);
        }
        given_back.note("a", Fate::GiveBack(Duration::ZERO));
        assert_eq!([given_back.times("a"), given_back.times("b")], [3, 0]);
        given_back.note("a", Fate::Delete);
        assert_eq!(given_back.times("a"), 0);
        for number in 0..=MESSAGES_MAX {
            given_back.note(&number.to_string(), later);
        }
        assert_eq!([given_back.times("0"), given_back.times(&MESSAGES_MAX.to_string())], [0, 1]);
    }
}
