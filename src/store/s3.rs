//! [`S3Store`]: the object store that uses the AWS client.
//!
//! One put is one request. The client's own retries are off: a hidden second attempt of a create-only put
//! would be answered with 412 because of the first. The checksum is sent as a header, never as a trailer, so
//! that the body has a plain `Content-Length` both from memory and from a file; several stores refuse
//! `aws-chunked` bodies.
//!
//! Endpoints come only from the settings: the variables `AWS_ENDPOINT_URL…` are read by the commands that have an option for
//! an endpoint, and never by a node.

mod assumed_role;
mod change;
mod clients;
mod error;
mod notifications;
mod process;
mod read;
mod session;
mod settings;

use std::fmt;

use aws_config::meta::region::RegionProviderChain;
use aws_config::{Region, SdkConfig};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{Credentials, SharedCredentialsProvider};
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::primitives::{ByteStream, Length};
use aws_sdk_s3::types::{ObjectCannedAcl, RequestPayer, ServerSideEncryption, StorageClass};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use self::clients::{Access, Clients};
use self::error::{Failure, store_error};
pub use self::error::{failure, no_credentials, not_assumed};
pub use self::notifications::BucketNotifications;
use self::process::{DefaultChain, Process};
pub use self::settings::{Checksums, CredentialsFrom, S3Settings, Timeouts};
use super::fault::Asked;
use super::reader::Store;
use super::region::{DEFAULT_REGION, RegionRule, Regions, region_name, region_of_endpoint};
use super::{
    Attempted, Body, Fault, Head, KeptHeaders, ObjectStore, ObjectVersion, Put, PutMode, Reason, StoreError,
    Stored,
};
use crate::object::{AccountId, AppliedEncryption, KEY_BYTES_MAX, ObjectKey, Role, S3Location};
use crate::reach::aws::{proxy_of, sdk_of_environment};
use crate::time::UnixMillis;
use crate::words::{Told, outside_text};

/// The content type of every object.
const CONTENT_TYPE: &str = "text/plain";

/// How many bytes of a staged file are read at a time.
const FILE_CHUNK_BYTES: usize = 64 * 1024;

/// The object store that uses the AWS client. Share it by reference: any number of tasks may use it at the
/// same time.
pub struct S3Store {
    settings: S3Settings,
    regions: Regions,
    clients: Clients,
}

/// The credentials that signed a request.
struct Used {
    access: Access,
    generation: u64,
}

/// One attempt of a request: what sends it, and what its failure changes.
struct Attempt<'a> {
    store: &'a S3Store,
    location: &'a S3Location,
    asked: Asked,
    region: String,
    used: Used,
    client: Client,
}

debug_fields!(S3Store { settings });

impl S3Store {
    /// Reads settings from the environment (profile, variables) where `settings` has none. It sends no
    /// request and does not fetch credentials: if the store is unreachable, the first put fails, and later
    /// ones may succeed.
    pub async fn new(settings: S3Settings) -> Self {
        let rule = RegionRule::of(settings.region.as_deref(), settings.endpoint_url.as_deref());
        Self::with_region_rule(settings, rule).await
    }

    /// Like [`S3Store::new`], with an explicit region rule: for an endpoint in front of AWS that passes on
    /// its answers about regions.
    pub async fn with_region_rule(settings: S3Settings, rule: RegionRule) -> Self {
        let mut loader = sdk_of_environment();
        match (&settings.region, &settings.endpoint_url) {
            (Some(region), _) => loader = loader.region(Region::new(region.clone())),
            (None, Some(url)) => loader = loader.region(Region::new(region_of_endpoint(url).to_owned())),
            // The region of the environment selects the STS endpoint and the partition.
            (None, None) => {
                let surroundings = RegionProviderChain::default_provider();
                loader = loader.region(surroundings.or_else(Region::from_static(DEFAULT_REGION)));
            }
        }
        if settings.fips {
            loader = loader.use_fips(true);
        }
        if settings.dual_stack {
            loader = loader.use_dual_stack(true);
        }
        match &settings.credentials {
            CredentialsFrom::DefaultChain => {}
            CredentialsFrom::Static { access_key_id, secret_access_key } => {
                let pair = Credentials::new(access_key_id, secret_access_key, None, None, "configured");
                loader = loader.credentials_provider(SharedCredentialsProvider::new(pair));
            }
            CredentialsFrom::Provider(provider) => loader = loader.credentials_provider(provider.clone()),
        }
        let mut sdk = loader.load().await;
        if matches!(settings.credentials, CredentialsFrom::DefaultChain) {
            let chain = SharedCredentialsProvider::new(DefaultChain::new(sdk.clone()));
            sdk = sdk.into_builder().credentials_provider(chain).build();
        }
        let process = Process::new(sdk, settings.sts_endpoint_url.clone());
        let clients = Clients::new(settings.clone(), process);
        Self { settings, regions: Regions::new(rule), clients }
    }

    /// The proxy used to reach the store, from the environment, without user and password.
    pub fn proxy(&self) -> Option<String> {
        match &self.settings.endpoint_url {
            Some(url) => proxy_of(url),
            None => proxy_of(&format!("https://s3.{}.amazonaws.com", self.clients.process().home())),
        }
    }

    /// The region to use for a bucket: see [`Regions::of`]. If unknown, the bucket is asked once.
    /// Errors: Asking the bucket failed, or its answer named no region.
    pub async fn region_of(&self, location: &S3Location) -> Result<String, StoreError> {
        let bucket = location.bucket.bucket();
        if let Some(region) = self.regions.of(bucket, location.region.as_deref()) {
            return Ok(region);
        }
        let region = match self.ask_bucket(location).await {
            // The store answers without naming a region, so it has no regions: an earlier redirect came from
            // a proxy or gateway.
            Err(error) if error.fault == Fault::Refused && error.status.is_none() => {
                let configured = self.regions.fallback(location.region.as_deref());
                configured.ok_or(error)?.to_owned()
            }
            asked => asked?,
        };
        self.regions.learn(bucket, &region);
        Ok(region)
    }

    /// The endpoint of a store other than AWS.
    pub fn endpoint_url(&self) -> Option<&str> {
        self.settings.endpoint_url.as_deref()
    }

    /// The region of buckets without one of their own, if it is set.
    pub fn configured_region(&self) -> Option<&str> {
        self.settings.region.as_deref()
    }

    /// A client in a region, with the bucket's role if it has one.
    pub fn client_for(&self, location: &S3Location, region: &str) -> Client {
        self.clients.client(location.role.as_ref(), region)
    }

    /// An STS client with the process's own credentials, at the configured endpoint.
    pub fn token_service(&self) -> aws_sdk_sts::Client {
        self.clients.process().token_service()
    }

    /// What clients of other services in a region are made from. They use `role`, whose session is that of
    /// delivery, or the process's own credentials, and try once.
    pub fn sdk_in(&self, role: Option<&Role>, region: &str) -> SdkConfig {
        self.clients.sdk(role, region)
    }

    /// Another service refused the credentials of a role, or without one those of the process: new ones are
    /// got when they are next needed.
    pub fn renew_credentials(&self, role: Option<&Role>) {
        match self.clients.access(role) {
            Access::Process(process) => process.expired(process.generation()),
            Access::Role(role) => role.expired(role.generation()),
        }
    }

    /// The SDK configuration that all clients use: credentials, region, endpoint options.
    pub fn sdk(&self) -> &SdkConfig {
        self.clients.process().sdk()
    }

    /// Asks a bucket for its region. AWS names it in a header even when it refuses or redirects the request.
    async fn ask_bucket(&self, location: &S3Location) -> Result<String, StoreError> {
        let bucket = location.bucket.bucket();
        let home = self.clients.process().home().to_owned();
        let used = self.used(location).await;
        let request = self
            .client_for(location, &home)
            .head_bucket()
            .bucket(bucket)
            .set_expected_bucket_owner(owner_of(location));
        let answer = request.send().await;
        let named = match &answer {
            Ok(found) => found.bucket_region().and_then(region_name).map(str::to_owned),
            Err(err) => error::region_header(err).map(str::to_owned),
        };
        if let Some(region) = named {
            return Ok(region);
        }
        let setting = if self.settings.region_of_environment { "AWS_REGION" } else { "s3.region" };
        let hint = format!("find the region of bucket {bucket} (or set {setting})");
        match answer {
            Err(err) => {
                let mut error = store_error(Asked::HeadBucket, &home, &err).0;
                if error.fault == Fault::Expired {
                    used.access.expired(used.generation);
                }
                error.message = Told::plain(format!("{hint}: ")).and(&error.message);
                // A refused HEAD has no body, so only its status is known.
                use Reason::{
                    BadRequest, Exists, NoSuchBucket, NotFound, NotImplemented, Other, OtherRegion,
                };
                match error.reason {
                    // No region would help.
                    NoSuchBucket | NotFound => error.reason = NoSuchBucket,
                    BadRequest | Exists | NotImplemented | Other | OtherRegion => {
                        error.reason = Reason::RegionNotFound;
                    }
                    _ => {}
                }
                Err(error)
            }
            Ok(_) => {
                let error = StoreError::local(Fault::Refused, format!("{hint}: the answer names no region"));
                Err(StoreError { reason: Reason::RegionNotFound, ..error })
            }
        }
    }

    /// The current credentials for a bucket.
    async fn used(&self, location: &S3Location) -> Used {
        let access = self.clients.access(location.role.as_ref());
        Used { generation: access.generation().await, access }
    }

    async fn attempt<'a>(
        &'a self,
        location: &'a S3Location,
        asked: Asked,
    ) -> Result<Attempt<'a>, StoreError> {
        let region = self.region_of(location).await?;
        let used = self.used(location).await;
        let client = self.client_for(location, &region);
        Ok(Attempt { store: self, location, asked, region, used, client })
    }

    async fn put_once(&self, put: &Put, replaces: Option<&str>) -> Result<Stored, StoreError> {
        check_key(&put.key)?;
        let to = &put.location;
        let kms = to.encryption.kms();
        let attempt = self.attempt(to, Asked::Put).await?;
        let (body, len) = byte_stream(&put.body).await?;
        let content_length = i64::try_from(len)
            .map_err(|_| StoreError::local(Fault::Refused, format!("a body of {len} bytes cannot be put")))?;
        let checksum = BASE64.encode(put.crc32.to_be_bytes());

        let mut request = attempt
            .client
            .put_object()
            .bucket(to.bucket.bucket())
            .key(put.key.as_str())
            .content_type(CONTENT_TYPE)
            .content_length(content_length)
            .set_content_encoding(put.content_encoding.map(str::to_owned))
            .set_server_side_encryption(to.encryption.algorithm().map(ServerSideEncryption::from))
            .set_ssekms_key_id(kms.map(|kms| kms.key.to_string()))
            .set_bucket_key_enabled(kms.and_then(|kms| kms.bucket_key))
            .set_ssekms_encryption_context(
                kms.and_then(|kms| kms.context.json()).map(|json| BASE64.encode(json)),
            )
            .set_storage_class(to.storage_class.map(|class| StorageClass::from(class.as_str())))
            .set_expected_bucket_owner(attempt.owner())
            .set_tagging(tagging(&put.tags))
            .set_acl(
                self.settings.bucket_owner_full_control.then_some(ObjectCannedAcl::BucketOwnerFullControl),
            )
            .set_request_payer(attempt.payer())
            .set_if_none_match(
                (put.mode == PutMode::CreateOnly && replaces.is_none()).then(|| "*".to_owned()),
            )
            .set_if_match(replaces.map(str::to_owned))
            .set_checksum_crc32((self.settings.checksums == Checksums::Auto).then(|| checksum.clone()))
            .body(body);
        for (name, value) in &put.metadata {
            request = request.metadata(*name, value);
        }
        let timeouts = self.settings.timeouts.of_body(len);
        let answer = request
            .customize()
            .config_override(aws_sdk_s3::config::Builder::new().timeout_config(timeouts))
            .send()
            .await;
        let stored = answer.map_err(|error| attempt.failed(&error))?;
        match stored.checksum_crc32() {
            Some(theirs) if theirs != checksum => {
                let theirs = Told::private(outside_text(theirs).to_string());
                let sent = Told::plain(format!(", but {checksum} was sent"));
                let what = Told::plain("the store reports CRC-32 ").and(&theirs).and(&sent);
                Err(StoreError::told_locally(Fault::Digest, what))
            }
            _ => Ok(Stored {
                etag: stored.e_tag().map(str::to_owned),
                applied: applied(
                    stored.server_side_encryption(),
                    stored.ssekms_key_id(),
                    stored.bucket_key_enabled(),
                ),
                version: stored.version_id().map(str::to_owned),
            }),
        }
    }

    async fn head_once(
        &self,
        location: &S3Location,
        key: &ObjectKey,
        version: Option<&str>,
    ) -> Result<Head, StoreError> {
        check_key(key)?;
        let attempt = self.attempt(location, Asked::Head).await?;
        let request = attempt
            .client
            .head_object()
            .bucket(location.bucket.bucket())
            .key(key.as_str())
            .set_version_id(version.map(str::to_owned))
            .set_expected_bucket_owner(attempt.owner())
            .set_request_payer(attempt.payer());
        let head = request.send().await.map_err(|error| attempt.failed(&error))?;
        let named = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
        let id = named(head.version_id()).filter(|id| id != "null");
        Ok(Head {
            len: head.content_length().and_then(|len| u64::try_from(len).ok()),
            version: named(head.e_tag()).map(|etag| ObjectVersion { etag, id }),
            last_modified: head.last_modified().and_then(|at| Some(UnixMillis(at.to_millis().ok()?))),
            content_encoding: named(head.content_encoding()),
            metadata: head.metadata().into_iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect(),
            applied: applied(head.server_side_encryption(), head.ssekms_key_id(), head.bucket_key_enabled()),
            storage_class: head.storage_class().map(|class| class.as_str().to_owned()),
            headers: KeptHeaders {
                content_type: named(head.content_type()),
                content_disposition: named(head.content_disposition()),
                content_language: named(head.content_language()),
                cache_control: named(head.cache_control()),
                expires: named(head.expires_string()),
                redirect: named(head.website_redirect_location()),
                lacks_metadata: head.missing_meta().is_some_and(|missing| missing > 0),
            },
        })
    }
}

impl Attempt<'_> {
    /// Converts a failure. Corrects the remembered region and invalidates credentials as needed.
    fn failed<E>(&self, error: &Failure<E>) -> StoreError
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let (failed, region) = store_error(self.asked, &self.region, error);
        let Used { access, generation } = &self.used;
        match (failed.fault, failed.status) {
            (Fault::Expired, _) => access.expired(*generation),
            (Fault::Refused, Some(403)) => access.refused(*generation),
            (Fault::Region, _) => {
                let bucket = self.location.bucket.bucket();
                self.store.regions.correct(bucket, &self.region, region.as_deref());
            }
            _ => {}
        }
        failed
    }

    fn owner(&self) -> Option<String> {
        owner_of(self.location)
    }

    fn payer(&self) -> Option<RequestPayer> {
        self.store.settings.request_payer.then_some(RequestPayer::Requester)
    }
}

impl Store for S3Store {
    fn replace<'a>(&'a self, put: &'a Put, etag: &'a str) -> Attempted<'a, Stored> {
        Box::pin(self.put_once(put, Some(etag)))
    }
}

impl ObjectStore for S3Store {
    fn put<'a>(&'a self, put: &'a Put) -> Attempted<'a, Stored> {
        Box::pin(self.put_once(put, None))
    }

    fn head<'a>(&'a self, location: &'a S3Location, key: &'a ObjectKey) -> Attempted<'a, Head> {
        Box::pin(async move {
            // The refusal concerns the bucket, not the object.
            self.region_of(location).await.map_err(|error| match error.fault {
                Fault::Refused => StoreError { fault: Fault::Region, ..error },
                _ => error,
            })?;
            self.head_once(location, key, None).await
        })
    }
}

/// The encryption reported by an answer.
fn applied(
    algorithm: Option<&ServerSideEncryption>,
    kms_key: Option<&str>,
    bucket_key: Option<bool>,
) -> Option<AppliedEncryption> {
    Some(AppliedEncryption {
        algorithm: algorithm.map(|sse| sse.as_str().to_owned()),
        kms_key: kms_key.map(str::to_owned),
        bucket_key: bucket_key.unwrap_or(false),
    })
}

/// Refuses a key that no store takes. The answer to a HEAD with one would be that of expired credentials,
/// which is retried.
fn check_key(key: &ObjectKey) -> Result<(), StoreError> {
    let bytes = key.as_str().len();
    if bytes <= KEY_BYTES_MAX {
        return Ok(());
    }
    let what = format!("the key has {bytes} bytes, and S3 takes at most {KEY_BYTES_MAX}");
    Err(StoreError::local(Fault::Refused, what))
}

fn owner_of(location: &S3Location) -> Option<String> {
    location.expected_bucket_owner.as_ref().map(AccountId::to_string)
}

/// Tags in the form of the header: a query string.
fn tagging(tags: &[(&'static str, String)]) -> Option<String> {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(tags);
    (!tags.is_empty()).then(|| query.finish())
}

async fn byte_stream(body: &Body) -> Result<(ByteStream, u64), StoreError> {
    match body {
        Body::Bytes(bytes) => Ok((ByteStream::from(bytes.clone()), bytes.len() as u64)),
        Body::File { path, len } => {
            let unreadable = |cause: &dyn fmt::Display| {
                let what = format!("the object's file {} cannot be read: {cause}", path.display());
                StoreError::local(Fault::Local, what)
            };
            let found = tokio::fs::metadata(path).await.map_err(|err| unreadable(&err))?.len();
            if found != *len {
                return Err(unreadable(&format!("it has {found} bytes instead of {len}")));
            }
            let stream = ByteStream::read_from()
                .path(path)
                .length(Length::Exact(*len))
                .buffer_size(FILE_CHUNK_BYTES)
                .build()
                .await
                .map_err(|err| unreadable(&err))?;
            Ok((stream, *len))
        }
    }
}
