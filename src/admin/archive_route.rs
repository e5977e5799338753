//! The routes of deliveries, the archive and imports. Pure.

use super::archive_view::{AskedImports, AskedObjects, ImportStateName};
use super::found::{AskedCalls, FIND_MAX};
use super::query_parameters::QueryParameters;
use crate::object::object_key::received_day;
use crate::object::{ObjectKey, Stream};
use crate::sources::SourceId;
use crate::time::UnixMillis;

/// Delivered objects in an answer: by default, and at most.
const DELIVERIES_DEFAULT: usize = 100;
const DELIVERIES_MAX: usize = 500;
/// Imports in an answer: by default, and at most.
const IMPORTS_DEFAULT: usize = 50;
const IMPORTS_MAX: usize = 200;
/// The longest key of S3, in bytes.
const KEY_MAX: usize = 1_024;

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ArchiveRoute {
    /// `GET /api/deliveries`
    Deliveries { source: Option<SourceId>, before: UnixMillis, limit: usize },
    /// `GET /api/archive`
    Days(Option<SourceId>),
    /// `GET /api/archive/objects`
    Objects(AskedObjects),
    /// `GET /api/archive/peek`
    Peek(SourceId, ObjectKey),
    /// `GET /api/find`
    Find(AskedCalls),
    /// `GET /api/imports`
    Imports(AskedImports),
}

fn source(text: &str) -> Option<SourceId> {
    SourceId::new(text).ok()
}

fn stream(text: &str) -> Option<Stream> {
    text.parse().ok()
}

fn key(text: &str) -> Option<ObjectKey> {
    (1..=KEY_MAX).contains(&text.len()).then(|| ObjectKey::listed(text))
}

/// The route of a path, if it is one of deliveries, the archive or imports.
pub(super) fn route(path: &str, query: &str) -> Option<Result<ArchiveRoute, String>> {
    Some(match path {
        "/api/deliveries" => deliveries(query),
        "/api/archive" => QueryParameters::of(query, &["source"])
            .and_then(|mut parameters| parameters.may("source", source))
            .map(ArchiveRoute::Days),
        "/api/archive/objects" => objects(query),
        "/api/archive/peek" => QueryParameters::of(query, &["source", "key"]).and_then(|mut parameters| {
            Ok(ArchiveRoute::Peek(parameters.must("source", source)?, parameters.must("key", key)?))
        }),
        "/api/find" => find(query),
        "/api/imports" => {
            QueryParameters::of(query, &["limit", "import", "only"]).and_then(|mut parameters| {
                let limit = parameters.limit(IMPORTS_DEFAULT, IMPORTS_MAX)?;
                let import = parameters.may("import", source)?;
                let only = parameters.may("only", ImportStateName::of)?;
                Ok(ArchiveRoute::Imports(AskedImports { limit, import, only }))
            })
        }
        _ => return None,
    })
}

fn deliveries(query: &str) -> Result<ArchiveRoute, String> {
    let mut parameters = QueryParameters::of(query, &["source", "before", "limit"])?;
    let before = parameters.may("before", |text| text.parse().ok().map(UnixMillis))?;
    Ok(ArchiveRoute::Deliveries {
        source: parameters.may("source", source)?,
        before: before.unwrap_or(UnixMillis(i64::MAX)),
        limit: parameters.limit(DELIVERIES_DEFAULT, DELIVERIES_MAX)?,
    })
}

fn find(query: &str) -> Result<ArchiveRoute, String> {
    const NAMES: &[&str] = &["message_id", "user_id", "anonymous_id", "event", "source"];
    let mut parameters = QueryParameters::of(query, NAMES)?;
    let value = |text: &str| (1..=FIND_MAX).contains(&text.len()).then(|| text.to_owned());
    let asked = AskedCalls {
        message_id: parameters.may("message_id", value)?,
        user_id: parameters.may("user_id", value)?,
        anonymous_id: parameters.may("anonymous_id", value)?,
        event: parameters.may("event", value)?,
        source: parameters.may("source", source)?,
    };
    if asked.is_empty() {
        return Err("at least one of message_id, user_id, anonymous_id and event must be given".to_owned());
    }
    Ok(ArchiveRoute::Find(asked))
}

fn objects(query: &str) -> Result<ArchiveRoute, String> {
    let mut parameters = QueryParameters::of(query, &["source", "day", "stream", "from", "after"])?;
    let from_bucket = parameters.may("from", |text| match text {
        "list" => Some(false),
        "bucket" => Some(true),
        _ => None,
    })?;
    Ok(ArchiveRoute::Objects(AskedObjects {
        source: parameters.must("source", source)?,
        day: parameters.must("day", received_day)?,
        stream: parameters.may("stream", stream)?.unwrap_or(Stream::Calls),
        from_bucket: from_bucket.unwrap_or(false),
        after: parameters.may("after", key)?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_route_takes_its_own_parameters() {
        let check = |target: &str, expected: Result<ArchiveRoute, &str>| {
            let (path, query) = target.split_once('?').unwrap_or((target, ""));
            assert_eq!(route(path, query), Some(expected.map_err(str::to_owned)), "{target}");
        };
        let web = || SourceId::new("web").unwrap();
        let newest = |source, before, limit| {
            Ok(ArchiveRoute::Deliveries { source, before: UnixMillis(before), limit })
        };
        check("/api/deliveries", newest(None, i64::MAX, 100));
        check("/api/deliveries?source=web&before=7&limit=500", newest(Some(web()), 7, 500));
        check("/api/deliveries?limit=501", Err("limit is a number from 1 to 500"));
        check("/api/deliveries?limit=0", Err("limit is a number from 1 to 500"));
        check("/api/deliveries?before=x", Err("the value of before is not valid"));
        check("/api/deliveries?sorce=web", Err("the parameters are source, before, limit"));
        check("/api/deliveries?source=web&source=web", Err("source is given twice"));
        check("/api/archive", Ok(ArchiveRoute::Days(None)));
        check("/api/archive?source=../x", Err("the value of source is not valid"));
        let asked = || AskedObjects {
            source: web(),
            day: UnixMillis(1_432_684_800_000).day(),
            stream: Stream::Calls,
            from_bucket: false,
            after: None,
        };
        check("/api/archive/objects?source=web&day=1432684800000", Ok(ArchiveRoute::Objects(asked())));
        let rooms = AskedObjects {
            stream: "objects/rooms".parse().unwrap(),
            from_bucket: true,
            after: Some(ObjectKey::listed("a/b c")),
            ..asked()
        };
        check(
            "/api/archive/objects?source=web&day=1432684800000&stream=objects%2Frooms&from=bucket&after=a/b+c",
            Ok(ArchiveRoute::Objects(rooms)),
        );
        check("/api/archive/objects?source=web", Err("day is missing"));
        check("/api/archive/objects?source=web&day=1432684800001", Err("the value of day is not valid"));
        check("/api/archive/objects?source=web&day=0&from=disk", Err("the value of from is not valid"));
        let key = ObjectKey::listed("x/ü");
        check("/api/archive/peek?source=web&key=x%2F%C3%BC", Ok(ArchiveRoute::Peek(web(), key)));
        check("/api/archive/peek?source=web", Err("key is missing"));
        check("/api/archive/peek?source=web&key=", Err("the value of key is not valid"));
        let long = format!("/api/archive/peek?source=web&key={}", "x".repeat(KEY_MAX + 1));
        check(&long, Err("the value of key is not valid"));
        let imports = |limit, import: Option<&str>, only| {
            let import = import.map(|id| SourceId::new(id).unwrap());
            Ok(ArchiveRoute::Imports(AskedImports { limit, import, only }))
        };
        check("/api/imports", imports(50, None, None));
        let only = Some(ImportStateName::GivenUp);
        check("/api/imports?import=orders&only=given_up", imports(50, Some("orders"), only));
        check("/api/imports?only=poison", Err("the value of only is not valid"));
        check("/api/imports?limit=201", Err("limit is a number from 1 to 200"));
        let asked = AskedCalls {
            user_id: Some("u 1&x".into()),
            event: Some("Order Done".into()),
            source: Some(web()),
            ..AskedCalls::default()
        };
        check(&asked.path(), Ok(ArchiveRoute::Find(asked.clone())));
        let one = "at least one of message_id, user_id, anonymous_id and event must be given";
        check("/api/find?source=web", Err(one));
        check("/api/find?user_id=", Err("the value of user_id is not valid"));
        check(
            "/api/find?userId=1",
            Err("the parameters are message_id, user_id, anonymous_id, event, source"),
        );
        let long = format!("/api/find?event={}", "x".repeat(FIND_MAX + 1));
        check(&long, Err("the value of event is not valid"));
        assert_eq!(route("/api/archive/", ""), None);
    }
}
