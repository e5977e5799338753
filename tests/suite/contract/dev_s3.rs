//! The S3 server inside the process: that it keeps the contract, what it does beyond it, and that nothing it has answered
//! 200 to is lost by a restart.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    ChecksumAlgorithm, ChecksumMode, CompletedMultipartUpload, CompletedPart, Delete, EncodingType,
    MetadataDirective, ObjectIdentifier, ServerSideEncryption,
};
use forebay::dev_s3::{
    ACCESS_KEY_ID, BUCKET, DevS3, DevS3Error, DevS3Running, DevS3Settings, REGION, SECRET_ACCESS_KEY,
};
use forebay::random::Random;
use forebay::store::s3::{CredentialsFrom, S3Settings, S3Store};
use forebay::time::{Clock, UnixMillis};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::object_store;

/// Each reading is a second after the one before.
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

/// Numbers that do not repeat within the test process, so that restarts do not reuse names.
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

async fn client(server: &DevS3Running) -> Client {
    store(server.url(), ACCESS_KEY_ID, SECRET_ACCESS_KEY).await.client(REGION)
}

/// The error code of a failed request.
fn code<T: std::fmt::Debug, E: ProvideErrorMetadata + std::fmt::Debug, R: std::fmt::Debug>(
    answer: Result<T, aws_sdk_s3::error::SdkError<E, R>>,
) -> String {
    let err = answer.unwrap_err();
    err.as_service_error().and_then(|err| err.meta().code()).unwrap_or_else(|| panic!("{err:?}")).to_owned()
}

async fn put(client: &Client, key: &str, bytes: impl Into<Vec<u8>>) {
    client.put_object().bucket(BUCKET).key(key).body(ByteStream::from(bytes.into())).send().await.unwrap();
}

async fn get(client: &Client, key: &str) -> Vec<u8> {
    let answer = client.get_object().bucket(BUCKET).key(key).send().await.unwrap();
    answer.body.collect().await.unwrap().to_vec()
}

/// Every key as the client shows it, page by page.
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

/// Keys that a file system would confuse or refuse. The last one is as long as a key can be.
fn odd_keys() -> Vec<String> {
    let mut keys: Vec<String> = [
        "x",
        "x/y",
        "x/y/",
        "a+b%.gz",
        "a b",
        "ü/é.gz",
        "../../etc",
        "a/../b",
        "./.",
        "a//b",
        "%2F",
        "q?x=1&y",
        "<&>\"'",
        "#",
        "lock",
        "CON",
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
    server.stop().await.unwrap();
}

#[tokio::test]
async fn fault_a_keys_in_a_listing_come_through_encoded_and_plain() {
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
async fn faults_b_and_c_keys_of_any_shape_are_kept_and_survive_a_restart() {
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
async fn fault_d_a_page_is_a_range_of_the_index_and_pages_make_the_whole() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let client = client(&server).await;
    for n in 0..25 {
        put(&client, &format!("day/{}/{n:02}", n / 10), "x").await;
    }
    // With its files gone the listing is still whole: it does not walk the disk.
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

/// What fault (e) would leave behind: bytes that were never named, and a file that was half written.
#[tokio::test]
async fn fault_e_what_a_crash_leaves_half_written_is_removed_and_harms_nothing() {
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
async fn a_directory_has_one_server_and_a_damaged_file_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    assert!(matches!(try_start(dir.path()).await, Err(DevS3Error::InUse(_))));
    server.stop().await.unwrap();
    let damaged = dir.path().join("buckets/forebay.json");
    std::fs::write(&damaged, "{").unwrap();
    match try_start(dir.path()).await {
        Err(DevS3Error::Damaged { path, .. }) => assert_eq!(path, damaged),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn headers_metadata_and_encryption_come_back_as_they_were_given() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let first = client(&server).await;
    first
        .put_object()
        .bucket(BUCKET)
        .key("k")
        .content_type("text/plain")
        .content_encoding("gzip")
        .metadata("forebay-calls", "7")
        .server_side_encryption(ServerSideEncryption::AwsKms)
        .ssekms_key_id("alias/events")
        .body(ByteStream::from_static(b"x"))
        .send()
        .await
        .unwrap();
    let copied = first.copy_object().bucket(BUCKET).key("copy").copy_source(format!("{BUCKET}/k"));
    copied.server_side_encryption(ServerSideEncryption::Aes256).send().await.unwrap();
    let replaced = first.copy_object().bucket(BUCKET).key("k2").copy_source(format!("{BUCKET}/k"));
    let replaced = replaced.metadata_directive(MetadataDirective::Replace).metadata("a", "b");
    replaced.send().await.unwrap();
    server.stop().await.unwrap();

    let server = start(dir.path()).await;
    let second = client(&server).await;
    for (key, encryption, kms) in [("k", "aws:kms", Some("alias/events")), ("copy", "AES256", None)] {
        let head = second.head_object().bucket(BUCKET).key(key).send().await.unwrap();
        assert_eq!(head.content_type(), Some("text/plain"));
        assert_eq!(head.content_encoding(), Some("gzip"));
        assert_eq!(head.metadata().unwrap().get("forebay-calls").map(String::as_str), Some("7"));
        assert_eq!(head.server_side_encryption().map(ServerSideEncryption::as_str), Some(encryption));
        assert_eq!(head.ssekms_key_id(), kms);
    }
    let head = second.head_object().bucket(BUCKET).key("k2").send().await.unwrap();
    assert_eq!((head.content_type(), head.server_side_encryption()), (Some("binary/octet-stream"), None));
    assert_eq!(head.metadata().unwrap().get("a").map(String::as_str), Some("b"));
}

#[tokio::test]
async fn what_a_request_gets_wrong_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let client = client(&server).await;
    let put = |key: &str| client.put_object().bucket(BUCKET).key(key).body(ByteStream::from_static(b"x"));
    let sse = put("k").server_side_encryption(ServerSideEncryption::from("ROT13")).send().await;
    assert_eq!(code(sse), "InvalidEncryptionAlgorithmError");
    let sse = put("k").server_side_encryption(ServerSideEncryption::Aes256).ssekms_key_id("x").send().await;
    assert_eq!(code(sse), "InvalidArgument");
    assert_eq!(code(put("k").checksum_crc32("AAAAAA==").send().await), "BadDigest");
    assert_eq!(code(put("k").checksum_crc32_c("AAAAAA==").send().await), "BadDigest");
    assert_eq!(code(put("k").checksum_crc64_nvme("AAAAAAAAAAA=").send().await), "BadDigest");
    assert_eq!(code(put("k").checksum_sha1("AAAAAAAAAAAAAAAAAAAAAAAAAAA=").send().await), "BadDigest");
    assert_eq!(code(put("k").checksum_sha256("x".repeat(44)).send().await), "BadDigest");
    assert_eq!(code(put("k").content_md5("AAAAAAAAAAAAAAAAAAAAAA==").send().await), "BadDigest");
    assert_eq!(code(put("k").content_md5("no").send().await), "InvalidDigest");
    assert_eq!(code(put("k").if_match("\"e\"").send().await), "NoSuchKey");
    assert_eq!(code(put("k").metadata("m", "x".repeat(3_000)).send().await), "MetadataTooLarge");
    assert_eq!(code(client.get_object().bucket(BUCKET).key("k").send().await), "NoSuchKey");
    assert_eq!(code(client.list_objects_v2().bucket("no-bucket").send().await), "NoSuchBucket");
    assert_eq!(code(client.create_bucket().bucket(BUCKET).send().await), "BucketAlreadyOwnedByYou");
    assert_eq!(std::fs::read_dir(dir.path().join("bodies")).unwrap().count(), 0, "nothing was kept");
    assert_eq!(std::fs::read_dir(dir.path().join("tmp")).unwrap().count(), 0, "nothing is left");

    for (id, secret, expected) in [
        (ACCESS_KEY_ID, "wrong", "SignatureDoesNotMatch"),
        ("nobody", SECRET_ACCESS_KEY, "InvalidAccessKeyId"),
    ] {
        let stranger = store(server.url(), id, secret).await.client(REGION);
        assert_eq!(code(stranger.list_objects_v2().bucket(BUCKET).send().await), expected);
    }
}

#[tokio::test]
async fn checksums_of_every_kind_are_kept_and_shown_when_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let supported = aws_sdk_s3::config::RequestChecksumCalculation::WhenSupported;
    let config = client(&server).await.config().to_builder().request_checksum_calculation(supported);
    let client = Client::from_conf(config.build());
    for algorithm in [
        ChecksumAlgorithm::Crc32,
        ChecksumAlgorithm::Crc32C,
        ChecksumAlgorithm::Crc64Nvme,
        ChecksumAlgorithm::Sha1,
        ChecksumAlgorithm::Sha256,
    ] {
        // A body from a file goes out in chunks with the checksum as a trailer.
        let path = dir.path().join("body");
        std::fs::write(&path, "123456789").unwrap();
        let body = ByteStream::from_path(&path).await.unwrap();
        let request = client.put_object().bucket(BUCKET).key("k").content_encoding("gzip").body(body);
        let stored = request.checksum_algorithm(algorithm.clone()).send().await.unwrap();
        let asked = client.get_object().bucket(BUCKET).key("k").checksum_mode(ChecksumMode::Enabled);
        let answer = asked.send().await.unwrap();
        let sums = |crc32: Option<&str>,
                    crc32c: Option<&str>,
                    crc64: Option<&str>,
                    sha1: Option<&str>,
                    sha256: Option<&str>| {
            [crc32, crc32c, crc64, sha1, sha256].into_iter().flatten().map(str::to_owned).collect::<Vec<_>>()
        };
        let shown = sums(
            answer.checksum_crc32(),
            answer.checksum_crc32_c(),
            answer.checksum_crc64_nvme(),
            answer.checksum_sha1(),
            answer.checksum_sha256(),
        );
        let told = sums(
            stored.checksum_crc32(),
            stored.checksum_crc32_c(),
            stored.checksum_crc64_nvme(),
            stored.checksum_sha1(),
            stored.checksum_sha256(),
        );
        assert_eq!((shown.len(), &shown), (1, &told), "{algorithm:?}");
        assert_eq!(answer.content_encoding(), Some("gzip"), "{algorithm:?}: no aws-chunked");
        assert_eq!(answer.body.collect().await.unwrap().to_vec(), b"123456789");
    }
}

#[tokio::test]
async fn ranges_and_conditions_of_a_read() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let client = client(&server).await;
    put(&client, "k", "0123456789").await;
    let get = || client.get_object().bucket(BUCKET).key("k");
    for (range, expected, shown) in [
        ("bytes=2-4", "234", "bytes 2-4/10"),
        ("bytes=7-", "789", "bytes 7-9/10"),
        ("bytes=-3", "789", "bytes 7-9/10"),
        ("bytes=8-99", "89", "bytes 8-9/10"),
    ] {
        let answer = get().range(range).send().await.unwrap();
        assert_eq!(
            (answer.content_range(), answer.content_length()),
            (Some(shown), Some(expected.len() as i64))
        );
        assert_eq!(answer.body.collect().await.unwrap().to_vec(), expected.as_bytes(), "{range}");
    }
    assert_eq!(code(get().range("bytes=10-").send().await), "InvalidRange");
    let etag = client.head_object().bucket(BUCKET).key("k").send().await.unwrap().e_tag().unwrap().to_owned();
    assert_eq!(etag, "\"781e5e245d69b566979b86e28d23f2c7\"");
    get().if_match(&etag).send().await.unwrap();
    assert_eq!(code(get().if_match("\"other\"").send().await), "PreconditionFailed");
    let unchanged = get().if_none_match(&etag).send().await.unwrap_err();
    assert_eq!(unchanged.raw_response().map(|raw| raw.status().as_u16()), Some(304));
}

#[tokio::test]
async fn objects_and_buckets_are_deleted_and_a_reset_leaves_the_first_bucket() {
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

    server.reset().await.unwrap();
    assert_eq!(keys(&client, 10, None).await, [""; 0]);
    put(&client, "again", "x").await;
    let buckets = client.list_buckets().send().await.unwrap();
    assert_eq!(buckets.buckets().iter().filter_map(|bucket| bucket.name()).collect::<Vec<_>>(), [BUCKET]);
    let head = client.head_bucket().bucket(BUCKET).send().await.unwrap();
    assert_eq!(head.bucket_region(), Some(REGION));
}

#[tokio::test]
async fn a_multipart_upload_is_checked_and_survives_a_restart_half_way() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let first = client(&server).await;
    let created =
        first.create_multipart_upload().bucket(BUCKET).key("big").metadata("m", "v").send().await.unwrap();
    let id = created.upload_id().unwrap().to_owned();
    let bytes: Vec<u8> = (0..2_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let (five_mib, rest) = bytes.split_at(5 * 1024 * 1024);
    let upload = async |client: &Client, number: i32, bytes: &[u8]| {
        let part = client.upload_part().bucket(BUCKET).key("big").upload_id(&id).part_number(number);
        part.body(ByteStream::from(bytes.to_vec())).send().await.unwrap().e_tag().unwrap().to_owned()
    };
    let etag_1 = upload(&first, 1, five_mib).await;
    let etag_3 = upload(&first, 3, b"to be replaced").await;
    server.stop().await.unwrap();

    let server = start(dir.path()).await;
    let second = client(&server).await;
    let etag_2 = upload(&second, 2, rest).await;
    let listed = second.list_parts().bucket(BUCKET).key("big").upload_id(&id).send().await.unwrap();
    assert_eq!(listed.parts().iter().filter_map(|part| part.part_number()).collect::<Vec<_>>(), [1, 2, 3]);
    let uploads = second.list_multipart_uploads().bucket(BUCKET).send().await.unwrap();
    assert_eq!(uploads.uploads().iter().filter_map(|upload| upload.key()).collect::<Vec<_>>(), ["big"]);

    let complete = async |parts: &[(i32, &str)]| {
        let part =
            |(number, etag): &(i32, &str)| CompletedPart::builder().part_number(*number).e_tag(*etag).build();
        let parts =
            CompletedMultipartUpload::builder().set_parts(Some(parts.iter().map(part).collect())).build();
        let request = second.complete_multipart_upload().bucket(BUCKET).key("big").upload_id(&id);
        request.multipart_upload(parts).send().await
    };
    assert_eq!(code(complete(&[(2, &etag_2), (1, &etag_1)]).await), "InvalidPartOrder");
    assert_eq!(code(complete(&[(1, &etag_2)]).await), "InvalidPart");
    assert_eq!(code(complete(&[(3, &etag_3), (4, &etag_1)]).await), "InvalidPart");
    assert_eq!(code(complete(&[(1, &etag_1), (2, &etag_2), (3, &etag_3)]).await), "EntityTooSmall");
    let wrong_sum = CompletedPart::builder().part_number(1).e_tag(&etag_1).checksum_crc32("AAAAAA==").build();
    let wrong_sum = CompletedMultipartUpload::builder().parts(wrong_sum).build();
    let request = second.complete_multipart_upload().bucket(BUCKET).key("big").upload_id(&id);
    assert_eq!(code(request.multipart_upload(wrong_sum).send().await), "InvalidPart");
    let done = complete(&[(1, &etag_1), (2, &etag_2)]).await.unwrap();
    assert!(done.e_tag().unwrap().ends_with("-2\""), "{done:?}");
    assert_eq!(get(&second, "big").await, bytes);
    let head = second.head_object().bucket(BUCKET).key("big").send().await.unwrap();
    assert_eq!(head.metadata().unwrap().get("m").map(String::as_str), Some("v"));
    assert_eq!(code(complete(&[(1, &etag_1)]).await), "NoSuchUpload");
    assert_eq!(std::fs::read_dir(dir.path().join("bodies")).unwrap().count(), 1, "the parts are gone");

    let other = second.create_multipart_upload().bucket(BUCKET).key("other").send().await.unwrap();
    let abort =
        second.abort_multipart_upload().bucket(BUCKET).key("other").upload_id(other.upload_id().unwrap());
    abort.send().await.unwrap();
    assert_eq!(second.list_multipart_uploads().bucket(BUCKET).send().await.unwrap().uploads().len(), 0);
}

#[tokio::test]
async fn a_replaced_object_is_read_whole_whichever_it_is() {
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

/// A client that waits for "100 Continue" and is refused must not go on using the connection: see `serve`.
#[tokio::test]
async fn an_answer_in_place_of_100_continue_closes_the_connection() {
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

/// A body that breaks off leaves nothing behind and what was there stays.
#[tokio::test]
async fn a_put_that_breaks_off_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let client = client(&server).await;
    put(&client, "k", "before").await;
    // A signed request, sent without the end of its body.
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
        .unwrap_or_else(|_| panic!("in vain: {what}"));
}
