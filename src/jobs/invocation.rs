//! The request to a function, in the schemas 1.0 and 2.0 of S3 Batch Operations. One task a call.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};

use super::task::{ARGUMENT_NAME_MAX, ARGUMENT_VALUE_MAX, ARGUMENTS_MAX, Task};
use super::task_id::task_id;
use crate::random::Random;

/// The bytes that most requests fit into. Only a start: larger ones grow.
const BODY_USUAL: usize = 512;

/// The form of requests and answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Schema {
    /// The object's bucket as an ARN, and no arguments.
    #[default]
    #[serde(rename = "1.0")]
    V1,
    /// The object's bucket by name, and the arguments of the job.
    #[serde(rename = "2.0")]
    V2,
}

impl Schema {
    /// The version as the request has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V1 => "1.0",
            Self::V2 => "2.0",
        }
    }

    /// Parses a version. Errors: the versions that there are.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "1.0" => Ok(Self::V1),
            "2.0" => Ok(Self::V2),
            _ => Err(format!("expected 1.0 or 2.0, not \"{}\"", crate::words::outside_text(text))),
        }
    }
}

shown_as_text!(Schema);

/// A request that cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvocationError {
    /// The schema has no place for them.
    #[error("schema 1.0 has no arguments: use schema 2.0, or remove the arguments")]
    NeedsSchema2,
    /// Too many.
    #[error("there are {0} arguments, and a task has at most {ARGUMENTS_MAX}: remove some")]
    TooMany(usize),
    /// A name is empty or too long.
    #[error("the name of an argument has {0} characters: use 1 to {ARGUMENT_NAME_MAX}")]
    Name(usize),
    /// A value is too long.
    #[error("the value of argument {name} has {characters} characters: use at most {ARGUMENT_VALUE_MAX}")]
    Value {
        /// The argument.
        name: String,
        /// The length of the value, in characters.
        characters: usize,
    },
    /// The request cannot be written.
    #[error("the request cannot be written as JSON: {0}")]
    NotWritten(String),
}

/// What all requests of a job have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobCall {
    /// The id of the job.
    pub job: String,
    /// The form of its requests.
    pub schema: Schema,
    /// The arguments of the job, names and values. Only with [`Schema::V2`].
    pub arguments: Vec<(String, String)>,
}

/// One request to a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    /// Its id: another one for each try.
    pub id: String,
    /// The id of its task: the same for each try.
    pub task_id: String,
    /// The JSON that is sent, in one line without its end.
    pub body: Bytes,
}

/// A new id of an invocation, of 128 random bits.
pub fn new_invocation_id(random: &dyn Random) -> String {
    URL_SAFE_NO_PAD.encode(random.next_u128().to_be_bytes())
}

/// Whether a job or a task may have these arguments.
/// Errors: the schema has none, there are too many, or a name or value is too long.
pub fn check_arguments(schema: Schema, arguments: &[(String, String)]) -> Result<(), InvocationError> {
    if schema == Schema::V1 && !arguments.is_empty() {
        return Err(InvocationError::NeedsSchema2);
    }
    if arguments.len() > ARGUMENTS_MAX {
        return Err(InvocationError::TooMany(arguments.len()));
    }
    for (name, value) in arguments {
        let (name_length, characters) = (name.chars().count(), value.chars().count());
        if !(1..=ARGUMENT_NAME_MAX).contains(&name_length) {
            return Err(InvocationError::Name(name_length));
        }
        if characters > ARGUMENT_VALUE_MAX {
            return Err(InvocationError::Value { name: name.clone(), characters });
        }
    }
    Ok(())
}

impl JobCall {
    /// The request for the task on this row.
    /// Errors: the arguments of the job and the task together are outside of their bounds.
    pub fn invocation(&self, row: u64, task: &Task, id: String) -> Result<Invocation, InvocationError> {
        let arguments = laid_over(&self.arguments, &task.args);
        check_arguments(self.schema, &arguments)?;
        let task_id = task_id(&self.job, row);
        let request = Request {
            invocation_schema_version: self.schema.as_str(),
            invocation_id: &id,
            job: Job {
                id: &self.job,
                user_arguments: (self.schema == Schema::V2).then_some(Arguments(&arguments)),
            },
            tasks: [Asked {
                task_id: &task_id,
                s3_key: &task.key,
                s3_version_id: task.version.as_deref(),
                s3_bucket_arn: (self.schema == Schema::V1).then_some(BucketArn(&task.bucket)),
                s3_bucket: (self.schema == Schema::V2).then_some(&task.bucket),
            }],
        };
        let mut body = Vec::with_capacity(BODY_USUAL);
        serde_json::to_writer(&mut body, &request)
            .map_err(|error| InvocationError::NotWritten(error.to_string()))?;
        let body = body.into();
        Ok(Invocation { id, task_id, body })
    }
}

/// The arguments of a job with those of a task over them: a value replaces that of the same name, in its
/// place.
fn laid_over<'a>(
    of_job: &'a [(String, String)],
    of_task: &'a [(String, String)],
) -> std::borrow::Cow<'a, [(String, String)]> {
    if of_task.is_empty() {
        return of_job.into();
    }
    let mut all = of_job.to_vec();
    for (name, value) in of_task {
        match all.iter_mut().find(|(known, _)| known == name) {
            Some((_, before)) => before.clone_from(value),
            None => all.push((name.clone(), value.clone())),
        }
    }
    all.into()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    invocation_schema_version: &'a str,
    invocation_id: &'a str,
    job: Job<'a>,
    tasks: [Asked<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Job<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_arguments: Option<Arguments<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Asked<'a> {
    task_id: &'a str,
    s3_key: &'a str,
    s3_version_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    s3_bucket_arn: Option<BucketArn<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    s3_bucket: Option<&'a String>,
}

/// The ARN of a bucket of this name.
struct BucketArn<'a>(&'a str);

impl fmt::Display for BucketArn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "arn:aws:s3:::{}", self.0)
    }
}

impl Serialize for BucketArn<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// An object of JSON, in the order of the arguments.
struct Arguments<'a>(&'a [(String, String)]);

impl Serialize for Arguments<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    fn task(version: Option<&str>, args: Vec<(String, String)>) -> Task {
        Task {
            bucket: "awsexamplebucket1".into(),
            key: "customer%20Image1.jpg".into(),
            version: version.map(str::to_owned),
            args,
        }
    }

    fn check(schema: Schema, of_job: Vec<(String, String)>, task: &Task, expected: &str) {
        let call = JobCall { job: "f3cc4f60".into(), schema, arguments: of_job };
        let made = call.invocation(0, task, "YXNk".into()).unwrap();
        assert_eq!(std::str::from_utf8(&made.body).unwrap(), expected);
        assert_eq!((made.id.as_str(), made.task_id), ("YXNk", task_id("f3cc4f60", 0)));
    }

    #[test]
    fn requests_have_the_documented_members_in_their_order() {
        check(
            Schema::V1,
            vec![],
            &task(Some("1"), vec![]),
            r#"{"invocationSchemaVersion":"1.0","invocationId":"YXNk","job":{"id":"f3cc4f60"},"tasks":[{"taskId":"ZjNjYzRmNjAvMA","s3Key":"customer%20Image1.jpg","s3VersionId":"1","s3BucketArn":"arn:aws:s3:::awsexamplebucket1"}]}"#,
        );
        check(
            Schema::V1,
            vec![],
            &task(None, vec![]),
            r#"{"invocationSchemaVersion":"1.0","invocationId":"YXNk","job":{"id":"f3cc4f60"},"tasks":[{"taskId":"ZjNjYzRmNjAvMA","s3Key":"customer%20Image1.jpg","s3VersionId":null,"s3BucketArn":"arn:aws:s3:::awsexamplebucket1"}]}"#,
        );
        check(
            Schema::V2,
            vec![pair("z", "\"1\""), pair("a", "2")],
            &task(None, vec![pair("n", "3"), pair("z", "4")]),
            r#"{"invocationSchemaVersion":"2.0","invocationId":"YXNk","job":{"id":"f3cc4f60","userArguments":{"z":"4","a":"2","n":"3"}},"tasks":[{"taskId":"ZjNjYzRmNjAvMA","s3Key":"customer%20Image1.jpg","s3VersionId":null,"s3Bucket":"awsexamplebucket1"}]}"#,
        );
        check(
            Schema::V2,
            vec![],
            &task(None, vec![]),
            r#"{"invocationSchemaVersion":"2.0","invocationId":"YXNk","job":{"id":"f3cc4f60","userArguments":{}},"tasks":[{"taskId":"ZjNjYzRmNjAvMA","s3Key":"customer%20Image1.jpg","s3VersionId":null,"s3Bucket":"awsexamplebucket1"}]}"#,
        );
    }

    #[test]
    fn a_request_is_one_line_whatever_the_key_has() {
        let task = Task { key: "a\nb\u{2028}\"".into(), ..task(None, vec![]) };
        let call = JobCall { job: "j".into(), schema: Schema::V1, arguments: vec![] };
        let body = call.invocation(3, &task, "i".into()).unwrap().body;
        assert!(!body.contains(&b'\n'));
        let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(json["tasks"][0]["s3Key"], "a\nb\u{2028}\"");
    }

    #[test]
    fn arguments_have_bounds() {
        let many = |number: usize| (0..number).map(|n| pair(&n.to_string(), "")).collect::<Vec<_>>();
        let check = |schema, arguments: &[_], expected| {
            assert_eq!(check_arguments(schema, arguments), expected, "{arguments:?}");
        };
        check(Schema::V1, &[], Ok(()));
        check(Schema::V1, &many(1), Err(InvocationError::NeedsSchema2));
        check(Schema::V2, &many(10), Ok(()));
        check(Schema::V2, &many(11), Err(InvocationError::TooMany(11)));
        check(Schema::V2, &[pair(&"ü".repeat(64), &"ü".repeat(1_024))], Ok(()));
        check(Schema::V2, &[pair(&"x".repeat(65), "")], Err(InvocationError::Name(65)));
        check(Schema::V2, &[pair("", "")], Err(InvocationError::Name(0)));
        let too_long = InvocationError::Value { name: "n".into(), characters: 1_025 };
        check(Schema::V2, &[pair("n", &"x".repeat(1_025))], Err(too_long));
        let call = JobCall { job: "j".into(), schema: Schema::V2, arguments: many(10) };
        let over = call.invocation(0, &task(None, vec![pair("new", "")]), "i".into());
        assert_eq!(over, Err(InvocationError::TooMany(11)));
    }
}
