//! What a pass found of files that belong to other instances, for people.

use super::plan::ImportPlan;
use crate::admin::{ClaimsStatus, WaitingStatus};
use crate::import::bucket_import::PassReport;

/// Whether the text about a failure of the shared journal says that a right is missing.
pub(super) fn is_denied(what: &str) -> bool {
    what.starts_with("access denied")
}

/// Why nothing new begins, and what to do.
pub(super) fn problem(plan: &ImportPlan, what: &str) -> String {
    let (name, url) = (&plan.settings.name, plan.settings.journal.as_deref().unwrap_or_default());
    let allow = match is_denied(what) {
        true => format!(
            "; `forebay policy import-journal --import {name}` prints the policy that the collector needs"
        ),
        false => String::new(),
    };
    format!(
        "the shared journal {url} cannot be used, so no new file begins, and what this instance has claimed goes on: {what}{allow}"
    )
}

/// What a pass found of the files of other instances; `None`: no journal is shared.
pub(super) fn claims_status(plan: &ImportPlan, report: &PassReport, full: bool) -> Option<ClaimsStatus> {
    plan.settings.journal.as_ref()?;
    let named = |key: &String| format!("s3://{}/{key}", plan.settings.bucket.bucket());
    let claims = &report.claims;
    let waiting = claims.waiting.iter().map(|(instance, waiting)| WaitingStatus {
        instance: instance.clone(),
        files: waiting.files,
        since_ms: waiting.since.map(|at| at.0),
        first: waiting.first.iter().map(named).collect(),
    });
    let unknown_first = claims.unknown_first.as_ref().map(|(key, why)| format!("{}: {why}", named(key)));
    Some(ClaimsStatus {
        claimed: claims.claimed,
        instances: claims.instances.clone(),
        waiting: waiting.collect(),
        released: claims.released,
        unknown: claims.unknown,
        unknown_first,
        problem: claims.problem.as_ref().map(|outage| problem(plan, outage.told.shown(full))),
    })
}
