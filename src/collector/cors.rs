//! The CORS headers of answers and preflights, which allow browsers to send calls.

use http::HeaderMap;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, HeaderValue, ORIGIN, VARY,
};

const ALLOW_METHODS: HeaderValue = HeaderValue::from_static("GET, POST, OPTIONS");
// A literal `*` would not cover Authorization.
const ALLOW_HEADERS: HeaderValue =
    HeaderValue::from_static("authorization, content-type, content-encoding, x-retry-count, x-write-key");
const MAX_AGE: HeaderValue = HeaderValue::from_static("86400");

/// Which pages may call from a browser.
#[derive(Clone, Copy, Debug)]
pub(super) struct CorsRules<'p> {
    /// The allowed origins; `None`: all.
    pub(super) allowed_origins: Option<&'p [String]>,
    /// Whether private-network access is granted on request.
    pub(super) private_network: bool,
    /// Whether answers carry receipts, which pages may then read.
    pub(super) receipts: bool,
}

impl CorsRules<'_> {
    /// Adds the headers that every answer carries. `sent`: the headers of the request.
    pub(super) fn answer(&self, sent: &HeaderMap, reply: &mut HeaderMap) {
        reply.insert(VARY, HeaderValue::from_static("origin"));
        self.allow(sent, reply);
    }

    /// Adds the headers of the answer to a preflight.
    pub(super) fn preflight(&self, sent: &HeaderMap, reply: &mut HeaderMap) {
        reply.insert(VARY, HeaderValue::from_static("origin, access-control-request-headers"));
        if !self.allow(sent, reply) {
            return;
        }
        let asked = sent.get(ACCESS_CONTROL_REQUEST_HEADERS).filter(|value| !value.is_empty());
        reply.insert(ACCESS_CONTROL_ALLOW_HEADERS, asked.cloned().unwrap_or(ALLOW_HEADERS));
        reply.insert(ACCESS_CONTROL_ALLOW_METHODS, ALLOW_METHODS);
        reply.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        let wants_private = sent
            .get("access-control-request-private-network")
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true"));
        if wants_private && self.private_network {
            reply.insert("access-control-allow-private-network", HeaderValue::from_static("true"));
        }
    }

    fn allow(&self, sent: &HeaderMap, reply: &mut HeaderMap) -> bool {
        let origin = sent.get(ORIGIN).filter(|origin| !origin.is_empty());
        match (origin, self.allowed_origins) {
            (Some(origin), allowed) => {
                let listed = |list: &[String]| {
                    list.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(origin.as_bytes()))
                };
                if !allowed.is_none_or(listed) {
                    return false;
                }
                reply.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
                reply.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
            }
            (None, Some(_)) => return false,
            (None, None) => {
                reply.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            }
        }
        // Pages, and so the browser SDK, can read only the headers that are exposed.
        let exposed = if self.receipts { "retry-after, forebay-receipt" } else { "retry-after" };
        reply.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(exposed));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderName;

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| {
                (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap())
            })
            .collect()
    }

    const ALLOW: &str = "access-control-allow-origin";
    const CREDENTIALS: (&str, &str) = ("access-control-allow-credentials", "true");
    const EXPOSE: (&str, &str) = ("access-control-expose-headers", "retry-after");
    const METHODS: (&str, &str) = ("access-control-allow-methods", "GET, POST, OPTIONS");
    const AGE: (&str, &str) = ("access-control-max-age", "86400");
    const SITE: &str = "https://shop.example";

    #[test]
    fn answers_carry_an_allowed_origin() {
        let list = vec![SITE.to_owned()];
        let check = |allowed: Option<&[String]>, sent: &[(&str, &str)], expected: &[(&str, &str)]| {
            let mut reply = HeaderMap::new();
            let rules = CorsRules { allowed_origins: allowed, private_network: true, receipts: false };
            rules.answer(&headers(sent), &mut reply);
            let mut wanted = headers(expected);
            wanted.insert(VARY, HeaderValue::from_static("origin"));
            assert_eq!(reply, wanted, "{allowed:?} {sent:?}");
        };
        check(None, &[], &[(ALLOW, "*"), EXPOSE]);
        check(None, &[("origin", SITE)], &[(ALLOW, SITE), CREDENTIALS, EXPOSE]);
        check(None, &[("origin", "null")], &[(ALLOW, "null"), CREDENTIALS, EXPOSE]);
        check(Some(&list), &[("origin", SITE)], &[(ALLOW, SITE), CREDENTIALS, EXPOSE]);
        check(Some(&list), &[("origin", "https://other.example")], &[]);
        check(Some(&list), &[("origin", "https://shop.example.evil")], &[]);
        check(Some(&list), &[], &[]);
        check(Some(&[]), &[("origin", SITE)], &[]);
    }

    #[test]
    fn pages_can_read_receipts_if_there_are_any() {
        for receipts in [false, true] {
            let mut reply = HeaderMap::new();
            let rules = CorsRules { allowed_origins: None, private_network: false, receipts };
            rules.answer(&headers(&[("origin", SITE)]), &mut reply);
            let exposed = reply.get(ACCESS_CONTROL_EXPOSE_HEADERS).unwrap().to_str().unwrap();
            let names: Vec<&str> = exposed.split(", ").collect();
            assert_eq!(names.contains(&crate::receipt::HEADER), receipts, "{exposed}");
            assert!(names.contains(&"retry-after"), "{exposed}");
        }
    }

    #[test]
    fn preflights_echo_the_requested_headers() {
        let list = vec![SITE.to_owned()];
        let default = "authorization, content-type, content-encoding, x-retry-count, x-write-key";
        let allowed = ("access-control-allow-headers", default);
        let asked = ("access-control-request-headers", "authorization,x-retry-count,x-custom");
        let echoed = ("access-control-allow-headers", "authorization,x-retry-count,x-custom");
        let private = ("access-control-request-private-network", "true");
        let granted = ("access-control-allow-private-network", "true");
        let check = |rules: CorsRules<'_>, sent: &[(&str, &str)], expected: &[(&str, &str)]| {
            let mut reply = HeaderMap::new();
            rules.preflight(&headers(sent), &mut reply);
            let mut wanted = headers(expected);
            wanted.insert(VARY, HeaderValue::from_static("origin, access-control-request-headers"));
            assert_eq!(reply, wanted, "{rules:?} {sent:?}");
        };
        let open = CorsRules { allowed_origins: None, private_network: false, receipts: false };
        let site = ("origin", SITE);
        check(open, &[], &[(ALLOW, "*"), EXPOSE, METHODS, AGE, allowed]);
        check(open, &[site, asked], &[(ALLOW, SITE), CREDENTIALS, EXPOSE, METHODS, AGE, echoed]);
        check(open, &[site, private], &[(ALLOW, SITE), CREDENTIALS, EXPOSE, METHODS, AGE, allowed]);
        let open = CorsRules { private_network: true, ..open };
        check(open, &[site, private], &[(ALLOW, SITE), CREDENTIALS, EXPOSE, METHODS, AGE, allowed, granted]);
        check(open, &[site], &[(ALLOW, SITE), CREDENTIALS, EXPOSE, METHODS, AGE, allowed]);
        let closed = CorsRules { allowed_origins: Some(&list), private_network: true, receipts: false };
        check(closed, &[("origin", "https://other.example"), asked, private], &[]);
        check(closed, &[site, asked], &[(ALLOW, SITE), CREDENTIALS, EXPOSE, METHODS, AGE, echoed]);
    }
}
