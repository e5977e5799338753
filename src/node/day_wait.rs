//! Whether every node that wrote to a source's received-day has closed it, and what is missing if not.

use std::collections::BTreeMap;
use std::time::Duration;

use http::Method;

use crate::admin::{Days, DaysOfLog, UnclosedDay};
use crate::admin_client::{AdminClient, AskError};
use crate::archive::closed_day::{DayStanding, SpoolDays, judge};
use crate::archive::{Archive, ArchiveError};
use crate::batch::AFTER_DAY;
use crate::delivery::days::closing::SETTLED;
use crate::sources::SourceId;
use crate::time::{ReceivedDay, UnixMillis};
use crate::words::{about_seconds, if_any};

/// The most partitions that a message names.
const PARTITIONS_NAMED: usize = 10;
/// The time limit for a node's answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// A received-day that somebody waits for.
#[derive(Debug)]
pub struct DayWait<'a> {
    /// The bucket.
    pub archive: &'a Archive,
    /// The nodes that are asked. If there are any, a day without objects counts as closed.
    pub nodes: &'a [AdminClient],
    /// The source.
    pub source: &'a SourceId,
    /// The day.
    pub day: ReceivedDay,
}

/// How the day stands.
#[derive(Debug)]
pub enum WaitStanding {
    /// Every node that wrote to it has closed it.
    Closed,
    /// This is missing.
    WaitsFor(String),
    /// A marker and the objects differ, so waiting does not help.
    Broken(String),
}

/// Why the day cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum DayWaitError {
    /// A node refuses the token.
    #[error(transparent)]
    Node(#[from] AskError),
    /// The bucket cannot be read.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
}

impl DayWait<'_> {
    /// How the day stands at `now`, and what each spool has of it.
    /// Errors: [`DayWaitError`]: to look again would not help.
    pub async fn look(&self, now: UnixMillis) -> Result<(WaitStanding, SpoolDays), DayWaitError> {
        // Query the nodes first: whatever they deliver and close in the meantime is then in the listing.
        let at_nodes = self.at_nodes(now).await?;
        let spools = self.archive.spool_days(self.source, self.day).await?;
        let standing = match (judge(&spools), at_nodes) {
            (DayStanding::Broken(why), _) => WaitStanding::Broken(why),
            (_, Some(why)) => WaitStanding::WaitsFor(why),
            (DayStanding::Closed, None) => WaitStanding::Closed,
            // Every node was queried, and none has anything of the day.
            (DayStanding::Empty, None) if !self.nodes.is_empty() => WaitStanding::Closed,
            (DayStanding::Empty, None) => {
                WaitStanding::WaitsFor("the bucket has no objects of the day".to_owned())
            }
            (DayStanding::Open, None) => WaitStanding::WaitsFor(not_closed_by(&spools)),
        };
        Ok((standing, spools))
    }

    /// What to wait for regardless of the bucket: the end of the day, and nodes that have not closed it.
    async fn at_nodes(&self, now: UnixMillis) -> Result<Option<String>, AskError> {
        // Nodes may still accept calls of the day until this time.
        let ends = self.day.end().plus(AFTER_DAY).plus(SETTLED);
        if now < ends {
            let left = about_seconds(ends.since(now).as_secs());
            return Ok(Some(format!("the day can be closed in {left}")));
        }
        let mut parts = Vec::new();
        for node in self.nodes {
            match self.at_node(node).await? {
                Ok(part) => parts.extend(part),
                Err(why) => return Ok(Some(format!("{}: {why}", node.url()))),
            }
        }
        Ok(unread(&parts, ends))
    }

    /// What a running node still has of the day; if it has nothing, the part of a log that it speaks for.
    async fn at_node(&self, node: &AdminClient) -> Result<Result<Option<DaysOfLog>, String>, AskError> {
        let path = format!("/api/days?source={}", self.source);
        let days: Days = match node.ask(Method::GET, &path, PATIENCE).await {
            Ok(days) => days,
            // Another query would be refused, too.
            Err(error) if error.wants_other_token() => return Err(error),
            // The node may be restarting: its calls are on its disk, and it is queried again.
            Err(error) => return Ok(Err(error.to_string())),
        };
        let of_day = |day: &&UnclosedDay| day.day == self.day.start().0;
        let unclosed = days.unclosed.iter().find(of_day);
        let waits = unclosed.map(|day| match (&*day.stage, &day.why) {
            ("unsure", _) => {
                "this node never closes the day, because it is not certain which of its calls are in \
                              the bucket"
                    .to_owned()
            }
            (stage, None) => format!("this node has not closed the day yet (stage: {stage})"),
            (stage, Some(why)) => format!("this node has not closed the day yet (stage: {stage}): {why}"),
        });
        Ok(waits.map_or(Ok(days.kafka), Err))
    }
}

/// Why calls that were written before `until` may not be known to any of these parts of logs, if so. A process that
/// reads a log in Kafka knows the days of its own partitions alone, and of those only what it has read.
fn unread(parts: &[DaysOfLog], until: UnixMillis) -> Option<String> {
    let mut logs: BTreeMap<&str, (u32, BTreeMap<u32, Option<i64>>)> = BTreeMap::new();
    for part in parts {
        let (partitions, read) = logs.entry(&part.topic).or_default();
        *partitions = part.partitions.unwrap_or_default().max(*partitions);
        for (partition, through) in &part.read_through {
            let known = read.entry(*partition).or_default();
            *known = (*known).max(*through);
        }
    }
    let of_log = |(topic, (partitions, read)): (&str, (u32, BTreeMap<u32, Option<i64>>))| {
        if partitions == 0 {
            return Some(format!("no broker has told these nodes yet how many partitions {topic} has"));
        }
        let missing: Vec<u32> = (0..partitions).filter(|number| !read.contains_key(number)).collect();
        if !missing.is_empty() {
            return Some(format!(
                "none of these nodes delivers {} of {topic}: give the admin listeners of all its writers; if they are given, \
                 `forebay status` of each says what has stopped or not begun",
                named(&missing)
            ));
        }
        let behind = |through: &Option<i64>| through.is_none_or(|through| through < until.0);
        let behind: Vec<u32> =
            read.iter().filter(|(_, through)| behind(through)).map(|(of, _)| *of).collect();
        (!behind.is_empty())
            .then(|| format!("{} of {topic} may have calls of the day that are not read yet", named(&behind)))
    };
    logs.into_iter().find_map(of_log)
}

/// The first of these partitions, and how many more there are.
fn named(partitions: &[u32]) -> String {
    let first: Vec<String> = partitions.iter().take(PARTITIONS_NAMED).map(u32::to_string).collect();
    let more = partitions.len().saturating_sub(first.len());
    let word = if partitions.len() == 1 { "partition" } else { "partitions" };
    format!("{word} {}{}", first.join(", "), if_any(more as u64, |more| format!(" and {more} more")))
}

fn not_closed_by(spools: &SpoolDays) -> String {
    let open = spools.iter().filter(|(_, spool_day)| spool_day.closed.is_none());
    let open: Vec<String> =
        open.map(|(spool, spool_day)| format!("{} (spool {spool})", spool_day.node)).collect();
    format!("not closed by {}", open.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNTIL: UnixMillis = UnixMillis(1_000);

    fn part(topic: &str, partitions: Option<u32>, read: &[(u32, Option<i64>)]) -> DaysOfLog {
        DaysOfLog { topic: topic.to_owned(), partitions, read_through: read.iter().copied().collect() }
    }

    /// A collector lists no day, and a writer none of a partition that it does not deliver or has not read: the day counted
    /// as closed.
    #[test]
    fn a_day_of_a_log_waits_until_writers_have_read_all_partitions_to_its_end() {
        let check = |parts: &[DaysOfLog], expected: Option<&str>| {
            let found = unread(parts, UNTIL);
            assert_eq!(found.is_some(), expected.is_some(), "{found:?}");
            assert!(expected.is_none_or(|words| found.as_ref().unwrap().contains(words)), "{found:?}");
        };
        let (late, early) = (Some(1_000), Some(999));
        let collector = part("calls", Some(2), &[]);
        let first = part("calls", Some(2), &[(0, late)]);
        let second = part("calls", Some(2), &[(1, late)]);
        check(&[], None);
        check(std::slice::from_ref(&collector), Some("delivers partitions 0, 1 of calls"));
        check(&[first.clone(), collector.clone()], Some("delivers partition 1 of calls"));
        check(&[first.clone(), collector, second.clone()], None);
        check(&[part("calls", None, &[])], Some("no broker has told"));
        check(&[first.clone(), part("calls", Some(2), &[(1, early)])], Some("partition 1 of calls may have"));
        check(&[first.clone(), part("calls", Some(2), &[(1, None)])], Some("partition 1 of calls may have"));
        // It was handed over in between.
        check(&[first.clone(), part("calls", Some(2), &[(0, None), (1, late)])], None);
        check(&[first, second, part("others", Some(1), &[])], Some("delivers partition 0 of others"));
        let many: Vec<u32> = (0..12).collect();
        assert_eq!(named(&many), "partitions 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more");
    }
}
