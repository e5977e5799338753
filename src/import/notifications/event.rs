//! Which objects an event means. Pure.
//!
//! The shapes are known by their members, and only members that are used are required: events written by hand
//! for a test, such as the documented ones, leave others out (decision 0150).

use serde_json::json;
use serde_json::value::RawValue;

use super::batch_event::BatchEvent;
use super::key::{BadKey, decoded, encoded};
use super::record::Record;
use crate::words::{outside_text, outside_text_within};

/// How deep an event may stand in others: S3 in SNS in SQS.
const DEPTH_MAX: usize = 3;
/// How much of an invalid key is shown, in bytes.
const SHOWN_MAX: usize = 200;

/// What an invocation is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Notifications that succeed or fail together: of S3, SNS or EventBridge.
    Together(Vec<Notified>),
    /// Messages of an SQS queue. Each succeeds or fails by itself.
    Queue(Vec<Message>),
    /// Tasks of a job of S3 Batch Operations. Each has its own result.
    Batch(BatchEvent),
}

/// A message of a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The id.
    pub id: String,
    /// The notifications in the message.
    pub says: Result<Vec<Notified>, EventError>,
}

/// One notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notified {
    /// An object was made.
    Created(Record),
    /// Something else happened that needs no work: `s3:TestEvent`, `ObjectRemoved:Delete`, …
    Other(String),
    /// An object was made, but the notification does not say which.
    Bad {
        /// Which record, as far as it is known.
        name: String,
        /// What is wrong with it.
        why: String,
    },
}

/// Why an event cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// The payload is no JSON, or a member has another type.
    #[error("the event cannot be read: {0}")]
    Unreadable(String),
    /// The payload has no known shape.
    #[error(
        "unknown event: expected a notification of S3, the same in SQS or SNS, `Object Created` of EventBridge, or tasks of \
         S3 Batch Operations; it begins with {0}"
    )]
    Unknown(String),
    /// Events stand in events too deeply.
    #[error("the event stands deeper in others than S3 in SNS in SQS")]
    TooDeep,
}

/// The members of an event, whatever it is.
#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Members<'a> {
    #[serde(borrow)]
    records: Option<Vec<&'a RawValue>>,
    event: Option<String>,
    r#type: Option<String>,
    message: Option<String>,
    #[serde(rename = "detail-type")]
    detail_type: Option<String>,
    #[serde(borrow, rename = "detail")]
    detail: Option<&'a RawValue>,
    #[serde(borrow, rename = "invocationSchemaVersion")]
    schema: Option<&'a RawValue>,
}

/// A record of S3, SQS or SNS.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct AnyRecord<'a> {
    event_name: Option<String>,
    #[serde(borrow)]
    s3: Option<&'a RawValue>,
    #[serde(rename = "Sns")]
    sns: Option<Sns>,
    message_id: Option<String>,
    body: Option<String>,
}

#[derive(serde::Deserialize)]
struct Sns {
    #[serde(rename = "Message")]
    message: String,
}

/// `s3` of a record, or `detail` of EventBridge.
#[derive(serde::Deserialize)]
struct About {
    bucket: Option<Bucket>,
    object: Option<Object>,
}

#[derive(serde::Deserialize)]
struct Bucket {
    name: Option<String>,
}

#[derive(serde::Deserialize)]
struct Object {
    key: Option<String>,
    #[serde(rename = "versionId", alias = "version-id")]
    version: Option<String>,
    #[serde(rename = "eTag", alias = "etag")]
    etag: Option<String>,
}

impl Event {
    /// Reads an invocation's payload.
    /// Errors: `EventError`. Records that name no object are in the result, so that the others are
    /// processed.
    pub fn parse(payload: &str) -> Result<Self, EventError> {
        let members = members(payload)?;
        if members.schema.is_some() {
            return BatchEvent::parse(payload).map(Self::Batch).map_err(EventError::Unreadable);
        }
        let Some(records) = &members.records else {
            return notified(payload, &members, DEPTH_MAX).map(Self::Together);
        };
        let mut messages = Vec::new();
        for record in records {
            let record: AnyRecord<'_> = read(record.get())?;
            match (record.message_id, record.body) {
                (Some(id), Some(body)) => messages.push(Message { id, says: of_text(&body, DEPTH_MAX - 1) }),
                _ if messages.is_empty() => {
                    return notified(payload, &members, DEPTH_MAX).map(Self::Together);
                }
                _ => return Err(unknown(payload)),
            }
        }
        match records.is_empty() {
            true => Ok(Self::Together(Vec::new())),
            false => Ok(Self::Queue(messages)),
        }
    }
}

/// The notifications in a message of a queue.
/// Errors: `EventError`. Records that name no object are in the result.
pub fn notified_in(body: &str) -> Result<Vec<Notified>, EventError> {
    of_text(body, DEPTH_MAX - 1)
}

/// The event that stands in another one as text.
fn of_text(text: &str, depth: usize) -> Result<Vec<Notified>, EventError> {
    notified(text, &members(text)?, depth)
}

fn members(text: &str) -> Result<Members<'_>, EventError> {
    match text.trim_start().starts_with('{') {
        true => read(text),
        false => Err(unknown(text)),
    }
}

fn read<'a, T: serde::Deserialize<'a>>(text: &'a str) -> Result<T, EventError> {
    serde_json::from_str(text).map_err(|error| EventError::Unreadable(error.to_string()))
}

fn unknown(text: &str) -> EventError {
    EventError::Unknown(outside_text_within(text, SHOWN_MAX).to_string())
}

fn notified(text: &str, members: &Members<'_>, depth: usize) -> Result<Vec<Notified>, EventError> {
    let depth = depth.checked_sub(1).ok_or(EventError::TooDeep)?;
    if let Some(records) = &members.records {
        let mut all = Vec::new();
        for record in records {
            let of: AnyRecord<'_> = read(record.get())?;
            match (of.s3, of.sns) {
                (Some(about), _) => all.push(of_s3(of.event_name.as_deref(), about)),
                (None, Some(sns)) => all.extend(of_text(&sns.message, depth)?),
                (None, None) => return Err(unknown(record.get())),
            }
        }
        return Ok(all);
    }
    match (&members.event, &members.detail_type, members.detail, &members.r#type, &members.message) {
        (Some(event), ..) if event == "s3:TestEvent" => Ok(vec![Notified::Other(event.clone())]),
        (_, Some(kind), Some(detail), ..) if kind == "Object Created" => {
            // EventBridge does not encode keys.
            Ok(vec![created(detail, |key| Ok(key.to_owned()))])
        }
        (_, Some(kind), ..) => Ok(vec![Notified::Other(outside_text(kind).to_string())]),
        // A topic's message in a queue, unless the subscription delivers messages raw.
        (_, _, _, Some(kind), Some(message)) if kind == "Notification" => of_text(message, depth),
        _ => Err(unknown(text)),
    }
}

fn of_s3(event: Option<&str>, about: &RawValue) -> Notified {
    match event.map(|event| event.strip_prefix("s3:").unwrap_or(event)) {
        Some(event) if !event.starts_with("ObjectCreated") => {
            Notified::Other(outside_text(event).to_string())
        }
        _ => created(about, decoded),
    }
}

fn created(about: &RawValue, read_key: fn(&str) -> Result<String, BadKey>) -> Notified {
    let bad = |name: &str, why: String| {
        let name = format!("a record of {}", outside_text_within(name, SHOWN_MAX));
        Notified::Bad { name, why }
    };
    let about: About = match serde_json::from_str(about.get()) {
        Ok(about) => about,
        Err(error) => return bad("the event", format!("it cannot be read: {error}")),
    };
    let Some(bucket) = about.bucket.and_then(|bucket| bucket.name).filter(|name| !name.is_empty()) else {
        return bad("the event", "it names no bucket".to_owned());
    };
    let Some(Object { key: Some(key), version, etag }) = about.object else {
        return bad(&format!("s3://{bucket}"), "it names no key".to_owned());
    };
    match read_key(&key) {
        Ok(key) => Notified::Created(Record {
            bucket,
            key,
            version: version.filter(|version| !version.is_empty() && version != "null"),
            etag: etag.map(|etag| etag.trim_matches('"').to_owned()).filter(|etag| !etag.is_empty()),
        }),
        Err(error) => bad(&format!("s3://{bucket}/{key}"), format!("the key cannot be decoded: {error}")),
    }
}

/// An event that means these objects: what a function that is not finished sends to itself.
pub fn continuation(records: &[Record]) -> serde_json::Value {
    let record = |record: &Record| {
        json!({
            "eventVersion": "2.1",
            "eventSource": "aws:s3",
            "eventName": "ObjectCreated:Continued",
            "s3": {
                "s3SchemaVersion": "1.0",
                "bucket": { "name": record.bucket },
                "object": { "key": encoded(&record.key), "versionId": record.version, "eTag": record.etag },
            },
        })
    };
    json!({ "Records": records.iter().map(record).collect::<Vec<_>>() })
}
