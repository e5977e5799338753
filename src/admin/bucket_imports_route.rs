//! The routes of imports of buckets. Pure.

use http::Method;

use super::asked_object::{AskedObject, WITHIN_MS_MAX};
use super::bucket_imports::{AskedPass, AskedReset};
use super::no_route::NoRoute;
use super::query_parameters::QueryParameters;
use crate::object::object_key::is_spool_id;
use crate::sources::SourceId;

/// The longest key of S3, in bytes.
const KEY_MAX: usize = 1_024;
/// The longest version of an object, in bytes.
const VERSION_MAX: usize = 2_000;

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum BucketImportsRoute {
    /// `POST /api/imports/{name}/run`
    Run(AskedPass),
    /// `POST /api/imports/{name}/object`
    Object(AskedObject),
    /// `POST /api/imports/{name}/reset`; without a key all files that are meant
    Reset(SourceId, AskedReset),
    /// `POST /api/imports/{name}/retry-rejects`; without a key those of all files. The flag: a dry run
    RetryRejects(SourceId, Option<String>, bool),
    /// `POST /api/imports/{name}/pause` and `/resume`
    Pause(SourceId, bool),
    /// `POST /api/imports/{name}/rename`
    Rename(SourceId, SourceId),
    /// `POST /api/imports/{name}/release`: the instance, and whether nothing is changed
    Release(SourceId, String, bool),
}

/// The route of a path, if it is one of imports of buckets.
pub(super) fn route(method: &Method, path: &str, query: &str) -> Option<Result<BucketImportsRoute, NoRoute>> {
    let (name, what) = path.strip_prefix("/api/imports/")?.split_once('/')?;
    let name = SourceId::new(name).ok()?;
    let asked: fn(SourceId, &str) -> Result<BucketImportsRoute, String> = match what {
        "run" => run,
        "object" => object,
        "reset" => reset,
        "retry-rejects" => retry_rejects,
        "pause" => |name, query| pause(name, query, true),
        "resume" => |name, query| pause(name, query, false),
        "rename" => rename,
        "release" => release,
        _ => return None,
    };
    if method != Method::POST {
        return Some(Err(NoRoute::Method { allow: "POST" }));
    }
    Some(asked(name, query).map_err(NoRoute::Query))
}

fn run(name: SourceId, query: &str) -> Result<BucketImportsRoute, String> {
    let mut parameters = QueryParameters::of(query, &["from", "to", "again", "dry_run"])?;
    let (from, to) = (parameters.may("from", key)?, parameters.may("to", key)?);
    let again = parameters.may("again", yes)?.is_some();
    let dry_run = parameters.may("dry_run", yes)?.is_some();
    Ok(BucketImportsRoute::Run(AskedPass { name, from, to, again, dry_run }))
}

fn object(name: SourceId, query: &str) -> Result<BucketImportsRoute, String> {
    let mut parameters = QueryParameters::of(query, &["bucket", "key", "version", "within_ms"])?;
    let (bucket, key) = (parameters.must("bucket", key)?, parameters.must("key", key)?);
    let version = parameters.may("version", version)?;
    let within = |text: &str| text.parse().ok().filter(|within| (1..=WITHIN_MS_MAX).contains(within));
    let within_ms = parameters.must("within_ms", within)?;
    Ok(BucketImportsRoute::Object(AskedObject { name, bucket, key, version, within_ms }))
}

fn version(text: &str) -> Option<String> {
    (1..=VERSION_MAX).contains(&text.len()).then(|| text.to_owned())
}

fn key(text: &str) -> Option<String> {
    (1..=KEY_MAX).contains(&text.len()).then(|| text.to_owned())
}

fn yes(text: &str) -> Option<()> {
    (text == "true").then_some(())
}

fn reset(name: SourceId, query: &str) -> Result<BucketImportsRoute, String> {
    let mut parameters = QueryParameters::of(query, &["key", "failed", "accept_rejects"])?;
    let (key, failed) = (parameters.may("key", key)?, parameters.may("failed", yes)?);
    let accept_rejects = parameters.may("accept_rejects", yes)?.is_some();
    if key.is_some() == failed.is_some() {
        return Err("either key or failed=true is needed".to_owned());
    }
    Ok(BucketImportsRoute::Reset(name, AskedReset { key, accept_rejects }))
}

fn retry_rejects(name: SourceId, query: &str) -> Result<BucketImportsRoute, String> {
    let mut parameters = QueryParameters::of(query, &["key", "dry_run"])?;
    let (key, dry_run) = (parameters.may("key", key)?, parameters.may("dry_run", yes)?);
    Ok(BucketImportsRoute::RetryRejects(name, key, dry_run.is_some()))
}

fn pause(name: SourceId, query: &str, paused: bool) -> Result<BucketImportsRoute, String> {
    QueryParameters::of(query, &[])?;
    Ok(BucketImportsRoute::Pause(name, paused))
}

fn rename(name: SourceId, query: &str) -> Result<BucketImportsRoute, String> {
    let mut parameters = QueryParameters::of(query, &["to"])?;
    let to = parameters.must("to", |text| SourceId::new(text).ok())?;
    Ok(BucketImportsRoute::Rename(name, to))
}

fn release(name: SourceId, query: &str) -> Result<BucketImportsRoute, String> {
    let mut parameters = QueryParameters::of(query, &["instance", "dry_run"])?;
    let instance = parameters.must("instance", |text| is_spool_id(text).then(|| text.to_owned()))?;
    let dry_run = parameters.may("dry_run", yes)?.is_some();
    Ok(BucketImportsRoute::Release(name, instance, dry_run))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_has_its_route() {
        let id = |name: &str| SourceId::new(name).unwrap();
        let post = |path: &str, query: &str| route(&Method::POST, path, query);
        let asked = |from: Option<&str>, to: Option<&str>| {
            let (from, to) = (from.map(str::to_owned), to.map(str::to_owned));
            let (name, again, dry_run) = (id("orders"), false, false);
            Some(Ok(BucketImportsRoute::Run(AskedPass { name, from, to, again, dry_run })))
        };
        assert_eq!(post("/api/imports/orders/run", ""), asked(None, None));
        assert_eq!(
            post("/api/imports/orders/run", "from=in%2Fa+b&to=in/c"),
            asked(Some("in/a b"), Some("in/c"))
        );
        assert!(matches!(
            post("/api/imports/orders/run", "fron=a"),
            Some(Err(NoRoute::Query(what))) if what == "the parameters are from, to, again, dry_run"
        ));
        assert!(matches!(post("/api/imports/orders/run", "from="), Some(Err(NoRoute::Query(_)))));
        for (path, paused) in [("/api/imports/orders/pause", true), ("/api/imports/orders/resume", false)] {
            assert_eq!(post(path, ""), Some(Ok(BucketImportsRoute::Pause(id("orders"), paused))));
            assert!(matches!(post(path, "x=1"), Some(Err(NoRoute::Query(_)))));
        }
        let again = post("/api/imports/orders/run", "again=true&dry_run=true");
        assert!(
            matches!(&again, Some(Ok(BucketImportsRoute::Run(asked))) if asked.again && asked.dry_run),
            "{again:?}"
        );
        assert!(matches!(post("/api/imports/orders/run", "again=1"), Some(Err(NoRoute::Query(_)))));
        let reset = |key: Option<&str>, accept_rejects| {
            let asked = AskedReset { key: key.map(str::to_owned), accept_rejects };
            Some(Ok(BucketImportsRoute::Reset(id("orders"), asked)))
        };
        assert_eq!(post("/api/imports/orders/reset", "key=in/a"), reset(Some("in/a"), false));
        assert_eq!(post("/api/imports/orders/reset", "failed=true"), reset(None, false));
        let accepted = post("/api/imports/orders/reset", "key=in/a&accept_rejects=true");
        assert_eq!(accepted, reset(Some("in/a"), true));
        for wrong in ["", "key=a&failed=true", "failed=no", "key=", "accept_rejects=true"] {
            let route = post("/api/imports/orders/reset", wrong);
            assert!(matches!(route, Some(Err(NoRoute::Query(_)))), "{wrong}");
        }
        let retry = |key: Option<&str>, dry_run| {
            let key = key.map(str::to_owned);
            Some(Ok(BucketImportsRoute::RetryRejects(id("orders"), key, dry_run)))
        };
        assert_eq!(post("/api/imports/orders/retry-rejects", ""), retry(None, false));
        assert_eq!(
            post("/api/imports/orders/retry-rejects", "key=a%2Fb&dry_run=true"),
            retry(Some("a/b"), true)
        );
        let object = AskedObject {
            name: id("orders"),
            bucket: "lake".to_owned(),
            key: "in/a b".to_owned(),
            version: Some("v1".to_owned()),
            within_ms: 5_000,
        };
        assert_eq!(
            post("/api/imports/orders/object", "bucket=lake&key=in/a+b&version=v1&within_ms=5000"),
            Some(Ok(BucketImportsRoute::Object(object.clone())))
        );
        assert_eq!(
            post("/api/imports/orders/object", &object.query()),
            Some(Ok(BucketImportsRoute::Object(object)))
        );
        for wrong in ["", "bucket=lake&key=a", "bucket=lake&key=a&within_ms=0", "key=a&within_ms=5"] {
            let route = post("/api/imports/orders/object", wrong);
            assert!(matches!(route, Some(Err(NoRoute::Query(_)))), "{wrong}");
        }
        assert_eq!(
            post("/api/imports/orders/rename", "to=sales"),
            Some(Ok(BucketImportsRoute::Rename(id("orders"), id("sales"))))
        );
        assert!(matches!(
            post("/api/imports/orders/rename", ""),
            Some(Err(NoRoute::Query(what))) if what == "to is missing"
        ));
        let instance = "0123456789abcdef0123456789abcdef";
        assert_eq!(
            post("/api/imports/orders/release", &format!("instance={instance}&dry_run=true")),
            Some(Ok(BucketImportsRoute::Release(id("orders"), instance.to_owned(), true)))
        );
        for wrong in ["", "instance=0123", "dry_run=true"] {
            let route = post("/api/imports/orders/release", wrong);
            assert!(matches!(route, Some(Err(NoRoute::Query(_)))), "{wrong}");
        }
        assert_eq!(
            route(&Method::GET, "/api/imports/orders/run", ""),
            Some(Err(NoRoute::Method { allow: "POST" }))
        );
        for odd in ["/api/imports", "/api/imports/orders", "/api/imports/../run", "/api/imports/orders/x"] {
            assert_eq!(post(odd, ""), None, "{odd}");
        }
    }
}
