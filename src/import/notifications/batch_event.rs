//! Which objects an invocation by a job of S3 Batch Operations means. Pure.
//!
//! Schema 1.0 names the bucket by its ARN, 2.0 by its name. Keys are URL-encoded in both.

use super::key::decoded;
use super::record::Record;
use crate::words::outside_text_within;

/// The most tasks of one event. AWS sends one.
pub const TASKS_MAX: usize = 1_000;
/// How much of an invalid value is shown, in bytes.
const SHOWN_MAX: usize = 200;

/// The text of a task whose object is imported: its number of rows, and how many of them were rejected.
pub fn rows_text(rows: u64, rejected: u64) -> String {
    format!("rows={rows} rejected={rejected}")
}

/// What is said of a task with nothing to do, for this reason.
pub fn nothing_text(why: &str) -> String {
    format!("rows=0 ({why})")
}

/// Why nothing is done with an object whose rows are all stored.
pub const IMPORTED_BEFORE: &str = "imported before";

/// What a job asks for in one invocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchEvent {
    /// The schema, which the answer repeats.
    pub schema: String,
    /// The id of the invocation, which the answer repeats.
    pub invocation: String,
    /// The tasks. Each is answered.
    pub tasks: Vec<BatchTask>,
}

/// One task of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchTask {
    /// The id, which the result repeats.
    pub id: String,
    /// The object, or why the task names none.
    pub object: Result<Record, String>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Members {
    invocation_schema_version: String,
    invocation_id: String,
    tasks: Vec<Task>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Task {
    task_id: String,
    s3_key: Option<String>,
    s3_version_id: Option<String>,
    s3_bucket_arn: Option<String>,
    s3_bucket: Option<String>,
}

impl BatchEvent {
    /// Reads an event that has a member `invocationSchemaVersion`.
    /// Errors: what is wrong. Tasks that name no object are in the result, so that the others are done.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let members: Members = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let bucket: fn(&Task) -> Result<String, String> = match members.invocation_schema_version.as_str() {
            "1.0" => |task| bucket_of_arn(task.s3_bucket_arn.as_deref()),
            "2.0" => |task| bucket_of_name(task.s3_bucket.as_deref()),
            other => {
                let other = outside_text_within(other, SHOWN_MAX);
                return Err(format!("invocationSchemaVersion: expected 1.0 or 2.0, not \"{other}\""));
            }
        };
        let tasks = members.tasks.len();
        if !(1..=TASKS_MAX).contains(&tasks) {
            return Err(format!("expected 1 to {TASKS_MAX} tasks, not {tasks}"));
        }
        let tasks = members.tasks.into_iter().map(|task| {
            let object = object(&task, bucket);
            BatchTask { id: task.task_id, object }
        });
        Ok(Self {
            tasks: tasks.collect(),
            schema: members.invocation_schema_version,
            invocation: members.invocation_id,
        })
    }
}

fn object(task: &Task, bucket: fn(&Task) -> Result<String, String>) -> Result<Record, String> {
    let bucket = bucket(task)?;
    let key = task.s3_key.as_deref().ok_or("the task has no s3Key")?;
    let key = decoded(key).map_err(|error| {
        format!("s3Key \"{}\" cannot be decoded: {error}", outside_text_within(key, SHOWN_MAX))
    })?;
    let version = task.s3_version_id.clone().filter(|version| !version.is_empty());
    Ok(Record { bucket, key, version, etag: None })
}

fn bucket_of_name(name: Option<&str>) -> Result<String, String> {
    match name {
        Some(name) if !name.is_empty() => Ok(name.to_owned()),
        _ => Err("the task has no s3Bucket, as schema 2.0 has it".to_owned()),
    }
}

/// The bucket of `arn:aws:s3:::bucket`, also with a region and an account.
fn bucket_of_arn(arn: Option<&str>) -> Result<String, String> {
    let arn = arn.ok_or("the task has no s3BucketArn, as schema 1.0 has it")?;
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    match parts.as_slice() {
        ["arn", partition, "s3", _, _, bucket]
            if partition.starts_with("aws") && !bucket.is_empty() && !bucket.contains([':', '/']) =>
        {
            Ok((*bucket).to_owned())
        }
        _ => Err(format!(
            "s3BucketArn: expected arn:aws:s3:::bucket, not \"{}\"",
            outside_text_within(arn, SHOWN_MAX)
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The described request, as it stands.
    const SAMPLE: &str = r#"{ "invocationSchemaVersion": "1.0", "invocationId": "YXNkbGZqYWRmaiBhc2RmdW9hZHNmZGpmaGFzbGtkaGZza2RmaAo", "job": { "id": "f3cc4f60-61f6-4a2b-8a21-d07600c373ce" }, "tasks": [ { "taskId": "dGFza2lkZ29lc2hlcmUK", "s3Key": "customerImage1.jpg", "s3VersionId": "1", "s3BucketArn": "arn:aws:s3:us-east-1:0123456788:awsexamplebucket1" } ] }"#;

    fn record(bucket: &str, key: &str, version: Option<&str>) -> Record {
        let version = version.map(str::to_owned);
        Record { bucket: bucket.to_owned(), key: key.to_owned(), version, etag: None }
    }

    #[test]
    fn the_described_request_names_its_object() {
        let event = BatchEvent::parse(SAMPLE).unwrap();
        assert_eq!(event.schema, "1.0");
        assert_eq!(event.invocation, "YXNkbGZqYWRmaiBhc2RmdW9hZHNmZGpmaGFzbGtkaGZza2RmaAo");
        let object = Ok(record("awsexamplebucket1", "customerImage1.jpg", Some("1")));
        assert_eq!(event.tasks, [BatchTask { id: "dGFza2lkZ29lc2hlcmUK".to_owned(), object }]);
    }

    #[test]
    fn each_task_names_its_object_or_what_is_wrong_with_it() {
        let check = |schema: &str, members: &str, expected: Result<Record, &str>| {
            let text = format!(
                r#"{{"invocationSchemaVersion":"{schema}","invocationId":"i","job":{{"id":"j"}},"tasks":[{{"taskId":"t"{members}}}]}}"#
            );
            let event = BatchEvent::parse(&text).unwrap();
            match (&event.tasks[0].object, expected) {
                (Ok(found), Ok(expected)) => assert_eq!(*found, expected, "{members}"),
                (Err(found), Err(part)) => assert!(found.contains(part), "{found}"),
                (found, _) => panic!("{members}: {found:?}"),
            }
        };
        let arn =
            |arn: &str| format!(r#","s3BucketArn":"{arn}","s3Key":"a%2Fb+c%2B.csv","s3VersionId":null"#);
        check("1.0", &arn("arn:aws:s3:::lake"), Ok(record("lake", "a/b c+.csv", None)));
        check("1.0", &arn("arn:aws-cn:s3:::lake"), Ok(record("lake", "a/b c+.csv", None)));
        for wrong in ["lake", "arn:aws:s3:::", "arn:aws:sns:::lake", "arn:aws:s3:::lake/x", "arn:x:s3:::lake"]
        {
            check("1.0", &arn(wrong), Err("expected arn:aws:s3:::bucket"));
        }
        check("2.0", r#","s3Bucket":"lake","s3Key":"a","s3VersionId":"""#, Ok(record("lake", "a", None)));
        check("2.0", &arn("arn:aws:s3:::lake"), Err("no s3Bucket"));
        check("1.0", r#","s3Bucket":"lake","s3Key":"a""#, Err("no s3BucketArn"));
        check("2.0", r#","s3Bucket":"lake""#, Err("no s3Key"));
        check("2.0", r#","s3Bucket":"lake","s3Key":"50%.csv""#, Err("a % without two"));
    }

    #[test]
    fn an_event_that_cannot_be_answered_is_refused() {
        let check = |text: &str, part: &str| {
            let error = BatchEvent::parse(text).unwrap_err();
            assert!(error.contains(part), "{error}");
        };
        check(&SAMPLE.replace("1.0", "3.0"), "expected 1.0 or 2.0, not \"3.0\"");
        check(&SAMPLE.replace("taskId", "task"), "taskId");
        check(r#"{"invocationSchemaVersion":"1.0","invocationId":"i","tasks":[]}"#, "1 to 1000 tasks, not 0");
        let task = r#"{"taskId":"t"},"#.repeat(1_001);
        let many = format!(
            r#"{{"invocationSchemaVersion":"1.0","invocationId":"i","tasks":[{}]}}"#,
            task.trim_end_matches(',')
        );
        check(&many, "not 1001");
    }
}
