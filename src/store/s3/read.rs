//! The requests of a [`StoreReader`]. Each makes one attempt.

use aws_sdk_s3::config::ResponseChecksumValidation;
use aws_sdk_s3::operation::get_object::builders::GetObjectFluentBuilder;
use aws_sdk_s3::types::{EncodingType, OptionalObjectAttributes};
use bytes::Bytes;
use percent_encoding::percent_decode_str;

use super::{Asked, Attempt, S3Store};
use crate::object::{ObjectKey, S3Location};
use crate::store::reader::{ByteRange, ListFrom, ListPage, Listed, ObjectBody, RangeBytes, StoreReader};
use crate::store::{Attempted, Fault, Head, ObjectVersion, StoreError};
use crate::time::UnixMillis;

impl S3Store {
    async fn list_once(&self, location: &S3Location, from: ListFrom<'_>) -> Result<ListPage, StoreError> {
        let attempt = self.attempt(location, Asked::List).await?;
        let request = attempt
            .client
            .list_objects_v2()
            .bucket(location.bucket.bucket())
            .prefix(from.prefix)
            // Keys may contain characters that XML cannot.
            .encoding_type(EncodingType::Url)
            .set_delimiter(from.folders.then(|| "/".to_owned()))
            .set_optional_object_attributes(
                from.restored.then(|| vec![OptionalObjectAttributes::RestoreStatus]),
            )
            .set_start_after(from.after.map(str::to_owned))
            .set_continuation_token(from.next.map(str::to_owned))
            .set_expected_bucket_owner(attempt.owner())
            .set_request_payer(attempt.payer());
        let page = request.send().await.map_err(|error| attempt.failed(&error))?;
        let encoded = page.encoding_type() == Some(&EncodingType::Url);
        let plain = |text: &str| if encoded { url_decoded(text) } else { text.to_owned() };
        let objects = page.contents().iter().filter_map(|object| {
            let len = object.size().and_then(|len| u64::try_from(len).ok()).unwrap_or(0);
            let last_modified = object.last_modified().and_then(|at| Some(UnixMillis(at.to_millis().ok()?)));
            // While a restore is under way, the object cannot be read yet.
            let restored = object.restore_status().is_some_and(|status| {
                status.is_restore_in_progress() != Some(true) && status.restore_expiry_date().is_some()
            });
            Some(Listed {
                key: ObjectKey::listed(plain(object.key()?)),
                len,
                last_modified,
                etag: object.e_tag().map(str::to_owned),
                storage_class: object.storage_class().map(|class| class.as_str().to_owned()),
                is_restored: restored,
            })
        });
        let next = page.next_continuation_token().filter(|_| page.is_truncated() == Some(true));
        Ok(ListPage {
            objects: objects.collect(),
            folders: page.common_prefixes().iter().filter_map(|common| common.prefix()).map(plain).collect(),
            next: next.map(str::to_owned),
        })
    }

    async fn get_once(&self, location: &S3Location, key: &ObjectKey) -> Result<ObjectBody, StoreError> {
        let attempt = self.attempt(location, Asked::Get).await?;
        let object = get_object(&attempt, key).send().await.map_err(|error| attempt.failed(&error))?;
        Ok(ObjectBody::new(object.body))
    }

    async fn range_once(
        &self,
        location: &S3Location,
        key: &ObjectKey,
        version: Option<&ObjectVersion>,
        ByteRange { from, len }: ByteRange,
    ) -> Result<RangeBytes, StoreError> {
        let attempt = self.attempt(location, Asked::Get).await?;
        let last = from.saturating_add(len).saturating_sub(1);
        // Stores that answer a range with the checksum of the whole object would fail every range.
        let unchecked = aws_sdk_s3::config::Builder::new()
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
        let answer = get_object(&attempt, key)
            .range(format!("bytes={from}-{last}"))
            .set_if_match(version.map(|version| version.etag.clone()))
            .set_version_id(version.and_then(|version| version.id.clone()))
            .customize()
            .config_override(unchecked)
            .send()
            .await;
        let object = match answer.map_err(|error| attempt.failed(&error)) {
            Ok(object) => object,
            // An empty object has no first byte.
            Err(failed) if failed.status == Some(416) && from == 0 && version.is_none() => {
                return Ok(RangeBytes { bytes: Bytes::new(), object_len: Some(0) });
            }
            Err(failed) => return Err(failed),
        };
        let sent = object.content_length().and_then(|sent| u64::try_from(sent).ok());
        // A store that ignores ranges sends the whole object, which begins with the bytes of the first range.
        if from > 0 && sent.is_some_and(|sent| sent > len) {
            return Err(too_long(len));
        }
        // `bytes 0-262143/1000000`
        let total = object.content_range().and_then(|range| range.rsplit_once('/')?.1.parse::<u64>().ok());
        let (bytes, ended) = ObjectBody::new(object.body).first(len).await?;
        let read = bytes.len() as u64;
        if from > 0 && read > len {
            return Err(too_long(len));
        }
        let object_len = total.or_else(|| (ended && read < len).then_some(from + read));
        Ok(RangeBytes {
            bytes: bytes.slice(..bytes.len().min(usize::try_from(len).unwrap_or(usize::MAX))),
            object_len,
        })
    }
}

fn get_object(attempt: &Attempt<'_>, key: &ObjectKey) -> GetObjectFluentBuilder {
    attempt
        .client
        .get_object()
        .bucket(attempt.location.bucket.bucket())
        .key(key.as_str())
        .set_expected_bucket_owner(attempt.owner())
        .set_request_payer(attempt.payer())
}

impl StoreReader for S3Store {
    fn list<'a>(&'a self, location: &'a S3Location, from: ListFrom<'a>) -> Attempted<'a, ListPage> {
        Box::pin(self.list_once(location, from))
    }

    fn head_of<'a>(
        &'a self,
        location: &'a S3Location,
        key: &'a ObjectKey,
        version: Option<&'a str>,
    ) -> Attempted<'a, Head> {
        Box::pin(self.head_once(location, key, version))
    }

    fn get<'a>(&'a self, location: &'a S3Location, key: &'a ObjectKey) -> Attempted<'a, ObjectBody> {
        Box::pin(self.get_once(location, key))
    }

    fn range<'a>(
        &'a self,
        location: &'a S3Location,
        key: &'a ObjectKey,
        version: Option<&'a ObjectVersion>,
        wanted: ByteRange,
    ) -> Attempted<'a, RangeBytes> {
        Box::pin(self.range_once(location, key, version, wanted))
    }
}

fn too_long(len: u64) -> StoreError {
    let what = format!("asked for {len} bytes of the object, it sends more: it does not support ranges");
    StoreError::local(Fault::Refused, what)
}

/// Decodes a key from a listing with `encoding-type=url`: `%` and two digits, and `+` for a space.
fn url_decoded(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::super::{CredentialsFrom, S3Settings};
    use super::*;
    use crate::object::{BucketString, Encryption};
    use crate::store::Outlook;

    #[test]
    fn keys_of_a_listing_are_decoded() {
        let check = |shown, key| assert_eq!(url_decoded(shown), key);
        check("a/b-1_2.gz", "a/b-1_2.gz");
        check("a%2Bb%25.gz", "a+b%.gz");
        check("a+b%20c/%C3%BC", "a b c/ü");
        check("100%", "100%");
        check("%zz%4", "%zz%4");
    }

    /// A store that gives one answer and then hangs up, and the request that it got.
    async fn ask<T>(
        answer: &'static str,
        request: impl AsyncFnOnce(&S3Store, &S3Location, &ObjectKey) -> T,
    ) -> (T, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut got = Vec::new();
            while !got.ends_with(b"\r\n\r\n") {
                assert!(stream.read_buf(&mut got).await.unwrap() > 0);
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8(got).unwrap().to_ascii_lowercase()
        });
        let credentials = CredentialsFrom::Static {
            access_key_id: "id".to_owned(),
            secret_access_key: "secret".to_owned(),
        };
        let (endpoint_url, path_style) = (Some(url), true);
        let store =
            S3Store::new(S3Settings { endpoint_url, path_style, credentials, ..S3Settings::default() });
        let location = S3Location::new(BucketString::parse("lake").unwrap(), Encryption::SseS3);
        let result = request(&store.await, &location, &ObjectKey::listed("a/b.csv")).await;
        (result, server.await.unwrap())
    }

    fn version(id: Option<&str>) -> ObjectVersion {
        ObjectVersion { etag: "\"abc\"".to_owned(), id: id.map(str::to_owned) }
    }

    #[tokio::test]
    async fn the_head_of_an_object_names_its_version() {
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 12\r\nETag: \"abc\"\r\nx-amz-version-id: v1\r\n\
                      Content-Encoding: gzip\r\nLast-Modified: Wed, 27 May 2015 00:00:12 GMT\r\n\r\n";
        let v1 = async |store: &S3Store, to: &S3Location, key: &ObjectKey| {
            store.head_of(to, key, Some("v1")).await
        };
        let now =
            async |store: &S3Store, to: &S3Location, key: &ObjectKey| store.head_of(to, key, None).await;
        let (head, request) = ask(answer, v1).await;
        let head = head.unwrap();
        assert_eq!(head.pinned().unwrap(), (&version(Some("v1")), 12));
        assert_eq!(head.content_encoding.as_deref(), Some("gzip"));
        assert_eq!(head.last_modified, Some(UnixMillis(1_432_684_812_000)));
        assert!(request.starts_with("head /lake/a/b.csv?"), "{request}");
        assert!(request.contains("versionid=v1"), "{request}");

        let answer =
            "HTTP/1.1 200 OK\r\nContent-Length: 12\r\nETag: \"abc\"\r\nx-amz-version-id: null\r\n\r\n";
        let (head, request) = ask(answer, now).await;
        let head = head.unwrap();
        assert_eq!(head.pinned().unwrap(), (&version(None), 12));
        assert_eq!((head.content_encoding, head.last_modified), (None, None));
        assert!(!request.contains("versionid"), "{request}");

        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n";
        let head = ask(answer, now).await.0.unwrap();
        assert_eq!(head.pinned().unwrap_err().outlook(), Outlook::Refused);
    }

    #[tokio::test]
    async fn a_range_has_the_condition_that_the_object_is_the_same() {
        let get = async |store: &S3Store, to: &S3Location, key: &ObjectKey| {
            let range = ByteRange { from: 8, len: 4 };
            store.range(to, key, Some(&version(Some("v1"))), range).await.map_err(|error| error.outlook())
        };
        let bytes = |text: &'static str, object_len| Ok(RangeBytes { bytes: text.into(), object_len });
        let whole =
            "HTTP/1.1 206 Partial Content\r\nContent-Length: 4\r\nContent-Range: bytes 8-11/12\r\n\r\n1234";
        let (range, request) = ask(whole, get).await;
        assert_eq!(range, bytes("1234", Some(12)));
        assert!(request.contains("\r\nrange: bytes=8-11\r\n"), "{request}");
        assert!(request.contains("\r\nif-match: \"abc\"\r\n"), "{request}");
        assert!(request.contains("versionid=v1"), "{request}");
        assert!(!request.contains("x-amz-checksum-mode"), "{request}");

        let broken = "HTTP/1.1 206 Partial Content\r\nContent-Length: 4\r\n\r\n12";
        assert_eq!(ask(broken, get).await.0, bytes("12", None));
        let nothing = "HTTP/1.1 206 Partial Content\r\nContent-Length: 4\r\n\r\n";
        assert_eq!(ask(nothing, get).await.0, Err(Outlook::Passing));
        let changed = "HTTP/1.1 412 Precondition Failed\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(ask(changed, get).await.0, Err(Outlook::Changed));
        let empty = "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(ask(empty, get).await.0, Err(Outlook::Changed));
        // A store that does not know ranges.
        let all = "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n123456789012";
        assert_eq!(ask(all, get).await.0, Err(Outlook::Refused));
        let chunks = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nc\r\n123456789012\r\n0\r\n\r\n";
        assert_eq!(ask(chunks, get).await.0, Err(Outlook::Refused));
    }

    #[tokio::test]
    async fn the_beginning_of_an_object_says_whether_it_is_all() {
        let first = async |store: &S3Store, to: &S3Location, key: &ObjectKey| {
            store.range(to, key, None, ByteRange { from: 0, len: 4 }).await.unwrap()
        };
        let check = async |answer, text: &'static str, object_len| {
            let (range, request) = ask(answer, first).await;
            assert_eq!(range, RangeBytes { bytes: text.into(), object_len }, "{answer}");
            assert!(!request.contains("if-match"), "{request}");
        };
        let part =
            "HTTP/1.1 206 Partial Content\r\nContent-Length: 4\r\nContent-Range: bytes 0-3/12\r\n\r\n1234";
        check(part, "1234", Some(12)).await;
        check("HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n123456789012", "1234", None).await;
        check("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n123", "123", Some(3)).await;
        check("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n12", "12", None).await;
        check("HTTP/1.1 416 Range Not Satisfiable\r\nContent-Length: 0\r\n\r\n", "", Some(0)).await;
    }
}
