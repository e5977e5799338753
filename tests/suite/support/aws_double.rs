//! A server that answers like AWS documents its S3 and STS, for what no other test server enforces: sessions
//! that end, keys that are disabled, buckets in other regions.
//!
//! It has no secrets and so checks no signature. It does check who signed: the access key and the region of
//! the `Authorization` header and the session token decide every answer.

mod s3;
mod sts;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use flate2::read::GzDecoder;
use forebay::runtime::SystemClock;
use forebay::time::{Clock, UnixMillis};

use super::scripted_http::{Reply, Request, ScriptedHttp};

/// A running double. When dropped, it stops, and fails the test if an action was requested that no template
/// grants.
pub(crate) struct AwsDouble {
    server: ScriptedHttp,
    world: Arc<Mutex<World>>,
}

/// The whole state.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) buckets: BTreeMap<String, Bucket>,
    /// By ARN. A key that is not listed does not exist.
    pub(crate) keys: BTreeMap<String, Key>,
    /// By ARN: the external ids that the role's trust policy accepts.
    pub(crate) roles: BTreeMap<String, BTreeSet<String>>,
    /// By ARN: the token of the web identity that may assume the role.
    pub(crate) web_identities: BTreeMap<String, String>,
    pub(crate) token_service: TokenService,
    /// By access key id.
    pub(crate) sessions: BTreeMap<String, Session>,
    /// How long new sessions last.
    pub(crate) session_length: Duration,
    /// New sessions are issued but not accepted, as if the services disagreed.
    pub(crate) sessions_are_void: bool,
    /// How many requests were answered `ExpiredToken`.
    pub(crate) expired_answers: usize,
}

/// A bucket and its content.
#[derive(Debug)]
pub(crate) struct Bucket {
    /// The account that owns it.
    pub(crate) owner: String,
    pub(crate) region: String,
    /// The answer to requests that are signed for another region.
    pub(crate) misdirected: Misdirected,
    /// The answer to `HeadBucket`.
    pub(crate) asked: Asked,
    /// The encryption that is applied, whatever is requested.
    pub(crate) applies: Option<&'static str>,
    /// How many more puts are answered 307, as happens until a new bucket's name has spread.
    pub(crate) young_for: u32,
    /// The accepted puts, by key.
    pub(crate) objects: BTreeMap<String, Request>,
}

/// How S3 reports that a bucket is in another region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Misdirected {
    /// 301, the region in a header.
    PermanentRedirect,
    /// 400, the region in the body.
    AuthorizationHeaderMalformed,
    /// 400, the region not named.
    IllegalLocationConstraint,
}

/// How S3 answers `HeadBucket`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// 200, or 301 if it was signed for another region; with the region in a header.
    Answered,
    /// 403, with the region in a header.
    Refused,
    /// 403, without the region.
    RefusedSilently,
}

/// The state of a KMS key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Enabled,
    Disabled,
    PendingDeletion,
    /// A policy denies data keys to the caller.
    Denied,
    /// The key service is overloaded.
    Throttled,
}

/// The state of the token service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum TokenService {
    #[default]
    Up,
    /// The trust policy refuses everyone.
    Refuses,
    /// 500.
    Fails,
    /// Connections end without an answer.
    Unreachable,
}

/// A session of a role.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) external_id: String,
    pub(crate) name: String,
    pub(crate) token: String,
    pub(crate) ends: UnixMillis,
    pub(crate) revoked: bool,
}

impl AwsDouble {
    /// The access key of the process itself.
    pub(crate) const PROCESS: &str = "AKIAPROCESS";
    /// The account that owns its buckets.
    pub(crate) const ACCOUNT: &str = "111122223333";
    /// The environment variables that give the program its credentials.
    pub(crate) const CREDENTIALS: [(&str, &str); 2] =
        [("AWS_ACCESS_KEY_ID", Self::PROCESS), ("AWS_SECRET_ACCESS_KEY", "a secret that nobody checks")];

    pub(crate) async fn start() -> Self {
        let world = World { session_length: Duration::from_secs(3_600), ..World::default() };
        let world = Arc::new(Mutex::new(world));
        let server = ScriptedHttp::start({
            let world = Arc::clone(&world);
            move |request| lock(&world).answer(request)
        })
        .await;
        Self { server, world }
    }

    /// The base URL of all services.
    pub(crate) fn url(&self) -> String {
        self.server.url()
    }

    /// Reads or changes the state.
    pub(crate) fn world<T>(&self, work: impl FnOnce(&mut World) -> T) -> T {
        work(&mut lock(&self.world))
    }

    /// Every request so far, in order.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.server.requests()
    }

    /// The number of requests for a session so far.
    pub(crate) fn assume_requests(&self) -> usize {
        self.requests().iter().filter(|request| request.method == "POST").count()
    }

    /// The message ids of a source's calls in a bucket, including duplicates.
    pub(crate) fn ids(&self, bucket: &str, source: &str) -> Vec<String> {
        let prefix = format!("segment-logs/{source}/");
        let mut ids = Vec::new();
        let bodies: Vec<Vec<u8>> = self.world(|world| {
            let objects = world.buckets[bucket].objects.iter();
            objects.filter(|(key, _)| key.starts_with(&prefix)).map(|(_, put)| put.body.clone()).collect()
        });
        for body in bodies {
            let mut text = String::new();
            GzDecoder::new(&body[..]).read_to_string(&mut text).expect("a gzip member");
            for line in text.lines() {
                let line: serde_json::Value = serde_json::from_str(line).expect("a line of JSON");
                ids.push(line["messageId"].as_str().expect("an id").to_owned());
            }
        }
        ids
    }

    /// Who signed each object of a bucket, in key order: access key and region.
    pub(crate) fn signers(&self, bucket: &str) -> Vec<(String, String)> {
        self.world(|world| {
            let puts = world.buckets[bucket].objects.values();
            puts.map(|put| Scope::of(put).expect("a signature"))
                .map(|scope| (scope.signer, scope.region))
                .collect()
        })
    }
}

impl World {
    /// Makes a bucket. Misdirected requests get the answer `misdirected`.
    pub(crate) fn make_bucket(&mut self, name: &str, region: &str, misdirected: Misdirected) {
        let bucket = Bucket {
            owner: AwsDouble::ACCOUNT.to_owned(),
            region: region.to_owned(),
            misdirected,
            asked: Asked::Answered,
            applies: None,
            young_for: 0,
            objects: BTreeMap::new(),
        };
        self.buckets.insert(name.to_owned(), bucket);
    }

    /// Ends every session early.
    pub(crate) fn revoke_sessions(&mut self) {
        self.sessions.values_mut().for_each(|session| session.revoked = true);
    }

    fn answer(&mut self, request: &Request) -> Reply {
        let Some(scope) = Scope::of(request) else { return self.answer_unsigned(request) };
        match scope.service.as_str() {
            "sts" => self.answer_sts(request, &scope),
            "s3" => self.answer_s3(request, &scope),
            _ => Reply::s3_error(403, "SignatureDoesNotMatch"),
        }
    }
}

/// What a signature was made for, from the `Authorization` header.
#[derive(Debug)]
struct Scope {
    signer: String,
    region: String,
    service: String,
}

impl Scope {
    fn of(request: &Request) -> Option<Self> {
        let (_, rest) = request.header("authorization")?.split_once("Credential=")?;
        let mut parts = rest.split([',', ' ']).next()?.split('/').map(str::to_owned);
        let (signer, _day, region, service) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        Some(Self { signer, region, service })
    }
}

fn now() -> UnixMillis {
    SystemClock::new().wall()
}

fn lock(world: &Mutex<World>) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}
