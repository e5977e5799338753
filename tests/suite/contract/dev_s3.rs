//! The S3 server of `dev`: it keeps the store's contract, serves the requests of other clients, and loses
//! nothing that it answered with 200 in a restart.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{Delete, EncodingType, ObjectIdentifier};
use forebay::dev_s3::{
    ACCESS_KEY_ID, BUCKET, CONNECTIONS_MAX, DevS3, DevS3Error, DevS3Running, DevS3Settings, REGION,
    SECRET_ACCESS_KEY,
};
use forebay::random::Random;
use forebay::store::s3::{CredentialsFrom, S3Settings, S3Store};
use forebay::time::{Clock, UnixMillis};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{changing, object_store, reading};

/// Each reading is one second after the previous one.
#[derive(Debug, Default)]
struct Ticking(AtomicU64);

impl Clock for Ticking {
    fn wall(&self) -> UnixMillis {
        let seconds = self.0.fetch_add(1, Ordering::Relaxed);
        UnixMillis(1_700_000_000_000 + 1_000 * i64::try_from(seconds).unwrap())
    }

    fn monotonic(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::Relaxed))
    }
}

/// Numbers that never repeat within the test process, so that restarts do not reuse names.
#[derive(Debug)]
struct Counting;

impl Random for Counting {
    fn next_u64(&self) -> u64 {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        NEXT.fetch_add(1, Ordering::Relaxed)
    }
}

pub(super) async fn try_start(data_dir: &Path) -> Result<DevS3Running, DevS3Error> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let settings = DevS3Settings {
        data_dir: data_dir.to_owned(),
        clock: Arc::new(Ticking::default()),
        random: Arc::new(Counting),
        connections: CONNECTIONS_MAX,
    };
    DevS3::start(listener, settings).await
}

pub(super) async fn start(data_dir: &Path) -> DevS3Running {
    try_start(data_dir).await.unwrap()
}

pub(super) async fn store(endpoint_url: String, access_key_id: &str, secret: &str) -> S3Store {
    S3Store::new(S3Settings {
        endpoint_url: Some(endpoint_url),
        path_style: true,
        credentials: CredentialsFrom::Static {
            access_key_id: access_key_id.to_owned(),
            secret_access_key: secret.to_owned(),
        },
        ..S3Settings::default()
    })
    .await
}

pub(super) async fn client(server: &DevS3Running) -> Client {
    super::client(&store(server.url(), ACCESS_KEY_ID, SECRET_ACCESS_KEY).await, REGION)
}

/// The error code of a failed request.
pub(super) fn code<T: std::fmt::Debug, E: ProvideErrorMetadata + std::fmt::Debug, R: std::fmt::Debug>(
    answer: Result<T, aws_sdk_s3::error::SdkError<E, R>>,
) -> String {
    let err = answer.unwrap_err();
    err.as_service_error().and_then(|err| err.meta().code()).unwrap_or_else(|| panic!("{err:?}")).to_owned()
}

pub(super) async fn put(client: &Client, key: &str, bytes: impl Into<Vec<u8>>) {
    client.put_object().bucket(BUCKET).key(key).body(ByteStream::from(bytes.into())).send().await.unwrap();
}

pub(super) async fn get(client: &Client, key: &str) -> Vec<u8> {
    let answer = client.get_object().bucket(BUCKET).key(key).send().await.unwrap();
    answer.body.collect().await.unwrap().to_vec()
}

/// Every key as the client lists it, page by page.
async fn keys(client: &Client, page: i32, encoding: Option<EncodingType>) -> Vec<String> {
    let mut keys = Vec::new();
    let mut token = None;
    loop {
        let answer = client
            .list_objects_v2()
            .bucket(BUCKET)
            .max_keys(page)
            .set_encoding_type(encoding.clone())
            .set_continuation_token(token)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.key_count(), Some(i32::try_from(answer.contents().len()).unwrap()));
        keys.extend(answer.contents().iter().map(|object| object.key().unwrap().to_owned()));
        token = answer.next_continuation_token().map(str::to_owned);
        if token.is_none() {
            return keys;
        }
    }
}

fn long_key() -> String {
    format!("{}/{}", "k".repeat(500), "ü".repeat(261))
}

/// Keys that a file system would confuse or refuse. The last one has the maximum length.
fn odd_keys() -> Vec<String> {
    let mut keys: Vec<String> = [
        "x", "x/y", "x/y/", "a+b%.gz", "a b", "ü/é.gz", "../../etc", "a/../b", "./.", "a//b", "%2F",
        "q?x=1&y", "<&>\"'", "#", "lock", "CON",
    ]
    .map(str::to_owned)
    .to_vec();
    keys.push(long_key());
    keys.sort();
    keys
}

#[tokio::test]
async fn the_dev_server_keeps_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let store = store(server.url(), ACCESS_KEY_ID, SECRET_ACCESS_KEY).await;
    object_store(&store, BUCKET, "no-such-bucket").await;
    reading::store(&store, BUCKET, "no-such-bucket").await;
    changing::store(&store, BUCKET).await;
    server.stop().await.unwrap();
}

#[tokio::test]
async fn fault_a_keys_are_listed_correctly_encoded_and_plain() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let client = client(&server).await;
    for key in ["a+b%.gz", "a b.gz", "ü/é.gz", "<&>"] {
        put(&client, key, "x").await;
    }
    assert_eq!(keys(&client, 1_000, None).await, ["<&>", "a b.gz", "a+b%.gz", "ü/é.gz"]);
    let encoded = ["%3C%26%3E", "a%20b.gz", "a%2Bb%25.gz", "%C3%BC/%C3%A9.gz"];
    assert_eq!(keys(&client, 2, Some(EncodingType::Url)).await, encoded);
}

#[tokio::test]
async fn faults_b_and_c_keys_of_any_shape_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let first = client(&server).await;
    for key in odd_keys() {
        put(&first, &key, key.as_bytes()).await;
    }
    let too_long = first.put_object().bucket(BUCKET).key(format!("{}k", "k".repeat(1_024))).send().await;
    assert_eq!(code(too_long), "KeyTooLongError");
    server.stop().await.unwrap();

    let server = start(dir.path()).await;
    let second = client(&server).await;
    assert_eq!(keys(&second, 3, None).await, odd_keys());
    for key in odd_keys() {
        assert_eq!(get(&second, &key).await, key.as_bytes(), "{key}");
    }
    assert_eq!(long_key().len(), 1_023);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn fault_d_pages_are_index_ranges_and_cover_the_whole_listing() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let client = client(&server).await;
    for n in 0..25 {
        put(&client, &format!("day/{}/{n:02}", n / 10), "x").await;
    }
    // The listing is complete even without the files: it does not read the disk.
    std::fs::remove_dir_all(dir.path().join("objects")).unwrap();
    assert_eq!(keys(&client, 7, None).await.len(), 25);
    let listed = client.list_objects_v2().bucket(BUCKET).prefix("day/").delimiter("/").send().await.unwrap();
    let prefixes: Vec<&str> = listed.common_prefixes().iter().filter_map(|common| common.prefix()).collect();
    assert_eq!(prefixes, ["day/0/", "day/1/", "day/2/"]);
    let after = client.list_objects_v2().bucket(BUCKET).start_after("day/2/23").send().await.unwrap();
    assert_eq!(after.contents().iter().filter_map(|object| object.key()).collect::<Vec<_>>(), ["day/2/24"]);
    let v1 = client.list_objects().bucket(BUCKET).max_keys(2).marker("day/0/01").send().await.unwrap();
    assert_eq!((v1.next_marker(), v1.is_truncated()), (Some("day/0/03"), Some(true)));
}

/// What fault (e) would leave: bytes without a name, and a half-written file.
#[tokio::test]
async fn fault_e_half_written_files_of_a_crash_are_removed() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    put(&client(&server).await, "kept", "whole").await;
    server.stop().await.unwrap();

    let torn: Vec<PathBuf> = vec![
        dir.path().join("tmp/0123.json"),
        dir.path().join("tmp/00000000000000000000000000000000"),
        dir.path().join("bodies/ffffffffffffffffffffffffffffffff"),
    ];
    for path in &torn {
        std::fs::write(path, "{\"bucket\":\"for").unwrap();
    }
    let server = start(dir.path()).await;
    let client = client(&server).await;
    assert_eq!(keys(&client, 10, None).await, ["kept"]);
    assert_eq!(get(&client, "kept").await, b"whole");
    for path in &torn {
        assert!(!path.exists(), "{}", path.display());
    }
}

#[tokio::test]
async fn a_directory_in_use_is_refused_and_a_damaged_file_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    assert!(matches!(try_start(dir.path()).await, Err(DevS3Error::InUse(_))));
    server.stop().await.unwrap();
    let damaged = dir.path().join("buckets/forebay.json");
    std::fs::write(&damaged, "{").unwrap();
    match try_start(dir.path()).await {
        Err(DevS3Error::Damaged(path, _)) => assert_eq!(path, damaged),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn objects_and_buckets_can_be_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let client = client(&server).await;
    client.create_bucket().bucket("second").send().await.unwrap();
    client.put_object().bucket("second").key("k").body(ByteStream::from_static(b"x")).send().await.unwrap();
    assert_eq!(code(client.delete_bucket().bucket("second").send().await), "BucketNotEmpty");
    client.delete_object().bucket("second").key("k").send().await.unwrap();
    client.delete_object().bucket("second").key("never there").send().await.unwrap();
    client.delete_bucket().bucket("second").send().await.unwrap();
    assert_eq!(code(client.list_objects_v2().bucket("second").send().await), "NoSuchBucket");

    for key in ["a", "b+%", "c"] {
        put(&client, key, "x").await;
    }
    let objects = ["a", "b+%"].map(|key| ObjectIdentifier::builder().key(key).build().unwrap());
    let delete = Delete::builder().set_objects(Some(objects.to_vec())).build().unwrap();
    let deleted = client.delete_objects().bucket(BUCKET).delete(delete).send().await.unwrap();
    assert_eq!((deleted.deleted().len(), deleted.errors().len()), (2, 0));
    assert_eq!(keys(&client, 10, None).await, ["c"]);
    assert_eq!(std::fs::read_dir(dir.path().join("bodies")).unwrap().count(), 1);

    let buckets = client.list_buckets().send().await.unwrap();
    assert_eq!(buckets.buckets().iter().filter_map(|bucket| bucket.name()).collect::<Vec<_>>(), [BUCKET]);
    let head = client.head_bucket().bucket(BUCKET).send().await.unwrap();
    assert_eq!(head.bucket_region(), Some(REGION));
}

#[tokio::test]
async fn a_replaced_object_is_read_completely_old_or_new() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let client = client(&server).await;
    let (a, b) = (vec![b'a'; 300_000], vec![b'b'; 200_000]);
    put(&client, "k", a.clone()).await;
    let writer = tokio::spawn({
        let (client, a, b) = (client.clone(), a.clone(), b.clone());
        async move {
            for n in 0..20 {
                put(&client, "k", if n % 2 == 0 { b.clone() } else { a.clone() }).await;
            }
        }
    });
    while !writer.is_finished() {
        let read = get(&client, "k").await;
        assert!(read == a || read == b, "{} bytes", read.len());
    }
    writer.await.unwrap();
    assert_eq!(std::fs::read_dir(dir.path().join("bodies")).unwrap().count(), 1);
}

/// A client that waits for "100 Continue" and is refused must not reuse the connection: see `serve`.
#[tokio::test]
async fn a_refusal_instead_of_100_continue_closes_the_connection() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let mut stream = tokio::net::TcpStream::connect(server.addr()).await.unwrap();
    let request =
        "PUT /forebay/k HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
}

/// An incomplete body leaves no files, and the existing object stays.
#[tokio::test]
async fn an_incomplete_put_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let client = client(&server).await;
    put(&client, "k", "before").await;
    // A signed request without the end of its body.
    let presigned = client
        .put_object()
        .bucket(BUCKET)
        .key("k")
        .presigned(aws_sdk_s3::presigning::PresigningConfig::expires_in(Duration::from_secs(60)).unwrap())
        .await
        .unwrap();
    let target = presigned.uri().strip_prefix(&server.url()).unwrap();
    let mut stream = tokio::net::TcpStream::connect(server.addr()).await.unwrap();
    let head = format!("PUT {target} HTTP/1.1\r\nhost: {}\r\ncontent-length: 100000\r\n\r\n", server.addr());
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&[b'x'; 50_000]).await.unwrap();
    let tmp = dir.path().join("tmp");
    let files = || std::fs::read_dir(&tmp).unwrap().count();
    wait_until("the body is being received", || files() == 1).await;
    drop(stream);
    wait_until("what was received is removed", || files() == 0).await;
    assert_eq!(get(&client, "k").await, b"before");
}

async fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting)
        .await
        .unwrap_or_else(|_| panic!("timed out waiting: {what}"));
}
