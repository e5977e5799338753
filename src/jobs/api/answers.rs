//! The XML of answers.

use super::api_error::ApiError;
use super::xml_writer::Xml;
use crate::time::UnixMillis;
use crate::words::rfc3339;

/// What a job's description says. Texts that AWS bounds are cut by whoever fills it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobDescription {
    /// The id.
    pub id: String,
    /// The ARN.
    pub arn: String,
    /// The status.
    pub status: &'static str,
    /// Whether it had or has to be confirmed.
    pub confirmation_required: bool,
    /// For people.
    pub description: Option<String>,
    /// The function, as it was given.
    pub function: String,
    /// The form of invocations.
    pub schema: &'static str,
    /// Arguments of each invocation.
    pub user_arguments: Vec<(String, String)>,
    /// The manifest.
    pub manifest: ManifestDescription,
    /// The report; `None`: none is written.
    pub report: Option<ReportDescription>,
    /// The priority now.
    pub priority: u32,
    /// The role's ARN.
    pub role_arn: Option<String>,
    /// When it was made.
    pub made_at: UnixMillis,
    /// When it ended.
    pub ended_at: Option<UnixMillis>,
    /// Since when it waits for a confirmation, and why.
    pub suspended: Option<(UnixMillis, String)>,
    /// Why its status was changed.
    pub status_reason: Option<String>,
    /// Why it failed: codes and reasons.
    pub failures: Vec<(String, String)>,
    /// How far it is.
    pub progress: ProgressDescription,
}

/// How far a job is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProgressDescription {
    /// The tasks; 0 until the manifest was read.
    pub total: u64,
    /// Those that succeeded.
    pub succeeded: u64,
    /// Those that failed.
    pub failed: u64,
    /// Seconds in the state Active.
    pub active_seconds: u64,
}

/// A job's manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ManifestDescription {
    /// The name of its format.
    pub format: &'static str,
    /// The names of its columns.
    pub fields: Vec<String>,
    /// Its ARN.
    pub object_arn: String,
    /// Its version.
    pub version: Option<String>,
    /// Its ETag, without quotes.
    pub etag: Option<String>,
}

/// A job's report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReportDescription {
    /// The bucket's ARN.
    pub bucket_arn: String,
    /// The beginning of its keys.
    pub prefix: String,
    /// The tasks in it.
    pub scope: &'static str,
}

/// The answer to create-job.
pub fn created(id: &str) -> String {
    Xml::document("CreateJobResult", |xml| xml.text("JobId", id))
}

/// The answer to update-job-status.
pub fn status_updated(id: &str, status: &str, reason: Option<&str>) -> String {
    Xml::document("UpdateJobStatusResult", |xml| {
        xml.text("JobId", id);
        xml.text("Status", status);
        xml.maybe("StatusUpdateReason", reason);
    })
}

/// The answer to update-job-priority.
pub fn priority_updated(id: &str, priority: u32) -> String {
    Xml::document("UpdateJobPriorityResult", |xml| {
        xml.text("JobId", id);
        xml.text("Priority", priority.to_string());
    })
}

/// The answer to get-job-tagging.
pub fn tags(tags: &[(String, String)]) -> String {
    Xml::document("GetJobTaggingResult", |xml| {
        xml.group("Tags", |xml| {
            for (key, value) in tags {
                xml.group("member", |xml| {
                    xml.text("Key", key);
                    xml.text("Value", value);
                });
            }
        });
    })
}

/// The answer to list-jobs.
pub fn listed(jobs: &[JobDescription], next_token: Option<&str>) -> String {
    Xml::document("ListJobsResult", |xml| {
        xml.maybe("NextToken", next_token);
        xml.group("Jobs", |xml| jobs.iter().for_each(|job| xml.group("member", |xml| in_list(xml, job))));
    })
}

fn in_list(xml: &mut Xml, job: &JobDescription) {
    xml.text("JobId", &job.id);
    xml.maybe("Description", job.description.as_ref());
    xml.text("Operation", "LambdaInvoke");
    xml.text("Priority", job.priority.to_string());
    xml.text("Status", job.status);
    xml.text("CreationTime", rfc3339(job.made_at));
    xml.maybe("TerminationDate", job.ended_at.map(rfc3339));
    progress(xml, job.progress);
}

/// The answer to describe-job.
pub fn described(job: &JobDescription) -> String {
    Xml::document("DescribeJobResult", |xml| xml.group("Job", |xml| whole(xml, job)))
}

fn whole(xml: &mut Xml, job: &JobDescription) {
    xml.text("JobId", &job.id);
    xml.text("ConfirmationRequired", truth(job.confirmation_required));
    xml.maybe("Description", job.description.as_ref());
    xml.text("JobArn", &job.arn);
    xml.text("Status", job.status);
    manifest(xml, &job.manifest);
    operation(xml, job);
    xml.text("Priority", job.priority.to_string());
    progress(xml, job.progress);
    xml.maybe("StatusUpdateReason", job.status_reason.as_ref());
    xml.group("FailureReasons", |xml| {
        for (code, reason) in &job.failures {
            xml.group("member", |xml| {
                xml.text("FailureCode", code);
                xml.text("FailureReason", reason);
            });
        }
    });
    report(xml, job.report.as_ref());
    xml.text("CreationTime", rfc3339(job.made_at));
    xml.maybe("TerminationDate", job.ended_at.map(rfc3339));
    xml.maybe("RoleArn", job.role_arn.as_ref());
    if let Some((since, cause)) = &job.suspended {
        xml.text("SuspendedDate", rfc3339(*since));
        xml.text("SuspendedCause", cause);
    }
}

fn manifest(xml: &mut Xml, manifest: &ManifestDescription) {
    xml.group("Manifest", |xml| {
        xml.group("Spec", |xml| {
            xml.text("Format", manifest.format);
            xml.group("Fields", |xml| manifest.fields.iter().for_each(|field| xml.text("member", field)));
        });
        xml.group("Location", |xml| {
            xml.text("ObjectArn", &manifest.object_arn);
            xml.maybe("ObjectVersionId", manifest.version.as_ref());
            xml.maybe("ETag", manifest.etag.as_ref());
        });
    });
}

fn operation(xml: &mut Xml, job: &JobDescription) {
    xml.group("Operation", |xml| {
        xml.group("LambdaInvoke", |xml| {
            xml.text("FunctionArn", &job.function);
            xml.text("InvocationSchemaVersion", job.schema);
            if job.user_arguments.is_empty() {
                return;
            }
            xml.group("UserArguments", |xml| {
                for (key, value) in &job.user_arguments {
                    xml.group("entry", |xml| {
                        xml.text("key", key);
                        xml.text("value", value);
                    });
                }
            });
        });
    });
}

fn report(xml: &mut Xml, report: Option<&ReportDescription>) {
    xml.group("Report", |xml| {
        xml.text("Enabled", truth(report.is_some()));
        if let Some(report) = report {
            xml.text("Bucket", &report.bucket_arn);
            xml.text("Format", "Report_CSV_20180820");
            xml.maybe("Prefix", Some(&report.prefix).filter(|prefix| !prefix.is_empty()));
            xml.text("ReportScope", report.scope);
        }
    });
}

fn progress(xml: &mut Xml, progress: ProgressDescription) {
    xml.group("ProgressSummary", |xml| {
        xml.text("TotalNumberOfTasks", progress.total.to_string());
        xml.text("NumberOfTasksSucceeded", progress.succeeded.to_string());
        xml.text("NumberOfTasksFailed", progress.failed.to_string());
        xml.group("Timers", |xml| {
            xml.text("ElapsedTimeInActiveSeconds", progress.active_seconds.to_string());
        });
    });
}

/// The answer to a request that got no result. SDKs expect the error within `ErrorResponse`.
pub fn failed(error: &ApiError, request_id: &str) -> String {
    Xml::document("ErrorResponse", |xml| {
        xml.group("Error", |xml| {
            xml.text("Type", if error.code.status() < 500 { "Sender" } else { "Receiver" });
            xml.text("Code", error.code.as_str());
            xml.text("Message", &error.message);
        });
        xml.text("RequestId", request_id);
    })
}

fn truth(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}

#[cfg(test)]
mod tests {
    use super::super::xml_tree::Element;
    use super::*;

    fn text<'a>(element: &'a Element, path: &[&str]) -> Option<&'a str> {
        match path {
            [] => Some(&element.text),
            [name, rest @ ..] => {
                let found = element.elements.iter().find(|element| element.name == *name)?;
                text(found, rest)
            }
        }
    }

    fn job() -> JobDescription {
        JobDescription {
            id: "0123-abcd".to_owned(),
            arn: "arn:aws:s3:us-east-1:123456789012:job/0123-abcd".to_owned(),
            status: "Suspended",
            confirmation_required: true,
            description: Some("a < b & c".to_owned()),
            function: "arn:aws:lambda:us-east-1:123456789012:function:f".to_owned(),
            schema: "2.0",
            user_arguments: vec![("k".to_owned(), "v".to_owned())],
            manifest: ManifestDescription {
                format: "F",
                fields: vec!["Bucket".to_owned()],
                ..Default::default()
            },
            report: Some(ReportDescription { scope: "AllTasks", ..Default::default() }),
            priority: 7,
            made_at: UnixMillis(1_700_000_000_123),
            suspended: Some((UnixMillis(0), "AwaitingConfirmation".to_owned())),
            failures: vec![("InvalidManifestContent".to_owned(), "line 3".to_owned())],
            progress: ProgressDescription { total: 9, succeeded: 4, failed: 1, active_seconds: 60 },
            ..Default::default()
        }
    }

    #[test]
    fn a_description_has_each_part_where_the_model_has_it() {
        let answer = described(&job());
        let root = Element::parse(&answer).unwrap();
        for (path, value) in [
            (&["Job", "JobId"][..], "0123-abcd"),
            (&["Job", "Description"], "a < b & c"),
            (&["Job", "Manifest", "Spec", "Fields", "member"], "Bucket"),
            (&["Job", "Operation", "LambdaInvoke", "UserArguments", "entry", "key"], "k"),
            (&["Job", "ProgressSummary", "Timers", "ElapsedTimeInActiveSeconds"], "60"),
            (&["Job", "FailureReasons", "member", "FailureCode"], "InvalidManifestContent"),
            (&["Job", "CreationTime"], "2023-11-14T22:13:20.123Z"),
            (&["Job", "SuspendedCause"], "AwaitingConfirmation"),
            (&["Job", "Report", "Enabled"], "true"),
        ] {
            assert_eq!(text(&root, path), Some(value), "{path:?}");
        }
        assert_eq!(text(&root, &["Job", "Report", "Prefix"]), None, "the model allows no empty prefix");
        assert_eq!(text(&root, &["Job", "TerminationDate"]), None);
    }

    #[test]
    fn lists_tags_updates_and_errors_are_as_the_model_has_them() {
        let root = Element::parse(&listed(&[job(), job()], Some("t"))).unwrap();
        assert_eq!((root.elements[1].elements.len(), text(&root, &["NextToken"])), (2, Some("t")));
        assert_eq!(text(&root, &["Jobs", "member", "Operation"]), Some("LambdaInvoke"));
        let root = Element::parse(&tags(&[("a".to_owned(), "b".to_owned())])).unwrap();
        assert_eq!(text(&root, &["Tags", "member", "Value"]), Some("b"));
        let root = Element::parse(&status_updated("i", "Ready", None)).unwrap();
        assert_eq!(text(&root, &["Status"]), Some("Ready"));
        assert_eq!(text(&Element::parse(&created("i")).unwrap(), &["JobId"]), Some("i"));
        assert_eq!(text(&Element::parse(&priority_updated("i", 3)).unwrap(), &["Priority"]), Some("3"));
        let root = Element::parse(&failed(&ApiError::no_such_job(), "r")).unwrap();
        assert_eq!(text(&root, &["Error", "Code"]), Some("NoSuchJobException"));
    }
}
