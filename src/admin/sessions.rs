//! The sessions of the console: who has traded a token for a cookie. Pure: time and chance are passed in.
//!
//! Only the hash of a session's id is kept, so that a stolen memory image shows no session.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use http::HeaderMap;
use http::header::COOKIE;
use sha2::{Digest, Sha256};

use crate::random::Random;

/// Sessions at once. A further login ends the oldest session.
pub(super) const SESSIONS_MAX: usize = 256;
/// How long a session lasts, counted from its login.
pub(super) const SESSION_LIFE: Duration = Duration::from_secs(12 * 3_600);
/// The name of the session's cookie.
pub(super) const SESSION_COOKIE: &str = "forebay_session";

/// What a caller of the admin listener may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    /// See everything, change nothing.
    Read,
    /// Everything.
    Admin,
}

/// The id of a session, which only its browser keeps: 256 random bits.
pub(super) struct SessionId([u8; 32]);

/// The sessions that have not ended.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    by_hash: BTreeMap<Hash, Session>,
    /// How many sessions ever began.
    began: u64,
}

type Hash = [u8; 32];

#[derive(Debug)]
struct Session {
    role: Role,
    began: Duration,
    /// The session's number in the order of logins.
    number: u64,
}

impl SessionId {
    pub(super) fn draw(random: &dyn Random) -> Self {
        let mut bits = [0; 32];
        for (part, byte) in bits.chunks_exact_mut(8).zip(std::iter::repeat_with(|| random.next_u64())) {
            part.copy_from_slice(&byte.to_le_bytes());
        }
        Self(bits)
    }

    /// The `Set-Cookie` that starts the session in a browser. `secure`: only over TLS.
    pub(super) fn cookie(&self, secure: bool) -> String {
        cookie(&hex::encode(self.0), SESSION_LIFE.as_secs(), secure)
    }

    fn hash(&self) -> Hash {
        Sha256::digest(hex::encode(self.0)).into()
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionId(hidden)")
    }
}

/// The `Set-Cookie` of a session; with 0 seconds, the one that removes its cookie.
pub(super) fn cookie(value: &str, seconds: u64, secure: bool) -> String {
    let secure = if secure { "; Secure" } else { "" };
    format!("{SESSION_COOKIE}={value}; HttpOnly; SameSite=Strict; Path=/; Max-Age={seconds}{secure}")
}

impl Sessions {
    pub(super) fn begin(&mut self, id: &SessionId, role: Role, now: Duration) {
        self.by_hash.retain(|_, session| session.lasts(now));
        while self.by_hash.len() >= SESSIONS_MAX {
            let oldest = self.by_hash.iter().min_by_key(|(_, session)| session.number).map(|(hash, _)| *hash);
            let Some(oldest) = oldest else { break };
            self.by_hash.remove(&oldest);
        }
        self.began += 1;
        self.by_hash.insert(id.hash(), Session { role, began: now, number: self.began });
    }

    /// The role of the session that the cookies of a request name.
    pub(super) fn role(&self, headers: &HeaderMap, now: Duration) -> Option<Role> {
        let lasting = |hash: Hash| self.by_hash.get(&hash).filter(|session| session.lasts(now));
        hashes(headers).find_map(lasting).map(|session| session.role)
    }

    /// Ends the sessions that the cookies of a request name.
    pub(super) fn end(&mut self, headers: &HeaderMap) {
        for hash in hashes(headers) {
            self.by_hash.remove(&hash);
        }
    }
}

impl Session {
    fn lasts(&self, now: Duration) -> bool {
        now.saturating_sub(self.began) < SESSION_LIFE
    }
}

/// The hashes of the session ids in a request's cookies. There may be several: another server on the same
/// host may have set a cookie of this name, since cookies do not depend on the port.
fn hashes(headers: &HeaderMap) -> impl Iterator<Item = Hash> {
    let pairs =
        headers.get_all(COOKIE).iter().flat_map(|cookies| cookies.as_bytes().split(|byte| *byte == b';'));
    pairs.filter_map(|pair| {
        let value = pair.trim_ascii().strip_prefix(SESSION_COOKIE.as_bytes())?.strip_prefix(b"=")?;
        (value.len() == 64).then(|| Sha256::digest(value).into())
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[derive(Debug, Default)]
    struct Counting(AtomicU64);

    impl Random for Counting {
        fn next_u64(&self) -> u64 {
            self.0.fetch_add(1, Ordering::Relaxed)
        }
    }

    fn sent(id: &SessionId) -> HeaderMap {
        with_cookie(id.cookie(false).split(';').next().unwrap())
    }

    fn with_cookie(cookie: &str) -> HeaderMap {
        HeaderMap::from_iter([(COOKIE, cookie.parse().unwrap())])
    }

    #[test]
    fn a_session_lasts_twelve_hours_from_its_login() {
        let (mut sessions, random) = (Sessions::default(), Counting::default());
        let (admin, reader) = (SessionId::draw(&random), SessionId::draw(&random));
        let began = Duration::from_secs(50);
        sessions.begin(&admin, Role::Admin, began);
        sessions.begin(&reader, Role::Read, began);
        assert_eq!(sessions.role(&sent(&admin), began), Some(Role::Admin));
        let last = began + SESSION_LIFE - Duration::from_millis(1);
        assert_eq!(sessions.role(&sent(&reader), last), Some(Role::Read));
        assert_eq!(sessions.role(&sent(&reader), began + SESSION_LIFE), None);
        assert_eq!(sessions.role(&sent(&SessionId::draw(&random)), began), None);
        assert_eq!(sessions.role(&HeaderMap::new(), began), None);
    }

    #[test]
    fn a_session_ends_when_asked() {
        let (mut sessions, random, now) = (Sessions::default(), Counting::default(), Duration::ZERO);
        let (one, other) = (SessionId::draw(&random), SessionId::draw(&random));
        sessions.begin(&one, Role::Admin, now);
        sessions.begin(&other, Role::Admin, now);
        sessions.end(&sent(&one));
        assert_eq!(sessions.role(&sent(&one), now), None);
        assert_eq!(sessions.role(&sent(&other), now), Some(Role::Admin));
        sessions = Sessions::default();
        assert_eq!(sessions.role(&sent(&other), now), None);
    }

    #[test]
    fn the_oldest_session_leaves_for_a_new_one() {
        let (mut sessions, random, now) = (Sessions::default(), Counting::default(), Duration::ZERO);
        let ids: Vec<_> = (0..=SESSIONS_MAX).map(|_| SessionId::draw(&random)).collect();
        ids.iter().for_each(|id| sessions.begin(id, Role::Read, now));
        assert_eq!(sessions.by_hash.len(), SESSIONS_MAX);
        assert_eq!(sessions.role(&sent(&ids[0]), now), None);
        assert!(ids[1..].iter().all(|id| sessions.role(&sent(id), now) == Some(Role::Read)));
        // Ended sessions make room first.
        let later = now + SESSION_LIFE;
        sessions.begin(&ids[0], Role::Admin, later);
        assert_eq!(sessions.by_hash.len(), 1);
    }

    #[test]
    fn only_the_exact_cookie_is_the_session() {
        let (mut sessions, now) = (Sessions::default(), Duration::ZERO);
        let id = SessionId([0xAB; 32]);
        sessions.begin(&id, Role::Admin, now);
        let value = hex::encode(id.0);
        let check = |cookie: &str, expected: Option<Role>| {
            assert_eq!(sessions.role(&with_cookie(cookie), now), expected, "{cookie}");
        };
        let yes = Some(Role::Admin);
        check(&format!("forebay_session={value}"), yes);
        check(&format!("a=b; forebay_session={value};c=d"), yes);
        // A cookie of another server on the same host.
        check(&format!("forebay_session={}; forebay_session={value}", "0".repeat(64)), yes);
        for no in [
            format!("Forebay_session={value}"),
            format!("xforebay_session={value}"),
            format!("forebay_session ={value}"),
            format!("forebay_session={}", value.to_uppercase()),
            format!("forebay_session=\"{value}\""),
            format!("forebay_session={value}0"),
            format!("forebay_session={}", "ab".repeat(31)),
            "forebay_session=".to_owned(),
            "forebay_session".to_owned(),
            value.clone(),
        ] {
            check(&no, None);
        }
    }

    #[test]
    fn the_cookie_is_out_of_reach_of_scripts_and_other_sites() {
        let id = SessionId([0xAB; 32]);
        let expected =
            format!("forebay_session={}; HttpOnly; SameSite=Strict; Path=/; Max-Age=43200", "ab".repeat(32));
        assert_eq!(id.cookie(false), expected);
        assert_eq!(id.cookie(true), format!("{expected}; Secure"));
        assert_eq!(cookie("", 0, false), "forebay_session=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0");
        assert_eq!(format!("{id:?}"), "SessionId(hidden)");
    }
}
