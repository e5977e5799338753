//! Who may do what on the admin listener. Pure: time and chance are passed in.
//!
//! The need of a request follows from its method and path alone, before its route is known. So a route that
//! is added later is protected without a further line.

use std::net::IpAddr;
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderMap, Method};

use crate::admin_token::AdminToken;
use crate::live::Mode;

use super::guesses::Guesses;
use super::sessions::{Role, SessionId, Sessions};

/// The settings of admin access.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessSettings {
    /// The admin token, for everything. Without one, everybody who reaches the listener may do everything.
    pub token: Option<AdminToken>,
    /// The read token, for looking only.
    pub read_token: Option<AdminToken>,
    /// Whether `/metrics` needs no token.
    pub metrics_without_token: bool,
    /// What the live view shows.
    pub live_view: Mode,
    /// Whether the process is `forebay dev`.
    pub dev: bool,
}

/// What a request needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// Nothing: readiness, the page itself, and to begin, look at or end a session.
    Nothing,
    /// A token, unless the settings say that metrics need none.
    Metrics,
    /// To look.
    Read,
    /// To change something.
    Change,
}

impl Need {
    pub(super) fn of(method: &Method, path: &str) -> Self {
        let read = [Method::GET, Method::HEAD].contains(method);
        match path {
            "/metrics" => Self::Metrics,
            "/api/session" => Self::Nothing,
            _ if !path.starts_with("/api/") => Self::Nothing,
            _ if read => Self::Read,
            _ => Self::Change,
        }
    }
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// The request has no token and no session.
    #[error(
        "the admin listener asks for a token: send `Authorization: Bearer TOKEN`, or open / in a browser and log in"
    )]
    NoToken,
    /// The token is wrong.
    #[error("the token is wrong: compare it with admin.token in forebay.toml")]
    WrongToken,
    /// The request would change something, and its token is the read token.
    #[error("this token is for reading only: to change something, use the one of admin.token")]
    ReadOnly,
    /// Too many wrong tokens came from the address. For so long tokens from it are still refused unread.
    #[error("too many wrong tokens came from this address: retry later")]
    TooManyGuesses(Duration),
}

/// The settings in force, the sessions and the wrong tokens.
#[derive(Debug, Default)]
pub(super) struct Access {
    settings: AccessSettings,
    sessions: Sessions,
    guesses: Guesses,
}

impl Access {
    pub(super) fn new(settings: AccessSettings) -> Self {
        Self { settings, ..Self::default() }
    }

    pub(super) fn settings(&self) -> &AccessSettings {
        &self.settings
    }

    /// Puts new settings into force. A changed token ends every session.
    pub(super) fn set(&mut self, settings: AccessSettings) {
        let tokens = |settings: &AccessSettings| (settings.token, settings.read_token);
        if tokens(&settings) != tokens(&self.settings) {
            self.sessions = Sessions::default();
        }
        self.settings = settings;
    }

    /// Checks whether a request may be answered.
    /// Errors: [`Refusal`]: answer the request with it, and do nothing else.
    pub(super) fn check(
        &mut self,
        need: Need,
        headers: &HeaderMap,
        peer: IpAddr,
        now: Duration,
    ) -> Result<(), Refusal> {
        let least = match need {
            Need::Nothing => return Ok(()),
            Need::Metrics if self.settings.metrics_without_token => return Ok(()),
            Need::Metrics | Need::Read => Role::Read,
            Need::Change => Role::Admin,
        };
        match self.role(headers, peer, now)? {
            Some(role) if role >= least => Ok(()),
            Some(_) => Err(Refusal::ReadOnly),
            None => Err(Refusal::NoToken),
        }
    }

    /// What the sender of a request may do: by the token if there is one, else by the session. `None` is
    /// nothing.
    /// Errors: [`Refusal`] if the token is wrong, if there are several, or if too many wrong ones came from
    /// the address.
    pub(super) fn role(
        &mut self,
        headers: &HeaderMap,
        peer: IpAddr,
        now: Duration,
    ) -> Result<Option<Role>, Refusal> {
        if self.settings.token.is_none() {
            return Ok(Some(Role::Admin));
        }
        match bearer(headers)? {
            Some(token) => self.role_of(token, peer, now).map(Some),
            None => Ok(self.sessions.role(headers, now)),
        }
    }

    /// Whether a live answer to a request with these headers may go on. A wrong token does not count as a
    /// guess here: it was right once.
    pub(super) fn still_reads(&self, headers: &HeaderMap, now: Duration) -> bool {
        self.settings.token.is_none()
            || match bearer(headers) {
                Ok(Some(token)) => self.role_by(token).is_some(),
                Ok(None) => self.sessions.role(headers, now).is_some(),
                Err(_) => false,
            }
    }

    /// Trades a token for a session with this id. Without configured tokens there are no sessions: `None`.
    /// Errors: [`Refusal`] if the token is wrong, or if too many wrong ones came from the address.
    pub(super) fn log_in(
        &mut self,
        token: &str,
        id: SessionId,
        peer: IpAddr,
        now: Duration,
    ) -> Result<(Role, Option<SessionId>), Refusal> {
        if self.settings.token.is_none() {
            return Ok((Role::Admin, None));
        }
        let role = self.role_of(token.as_bytes(), peer, now)?;
        self.sessions.begin(&id, role, now);
        Ok((role, Some(id)))
    }

    /// Ends the session of a request.
    pub(super) fn log_out(&mut self, headers: &HeaderMap) {
        self.sessions.end(headers);
    }

    fn role_of(&mut self, token: &[u8], peer: IpAddr, now: Duration) -> Result<Role, Refusal> {
        // A right token waits, too: if it passed at once, a guesser would lose no time.
        let wait = self.guesses.wait(peer, now);
        if !wait.is_zero() {
            return Err(Refusal::TooManyGuesses(wait));
        }
        self.role_by(token).ok_or_else(|| {
            self.guesses.wrong(peer, now);
            Refusal::WrongToken
        })
    }

    /// The role of a token; `None` if it is wrong.
    fn role_by(&self, token: &[u8]) -> Option<Role> {
        let is = |configured: Option<AdminToken>| configured.is_some_and(|configured| configured.is(token));
        // Both tokens are always compared, so that the time taken does not show which one matched.
        match (is(self.settings.token), is(self.settings.read_token)) {
            (true, _) => Some(Role::Admin),
            (false, true) => Some(Role::Read),
            (false, false) => None,
        }
    }
}

/// The bearer token of a request. Another scheme belongs to a proxy in front.
/// Errors: there are several `Authorization` headers: a proxy in front may have checked any one of them.
fn bearer(headers: &HeaderMap) -> Result<Option<&[u8]>, Refusal> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = all.next() else { return Ok(None) };
    if all.next().is_some() {
        return Err(Refusal::NoToken);
    }
    let value = value.as_bytes().trim_ascii();
    let (scheme, rest) = value.split_at(value.iter().position(|byte| *byte == b' ').unwrap_or(value.len()));
    Ok(scheme.eq_ignore_ascii_case(b"bearer").then(|| rest.trim_ascii_start()))
}

#[cfg(test)]
mod tests {
    use super::super::guesses::GUESSES_AT_ONCE;
    use super::*;
    use crate::random::Random;

    const ADMIN: &str = "an-admin-token-of-a-test";
    const READ: &str = "a-read-token-of-a-test";
    const NOW: Duration = Duration::from_secs(100);

    #[derive(Debug)]
    struct Always(u64);

    impl Random for Always {
        fn next_u64(&self) -> u64 {
            self.0
        }
    }

    fn peer() -> IpAddr {
        "192.0.2.1".parse().unwrap()
    }

    fn with_tokens() -> AccessSettings {
        AccessSettings {
            token: AdminToken::of(ADMIN).ok(),
            read_token: AdminToken::of(READ).ok(),
            ..AccessSettings::default()
        }
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, value.parse().unwrap());
        }
        map
    }

    fn bearing(token: &str) -> HeaderMap {
        headers(&[("authorization", &format!("Bearer {token}"))])
    }

    fn session(access: &mut Access, token: &str, seed: u64) -> HeaderMap {
        let (_, id) = access.log_in(token, SessionId::draw(&Always(seed)), peer(), NOW).unwrap();
        headers(&[("cookie", id.unwrap().cookie(false).split(';').next().unwrap())])
    }

    #[test]
    fn what_a_request_needs_follows_from_its_method_and_path() {
        let check = |method: &str, path: &str, expected| {
            assert_eq!(Need::of(&method.parse().unwrap(), path), expected, "{method} {path}");
        };
        for path in ["/", "/health", "/ready", "/console.js", "/api", "/nothing"] {
            check("GET", path, Need::Nothing);
        }
        check("GET", "/metrics", Need::Metrics);
        check("POST", "/metrics", Need::Metrics);
        for method in ["GET", "POST", "DELETE"] {
            check(method, "/api/session", Need::Nothing);
        }
        // Paths that do not exist, or not yet, need a token, too.
        for path in ["/api/status", "/api/live", "/api/", "/api/not/yet", "/api/session/x", "/api//session"] {
            check("GET", path, Need::Read);
            check("HEAD", path, Need::Read);
            for method in ["POST", "DELETE", "PUT", "OPTIONS", "GETS"] {
                check(method, path, Need::Change);
            }
        }
    }

    #[test]
    fn a_token_opens_what_it_is_for() {
        let mut access = Access::new(with_tokens());
        let mut check = |headers: &HeaderMap, metrics, read, change| {
            for (need, expected) in [
                (Need::Metrics, metrics),
                (Need::Read, read),
                (Need::Change, change),
                (Need::Nothing, Ok(())),
            ] {
                assert_eq!(access.check(need, headers, peer(), NOW), expected, "{need:?} {headers:?}");
            }
        };
        let (yes, no, only) = (Ok(()), Err(Refusal::NoToken), Err(Refusal::ReadOnly));
        check(&HeaderMap::new(), no, no, no);
        check(&bearing(ADMIN), yes, yes, yes);
        check(&bearing(READ), yes, yes, only);
        for value in [format!("bearer {ADMIN}"), format!("BEARER   {ADMIN}")] {
            check(&headers(&[("authorization", &value)]), yes, yes, yes);
        }
        for value in ["Basic eDp5".to_owned(), ADMIN.to_owned(), format!("Token {ADMIN}"), String::new()] {
            check(&headers(&[("authorization", &value)]), no, no, no);
        }
        // Several tokens are refused even if one of them is right.
        let two = format!("Bearer {ADMIN}");
        check(&headers(&[("authorization", &two), ("authorization", &two)]), no, no, no);
        let wrong = Err(Refusal::WrongToken);
        check(&bearing("x"), wrong, wrong, wrong);
        check(&headers(&[("authorization", "Bearer")]), wrong, wrong, wrong);
    }

    #[test]
    fn without_a_token_everything_is_open() {
        let mut access = Access::new(AccessSettings::default());
        for need in [Need::Metrics, Need::Read, Need::Change] {
            assert_eq!(access.check(need, &HeaderMap::new(), peer(), NOW), Ok(()));
            assert_eq!(access.check(need, &bearing("x"), peer(), NOW), Ok(()));
        }
        let (role, id) = access.log_in("x", SessionId::draw(&Always(1)), peer(), NOW).unwrap();
        assert_eq!((role, id.is_none()), (Role::Admin, true));
    }

    #[test]
    fn metrics_can_be_open() {
        let mut access = Access::new(AccessSettings { metrics_without_token: true, ..with_tokens() });
        assert_eq!(access.check(Need::Metrics, &HeaderMap::new(), peer(), NOW), Ok(()));
        assert_eq!(access.check(Need::Read, &HeaderMap::new(), peer(), NOW), Err(Refusal::NoToken));
    }

    #[test]
    fn a_session_has_the_role_of_its_token_until_it_ends() {
        let mut access = Access::new(with_tokens());
        let (admin, reader) = (session(&mut access, ADMIN, 1), session(&mut access, READ, 2));
        assert_eq!(access.role(&admin, peer(), NOW), Ok(Some(Role::Admin)));
        assert_eq!(access.role(&reader, peer(), NOW), Ok(Some(Role::Read)));
        assert_eq!(access.check(Need::Change, &reader, peer(), NOW), Err(Refusal::ReadOnly));
        // A wrong token counts, whatever session comes with it. The scheme of a proxy in front does not.
        let mut both = admin.clone();
        both.insert(AUTHORIZATION, "Bearer x".parse().unwrap());
        assert_eq!(access.role(&both, peer(), NOW), Err(Refusal::WrongToken));
        both.insert(AUTHORIZATION, "Basic eDp5".parse().unwrap());
        assert_eq!(access.role(&both, peer(), NOW), Ok(Some(Role::Admin)));
        access.log_out(&admin);
        assert_eq!(access.role(&admin, peer(), NOW), Ok(None));
        assert_eq!(access.role(&reader, peer(), NOW), Ok(Some(Role::Read)));
    }

    #[test]
    fn another_token_ends_every_session_and_other_settings_none() {
        let mut access = Access::new(with_tokens());
        let reader = session(&mut access, READ, 1);
        access.set(AccessSettings { live_view: Mode::Off, ..with_tokens() });
        assert_eq!(access.role(&reader, peer(), NOW), Ok(Some(Role::Read)));
        let other = AccessSettings { token: AdminToken::of("another-admin-token").ok(), ..with_tokens() };
        assert!(access.still_reads(&reader, NOW) && access.still_reads(&bearing(ADMIN), NOW));
        access.set(other);
        assert!(!access.still_reads(&reader, NOW) && !access.still_reads(&bearing(ADMIN), NOW));
        assert_eq!(access.role(&reader, peer(), NOW), Ok(None));
        assert_eq!(access.role(&bearing(ADMIN), peer(), NOW), Err(Refusal::WrongToken));
        assert_eq!(access.role(&bearing("another-admin-token"), peer(), NOW), Ok(Some(Role::Admin)));
    }

    #[test]
    fn who_guesses_has_to_wait_and_who_has_a_session_does_not() {
        let mut access = Access::new(with_tokens());
        let reader = session(&mut access, READ, 1);
        for _ in 0..GUESSES_AT_ONCE {
            let refused = access.log_in("guess", SessionId::draw(&Always(1)), peer(), NOW);
            assert_eq!(refused.unwrap_err(), Refusal::WrongToken);
        }
        let limited = |result| matches!(result, Err(Refusal::TooManyGuesses(_)));
        assert!(limited(access.role(&bearing(ADMIN), peer(), NOW)), "also for the right token");
        assert!(limited(access.log_in(ADMIN, SessionId::draw(&Always(1)), peer(), NOW).map(|_| None)));
        assert_eq!(access.role(&reader, peer(), NOW), Ok(Some(Role::Read)));
        let other = "192.0.2.2".parse().unwrap();
        assert_eq!(access.role(&bearing(ADMIN), other, NOW), Ok(Some(Role::Admin)));
        let later = NOW + Duration::from_secs(1);
        assert_eq!(access.role(&bearing(ADMIN), peer(), later), Ok(Some(Role::Admin)));
    }
}
