//! Requests to the S3 server of `dev`: attributes of an object are kept, and invalid requests are refused.

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    ChecksumAlgorithm, ChecksumMode, CompletedMultipartUpload, CompletedPart, Delete, MetadataDirective,
    ObjectIdentifier, ServerSideEncryption,
};
use forebay::dev_s3::{ACCESS_KEY_ID, BUCKET, REGION, SECRET_ACCESS_KEY};

use super::dev_s3::{client, code, get, put, start, store};

#[tokio::test]
async fn headers_metadata_and_encryption_are_returned_as_given() {
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
async fn invalid_requests_are_refused() {
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
    assert_eq!(std::fs::read_dir(dir.path().join("bodies")).unwrap().count(), 0, "no body was kept");
    assert_eq!(std::fs::read_dir(dir.path().join("tmp")).unwrap().count(), 0, "no temporary file is left");

    for (id, secret, expected) in [
        (ACCESS_KEY_ID, "wrong", "SignatureDoesNotMatch"),
        ("nobody", SECRET_ACCESS_KEY, "InvalidAccessKeyId"),
    ] {
        let stranger = super::client(&store(server.url(), id, secret).await, REGION);
        assert_eq!(code(stranger.list_objects_v2().bucket(BUCKET).send().await), expected);
    }
}

#[tokio::test]
async fn checksums_of_every_kind_are_kept_and_returned_on_request() {
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
        // A body from a file is sent in chunks with the checksum as a trailer.
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
        assert_eq!(answer.content_encoding(), Some("gzip"), "{algorithm:?}: without aws-chunked");
        assert_eq!(answer.body.collect().await.unwrap().to_vec(), b"123456789");
    }
}

#[tokio::test]
async fn reads_support_ranges_and_conditions() {
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
async fn a_multipart_upload_is_checked_and_survives_a_restart() {
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
    assert_eq!(std::fs::read_dir(dir.path().join("bodies")).unwrap().count(), 1, "the parts are deleted");

    let other = second.create_multipart_upload().bucket(BUCKET).key("other").send().await.unwrap();
    let abort =
        second.abort_multipart_upload().bucket(BUCKET).key("other").upload_id(other.upload_id().unwrap());
    abort.send().await.unwrap();
    assert_eq!(second.list_multipart_uploads().bucket(BUCKET).send().await.unwrap().uploads().len(), 0);
}

/// A version that is not there was answered with the object that is.
#[tokio::test]
async fn an_object_has_no_version_but_null() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let client = client(&server).await;
    put(&client, "k", "x").await;
    let get = |version: &str| client.get_object().bucket(BUCKET).key("k").version_id(version);
    assert_eq!(code(get("abc").send().await), "NoSuchVersion");
    assert!(get("null").send().await.is_ok());
    let head = client.head_object().bucket(BUCKET).key("k").version_id("abc").send().await.unwrap_err();
    assert_eq!(head.raw_response().unwrap().status().as_u16(), 404);
    let copied =
        client.copy_object().bucket(BUCKET).key("l").copy_source(format!("{BUCKET}/k?versionId=abc"));
    assert_eq!(code(copied.send().await), "NoSuchVersion");
    let deleted = client.delete_object().bucket(BUCKET).key("k").version_id("abc");
    assert_eq!(code(deleted.send().await), "NoSuchVersion");
    assert!(get("null").send().await.is_ok());
    server.stop().await.unwrap();
}

/// `If-Match` of a DELETE was ignored (S3 User Guide, "How to perform conditional deletes").
#[tokio::test]
async fn deletes_support_conditions() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let client = client(&server).await;
    put(&client, "k", "x").await;
    put(&client, "many", "x").await;
    let etag = client.head_object().bucket(BUCKET).key("k").send().await.unwrap().e_tag().unwrap().to_owned();
    let delete = |key: &str, etag: &str| client.delete_object().bucket(BUCKET).key(key).if_match(etag);
    let other = "\"00000000000000000000000000000000\"";
    let failed = delete("k", other).send().await.unwrap_err();
    assert_eq!(failed.raw_response().unwrap().status().as_u16(), 412);
    assert_eq!(code(delete("k", other).send().await), "PreconditionFailed");
    for condition in ["*", &etag] {
        let missing = delete("never there", condition).send().await.unwrap_err();
        assert_eq!(missing.raw_response().unwrap().status().as_u16(), 404);
        assert_eq!(code(delete("never there", condition).send().await), "NoSuchKey");
    }
    assert_eq!(get(&client, "k").await, b"x");

    let object = |key: &str, etag: &str| ObjectIdentifier::builder().key(key).e_tag(etag).build().unwrap();
    let objects = vec![object("k", other), object("many", &etag), object("never there", &etag)];
    let several = Delete::builder().set_objects(Some(objects)).build().unwrap();
    let answer = client.delete_objects().bucket(BUCKET).delete(several).send().await.unwrap();
    let deleted: Vec<_> = answer.deleted().iter().filter_map(|one| one.key()).collect();
    let codes: Vec<_> = answer.errors().iter().filter_map(|one| Some((one.key()?, one.code()?))).collect();
    assert_eq!(deleted, ["many"]);
    assert_eq!(codes, [("k", "PreconditionFailed"), ("never there", "NoSuchKey")]);

    delete("k", &etag).send().await.unwrap();
    put(&client, "k", "x").await;
    delete("k", "*").send().await.unwrap();
    assert_eq!(code(client.get_object().bucket(BUCKET).key("k").send().await), "NoSuchKey");
    server.stop().await.unwrap();
}
