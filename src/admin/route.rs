//! Finds the route of a request. Pure.

use std::collections::BTreeMap;

use http::Method;
use percent_encoding::percent_decode_str;

use super::archive_route::{self, ArchiveRoute};
use super::bucket_imports_route::{self, BucketImportsRoute};
use super::conflicts::{AskedDecision, RESOLVE};
use super::console::File;
use super::destinations_route::{self, DestinationsRoute};
use super::live;
use super::no_route::NoRoute;
use crate::import::{Prefix, Rows};
use crate::live::Filter;
use crate::log::ImportKey;
use crate::receipt::Receipt;
use crate::sources::SourceId;

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// `GET /`
    Root,
    /// A file of the console
    File(&'static File),
    /// `GET /metrics`
    Metrics,
    /// `GET /health`
    Health,
    /// `GET /ready`
    Ready,
    /// `GET /api/status`
    Status,
    /// `GET /api/history`
    History,
    /// `GET /api/node`
    Node,
    /// `GET /api/live`
    Live(Filter),
    /// `GET /api/refused`
    Refused(Filter),
    /// `GET /api/days`
    Days(Option<SourceId>),
    /// `GET /api/ledger`
    Ledger(Option<SourceId>),
    /// `GET /api/receipt`
    Receipt(Receipt),
    /// `GET /api/sdks`
    Sdks(Option<SourceId>),
    /// `GET /api/session`
    Session,
    /// `POST /api/session`
    LogIn,
    /// `DELETE /api/session`
    LogOut,
    /// `POST /api/flush`
    Flush(Option<SourceId>),
    /// `POST /api/kafka/resolve`
    Resolve(AskedDecision),
    /// Rows of files.
    Import(ImportRoute),
    /// Deliveries, the archive and imports.
    Archive(ArchiveRoute),
    /// Destinations.
    Destinations(DestinationsRoute),
    /// Imports of buckets.
    BucketImports(BucketImportsRoute),
}

/// What a request of an import asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ImportRoute {
    /// `POST /api/import/earlier`
    Earlier,
    /// `POST /api/import/begin`
    Begin,
    /// `POST /api/import`
    Rows(Rows),
    /// `POST /api/import/end`
    End,
}

pub(super) fn route(method: &Method, path: &str, query: Option<&str>) -> Result<Route, NoRoute> {
    let query = query.unwrap_or_default();
    let read = [Method::GET, Method::HEAD].contains(method);
    // A wrong method is reported before a wrong query.
    let only = |fits: bool, allow, route| if fits { route } else { Err(NoRoute::Method { allow }) };
    let reading = |route| only(read, "GET, HEAD", route);
    let posting = |route| only(method == Method::POST, "POST", route);
    match path {
        "/" => reading(Ok(Route::Root)),
        "/metrics" => reading(Ok(Route::Metrics)),
        "/health" => reading(Ok(Route::Health)),
        "/ready" => reading(Ok(Route::Ready)),
        "/api/status" => reading(Ok(Route::Status)),
        "/api/history" => reading(Ok(Route::History)),
        "/api/node" => reading(Ok(Route::Node)),
        "/api/live" => only(method == Method::GET, "GET", live::filter(query).map(Route::Live)),
        "/api/refused" => reading(live::filter(query).map(Route::Refused)),
        "/api/days" => reading(source(query).map(Route::Days)),
        "/api/ledger" => reading(source(query).map(Route::Ledger)),
        "/api/receipt" => reading(receipt(query)),
        "/api/sdks" => reading(source(query).map(Route::Sdks)),
        "/api/session" if read => Ok(Route::Session),
        "/api/session" if method == Method::POST => Ok(Route::LogIn),
        "/api/session" if method == Method::DELETE => Ok(Route::LogOut),
        "/api/session" => Err(NoRoute::Method { allow: "GET, HEAD, POST, DELETE" }),
        "/api/flush" => posting(source(query).map(Route::Flush)),
        RESOLVE => posting(AskedDecision::of_query(query).map(Route::Resolve).map_err(NoRoute::Query)),
        "/api/import" => posting(import_rows(query)),
        "/api/import/earlier" => posting(Ok(Route::Import(ImportRoute::Earlier))),
        "/api/import/begin" => posting(Ok(Route::Import(ImportRoute::Begin))),
        "/api/import/end" => posting(Ok(Route::Import(ImportRoute::End))),
        _ if path.starts_with("/api/destinations") => match destinations_route::route(method, path, query) {
            Some(route) => route.map(Route::Destinations),
            None => Err(NoRoute::Path),
        },
        _ if path.starts_with("/api/imports/") => match bucket_imports_route::route(method, path, query) {
            Some(route) => route.map(Route::BucketImports),
            None => Err(NoRoute::Path),
        },
        _ => match (archive_route::route(path, query), File::at(path)) {
            (Some(route), _) => reading(route.map(Route::Archive).map_err(NoRoute::Query)),
            (None, Some(file)) => reading(Ok(Route::File(file))),
            (None, None) => Err(NoRoute::Path),
        },
    }
}

/// The rows that the body of `POST /api/import` covers.
fn import_rows(query: &str) -> Result<Route, NoRoute> {
    const FORM: &str =
        "the parameters are import, first, rows, rejected and, if there are any, repeats and prefix";
    let wrong = || NoRoute::Query(FORM.to_owned());
    let mut given: BTreeMap<&str, &str> = BTreeMap::new();
    for parameter in query.split('&') {
        let (name, value) = parameter.split_once('=').ok_or_else(wrong)?;
        if given.insert(name, value).is_some() {
            return Err(wrong());
        }
    }
    let mut take = |name: &str| given.remove(name).ok_or_else(wrong);
    let import = ImportKey::try_from(take("import")?.to_owned()).map_err(|_| wrong())?;
    let mut number = |name: &str| take(name)?.parse::<u64>().map_err(|_| wrong());
    let (first, rows, rejected) = (number("first")?, number("rows")?, number("rejected")?);
    // Older importers do not send `repeats`.
    let repeats = given.remove("repeats").map_or(Ok(0), |text| text.parse().map_err(|_| wrong()))?;
    let prefix = |text| Prefix::of_query(text, first.saturating_add(rows)).ok_or_else(wrong);
    let prefix = given.remove("prefix").map(prefix).transpose()?;
    let rows = Rows { import, first, rows, rejected, repeats, prefix };
    if given.is_empty() { Ok(Route::Import(ImportRoute::Rows(rows))) } else { Err(wrong()) }
}

/// The receipt of a query. A slash needs no escape in a query, but some clients write one.
fn receipt(query: &str) -> Result<Route, NoRoute> {
    let token = query.strip_prefix("receipt=").filter(|token| !token.contains('&'));
    let token = token.ok_or_else(|| NoRoute::Query("the only parameter is receipt".to_owned()))?;
    let receipt = percent_decode_str(token).decode_utf8_lossy().parse::<Receipt>();
    receipt.map(Route::Receipt).map_err(|error| NoRoute::Query(error.to_string()))
}

/// The source of a query. Unknown parameters are refused: `?sorce=web` must not flush everything.
fn source(query: &str) -> Result<Option<SourceId>, NoRoute> {
    let mut source = None;
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        match parameter.split_once('=') {
            Some(("source", id)) if source.is_none() => {
                source = Some(SourceId::new(id).map_err(|error| NoRoute::Query(error.to_string()))?);
            }
            Some(("source", _)) => return Err(NoRoute::Query("source is given twice".to_owned())),
            _ => return Err(NoRoute::Query("the only parameter is source".to_owned())),
        }
    }
    Ok(source)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::AskedImports;
    use crate::log::Decision;

    #[test]
    fn every_path_has_its_method() {
        let check = |method: &str, target: &str, expected: Result<Route, NoRoute>| {
            let (path, query) =
                target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
            assert_eq!(route(&method.parse().unwrap(), path, query), expected, "{method} {target}");
        };
        let web = || Some(SourceId::new("web").unwrap());
        check("GET", "/", Ok(Route::Root));
        check("GET", "/metrics?x=1", Ok(Route::Metrics));
        check("HEAD", "/health", Ok(Route::Health));
        check("GET", "/ready", Ok(Route::Ready));
        check("GET", "/api/status", Ok(Route::Status));
        check("GET", "/api/days", Ok(Route::Days(None)));
        check("GET", "/api/days?source=web", Ok(Route::Days(web())));
        let web_only = Filter { source: web(), ..Filter::default() };
        check("GET", "/api/refused?source=web", Ok(Route::Refused(web_only)));
        check("POST", "/api/refused", Err(NoRoute::Method { allow: "GET, HEAD" }));
        check("POST", "/api/days", Err(NoRoute::Method { allow: "GET, HEAD" }));
        check("POST", "/api/flush", Ok(Route::Flush(None)));
        check("POST", "/api/flush?", Ok(Route::Flush(None)));
        check("POST", "/api/flush?source=web", Ok(Route::Flush(web())));
        check(
            "POST",
            "/api/flush?source=web&source=ios",
            Err(NoRoute::Query("source is given twice".into())),
        );
        check("POST", "/api/flush?sorce=web", Err(NoRoute::Query("the only parameter is source".into())));
        check("POST", "/api/flush?source", Err(NoRoute::Query("the only parameter is source".into())));
        let wrong = SourceId::new("../x").unwrap_err().to_string();
        check("POST", "/api/flush?source=../x", Err(NoRoute::Query(wrong)));
        let decided = AskedDecision { partition: 3, seal: 7, action: Decision::KeepTheirs };
        check("POST", &decided.path(), Ok(Route::Resolve(decided)));
        check("GET", &decided.path(), Err(NoRoute::Method { allow: "POST" }));
        for (query, why) in [
            ("partition=3&seal=7", "action is missing"),
            ("partition=3&seal=7&action=keep", "the value of action is not valid"),
            ("partition=-1&seal=7&action=overwrite", "the value of partition is not valid"),
            ("partition=3&seal=7&action=overwrite&all=1", "the parameters are partition, seal, action"),
        ] {
            check("POST", &format!("{RESOLVE}?{query}"), Err(NoRoute::Query(why.into())));
        }
        check("GET", "/api/ledger", Ok(Route::Ledger(None)));
        check("HEAD", "/api/ledger?source=web", Ok(Route::Ledger(Some(SourceId::new("web").unwrap()))));
        check("GET", "/api/ledger?hour=3", Err(NoRoute::Query("the only parameter is source".into())));
        check("POST", "/api/ledger", Err(NoRoute::Method { allow: "GET, HEAD" }));
        let rows = || {
            let import = ImportKey(0xAB);
            let rows = Rows { import, first: 10, rows: 5, rejected: 1, repeats: 0, prefix: None };
            Ok(Route::Import(ImportRoute::Rows(rows)))
        };
        let form = || {
            Err(NoRoute::Query(
                "the parameters are import, first, rows, rejected and, if there are any, repeats and prefix"
                    .into(),
            ))
        };
        check("POST", "/api/import?import=ab&first=10&rows=5&rejected=1", rows());
        check("POST", "/api/import?rejected=1&rows=5&first=10&import=00ab", rows());
        check("POST", "/api/import?import=ab&first=10&rows=5", form());
        check("POST", "/api/import?import=ab&first=10&rows=5&rejected=1&more=1", form());
        check("POST", "/api/import?import=ab&first=-1&rows=5&rejected=1", form());
        check("POST", "/api/import", form());
        check("GET", "/api/import", Err(NoRoute::Method { allow: "POST" }));
        check("POST", "/api/import/earlier", Ok(Route::Import(ImportRoute::Earlier)));
        check("POST", "/api/import/begin", Ok(Route::Import(ImportRoute::Begin)));
        check("POST", "/api/import/end", Ok(Route::Import(ImportRoute::End)));
        check("GET", "/api/import/end", Err(NoRoute::Method { allow: "POST" }));
        check("GET", "/api/session", Ok(Route::Session));
        check("HEAD", "/console.js", Ok(Route::File(File::at("/console.js").unwrap())));
        check("GET", "/index.html", Err(NoRoute::Path));
        check("POST", "/console.css", Err(NoRoute::Method { allow: "GET, HEAD" }));
        check("GET", "/api/sdks?source=web", Ok(Route::Sdks(web())));
        check("POST", "/api/sdks", Err(NoRoute::Method { allow: "GET, HEAD" }));
        check("POST", "/api/session", Ok(Route::LogIn));
        check("DELETE", "/api/session", Ok(Route::LogOut));
        check("PUT", "/api/session", Err(NoRoute::Method { allow: "GET, HEAD, POST, DELETE" }));
        let token = "web/1763596800000/0123456789abcdef0123456789abcdef/42-44";
        let receipt = || Ok(Route::Receipt(token.parse().unwrap()));
        check("GET", &format!("/api/receipt?receipt={token}"), receipt());
        check("HEAD", &format!("/api/receipt?receipt={}", token.replace('/', "%2F")), receipt());
        check("POST", &format!("/api/receipt?receipt={token}"), Err(NoRoute::Method { allow: "GET, HEAD" }));
        let only = Err(NoRoute::Query("the only parameter is receipt".into()));
        check("GET", "/api/receipt", only.clone());
        check("GET", &format!("/api/receipt?receipt={token}&receipt={token}"), only);
        let form = "".parse::<Receipt>().unwrap_err().to_string();
        check("GET", "/api/receipt?receipt=42", Err(NoRoute::Query(form)));
        check("GET", "/api/flush", Err(NoRoute::Method { allow: "POST" }));
        let asked = AskedImports { limit: 1, import: None, only: None };
        check("GET", "/api/imports?limit=1", Ok(Route::Archive(ArchiveRoute::Imports(asked))));
        check("POST", "/api/imports", Err(NoRoute::Method { allow: "GET, HEAD" }));
        check("GET", "/api/archive/peek", Err(NoRoute::Query("source is missing".into())));
        check("OPTIONS", "/api/flush", Err(NoRoute::Method { allow: "POST" }));
        check("POST", "/metrics", Err(NoRoute::Method { allow: "GET, HEAD" }));
        check("DELETE", "/", Err(NoRoute::Method { allow: "GET, HEAD" }));
        check("GET", "/metrics/", Err(NoRoute::Path));
        check("POST", "/v1/batch", Err(NoRoute::Path));
    }
}
