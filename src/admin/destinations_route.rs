//! The routes of destinations. Pure.

use http::Method;

use super::destinations::AskedAttempts;
use super::no_route::NoRoute;
use super::query_parameters::QueryParameters;
use crate::destinations::class::Class;
use crate::sources::SourceId;

/// Attempts in an answer: by default, and at most.
const ATTEMPTS_DEFAULT: usize = 100;
const ATTEMPTS_MAX: usize = 1_000;
/// The value of `class` for attempts that succeeded.
const SUCCESS: &str = "success";

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum DestinationsRoute {
    /// `GET /api/destinations`
    All,
    /// `GET /api/destinations/{name}`
    One(SourceId),
    /// `GET /api/destinations/{name}/deliveries`
    Attempts(AskedAttempts),
    /// `POST /api/destinations/{name}/discard`
    Discard(SourceId),
}

/// The route of a path, if it is one of destinations.
pub(super) fn route(method: &Method, path: &str, query: &str) -> Option<Result<DestinationsRoute, NoRoute>> {
    let rest = path.strip_prefix("/api/destinations")?;
    let read = [Method::GET, Method::HEAD].contains(method);
    let reading = |route| if read { Ok(route) } else { Err(NoRoute::Method { allow: "GET, HEAD" }) };
    if rest.is_empty() {
        return Some(reading(DestinationsRoute::All));
    }
    let rest = rest.strip_prefix('/')?;
    let (name, of_it) = rest.split_once('/').map_or((rest, None), |(name, of_it)| (name, Some(of_it)));
    let name = SourceId::new(name).ok()?;
    Some(match of_it {
        None => reading(DestinationsRoute::One(name)),
        Some("deliveries") if read => {
            attempts(name, query).map(DestinationsRoute::Attempts).map_err(NoRoute::Query)
        }
        Some("deliveries") => Err(NoRoute::Method { allow: "GET, HEAD" }),
        Some("discard") if method == Method::POST => Ok(DestinationsRoute::Discard(name)),
        Some("discard") => Err(NoRoute::Method { allow: "POST" }),
        Some(_) => return None,
    })
}

fn attempts(name: SourceId, query: &str) -> Result<AskedAttempts, String> {
    let mut parameters = QueryParameters::of(query, &["class", "limit"])?;
    let known = |text: &str| (text == SUCCESS || Class::of_slug(text).is_some()).then(|| text.to_owned());
    Ok(AskedAttempts {
        name,
        class: parameters.may("class", known)?,
        limit: parameters.limit(ATTEMPTS_DEFAULT, ATTEMPTS_MAX)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_has_its_route() {
        let crm = || SourceId::new("crm").unwrap();
        let get = |path: &str, query: &str| route(&Method::GET, path, query);
        assert_eq!(get("/api/destinations", ""), Some(Ok(DestinationsRoute::All)));
        assert_eq!(get("/api/destinations/crm", ""), Some(Ok(DestinationsRoute::One(crm()))));
        let asked = AskedAttempts { name: crm(), class: Some("access-denied".to_owned()), limit: 7 };
        assert_eq!(
            get("/api/destinations/crm/deliveries", "class=access-denied&limit=7"),
            Some(Ok(DestinationsRoute::Attempts(asked)))
        );
        assert!(matches!(
            get("/api/destinations/crm/deliveries", "class=odd"),
            Some(Err(NoRoute::Query(what))) if what == "the value of class is not valid"
        ));
        assert_eq!(
            route(&Method::POST, "/api/destinations/crm/discard", ""),
            Some(Ok(DestinationsRoute::Discard(crm())))
        );
        assert_eq!(get("/api/destinations/crm/discard", ""), Some(Err(NoRoute::Method { allow: "POST" })));
        for odd in
            ["/api/destinationsx", "/api/destinations/", "/api/destinations/_x", "/api/destinations/crm/x"]
        {
            assert_eq!(get(odd, ""), None, "{odd}");
        }
    }
}
