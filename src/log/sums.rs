//! What several logs report together.

use std::collections::BTreeMap;

use super::account_key::AccountKey;
use super::days::DayStage;
use super::hours::{Hour, Row};
use super::ledger_report::{AccountReport, Removed, Report};
use crate::sources::SourceId;
use crate::time::{ReceivedDay, UnixMillis};

/// Received-days of one log, or of several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DaysReport {
    /// The last day that has ended.
    pub over: Option<ReceivedDay>,
    /// The days that are not closed, by source.
    pub unclosed: BTreeMap<(ReceivedDay, SourceId), DayStage>,
}

impl DaysReport {
    /// The days of several logs. A day is unclosed if it is so in one of them, and at the stage of the log
    /// that is furthest behind. It has ended if it has in one of them and is open in none: a log ends only
    /// days of which it has calls.
    pub fn sum(all: impl IntoIterator<Item = Self>) -> Self {
        let mut sum = Self::default();
        for Self { over, unclosed } in all {
            sum.over = sum.over.max(over);
            for (day, stage) in unclosed {
                let known = sum.unclosed.entry(day).or_insert(stage);
                *known = furthest_behind(*known, stage);
            }
        }
        let mut open = sum.unclosed.iter().filter(|(_, stage)| **stage == DayStage::Open);
        if let Some(((open, _), _)) = open.next()
            && sum.over >= Some(*open)
        {
            sum.over = Some(UnixMillis(open.start().0.saturating_sub(1)).day());
        }
        sum
    }
}

fn furthest_behind(one: DayStage, other: DayStage) -> DayStage {
    // Such a day is never closed, whatever becomes of it elsewhere.
    if one == DayStage::Unsure {
        one
    } else if other == DayStage::Unsure {
        other
    } else {
        one.min(other)
    }
}

impl Report {
    /// The ledger of several logs: rows of one account and hour are added. A source that several logs have
    /// forgotten counts in each.
    pub fn sum(all: impl IntoIterator<Item = Self>) -> Self {
        all.into_iter().reduce(Self::and).unwrap_or_default()
    }

    fn and(mut self, other: Self) -> Self {
        let mut accounts: BTreeMap<AccountKey, AccountReport> =
            self.accounts.into_iter().map(|of| (of.account.clone(), of)).collect();
        for of in other.accounts {
            match accounts.get_mut(&of.account) {
                Some(known) => known.add(of),
                None => drop(accounts.insert(of.account.clone(), of)),
            }
        }
        self.accounts = accounts.into_values().collect();
        self.differences.extend(other.differences);
        self.lost_positions = self.lost_positions.saturating_add(other.lost_positions);
        self.lost_uncounted = self.lost_uncounted.saturating_add(other.lost_uncounted);
        self.removed.take_over(&other.removed);
        self
    }
}

impl Removed {
    fn take_over(&mut self, other: &Self) {
        self.sources = self.sources.saturating_add(other.sources);
        self.calls.add(&other.calls);
        self.objects.add(&other.objects);
        for (destination, row) in &other.dead {
            self.dead.entry(destination.clone()).or_default().add(row);
        }
    }
}

impl AccountReport {
    fn add(&mut self, other: Self) {
        self.total.add(&other.total);
        self.earlier.add(&other.earlier);
        let mut hours: BTreeMap<Hour, Row> = std::mem::take(&mut self.hours).into_iter().collect();
        for (hour, row) in other.hours {
            hours.entry(hour).or_default().add(&row);
        }
        self.hours = hours.into_iter().collect();
    }
}

/// Undelivered frames of several logs by source: their number, and when the first was received.
pub fn sum_of_undelivered(
    all: impl IntoIterator<Item = BTreeMap<SourceId, (u64, UnixMillis)>>,
) -> BTreeMap<SourceId, (u64, UnixMillis)> {
    let mut sum: BTreeMap<SourceId, (u64, UnixMillis)> = BTreeMap::new();
    for (source, (frames, first)) in all.into_iter().flatten() {
        let known = sum.entry(source).or_insert((0, first));
        *known = (known.0.saturating_add(frames), known.1.min(first));
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Difference;
    use crate::object::Stream;

    fn source(name: &str) -> SourceId {
        SourceId::new(name).unwrap()
    }

    fn day(n: i64) -> ReceivedDay {
        UnixMillis(n * 86_400_000).day()
    }

    /// So many calls of a source in each of these hours.
    fn account(name: &str, hours: &[(i64, u64)]) -> AccountReport {
        let hour = |n: i64| Hour::of(UnixMillis(n * 3_600_000));
        let row = |calls| Row::stored_in(&Stream::Calls, calls);
        AccountReport {
            account: AccountKey::of_calls(source(name)),
            total: row(hours.iter().map(|(_, calls)| calls).sum::<u64>() + 1),
            earlier: row(1),
            hours: hours.iter().map(|(at, calls)| (hour(*at), row(*calls))).collect(),
        }
    }

    fn report(accounts: &[AccountReport], removed: u64) -> Report {
        let difference = Difference::Open {
            batch: crate::batch::BatchKey { source: source("a"), day: day(0), stream: Stream::Calls },
            ledger: 1,
            spool: 2,
        };
        let calls = Row::stored_in(&Stream::Calls, removed);
        let dead = BTreeMap::from([(source("crm"), calls)]);
        Report {
            accounts: accounts.to_vec(),
            differences: vec![difference],
            lost_positions: 7,
            lost_uncounted: 3,
            removed: Removed { sources: removed, calls, objects: calls, dead },
        }
    }

    #[test]
    fn ledgers_add_up_by_account_and_hour() {
        let one = report(&[account("a", &[(1, 10), (3, 1)]), account("c", &[(1, 5)])], 1);
        let other = report(&[account("a", &[(2, 2), (3, 30)]), account("b", &[(9, 4)])], 2);
        let sum = Report::sum([one.clone(), other]);
        let mut both = account("a", &[(1, 10), (2, 2), (3, 31)]);
        both.total.add(&Row::stored_in(&Stream::Calls, 1));
        both.earlier.add(&Row::stored_in(&Stream::Calls, 1));
        assert_eq!(sum.accounts, [both, account("b", &[(9, 4)]), account("c", &[(1, 5)])]);
        assert_eq!((sum.differences.len(), sum.lost_positions, sum.lost_uncounted), (2, 14, 6));
        assert_eq!(sum.removed, report(&[], 3).removed);
        assert_eq!(Report::sum([one.clone()]), one);
        assert_eq!(Report::sum([]), Report::default());
    }

    #[test]
    fn a_day_is_closed_if_it_is_in_every_log() {
        use DayStage::{Closing, Delivering, Open, Unsure};
        type OfLog<'a> = (Option<i64>, &'a [(i64, DayStage)]);
        let of = |(over, unclosed): &OfLog<'_>| DaysReport {
            over: over.map(day),
            unclosed: unclosed.iter().map(|(n, stage)| ((day(*n), source("a")), *stage)).collect(),
        };
        let check = |all: &[OfLog<'_>], expected: OfLog<'_>| {
            assert_eq!(DaysReport::sum(all.iter().map(of)), of(&expected), "{all:?}");
            assert_eq!(DaysReport::sum(all.iter().rev().map(of)), of(&expected), "{all:?}, reversed");
        };
        check(&[], (None, &[]));
        let alone: OfLog<'_> = (Some(4), &[(3, Unsure), (4, Closing), (5, Open)]);
        check(&[alone], alone);
        check(&[alone, (Some(4), &[])], alone);
        check(&[(Some(4), &[(4, Closing)]), (Some(4), &[(4, Delivering)])], (Some(4), &[(4, Delivering)]));
        check(&[(Some(4), &[(4, Delivering)]), (Some(4), &[(4, Unsure)])], (Some(4), &[(4, Unsure)]));
        // The other log has not ended the day yet.
        check(&[(Some(4), &[]), (Some(3), &[(4, Open)])], (Some(3), &[(4, Open)]));
        // The other log has no call of these days.
        check(&[(Some(4), &[(4, Closing)]), (Some(1), &[])], (Some(4), &[(4, Closing)]));
        check(&[(Some(4), &[(4, Closing)]), (None, &[])], (Some(4), &[(4, Closing)]));
    }

    #[test]
    fn undelivered_calls_add_up_from_the_first_on() {
        let of = |frames, first| BTreeMap::from([(source("a"), (frames, UnixMillis(first)))]);
        assert_eq!(sum_of_undelivered([of(3, 20), of(4, 10), BTreeMap::new()]), of(7, 10));
    }
}
