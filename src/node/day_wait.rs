//! Whether every node that wrote to a source's received-day has closed it, and what is missing if not.

use std::time::Duration;

use http::Method;

use crate::admin::{Days, UnclosedDay};
use crate::admin_client::{AdminClient, AskError};
use crate::archive::closed_day::{DayStanding, SpoolDays, judge};
use crate::archive::{Archive, ArchiveError};
use crate::batch::AFTER_DAY;
use crate::delivery::days::closing::SETTLED;
use crate::sources::SourceId;
use crate::time::{ReceivedDay, UnixMillis};
use crate::words::about_seconds;

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
        for node in self.nodes {
            if let Some(why) = self.at_node(node).await? {
                return Ok(Some(format!("{}: {why}", node.url())));
            }
        }
        Ok(None)
    }

    /// What a running node still has of the day.
    async fn at_node(&self, node: &AdminClient) -> Result<Option<String>, AskError> {
        let path = format!("/api/days?source={}", self.source);
        let days: Days = match node.ask(Method::GET, &path, PATIENCE).await {
            Ok(days) => days,
            // Another query would be refused, too.
            Err(error) if error.wants_other_token() => return Err(error),
            // The node may be restarting: its calls are on its disk, and it is queried again.
            Err(error) => return Ok(Some(error.to_string())),
        };
        let of_day = |day: &&UnclosedDay| day.day == self.day.start().0;
        let unclosed = days.unclosed.iter().find(of_day);
        Ok(unclosed.map(|day| match (&*day.stage, &day.why) {
            ("unsure", _) => {
                "this node never closes the day, because it is not certain which of its calls are in \
                              the bucket"
                    .to_owned()
            }
            (stage, None) => format!("this node has not closed the day yet (stage: {stage})"),
            (stage, Some(why)) => format!("this node has not closed the day yet (stage: {stage}): {why}"),
        }))
    }
}

fn not_closed_by(spools: &SpoolDays) -> String {
    let open = spools.iter().filter(|(_, spool_day)| spool_day.closed.is_none());
    let open: Vec<String> =
        open.map(|(spool, spool_day)| format!("{} (spool {spool})", spool_day.node)).collect();
    format!("not closed by {}", open.join(", "))
}
