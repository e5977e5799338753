//! What a create-job request asks for becomes the specification of a job.

use crate::jobs::api::api_error::ApiError;
use crate::jobs::api::create_job::{CreateJob, CreateJobManifest, CreateJobReport};
use crate::jobs::invocation::Schema;
use crate::jobs::job::operation::Operation;
use crate::jobs::job::spec::{
    Endpoints, JobSpec, MadeBy, ManifestFormat, ManifestPlace, ManifestSpec, ReportScope, ReportSpec,
};
use crate::jobs::job::state::Priority;
use crate::jobs::manifest::fields::Fields;
use crate::jobs::run::decide::Limits;
use crate::jobs::threshold::Threshold;
use crate::node::jobs::new_job::usual_timeout;
use crate::object::{AccountId, RoleArn};
use crate::time::{UnixMillis, whole_millis};

/// The specification of a job that a request makes. Errors: a wrong value, named.
pub(super) fn spec_of(
    request: CreateJob,
    account: AccountId,
    region: &str,
    at: UnixMillis,
) -> Result<JobSpec, ApiError> {
    let wrong = |field: &'static str| move |what: String| ApiError::bad(format!("{field}: {what}"));
    let schema = request.schema.as_deref().map_or(Ok(Schema::default()), Schema::parse);
    let Limits { max_attempts, threshold: Threshold { min_tasks, percent }, .. } = Limits::default();
    let operation = Operation::Function(request.function);
    let spec = JobSpec {
        // Until it is known what invokes the function.
        concurrency: 1,
        // The requests of the API cannot say.
        task_timeout_ms: whole_millis(usual_timeout(&operation)),
        operation,
        schema: schema.map_err(wrong("Operation.LambdaInvoke.InvocationSchemaVersion"))?,
        user_arguments: request.user_arguments,
        manifest: manifest(request.manifest)?,
        report: request.report.map(report).transpose().map_err(wrong("Report.ReportScope"))?,
        priority: Priority::new(request.priority).map_err(wrong("Priority"))?,
        role: Some(RoleArn::parse(&request.role_arn).map_err(wrong("RoleArn"))?),
        description: request.description,
        confirmation_required: request.confirmation_required,
        client_request_token: Some(request.client_request_token),
        tags: request.tags,
        max_attempts,
        failure_percent: percent.into(),
        failure_min_tasks: min_tasks,
        folder: None,
        import: None,
        endpoints: Endpoints::default(),
        made_by: MadeBy::Api { account, region: region.to_owned() },
        made_at: at,
    };
    spec.check().map_err(|error| ApiError::bad(error.to_string()))?;
    Ok(spec)
}

fn manifest(request: CreateJobManifest) -> Result<ManifestSpec, ApiError> {
    let CreateJobManifest { format, fields, bucket, key, version, etag } = request;
    let format = ManifestFormat::parse(&format)
        .map_err(|what| ApiError::bad(format!("Manifest.Spec.Format: {what}")))?;
    let fields = match (format, fields.is_empty()) {
        (ManifestFormat::Inventory, true) => None,
        // AWS refuses it, too: a job that is tried here must be taken there.
        (ManifestFormat::Csv, true) => {
            return Err(ApiError::bad(
                "Manifest.Spec.Fields is missing: a CSV manifest needs the names of its columns, such as Bucket and Key",
            ));
        }
        (ManifestFormat::Inventory, false) => {
            return Err(ApiError::bad(
                "Manifest.Spec.Fields: an inventory names its columns itself; leave them out",
            ));
        }
        (ManifestFormat::Csv, false) => {
            Fields::new(fields.iter().map(String::as_str))
                .map_err(|error| ApiError::bad(format!("Manifest.Spec.Fields: {error}")))?;
            Some(fields)
        }
    };
    let place = ManifestPlace::Object { bucket, key, version };
    Ok(ManifestSpec { place, etag: Some(etag), format: Some(format), fields })
}

fn report(request: CreateJobReport) -> Result<ReportSpec, String> {
    let CreateJobReport { bucket, prefix, scope } = request;
    Ok(ReportSpec { bucket, prefix, scope: ReportScope::parse(&scope)? })
}

/// Whether two requests with one token ask for the same. What the server adds to a request may have changed since.
pub(super) fn asks_the_same(earlier: &JobSpec, now: &JobSpec) -> bool {
    let added = JobSpec {
        concurrency: now.concurrency,
        made_by: now.made_by.clone(),
        max_attempts: now.max_attempts,
        task_timeout_ms: now.task_timeout_ms,
        failure_percent: now.failure_percent,
        failure_min_tasks: now.failure_min_tasks,
        ..earlier.clone()
    };
    added.asks_the_same(now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::job::spec_checks::tests::described;

    fn request() -> CreateJob {
        CreateJob {
            confirmation_required: true,
            function: "arn:aws:lambda:us-east-1:123456789012:function:LambdaFunctionName".to_owned(),
            schema: None,
            user_arguments: Vec::new(),
            manifest: CreateJobManifest {
                format: "S3BatchOperations_CSV_20180820".to_owned(),
                fields: vec!["Bucket".to_owned(), "Key".to_owned()],
                bucket: "manifests".to_owned(),
                key: "manifest.csv".to_owned(),
                version: None,
                etag: "60e460c9d1046e73f7dde5043ac3ae85".to_owned(),
            },
            report: Some(CreateJobReport {
                bucket: "awsexamplebucket1".to_owned(),
                prefix: "ReportPrefix".to_owned(),
                scope: "AllTasks".to_owned(),
            }),
            client_request_token: "token".to_owned(),
            description: Some("Lambda Function".to_owned()),
            priority: 2,
            role_arn: "arn:aws:iam::123456789012:role/BatchOperationsRole".to_owned(),
            tags: vec![("team".to_owned(), "data".to_owned())],
        }
    }

    fn spec(request: CreateJob) -> Result<JobSpec, ApiError> {
        let account = AccountId::parse("123456789012").unwrap();
        spec_of(request, account, "us-east-1", UnixMillis(1_700_000_000_000))
    }

    #[test]
    fn the_described_request_gives_the_described_job() {
        assert_eq!(JobSpec { concurrency: 100, ..spec(request()).unwrap() }, described());
    }

    #[test]
    fn wrong_values_are_named() {
        type Change = fn(&mut CreateJob);
        let cases: [(Change, &str); 9] = [
            (|r| r.role_arn = "role".to_owned(), "RoleArn: expected the ARN of a role"),
            (|r| r.schema = Some("3.0".to_owned()), "InvocationSchemaVersion: expected 1.0 or 2.0"),
            (|r| r.manifest.format = "x".to_owned(), "Manifest.Spec.Format: expected S3Batch"),
            (|r| r.manifest.fields = vec!["Buckets".to_owned()], "Manifest.Spec.Fields: "),
            (|r| r.manifest.fields.clear(), "Manifest.Spec.Fields is missing"),
            (
                |r| r.manifest.format = "S3InventoryReport_CSV_20161130".to_owned(),
                "an inventory names its columns itself",
            ),
            (|r| r.function = "a b".to_owned(), "Operation: expected the ARN or the name"),
            (
                |r| r.user_arguments = vec![("a".to_owned(), "b".to_owned())],
                "need InvocationSchemaVersion 2.0",
            ),
            (|r| r.manifest.bucket = "a".to_owned(), "Manifest.Location"),
        ];
        for (change, words) in cases {
            let mut request = request();
            change(&mut request);
            let error = spec(request).unwrap_err();
            assert!(error.message.contains(words), "{words}: {error}");
        }
    }

    #[test]
    fn a_repeated_request_is_known_whatever_the_server_adds() {
        let first = spec(request()).unwrap();
        let later = JobSpec { concurrency: 7, max_attempts: 3, made_at: UnixMillis(1), ..first.clone() };
        assert!(asks_the_same(&first, &later));
        assert!(!asks_the_same(&first, &JobSpec { priority: Priority::new(3).unwrap(), ..first.clone() }));
    }
}
