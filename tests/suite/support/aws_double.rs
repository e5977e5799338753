//! A server that answers as AWS documents its S3 and STS, for what no server here enforces: sessions that end, keys
//! that are switched off, buckets in other regions.
//!
//! It holds no secret and so checks no signature. It does check whose signature it is: the access key and the region of
//! the `Authorization` header and the session token beside it decide every answer.

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

/// A running double. Dropped, it stops, and fails the test where it was asked for what no template grants.
pub(crate) struct AwsDouble {
    server: ScriptedHttp,
    world: Arc<Mutex<World>>,
}

/// Everything that it knows.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) buckets: BTreeMap<String, Bucket>,
    /// By ARN. A key that is not here does not exist.
    pub(crate) keys: BTreeMap<String, Key>,
    /// By ARN: the external ids that the role's trust policy takes.
    pub(crate) roles: BTreeMap<String, BTreeSet<String>>,
    /// By ARN: the token of the web identity that may have the role.
    pub(crate) web_identities: BTreeMap<String, String>,
    pub(crate) token_service: TokenService,
    /// By access key id.
    pub(crate) sessions: BTreeMap<String, Session>,
    /// How long sessions last that are asked for now.
    pub(crate) session_length: Duration,
    /// Sessions that are asked for now are given and not taken: something is wrong between the services.
    pub(crate) sessions_are_void: bool,
    /// How many requests were answered `ExpiredToken`.
    pub(crate) expired_answers: usize,
}

/// A bucket and what it holds.
#[derive(Debug)]
pub(crate) struct Bucket {
    /// The account that owns it.
    pub(crate) owner: String,
    pub(crate) region: String,
    /// What requests are answered that are signed for another region.
    pub(crate) misdirected: Misdirected,
    /// What `HeadBucket` is answered.
    pub(crate) asked: Asked,
    /// The encryption that is applied whatever is asked for.
    pub(crate) applies: Option<&'static str>,
    /// How many puts are still answered 307, as while a young bucket's name spreads.
    pub(crate) young_for: u32,
    /// The puts that were taken, by key.
    pub(crate) objects: BTreeMap<String, Request>,
}

/// How S3 says that a bucket is elsewhere.
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
    /// 200, or 301 where it was signed for another region; with the region in a header.
    Answered,
    /// 403, with the region in a header.
    Refused,
    /// 403, without.
    RefusedSilently,
}

/// The state of a KMS key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Enabled,
    Disabled,
    PendingDeletion,
    /// A policy allows whoever asks no data keys.
    Denied,
    /// The key service has too much to do.
    Throttled,
}

/// The state of the token service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum TokenService {
    #[default]
    Up,
    /// The trust policy refuses everybody.
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
    /// What the program takes its credentials from.
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

    /// Its base URL, for all services.
    pub(crate) fn url(&self) -> String {
        self.server.url()
    }

    /// Looks at what it knows, or changes it.
    pub(crate) fn world<T>(&self, work: impl FnOnce(&mut World) -> T) -> T {
        work(&mut lock(&self.world))
    }

    /// Every request so far, in order.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.server.requests()
    }

    /// The requests for a session so far.
    pub(crate) fn assume_requests(&self) -> usize {
        self.requests().iter().filter(|request| request.method == "POST").count()
    }

    /// The message ids of a source's calls in a bucket, as often as they are there.
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

    /// Who signed each object of a bucket, in the order of the keys: access key and region.
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
    /// Makes a bucket; requests that are misdirected are told so in the way of `misdirected`.
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

    /// Ends every session before its time.
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
