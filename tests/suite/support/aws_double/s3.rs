//! The object store.

use super::{Asked, AwsDouble, Bucket, Key, Misdirected, Scope, World, now};
use crate::support::scripted_http::{Reply, Request};

const ALGORITHM: &str = "x-amz-server-side-encryption";
const KEY_ID: &str = "x-amz-server-side-encryption-aws-kms-key-id";
const BUCKET_REGION: &str = "x-amz-bucket-region";

impl World {
    pub(super) fn answer_s3(&mut self, request: &Request, scope: &Scope) -> Reply {
        if let Some(refusal) = self.unknown_signer(request, scope) {
            return refusal;
        }
        let path = request.target.split('?').next().unwrap_or_default().trim_start_matches('/');
        let (name, key) = path.split_once('/').unwrap_or((path, ""));
        let Some(bucket) = self.buckets.get_mut(name) else { return Reply::s3_error(404, "NoSuchBucket") };
        if request.header("x-amz-expected-bucket-owner").is_some_and(|owner| owner != bucket.owner) {
            return Reply::s3_error(403, "AccessDenied");
        }
        match (request.method.as_str(), key) {
            ("HEAD", "") => bucket.head_bucket(scope),
            (_, "") => Reply::s3_error(405, "MethodNotAllowed"),
            _ if scope.region != bucket.region => bucket.misdirected(),
            ("PUT", key) => match refused_by_key(&self.keys, request) {
                Some(refusal) => refusal,
                None => bucket.put(key, request),
            },
            ("HEAD", key) => bucket.head(key),
            _ => Reply::s3_error(405, "MethodNotAllowed"),
        }
    }

    /// Why a signature is refused.
    fn unknown_signer(&mut self, request: &Request, scope: &Scope) -> Option<Reply> {
        if scope.signer == AwsDouble::PROCESS {
            return None;
        }
        let Some(session) = self.sessions.get(&scope.signer) else {
            return Some(Reply::s3_error(403, "InvalidAccessKeyId"));
        };
        if request.header("x-amz-security-token") != Some(&session.token) {
            return Some(Reply::s3_error(400, "InvalidToken"));
        }
        let ended = session.revoked || session.ends <= now();
        self.expired_answers += usize::from(ended);
        ended.then(|| Reply::s3_error(400, "ExpiredToken"))
    }
}

impl Bucket {
    fn head_bucket(&self, scope: &Scope) -> Reply {
        let status = match self.asked {
            Asked::Answered if scope.region == self.region => 200,
            Asked::Answered => 301,
            Asked::Refused => 403,
            Asked::RefusedSilently => return Reply::status(403),
        };
        Reply::status(status).with(BUCKET_REGION, &self.region)
    }

    fn misdirected(&self) -> Reply {
        match self.misdirected {
            Misdirected::PermanentRedirect => {
                Reply::s3_error(301, "PermanentRedirect").with(BUCKET_REGION, &self.region)
            }
            Misdirected::AuthorizationHeaderMalformed => {
                let body = format!(
                    "<Error><Code>AuthorizationHeaderMalformed</Code><Message>the region is wrong</Message>\
                     <Region>{}</Region></Error>",
                    self.region
                );
                Reply::Answer { status: 400, headers: Vec::new(), body }
            }
            Misdirected::IllegalLocationConstraint => {
                Reply::s3_error(400, "IllegalLocationConstraintException")
            }
        }
    }

    fn put(&mut self, key: &str, request: &Request) -> Reply {
        if self.young_for > 0 {
            self.young_for -= 1;
            return Reply::s3_error(307, "TemporaryRedirect").with("location", "http://elsewhere.invalid/");
        }
        if request.header("if-none-match") == Some("*") && self.objects.contains_key(key) {
            return Reply::s3_error(412, "PreconditionFailed");
        }
        self.objects.insert(key.to_owned(), request.clone());
        let mut reply = Reply::status(200).with("etag", "\"double\"");
        for name in [ALGORITHM, KEY_ID, "x-amz-checksum-crc32"] {
            let applied = self.applies.filter(|_| name == ALGORITHM);
            if let Some(value) = applied.or(request.header(name)) {
                reply = reply.with(name, value);
            }
        }
        reply
    }

    fn head(&self, key: &str) -> Reply {
        let Some(put) = self.objects.get(key) else { return Reply::status(404) };
        let metadata = put.headers.iter().filter(|(name, _)| name.starts_with("x-amz-meta-"));
        metadata.fold(Reply::status(200), |reply, (name, value)| reply.with(name, value))
    }
}

/// S3's answer if the key service gives it no data key.
fn refused_by_key(keys: &std::collections::BTreeMap<String, Key>, request: &Request) -> Option<Reply> {
    let key = request.header(KEY_ID)?;
    let (status, code) = match keys.get(key) {
        Some(Key::Enabled) => return None,
        Some(Key::Disabled) => (400, "KMS.DisabledException"),
        Some(Key::PendingDeletion) => (400, "KMS.KMSInvalidStateException"),
        Some(Key::Denied) => (403, "AccessDenied"),
        Some(Key::Throttled) => (400, "KMS.ThrottlingException"),
        None => (400, "KMS.NotFoundException"),
    };
    Some(Reply::s3_error(status, code))
}
