//! Requests of the importer: what an object is now, and ranges of that version of it. Each makes one attempt.

use aws_sdk_s3::config::ResponseChecksumValidation;
use bytes::{Bytes, BytesMut};

use super::{Asked, Context, GetBody, S3Store, owner_of, store_error};
use crate::object::{ObjectKey, S3Location};
use crate::store::{Fault, StoreError};
use crate::time::UnixMillis;
use crate::words::Told;

/// What an object is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectHead {
    /// Its length in bytes.
    pub len: u64,
    /// Its version.
    pub version: ObjectVersion,
    /// When it was stored, as the store says.
    pub last_modified: Option<UnixMillis>,
    /// Its `Content-Encoding`.
    pub content_encoding: Option<String>,
}

/// One version of an object's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectVersion {
    /// The entity tag, as answered: with its quotes.
    pub etag: String,
    /// The version id; `None` in buckets without versions, where stores leave it out or say `null`.
    pub id: Option<String>,
}

/// Why an object was not read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadFailure {
    /// There is no such object, or no such version of it.
    #[error("it does not exist")]
    NotFound,
    /// The object is another one now.
    #[error("it changed")]
    Changed,
    /// Reading it is not allowed, or there are no credentials.
    #[error("access denied")]
    Denied(#[source] StoreError),
    /// Any other refusal that a retry does not change.
    #[error("the store refuses the request")]
    Refused(#[source] StoreError),
    /// The same request may succeed later.
    #[error("the store did not answer as it should")]
    Transient(#[source] StoreError),
}

impl ReadFailure {
    /// Why, with what the store said.
    pub fn told(&self) -> Told {
        let why = Told::plain(self.to_string());
        match self {
            Self::NotFound | Self::Changed => why,
            Self::Denied(error) | Self::Refused(error) | Self::Transient(error) => {
                why.and(&Told::plain(": ")).and(&error.told())
            }
        }
    }
}

impl From<StoreError> for ReadFailure {
    fn from(error: StoreError) -> Self {
        match (error.fault, error.status, error.code.as_deref()) {
            (Fault::NotFound, ..) | (Fault::Refused, Some(404), Some("NoSuchVersion")) => Self::NotFound,
            // 416: the object is shorter, and the store does not know `If-Match`.
            (Fault::Refused, Some(412 | 416), _) => Self::Changed,
            (Fault::Refused, Some(401 | 403), _) | (Fault::NoAccess, ..) => Self::Denied(error),
            (Fault::Refused | Fault::Exists | Fault::Local, ..) => Self::Refused(error),
            // After the last two the next attempt uses other credentials or another region.
            (Fault::Transient | Fault::Busy | Fault::Digest | Fault::Expired | Fault::Region, ..) => {
                Self::Transient(error)
            }
        }
    }
}

impl S3Store {
    /// What an object is now, or what its version `version` is.
    ///
    /// # Errors
    /// [`ReadFailure`]; [`ReadFailure::Refused`] also if the store names no entity tag, without which a change
    /// during the read could not be noticed.
    pub async fn head_for_import(
        &self,
        location: &S3Location,
        key: &ObjectKey,
        version: Option<&str>,
    ) -> Result<ObjectHead, ReadFailure> {
        let region = self.region_of(location).await?;
        let head = self.head_answer(&region, location, key, version).await?;
        let refused = |what| ReadFailure::Refused(StoreError::local(Fault::Refused, what));
        let etag = head.e_tag().filter(|etag| !etag.is_empty());
        let len = head.content_length().and_then(|len| u64::try_from(len).ok());
        Ok(ObjectHead {
            len: len.ok_or_else(|| refused("the answer names no length"))?,
            version: ObjectVersion {
                etag: etag.ok_or_else(|| refused("the answer names no ETag"))?.to_owned(),
                id: head.version_id().filter(|id| !id.is_empty() && *id != "null").map(str::to_owned),
            },
            last_modified: head.last_modified().and_then(|at| Some(UnixMillis(at.to_millis().ok()?))),
            content_encoding: head.content_encoding().filter(|it| !it.is_empty()).map(str::to_owned),
        })
    }

    /// `len` bytes of a version of an object, from byte `from` on; `len` is at least 1. `Ok` has fewer bytes if
    /// the connection broke or stalled half-way: request the rest.
    ///
    /// # Errors
    /// [`ReadFailure`].
    pub async fn get_range(
        &self,
        location: &S3Location,
        key: &ObjectKey,
        version: &ObjectVersion,
        from: u64,
        len: u64,
    ) -> Result<Bytes, ReadFailure> {
        let region = self.region_of(location).await?;
        let used = self.used(location).await;
        let last = from.saturating_add(len).saturating_sub(1);
        // Stores that answer a range with the checksum of the whole object would fail every range.
        let unchecked = aws_sdk_s3::config::Builder::new()
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
        let answer = self
            .client_for(location, &region)
            .get_object()
            .bucket(location.bucket.bucket())
            .key(key.as_str())
            .range(format!("bytes={from}-{last}"))
            .if_match(&version.etag)
            .set_version_id(version.id.clone())
            .set_expected_bucket_owner(owner_of(location))
            .set_request_payer(self.request_payer())
            .customize()
            .config_override(unchecked)
            .send()
            .await;
        let context = Context { asked: Asked::Get, region: &region };
        let object = match answer {
            Ok(object) => object,
            Err(err) => {
                let failed = store_error(context, &err);
                return Err(self.failed(location, context, &used, failed).into());
            }
        };
        let sent = object.content_length().and_then(|sent| u64::try_from(sent).ok());
        if sent.is_some_and(|sent| sent > len) {
            return Err(too_long(len));
        }
        let mut body = GetBody { stream: object.body };
        let mut range = BytesMut::with_capacity(usize::try_from(len).unwrap_or(0));
        loop {
            match body.next().await {
                Ok(Some(piece)) => range.extend_from_slice(&piece),
                Ok(None) => return Ok(range.freeze()),
                Err(_) if !range.is_empty() => return Ok(range.freeze()),
                Err(error) => return Err(error.into()),
            }
            if range.len() as u64 > len {
                return Err(too_long(len));
            }
        }
    }
}

/// The store sent more than was asked for: it ignores ranges.
fn too_long(len: u64) -> ReadFailure {
    let what = format!("asked for {len} bytes of the object, it sends more: it does not support ranges");
    ReadFailure::Refused(StoreError::local(Fault::Refused, what))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::super::{CredentialsFrom, S3Settings};
    use super::*;
    use crate::object::{BucketString, Encryption};
    use crate::store::fault::{Ending, classify};

    #[test]
    fn failures_are_what_a_reader_can_act_on() {
        let check = |asked, status, code: &str, is: fn(&ReadFailure) -> bool| {
            let code = (!code.is_empty()).then_some(code);
            let fault = classify(asked, Ending::Answer { status, code });
            let failure = ReadFailure::from(StoreError::answered(fault, status, code, "why"));
            assert!(is(&failure), "{status} {code:?}: {failure:?}");
        };
        use ReadFailure::{Changed, Denied, NotFound, Refused, Transient};
        check(Asked::Get, 412, "PreconditionFailed", |it| matches!(it, Changed));
        check(Asked::Get, 412, "", |it| matches!(it, Changed));
        check(Asked::Get, 416, "InvalidRange", |it| matches!(it, Changed));
        check(Asked::Get, 404, "NoSuchKey", |it| matches!(it, NotFound));
        check(Asked::Get, 404, "NoSuchVersion", |it| matches!(it, NotFound));
        check(Asked::Get, 404, "NoSuchBucket", |it| matches!(it, Refused(_)));
        check(Asked::Head, 404, "", |it| matches!(it, NotFound));
        check(Asked::Get, 403, "AccessDenied", |it| matches!(it, Denied(_)));
        check(Asked::Head, 403, "", |it| matches!(it, Denied(_)));
        check(Asked::Get, 403, "InvalidObjectState", |it| matches!(it, Denied(_)));
        check(Asked::Get, 400, "InvalidRequest", |it| matches!(it, Refused(_)));
        check(Asked::Get, 400, "ExpiredToken", |it| matches!(it, Transient(_)));
        check(Asked::Get, 301, "PermanentRedirect", |it| matches!(it, Transient(_)));
        check(Asked::Get, 503, "SlowDown", |it| matches!(it, Transient(_)));
        check(Asked::Get, 500, "", |it| matches!(it, Transient(_)));
        let nobody = StoreError::local(Fault::NoAccess, "no credentials");
        assert!(matches!(ReadFailure::from(nobody), Denied(_)));
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
        let (head, request) =
            ask(answer, async |store, to, key| store.head_for_import(to, key, Some("v1")).await).await;
        let content_encoding = Some("gzip".to_owned());
        let last_modified = Some(UnixMillis(1_432_684_812_000));
        let is = ObjectHead { len: 12, version: version(Some("v1")), last_modified, content_encoding };
        assert_eq!(head.unwrap(), is);
        assert!(request.starts_with("head /lake/a/b.csv?"), "{request}");
        assert!(request.contains("versionid=v1"), "{request}");

        let answer =
            "HTTP/1.1 200 OK\r\nContent-Length: 12\r\nETag: \"abc\"\r\nx-amz-version-id: null\r\n\r\n";
        let (head, request) =
            ask(answer, async |store, to, key| store.head_for_import(to, key, None).await).await;
        let is = ObjectHead { len: 12, version: version(None), last_modified: None, content_encoding: None };
        assert_eq!(head.unwrap(), is);
        assert!(!request.contains("versionid"), "{request}");

        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n";
        let (head, _) = ask(answer, async |store, to, key| store.head_for_import(to, key, None).await).await;
        assert!(matches!(head, Err(ReadFailure::Refused(_))), "{head:?}");
    }

    #[tokio::test]
    async fn a_range_has_the_condition_that_the_object_is_the_same() {
        let get = async |store: &S3Store, to: &S3Location, key: &ObjectKey| {
            store.get_range(to, key, &version(Some("v1")), 8, 4).await
        };
        let whole =
            "HTTP/1.1 206 Partial Content\r\nContent-Length: 4\r\nContent-Range: bytes 8-11/12\r\n\r\n1234";
        let (range, request) = ask(whole, get).await;
        assert_eq!(range.unwrap(), "1234");
        assert!(request.contains("\r\nrange: bytes=8-11\r\n"), "{request}");
        assert!(request.contains("\r\nif-match: \"abc\"\r\n"), "{request}");
        assert!(request.contains("versionid=v1"), "{request}");
        assert!(!request.contains("x-amz-checksum-mode"), "{request}");

        let broken = "HTTP/1.1 206 Partial Content\r\nContent-Length: 4\r\n\r\n12";
        assert_eq!(ask(broken, get).await.0.unwrap(), "12");
        let nothing = "HTTP/1.1 206 Partial Content\r\nContent-Length: 4\r\n\r\n";
        assert!(matches!(ask(nothing, get).await.0, Err(ReadFailure::Transient(_))));
        let changed = "HTTP/1.1 412 Precondition Failed\r\nContent-Length: 0\r\n\r\n";
        assert!(matches!(ask(changed, get).await.0, Err(ReadFailure::Changed)));
        // A store that does not know ranges.
        let all = "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n123456789012";
        assert!(matches!(ask(all, get).await.0, Err(ReadFailure::Refused(_))));
    }
}
