//! Finds the route of a method and a path.

use http::Method;

use super::nearest_route::nearest_route;
use super::reply::Refusal;
use crate::call::{CallKind, Shape};

/// A route of the public listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route<'p> {
    /// Calls, or objects that are set, in a body.
    Calls {
        /// What the body holds.
        shape: Shape,
        /// Whether only client-side libraries use this route.
        client: bool,
    },
    /// The SDKs' own counters: answered, never stored.
    Counters,
    /// The settings document of a write key, which is still percent-encoded.
    Settings(&'p str),
    /// The document that RudderStack's browser SDK loads first; the write key is in the query or the header.
    SourceConfig,
    /// A call in a query, answered with an image.
    Pixel(CallKind),
    /// Reports whether the process answers.
    Health,
    /// A CORS preflight of any route.
    Preflight,
}

/// Finds the route. The path is compared case-sensitively, with and without one trailing slash, with and
/// without `prefix`.
pub(super) fn find<'p>(method: &Method, path: &'p str, prefix: Option<&str>) -> Result<Route<'p>, Refusal> {
    let bare = behind_prefix(path, prefix).map(|(_, rest)| rest);
    let by = |path: &'p str| by_path(path.strip_suffix('/').unwrap_or(path));
    // A route may itself begin with the prefix.
    let route = bare.and_then(by).or_else(|| by(path));
    let route = route.ok_or_else(|| Refusal::NotFound(nearest_route(path)))?;
    let posted = matches!(route, Route::Calls { .. } | Route::Counters);
    match *method {
        Method::OPTIONS => Ok(Route::Preflight),
        Method::POST if posted => Ok(route),
        Method::GET | Method::HEAD if !posted => Ok(route),
        _ if posted => Err(Refusal::Method("POST, OPTIONS")),
        _ => Err(Refusal::Method("GET, HEAD, OPTIONS")),
    }
}

/// Splits `path` into `prefix`, without its trailing slash, and the rest. `None` if the path does not begin
/// with it.
pub(super) fn behind_prefix<'p, 'x>(path: &'p str, prefix: Option<&'x str>) -> Option<(&'x str, &'p str)> {
    let prefix = prefix?.trim_end_matches('/');
    let rest = path.strip_prefix(prefix).filter(|rest| rest.starts_with('/'))?;
    Some((prefix, rest))
}

fn by_path(path: &str) -> Option<Route<'_>> {
    match path {
        "/health" => return Some(Route::Health),
        "/sourceConfig" => return Some(Route::SourceConfig),
        // RudderStack's browser SDK with `useBeacon`.
        "/beacon/v1/batch" => return Some(Route::Calls { shape: Shape::Envelope, client: true }),
        _ => {}
    }
    match path.strip_prefix("/v1/") {
        Some(name) => segments(name),
        None => other_vendors(path),
    }
}

/// The routes of June, Jitsu and RudderStack that carry the same calls as Segment's.
fn other_vendors(path: &str) -> Option<Route<'_>> {
    let single = |name, client| {
        CallKind::from_name(name).map(|kind| Route::Calls { shape: Shape::Single(kind), client })
    };
    if let Some(name) = path.strip_prefix("/sdk/") {
        let batch = || Route::Calls { shape: Shape::Envelope, client: false };
        return if name == "batch" { Some(batch()) } else { single(name, false) };
    }
    if let Some(name) = path.strip_prefix("/api/s/") {
        return match name.strip_prefix("s2s/") {
            Some(name) => single(name, false),
            None => single(name, true),
        };
    }
    CallKind::from_name(path.strip_prefix("/pixel/v1/")?).map(Route::Pixel)
}

/// The routes of Segment's API, after `/v1/`.
fn segments(name: &str) -> Option<Route<'_>> {
    if let Some(kind) = name.strip_prefix("pixel/") {
        return letter(kind).or_else(|| CallKind::from_name(kind)).map(Route::Pixel);
    }
    if let Some(rest) = name.strip_prefix("projects/") {
        let key = rest.strip_suffix("/settings")?;
        return (!key.is_empty() && !key.contains('/')).then_some(Route::Settings(key));
    }
    match name {
        "batch" | "import" => Some(Route::Calls { shape: Shape::Envelope, client: false }),
        "b" => Some(Route::Calls { shape: Shape::Envelope, client: true }),
        "m" => Some(Route::Counters),
        "set" => Some(Route::Calls { shape: Shape::ObjectSets, client: false }),
        _ => match letter(name) {
            Some(kind) => Some(Route::Calls { shape: Shape::Single(kind), client: true }),
            None => CallKind::from_name(name)
                .map(|kind| Route::Calls { shape: Shape::Single(kind), client: false }),
        },
    }
}

fn letter(name: &str) -> Option<CallKind> {
    match name {
        "t" => Some(CallKind::Track),
        "i" => Some(CallKind::Identify),
        "p" => Some(CallKind::Page),
        "s" => Some(CallKind::Screen),
        "g" => Some(CallKind::Group),
        "a" => Some(CallKind::Alias),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use CallKind::{Alias, Group, Identify, Page, Screen, Track};

    const ENVELOPE: Route<'_> = Route::Calls { shape: Shape::Envelope, client: false };

    fn single(kind: CallKind, client: bool) -> Route<'static> {
        Route::Calls { shape: Shape::Single(kind), client }
    }

    #[test]
    fn a_prefix_that_equals_a_routes_beginning_hides_no_route() {
        let check = |path: &str, prefix: &str, expected: Route<'_>| {
            assert_eq!(find(&Method::POST, path, Some(prefix)).unwrap(), expected, "{path} {prefix}");
        };
        for path in ["/v1/batch", "/v1/v1/batch"] {
            check(path, "/v1", Route::Calls { shape: Shape::Envelope, client: false });
        }
        check("/sdk/batch", "/sdk", Route::Calls { shape: Shape::Envelope, client: false });
    }

    #[test]
    fn every_route_is_found_with_and_without_one_trailing_slash_and_the_prefix() {
        let check = |method: Method, path: &str, route: Route<'_>| {
            for prefix in ["", "/proxy"] {
                for slash in ["", "/"] {
                    let path = format!("{prefix}{path}{slash}");
                    assert_eq!(find(&method, &path, Some("/proxy/")), Ok(route.clone()), "{path}");
                    assert_eq!(find(&Method::OPTIONS, &path, Some("/proxy")), Ok(Route::Preflight), "{path}");
                }
            }
        };
        check(Method::POST, "/v1/batch", ENVELOPE);
        check(Method::POST, "/v1/import", ENVELOPE);
        check(Method::POST, "/v1/b", Route::Calls { shape: Shape::Envelope, client: true });
        check(Method::POST, "/v1/m", Route::Counters);
        check(Method::POST, "/v1/set", Route::Calls { shape: Shape::ObjectSets, client: false });
        for (letter, word, kind) in [
            ("t", "track", Track),
            ("i", "identify", Identify),
            ("p", "page", Page),
            ("s", "screen", Screen),
            ("g", "group", Group),
            ("a", "alias", Alias),
        ] {
            check(Method::POST, &format!("/v1/{letter}"), single(kind, true));
            check(Method::POST, &format!("/v1/{word}"), single(kind, false));
            check(Method::GET, &format!("/v1/pixel/{letter}"), Route::Pixel(kind));
            check(Method::GET, &format!("/v1/pixel/{word}"), Route::Pixel(kind));
            check(Method::HEAD, &format!("/v1/pixel/{word}"), Route::Pixel(kind));
        }
        check(Method::GET, "/v1/projects/a%20b/settings", Route::Settings("a%20b"));
        check(Method::GET, "/health", Route::Health);
        check(Method::GET, "/sourceConfig", Route::SourceConfig);
        check(Method::POST, "/beacon/v1/batch", Route::Calls { shape: Shape::Envelope, client: true });
        check(Method::POST, "/sdk/batch", ENVELOPE);
        check(Method::POST, "/sdk/identify", single(Identify, false));
        check(Method::POST, "/api/s/track", single(Track, true));
        check(Method::POST, "/api/s/s2s/track", single(Track, false));
        check(Method::GET, "/pixel/v1/page", Route::Pixel(Page));
    }

    #[test]
    fn a_missing_route_gives_its_reason() {
        let check = |method: Method, path: &str, expected: Refusal| {
            assert_eq!(find(&method, path, None), Err(expected), "{method} {path}");
        };
        for path in [
            "",
            "/",
            "/v1",
            "/v1/",
            "/v1/batch//",
            "/V1/batch",
            "/v1/Batch",
            "/v1/x",
            "/v1/merge",
            "/ready",
            "/metrics",
            "/v1/projects//settings",
            "/v1/projects/a/b/settings",
            "/v1/projects/settings",
            "/v1/pixel",
            "/v1/pixel/x",
            "/proxy/v1/batch",
            "/beacon/v1/track",
            "/sourceConfig/k",
            "/sdk/b",
            "/sdk/t",
            "/api/s/s2s",
            "/api/s/batch",
            "/api/s/s2s/s2s/track",
            "/pixel/v1",
            "/pixel/v1/p",
            "/proxyv1/batch",
            "//v1/batch",
        ] {
            check(Method::POST, path, Refusal::NotFound(nearest_route(path)));
            check(Method::OPTIONS, path, Refusal::NotFound(nearest_route(path)));
        }
        let posts = Refusal::Method("POST, OPTIONS");
        for method in [Method::GET, Method::HEAD, Method::PUT, Method::DELETE, Method::CONNECT] {
            check(method.clone(), "/v1/batch", posts.clone());
            check(method.clone(), "/v1/t/", posts.clone());
            check(method, "/v1/m", posts.clone());
        }
        let gets = Refusal::Method("GET, HEAD, OPTIONS");
        for path in ["/health", "/v1/pixel/t", "/v1/projects/k/settings"] {
            check(Method::POST, path, gets.clone());
        }
    }
}
