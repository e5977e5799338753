//! What is known of destinations, in words. Pure.

use super::destinations::{ClassCount, DestinationStatus, FunctionStatus};
use crate::time::UnixMillis;
use crate::words::{about_bytes, counted, grouped, if_any, rfc3339};

impl ClassCount {
    /// How often each class happened.
    pub fn words(counts: &[Self]) -> String {
        let one = |count: &Self| format!("{} {}", grouped(count.count), count.shown);
        counts.iter().map(one).collect::<Vec<_>>().join(", ")
    }
}

impl DestinationStatus {
    /// What became of dead letters after they were stored.
    pub fn sent_again_words(&self) -> String {
        let (sent, left) = (grouped(self.dead_sent_again), self.dead_left());
        match (self.dead_sent_again, self.dead_unknown.is_some()) {
            (0, false) => String::new(),
            (0, true) => ", how many were sent again is not known".to_owned(),
            (_, true) => format!(", at least {sent} sent again"),
            (_, false) if left == 0 => ", all sent again".to_owned(),
            (_, false) => format!(", {sent} sent again, {} left", grouped(left)),
        }
    }
}

impl FunctionStatus {
    /// The types that the function gets, and what waits for it.
    pub fn state_words(&self) -> String {
        let types = &self.types;
        let types = if types.is_empty() { String::new() } else { format!(" for {}", types.join(", ")) };
        let waits = counted(self.waiting, "call waits", "calls wait");
        let state = match (&self.open_since_ms, self.waiting) {
            (Some(since), _) => {
                format!("gets a call only now and then since {}, {waits}", rfc3339(UnixMillis(*since)))
            }
            (None, 0) if self.failing.is_some() => "nothing waits, but the last call failed".to_owned(),
            (None, 0) if self.unread == 0 => "up to date".to_owned(),
            (None, 0) => "nothing waits".to_owned(),
            (None, _) => waits,
        };
        // They may be for other functions.
        let unread = if_any(self.unread, |lines| {
            format!(", {} of the spool not read yet", counted(lines, "line", "lines"))
        });
        let flight = if_any(self.in_flight, |count| format!(", {count} in flight"));
        let queued = if_any(self.queued_bytes, |bytes| format!(", {} queued", about_bytes(bytes)));
        format!("{types}: {state}{unread}{queued}{flight}")
    }
}
