//! Four days of one node that make a running spool write every kind of note. At the end the power is cut: the
//! spool becomes the fixture `spool-2.0-rich`, and the bucket, with the objects delivered by then, becomes
//! `bucket-0.1`.
//!
//! | source | destination | events |
//! | --- | --- | --- |
//! | `web` | `lake` | receipts, repeats; at the end one object is sealed and not put |
//! | `ios` | `lake` | rejected items; at the end one object is parked and the next one stored |
//! | `till` | `old`, `lake` | moves; two open calls are damaged; at the end a put's answer is lost |
//! | `lobby` | `lake` | a call is damaged after the store has its object; imported calls |
//! | `kiosk` | `aside` | all calls of a sealed object are damaged, so an empty object is put |
//! | `booth` | `aside` | two calls of a sealed object are damaged before its put |
//! | `shop` | `aside` | an upload conflict, resolved with `overwrite` and not yet put |
//! | `shelf` | `aside` | an upload conflict, not resolved |
//! | `vault` | `vault` | no calls; its bucket sets every option |
//!
//! The days are 13 November 2023 (only `kiosk`), the 14th and 15th, which are closed, and the 16th, on which
//! the power is cut.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use forebay::dev_s3::{
    ACCESS_KEY_ID, BUCKET, CONNECTIONS_MAX, DevS3, DevS3Running, DevS3Settings, SECRET_ACCESS_KEY,
};
use forebay::log::{Log, Parked, PendingSeal, frame::Origin};
use forebay::object::{
    AccountId, BucketString, Encryption, ExternalId, KmsContext, KmsKey, ObjectKey, Role, RoleArn,
    S3Location, SseKms, StorageClass,
};
use forebay::sources::SourceId;
use forebay::spool::format::parked_name;

use forebay::store::s3::{CredentialsFrom, S3Settings, S3Store};
use forebay::time::{Clock as _, DAY_MS, UnixMillis};

use super::super::spool;
use super::gate::{Gate, Rule};
use super::process::{Counting, How, Process, SetClock, damage, source, tear};
use crate::support::bucket::Bucket;
use crate::support::crash::copy;

/// 2023-11-13, midnight.
const DAY_0: i64 = 1_699_833_600_000;
const HOUR: i64 = 3_600_000;
/// When the power is cut: 2023-11-16T11:30:00Z.
pub(super) const END: UnixMillis = UnixMillis(DAY_0 + 3 * DAY_MS + 11 * HOUR + HOUR / 2);

const RECEIPTS: How = How { receipts: true, origin: None };
const PLAIN: How = How { receipts: false, origin: None };

/// The files that the scenario leaves.
#[derive(Debug)]
pub(super) struct Scenario {
    folder: tempfile::TempDir,
}

impl Scenario {
    /// The spool, as the power cut left it.
    pub(super) fn spool(&self) -> PathBuf {
        self.folder.path().join("spool-2.0-rich")
    }

    /// The files of the S3 server at the same time.
    pub(super) fn bucket(&self) -> PathBuf {
        self.folder.path().join("bucket-0.1")
    }

    pub(super) async fn run() -> Self {
        let scenario = Self { folder: tempfile::tempdir().unwrap() };
        let clock = SetClock::at(DAY_0 + 20 * HOUR);
        let scene = Scene::start(scenario.folder.path(), &clock).await;
        scene.first_process().await;
        scene.second_process().await;
        scene.third_process(&scenario.spool()).await;
        scene.server.stop().await.unwrap();
        copy(&scenario.folder.path().join("s3"), &scenario.bucket());
        scenario
    }
}

/// What outlives the node's processes.
struct Scene {
    dir: PathBuf,
    clock: Arc<SetClock>,
    server: DevS3Running,
    bucket: Bucket,
    gate: Gate,
}

impl Scene {
    async fn start(folder: &Path, clock: &Arc<SetClock>) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let settings = DevS3Settings {
            data_dir: folder.join("s3"),
            clock: Arc::<SetClock>::clone(clock),
            random: Arc::new(Counting::default()),
            connections: CONNECTIONS_MAX,
        };
        let server = DevS3::start(listener, settings).await.unwrap();
        let bucket = Bucket::new(&server.url(), BUCKET, ACCESS_KEY_ID, SECRET_ACCESS_KEY);
        let store = S3Settings {
            endpoint_url: Some(server.url()),
            path_style: true,
            credentials: CredentialsFrom::Static {
                access_key_id: ACCESS_KEY_ID.to_owned(),
                secret_access_key: SECRET_ACCESS_KEY.to_owned(),
            },
            ..S3Settings::default()
        };
        let gate = Gate::new(S3Store::new(store).await);
        Self { dir: folder.join("spool"), clock: Arc::clone(clock), server, bucket, gate }
    }

    /// The 13th. One object is put and a second one is sealed, then the process is killed. The second
    /// object's calls and a note of the manifest are damaged.
    async fn first_process(&self) {
        let mut process = Process::open(&self.dir, &self.clock);
        process.spool.locations().set_locations(locations()).unwrap();
        process.calls("kiosk", 0..5, PLAIN);
        let delivery = process.deliver(&self.gate);
        delivery.flush("kiosk").await;
        delivery.end().await;
        let now = self.clock.wall();
        process.log().note_clock(UnixMillis(now.0 + HOUR), now).unwrap();
        process.calls("kiosk", 5..9, PLAIN);
        drop(process.seal("kiosk", &process.staging(usize::MAX)));
        drop(process);
        for number in 5..9 {
            damage(&self.dir, ("wal-", ".seg"), &message_id("kiosk", number));
        }
        damage(&self.dir, ("MANIFEST-", ""), r#"{"clock":"#);
    }

    /// From the 13th to the 15th, closed cleanly. Then calls of three sources are damaged, and the conflict
    /// of `shop` is resolved.
    async fn second_process(&self) {
        let mut process = Process::open(&self.dir, &self.clock);
        assert!(
            process.recovered.manifest_damaged && process.recovered.lost.len() == 1,
            "{:?}",
            process.recovered
        );
        let delivery = process.deliver(&self.gate);
        delivery.flush("kiosk").await;

        self.clock.set(DAY_0 + DAY_MS + 10 * HOUR);
        for (number, hour) in [(0, 10), (12, 11)] {
            self.clock.set(DAY_0 + DAY_MS + hour * HOUR);
            process.calls("web", number..number + 6, PLAIN);
            process.calls("ios", number..number + 4, PLAIN);
            process.calls("web", number + 6..number + 12, PLAIN);
            delivery.flush("web").await;
        }
        process.invalid("ios", 0..2);
        process.calls("web", 14..18, PLAIN);
        delivery.flush("ios").await;
        process.calls("till", 0..5, PLAIN);
        delivery.flush("till").await;
        delivery.close_day(&["web", "ios", "till"]).await;

        self.clock.set(DAY_0 + 2 * DAY_MS + 9 * HOUR);
        process.spool.locations().set_locations(vec![(source("till"), to("lake"))]).unwrap();
        process.calls("web", 24..34, RECEIPTS);
        process.calls("ios", 16..22, PLAIN);
        delivery.flush("web").await;
        delivery.flush("ios").await;
        process.calls("lobby", 0..5, PLAIN);
        self.gate.set(&[("/lobby/", Rule::LoseAnswer)]);
        delivery.flush_until("lobby", || self.gate.has_unanswered("/lobby/")).await;
        delivery.end().await;

        for (name, calls) in [("booth", 6), ("shop", 3), ("shelf", 3)] {
            process.calls(name, 0..calls, PLAIN);
            let (seal, _) = process.seal(name, &process.staging(usize::MAX));
            if name != "booth" {
                self.put_foreign(&seal.object_key).await;
            }
        }
        self.gate.set(&["/booth/", "/lobby/", "/shelf/"].map(|name| (name, Rule::Refuse)));
        let delivery = process.deliver(&self.gate);
        let log = process.log();
        delivery.eventually("the conflict of shop", || is(&*log, "shop", |pending| pending.conflict)).await;
        delivery.end().await;
        self.clock.set(DAY_0 + 2 * DAY_MS + 12 * HOUR);
        process.calls("till", 5..11, PLAIN);
        process.calls("web", 34..38, RECEIPTS);
        let shop = number_of(&*log, "shop");
        drop(log);
        process.close();
        for (name, number) in [("lobby", 2), ("booth", 1), ("booth", 4), ("till", 6), ("till", 9)] {
            damage(&self.dir, ("wal-", ".seg"), &message_id(name, number));
        }
        let resolved = spool("resolve", &self.dir, &["--seal", &shop.to_string(), "--action", "overwrite"]);
        assert_eq!(resolved.code, Some(0), "{resolved:?}");
    }

    /// From the end of the 15th until the power is cut. `crashed` receives the spool.
    async fn third_process(&self, crashed: &Path) {
        self.clock.set(DAY_0 + 2 * DAY_MS + 22 * HOUR);
        let mut process = Process::open(&self.dir, &self.clock);
        // The damaged call of `lobby` is in a closed segment, which recovery does not read: delivery finds
        // the damage.
        assert_eq!(process.recovered.lost.len(), 4, "{:?}", process.recovered);
        let log = process.log();
        let refused = [("/booth/", Rule::Refuse), ("/shop/", Rule::Refuse)];
        self.gate.set(&refused);
        let delivery = process.deliver(&self.gate);
        delivery.eventually("the conflict of shelf", || is(&*log, "shelf", |pending| pending.conflict)).await;
        delivery
            .eventually("the amended seal of booth", || {
                is(&*log, "booth", |pending| pending.amended.is_some())
            })
            .await;
        for name in ["lobby", "till", "web"] {
            delivery.flush(name).await;
        }
        delivery.close_day(&["web", "ios", "till", "lobby"]).await;

        self.clock.set(DAY_0 + 3 * DAY_MS + 9 * HOUR + HOUR / 2);
        let vault = S3Location { storage_class: Some(StorageClass::StandardIa), ..to("vault") };
        process.spool.locations().set_locations(vec![(source("vault"), vault)]).unwrap();
        process.calls("web", 38..42, RECEIPTS);
        self.clock.set(DAY_0 + 3 * DAY_MS + 10 * HOUR);
        process.calls("web", 42..46, RECEIPTS);
        delivery.flush("web").await;
        process.invalid("ios", 2..3);
        delivery.flush("ios").await;
        delivery.end().await;

        process.calls("ios", 22..31, PLAIN);
        let (seal, staged) = process.seal("ios", &process.staging(usize::MAX));
        let parked = Parked { len: staged.len, crc32: staged.crc32 };
        assert!(log.make_room(&seal, &mut staged.reader(), parked).unwrap());
        drop(staged);
        let key = seal.object_key.as_str();
        self.gate.set(&[refused[0], refused[1], (key, Rule::Refuse), ("/till/", Rule::LoseAnswer)]);
        let delivery = process.deliver(&self.gate);
        process.calls("ios", 31..36, PLAIN);
        let open = |name: &str| log.open_batches().iter().any(|batch| batch.key.source == source(name));
        let seals = |name: &str| {
            let pending = log.pending_seals();
            pending.iter().filter(|pending| pending.seal.batch.source == source(name)).count()
        };
        delivery.flush_until("ios", || !open("ios") && seals("ios") == 1).await;
        process.calls("till", 11..16, PLAIN);
        delivery.flush_until("till", || self.gate.has_unanswered("/till/")).await;
        delivery.end().await;

        process.calls("web", 46..51, RECEIPTS);
        let (sealed, unput) = process.seal("web", &process.staging(usize::MAX));
        let now = self.clock.wall();
        log.note_clock(UnixMillis(now.0 + 60_000), now).unwrap();
        self.clock.set(END.0);
        process.calls("web", 51..58, RECEIPTS);
        process.calls("ios", 36..39, PLAIN);
        process.invalid("ios", 3..4);
        process.calls("ios", 33..38, PLAIN);
        process.calls("shop", 3..5, PLAIN);
        for number in 5..8 {
            let origin = Origin { file: 7, first_row: number, last_row: number };
            let number = u32::try_from(number).unwrap();
            process.calls("lobby", number..number + 1, How { receipts: false, origin: Some(origin) });
        }
        assert_eq!(log.ledger_differences(), []);

        // The power is cut while one object is staged, another one is being parked, and a request and a note
        // are written.
        let (_, staged) = process.seal("lobby", &process.staging(0));
        copy(&self.dir, crashed);
        drop(staged);
        let mut half = Vec::new();
        unput.reader().take(unput.len / 2).read_to_end(&mut half).unwrap();
        fs::write(crashed.join(parked_name(sealed.number)), half).unwrap();
        process.calls("web", 58..60, RECEIPTS);
        tear(&self.dir, crashed, "wal-");
        log.note_clock(UnixMillis(now.0 + 120_000), now).unwrap();
        tear(&self.dir, crashed, "MANIFEST-");
    }

    /// Puts an object that is not Forebay's under the key.
    async fn put_foreign(&self, key: &ObjectKey) {
        let body = b"somebody else's".to_vec().into();
        self.bucket.client.put_object().bucket(BUCKET).key(key.as_str()).body(body).send().await.unwrap();
    }
}

/// The start of the member `messageId`, as lines contain it.
fn message_id(source: &str, number: u32) -> String {
    format!(r#""messageId":"{}"#, super::calls::id(source, number))
}

/// Whether a source has a pending seal for which `so` holds.
fn is(log: &dyn Log, name: &str, so: impl Fn(&PendingSeal) -> bool) -> bool {
    log.pending_seals().iter().any(|pending| pending.seal.batch.source == source(name) && so(pending))
}

fn number_of(log: &dyn Log, name: &str) -> u64 {
    let pending = log.pending_seals();
    pending.iter().find(|pending| pending.seal.batch.source == source(name)).unwrap().seal.number
}

fn to(prefix: &str) -> S3Location {
    S3Location::new(BucketString::parse(&format!("{BUCKET}/{prefix}")).unwrap(), Encryption::SseS3)
}

fn locations() -> Vec<(SourceId, S3Location)> {
    let kms = |key: &str| {
        let context = [("team".to_owned(), "data \"lake\"".to_owned())].into();
        let context = KmsContext::new(context).unwrap();
        Encryption::Kms(SseKms { key: KmsKey::parse(key).unwrap(), bucket_key: Some(true), context })
    };
    let vault = S3Location {
        region: Some("eu-central-1".to_owned()),
        encryption: kms("arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"),
        role: Some(Role {
            arn: RoleArn::parse("arn:aws:iam::111122223333:role/forebay-writer").unwrap(),
            external_id: ExternalId::parse("vault").unwrap(),
        }),
        expected_bucket_owner: Some(AccountId::parse("111122223333").unwrap()),
        storage_class: Some(StorageClass::IntelligentTiering),
        ..to("vault")
    };
    let in_region = |to: S3Location| S3Location { region: Some("us-east-1".to_owned()), ..to };
    let all = [
        ("web", to("lake")),
        ("ios", in_region(to("lake"))),
        ("till", S3Location { encryption: kms("alias/events"), ..to("old") }),
        ("lobby", S3Location { encryption: Encryption::None, ..to("lake") }),
        ("kiosk", to("aside")),
        ("booth", to("aside")),
        ("shop", to("aside")),
        ("shelf", to("aside")),
        ("vault", vault),
    ];
    all.into_iter().map(|(name, to)| (source(name), to)).collect()
}
