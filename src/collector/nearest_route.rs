//! The route that a client with an unknown path probably meant. Pure.

use crate::words::nearest::nearest;

/// The routes in words, for the answer to an unknown path.
pub(super) const ROUTES: &str = "POST /v1/batch, /v1/import, /v1/track, /v1/identify, /v1/page, /v1/screen, /v1/group, /v1/alias, \
     /v1/set, and for browsers /v1/b, /v1/t, /v1/i, /v1/p, /v1/s, /v1/g, /v1/a, /v1/m; \
     GET /v1/projects/WRITE_KEY/settings, /v1/pixel/track and so on, /sourceConfig, /health; \
     and /sdk/…, /api/s/…, /pixel/v1/…, /beacon/v1/batch of other SDKs";

/// The paths that may be meant, those of Segment's API first. Nobody types the ones of a single letter.
const PATHS: [&str; 44] = [
    "/v1/batch",
    "/v1/import",
    "/v1/track",
    "/v1/identify",
    "/v1/page",
    "/v1/screen",
    "/v1/group",
    "/v1/alias",
    "/v1/set",
    "/v1/projects/WRITE_KEY/settings",
    "/sourceConfig",
    "/health",
    "/v1/pixel/track",
    "/v1/pixel/identify",
    "/v1/pixel/page",
    "/v1/pixel/screen",
    "/v1/pixel/group",
    "/v1/pixel/alias",
    "/sdk/batch",
    "/sdk/track",
    "/sdk/identify",
    "/sdk/page",
    "/sdk/screen",
    "/sdk/group",
    "/sdk/alias",
    "/api/s/track",
    "/api/s/identify",
    "/api/s/page",
    "/api/s/screen",
    "/api/s/group",
    "/api/s/alias",
    "/api/s/s2s/track",
    "/api/s/s2s/identify",
    "/api/s/s2s/page",
    "/api/s/s2s/screen",
    "/api/s/s2s/group",
    "/api/s/s2s/alias",
    "/pixel/v1/track",
    "/pixel/v1/identify",
    "/pixel/v1/page",
    "/pixel/v1/screen",
    "/pixel/v1/group",
    "/pixel/v1/alias",
    "/beacon/v1/batch",
];
/// The last segments of these paths, in lower case.
const NAMES: [&str; 12] = [
    "batch", "import", "track", "identify", "page", "screen", "group", "alias", "set", "settings",
    "sourceconfig", "health",
];
/// The longest last segment, in bytes, that is compared with these names. Anyone can make us compare.
const SEGMENT_MAX: usize = 16;

/// The route whose last segment is like that of `path`, in the folder that the path names, if it names one.
pub(super) fn nearest_route(path: &str) -> Option<&'static str> {
    let last = path.trim_end_matches('/').rsplit('/').next()?;
    if last.len() > SEGMENT_MAX {
        return None;
    }
    let last = last.to_ascii_lowercase();
    let name = NAMES.into_iter().find(|name| *name == last).or_else(|| nearest(&last, NAMES.into_iter()))?;
    let of_name = PATHS
        .into_iter()
        .filter_map(|route| route.rsplit_once('/').map(|(folder, end)| (folder, end, route)));
    let of_name = of_name.filter(|(_, end, _)| end.eq_ignore_ascii_case(name));
    // The first one wins where several fit equally.
    let fits = |folder: &str| if path.contains(folder) { folder.len() } else { 0 };
    of_name.rev().max_by_key(|(folder, ..)| fits(folder)).map(|(.., route)| route)
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::super::route::find;
    use super::*;

    #[test]
    fn a_slip_finds_the_route_that_was_meant() {
        let check = |path: &str, route: Option<&str>| assert_eq!(nearest_route(path), route, "{path}");
        check("/v1/trak", Some("/v1/track"));
        check("/v1/bacth", Some("/v1/batch"));
        check("/v1/Batch", Some("/v1/batch"));
        check("//v1/batch", Some("/v1/batch"));
        check("/v2/batch/", Some("/v1/batch"));
        check("/batch", Some("/v1/batch"));
        check("/proxy/v1/identify", Some("/v1/identify"));
        check("/v1/project/key/setting", Some("/v1/projects/WRITE_KEY/settings"));
        check("/v1/pixel/trck", Some("/v1/pixel/track"));
        check("/api/s/s2s/pag", Some("/api/s/s2s/page"));
        check("/api/s/trak", Some("/api/s/track"));
        check("/sdk/bach", Some("/sdk/batch"));
        check("/sourceConf", Some("/sourceConfig"));
        check("/", None);
        check("/wp-login.php", None);
        check(&format!("/v1/{}", "batch".repeat(50)), None);
    }

    #[test]
    fn every_path_is_one_of_a_route() {
        for path in PATHS {
            let found = find(&Method::OPTIONS, path, None);
            assert!(found.is_ok(), "{path}");
        }
    }

    #[test]
    fn every_name_belongs_to_a_path() {
        let ends = PATHS.map(|path| path.rsplit('/').next().unwrap().to_lowercase());
        assert!(NAMES.iter().all(|name| ends.iter().any(|end| end == name)));
        assert!(ends.iter().all(|end| NAMES.contains(&end.as_str())));
    }
}
