//! A line of a bucket, or of a copy, as a call that can be sent again.

use bytes::Bytes;

use crate::json::Members;
use crate::object::{Collection, Stream};
use crate::sources::SourceId;
use crate::time::UnixMillis;
use crate::words::date::parse_rfc3339;

/// A stored call.
#[derive(Clone, Debug)]
pub struct StoredCall {
    /// The source.
    pub source: SourceId,
    /// The stream that it is of: calls, or the objects of a collection.
    pub stream: Stream,
    /// Its line, without a line break.
    pub line: Bytes,
}

/// A line of the bucket, or of a copy, as a call that can be sent again.
#[derive(Clone, Debug)]
pub struct StoredLine {
    /// The call.
    pub call: StoredCall,
    /// Why it is a dead letter; `None` if it is none.
    pub class: Option<String>,
    /// When it was received, if the line says it.
    pub received_at: Option<UnixMillis>,
}

impl StoredLine {
    /// Reads a line of calls, objects or dead letters. `known`: the source and the stream, where the object's
    /// key says them. `None` if it is no call, or does not say its source.
    pub fn of(line: &[u8], known: Option<(&SourceId, &Stream)>) -> Option<Self> {
        let (mut text, mut class) = (std::str::from_utf8(line).ok()?, None);
        let mut members = Members::of(text)?;
        let stream = known.map(|(_, stream)| stream).filter(|stream| !matches!(stream, Stream::Dead(_)));
        // A call may have members of these names, too.
        let of_letter =
            || Some((members.get("call")?.get(), members.get("destination").and(members.text("class"))?));
        if let Some((call, cause)) = stream.is_none().then(of_letter).flatten() {
            (text, class, members) = (call, Some(cause), Members::of(call)?);
        }
        let stream = stream.cloned().unwrap_or_else(|| stream_of(&members));
        let source = match known {
            Some((source, _)) => source.clone(),
            None => SourceId::new(&members.text("projectId")?).ok()?,
        };
        let received_at = members.text("receivedAt").and_then(|text| parse_rfc3339(&text));
        let line = Bytes::copy_from_slice(text.as_bytes());
        Some(Self { call: StoredCall { source, stream, line }, class, received_at })
    }
}

/// The stream of a line that was copied out of it. The collector gives every call an `originalTimestamp`, and
/// every object a collection.
fn stream_of(members: &Members<'_>) -> Stream {
    let collection = members.text("collection").filter(|_| members.get("originalTimestamp").is_none());
    collection.and_then(|name| Collection::new(&name).ok()).map_or(Stream::Calls, Stream::Objects)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_of_letters_are_unwrapped() {
        let (web, crm) = (SourceId::new("web").unwrap(), SourceId::new("crm").unwrap());
        let call = r#"{"messageId":"m","projectId":"ios","originalTimestamp":"t"}"#;
        let letter = format!(r#"{{"destination":"crm","class":"timeout","call":{call}}}"#);
        let read = |line: &str, stream: Option<Stream>| {
            let known = stream.as_ref().map(|stream| (&web, stream));
            let stored = StoredLine::of(line.as_bytes(), known)?;
            let line = String::from_utf8(stored.call.line.to_vec()).unwrap();
            Some((line, stored.class, stored.call.source.to_string(), stored.call.stream))
        };
        let timeout = || Some("timeout".to_owned());
        let sent = |class, source: &str| Some((call.to_owned(), class, source.to_owned(), Stream::Calls));
        assert_eq!(read(&letter, Some(Stream::Dead(crm.clone()))), sent(timeout(), "web"));
        assert_eq!(read(&letter, None), sent(timeout(), "ios"));
        assert_eq!(read(call, None), sent(None, "ios"));
        // A stored call that looks like a letter is sent whole.
        let whole = read(&letter, Some(Stream::Calls));
        assert_eq!(whole, Some((letter.clone(), None, "web".to_owned(), Stream::Calls)));
        assert_eq!(read("[1]", Some(Stream::Calls)), None);
        assert_eq!(read("{}", None), None, "it does not say its source");
        let rooms = Stream::Objects(Collection::new("rooms").unwrap());
        let object = r#"{"collection":"rooms","type":"track","projectId":"ios"}"#;
        assert_eq!(read(object, None).unwrap().3, rooms);
        let letter = format!(r#"{{"destination":"crm","class":"timeout","call":{object}}}"#);
        assert_eq!(read(&letter, Some(Stream::Dead(crm))).unwrap().3, rooms);
    }
}
