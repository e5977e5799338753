//! What the API says of a job.

use crate::arn::partition_of;
use crate::jobs::api::answers::{
    JobDescription, ManifestDescription, ProgressDescription, ReportDescription,
};
use crate::jobs::job::folder::SeenJob;
use crate::jobs::job::operation::Operation;
use crate::jobs::job::spec::{JobSpec, MadeBy, ManifestFormat, ManifestPlace, ReportSpec};
use crate::jobs::job::status::{FAILURE_REASON_MAX, SUSPENDED_CAUSE, first_chars};
use crate::jobs::job::troubles::text_of;
use crate::node::jobs::shown::handler_text;
use crate::time::UnixMillis;

/// The code of a job that does not go on although nothing has failed it: its server tries again, or a person
/// has to do something.
pub(super) const DOES_NOT_GO_ON: &str = "JobDoesNotGoOn";
/// The format of a manifest that has no name in the API, or none before it is read: of `batch run`.
const OTHER_FORMAT: &str = "Other";

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asking<'a> {
    /// The account of the request: jobs of `batch run` have none of their own.
    pub(super) account: &'a str,
    /// The region of the server.
    pub(super) region: &'a str,
    /// The time.
    pub(super) now: UnixMillis,
}

/// The description of a job. `trouble`: why it does not go on; what it waits for is seen in its folder.
pub(super) fn description_of(seen: &SeenJob, trouble: Option<&str>, asking: Asking<'_>) -> JobDescription {
    let SeenJob { id, spec, now: peeked, holder, troubles, .. } = seen;
    let state = &peeked.state;
    // Without a holder the time is that of the last entry of its log.
    let until = if holder.is_some() { asking.now } else { peeked.last_seen };
    let (account, region) = match &spec.made_by {
        MadeBy::Api { account, region } => (account.as_str(), region.as_str()),
        MadeBy::Run => (asking.account, asking.region),
    };
    let failures = state.failures.iter().map(|failure| (failure.code.clone(), failure.reason.clone()));
    // The folder has the beginning of what the server knows.
    let is_other = |what: &&str| trouble.is_none_or(|why| *what != text_of(why));
    let troubles = trouble
        .into_iter()
        .chain(troubles.iter().map(|trouble| trouble.what.as_str()).filter(is_other))
        .map(|why| (DOES_NOT_GO_ON.to_owned(), first_chars(why, FAILURE_REASON_MAX)));
    JobDescription {
        id: id.to_string(),
        arn: id.arn(region, account),
        status: state.status.as_str(),
        confirmation_required: spec.confirmation_required,
        description: spec.description.clone(),
        function: match &spec.operation {
            Operation::Function(function) => function.clone(),
            other => handler_text(other),
        },
        schema: spec.schema.as_str(),
        user_arguments: spec.user_arguments.clone(),
        manifest: manifest(spec, region),
        report: spec.report.as_ref().map(|spec| report(spec, region)),
        priority: state.priority.number(),
        role_arn: spec.role.as_ref().map(ToString::to_string),
        made_at: spec.made_at,
        ended_at: state.ended_at,
        suspended: state.suspended_at.map(|at| (at, SUSPENDED_CAUSE.to_owned())),
        status_reason: state.update_reason.clone(),
        failures: failures.chain(troubles).collect(),
        progress: ProgressDescription {
            total: state.total.unwrap_or(0),
            succeeded: peeked.succeeded,
            failed: peeked.failed,
            active_seconds: state.active_ms_until(until) / 1_000,
        },
    }
}

fn manifest(spec: &JobSpec, region: &str) -> ManifestDescription {
    let (object_arn, version) = match &spec.manifest.place {
        ManifestPlace::Object { bucket, key, version } => {
            (format!("arn:{}:s3:::{bucket}/{key}", partition_of(region)), version.clone())
        }
        ManifestPlace::File(path) => (path.clone(), None),
        ManifestPlace::StandardInput => ("-".to_owned(), None),
    };
    let format = spec.manifest.format.map_or(OTHER_FORMAT, ManifestFormat::as_str);
    let (fields, etag) = (spec.manifest.fields.clone().unwrap_or_default(), spec.manifest.etag.clone());
    ManifestDescription { format, fields, object_arn, version, etag }
}

fn report(spec: &ReportSpec, region: &str) -> ReportDescription {
    ReportDescription {
        bucket_arn: format!("arn:{}:s3:::{}", partition_of(region), spec.bucket),
        prefix: spec.prefix.clone(),
        scope: spec.scope.as_str(),
    }
}
