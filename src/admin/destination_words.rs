//! What is known of destinations, in words. Pure.

use super::destinations::{ClassCount, DestinationStatus, FunctionStatus};
use super::status::{DestinationBehind, Status};
use crate::time::UnixMillis;
use crate::words::{about_bytes, counted, first_few, grouped, if_any, outside_text, rfc3339};

/// The most destinations that one line names.
const NAMED: usize = 5;

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

impl DestinationBehind {
    /// The destination, if calls wait for it or dead letters are left.
    pub fn of(status: &DestinationStatus) -> Option<Self> {
        let waiting = status.functions.iter().fold(0_u64, |sum, one| sum.saturating_add(one.waiting));
        let behind = Self { name: status.name.clone(), waiting, dead_left: status.dead_left() };
        (behind.waiting > 0 || behind.dead_left > 0).then_some(behind)
    }

    fn words(&self) -> String {
        let waits = (self.waiting > 0).then(|| counted(self.waiting, "call waits", "calls wait"));
        let dead = (self.dead_left > 0).then(|| counted(self.dead_left, "dead letter", "dead letters"));
        let parts: Vec<String> = waits.into_iter().chain(dead).collect();
        format!("{}: {}", outside_text(&self.name), parts.join(" and "))
    }
}

impl Status {
    /// The destinations that are behind or have dead letters, in one line.
    pub fn behind_words(&self) -> Option<String> {
        let named = first_few(self.destinations.iter().map(DestinationBehind::words), NAMED);
        (!named.is_empty()).then(|| format!("{named} (`forebay destinations status`)"))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_is_behind_while_calls_wait_or_dead_letters_are_left() {
        let status = |waiting, dead_stored, dead_sent_again| {
            let function = FunctionStatus { waiting, unread: 7, ..FunctionStatus::default() };
            let name = "crm".to_owned();
            let functions = vec![function.clone(), function];
            DestinationStatus {
                name,
                functions,
                dead_stored,
                dead_sent_again,
                ..DestinationStatus::default()
            }
        };
        let words = |one: &DestinationStatus| {
            let destinations: Vec<_> = DestinationBehind::of(one).into_iter().collect();
            Status { destinations, ..Status::default() }.behind_words()
        };
        assert_eq!(words(&status(0, 4, 4)), None, "lines that were not read yet may be for others");
        assert_eq!(words(&status(0, 5, 4)).unwrap(), "crm: 1 dead letter (`forebay destinations status`)");
        assert_eq!(
            words(&status(3, 6, 4)).unwrap(),
            "crm: 6 calls wait and 2 dead letters (`forebay destinations status`)"
        );
    }
}
