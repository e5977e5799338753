//! [`S3Store`]: the object store over the AWS client.
//!
//! One put is one request. The client's own retries are off: a hidden second try of a create-only put would be answered
//! 412 by our own success. The checksum goes out as a value in a header and never as a trailer, so the body has a plain
//! `Content-Length` whether it lies in memory or in a file; several stores refuse `aws-chunked` bodies.
//!
//! Endpoints come from the configuration only: `AWS_ENDPOINT_URL` and the like are not followed.

mod error;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    Credentials, RequestChecksumCalculation, ResponseChecksumValidation, SharedCredentialsProvider,
    StalledStreamProtectionConfig,
};
use aws_sdk_s3::primitives::{ByteStream, Length};
use aws_sdk_s3::types::{ObjectCannedAcl, RequestPayer, ServerSideEncryption, StorageClass};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use self::error::{Context, local_error, store_error};
use super::fault::{Asked, outside_text};
use super::region::{DEFAULT_REGION, RegionRule, Regions, Where, region_name};
use super::{Body, BoxFuture, Fault, Head, ObjectStore, Put, PutMode, StoreError, Stored};
use crate::object::{AccountId, AppliedEncryption, Destination, ObjectKey};

/// The content type of every object.
const CONTENT_TYPE: &str = "text/plain";

/// How much of a staged file is read at a time, in bytes.
const FILE_CHUNK_BYTES: usize = 64 * 1024;

/// Clients kept, one for each region. At the limit all are dropped and made again when needed.
const CLIENTS_MAX: usize = 64;

/// How long a body may make no progress before the try is given up. Uplinks that stall for a while are
/// common; the attempt timeout stands behind it.
const STALL_GRACE: Duration = Duration::from_secs(20);

/// What the operation may take beyond its one attempt: credentials are fetched in it.
const OPERATION_SLACK: Duration = Duration::from_secs(15);

/// Whether checksums are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Checksums {
    /// `x-amz-checksum-crc32` with every put.
    #[default]
    Auto,
    /// None, for stores that do not know the header; nor are they asked for with reads.
    WhenRequired,
}

/// Where credentials come from.
#[derive(Clone, Default)]
pub enum CredentialsFrom {
    /// Environment, profile, web identity, container, instance: the order of the AWS tools.
    #[default]
    DefaultChain,
    /// A fixed pair.
    Static {
        /// Access key id.
        access_key_id: String,
        /// Secret access key.
        secret_access_key: String,
    },
    /// A provider: an assumed role, which renews itself.
    Provider(SharedCredentialsProvider),
}

impl fmt::Debug for CredentialsFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DefaultChain => "DefaultChain",
            Self::Static { .. } => "Static",
            Self::Provider(_) => "Provider",
        })
    }
}

/// How long one try may take.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// To connect.
    pub connect: Duration,
    /// For one request with an empty body, answer included.
    pub attempt: Duration,
    /// What a body adds: its length divided by this many bytes per second.
    pub slowest_bytes_per_second: u64,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            attempt: Duration::from_secs(30),
            slowest_bytes_per_second: 256 * 1024,
        }
    }
}

impl Timeouts {
    fn of_body(&self, len: u64) -> TimeoutConfig {
        let attempt =
            self.attempt.saturating_add(Duration::from_secs(len / self.slowest_bytes_per_second.max(1)));
        TimeoutConfig::builder()
            .connect_timeout(self.connect)
            .operation_attempt_timeout(attempt)
            .operation_timeout(attempt.saturating_add(OPERATION_SLACK))
            .build()
    }
}

/// How to reach the store.
#[derive(Clone, Debug, Default)]
pub struct S3Settings {
    /// The region of buckets that have none of their own; else it is found (with a custom endpoint: us-east-1).
    pub region: Option<String>,
    /// A store that is not AWS.
    pub endpoint_url: Option<String>,
    /// `endpoint/bucket/key` in place of `bucket.endpoint/key`.
    pub path_style: bool,
    /// Whether checksums are sent.
    pub checksums: Checksums,
    /// FIPS endpoints of AWS, also of its token service.
    pub fips: bool,
    /// Endpoints of AWS that have IPv4 and IPv6 addresses.
    pub dual_stack: bool,
    /// The token service by which roles are assumed, where it is not AWS's own of the region.
    pub sts_endpoint_url: Option<String>,
    /// The name that sessions of assumed roles have in the logs of AWS.
    pub session_name: String,
    /// Whether objects are given to the bucket's owner (`x-amz-acl: bucket-owner-full-control`).
    pub bucket_owner_full_control: bool,
    /// Whether the requester pays (`x-amz-request-payer: requester`).
    pub request_payer: bool,
    /// Where credentials come from.
    pub credentials: CredentialsFrom,
    /// How long one try may take.
    pub timeouts: Timeouts,
}

/// The object store over the AWS client. Share it by reference: any number of tasks may use it at once.
pub struct S3Store {
    settings: S3Settings,
    sdk: SdkConfig,
    regions: Regions,
    clients: Mutex<BTreeMap<String, Client>>,
}

impl fmt::Debug for S3Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Store").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl S3Store {
    /// Reads the surroundings that the settings leave open (profile, environment). No request is sent and credentials are
    /// not fetched yet: a store that cannot be reached fails in the first put, and may be reachable later.
    pub async fn new(settings: S3Settings) -> Self {
        let rule = RegionRule::of(settings.region.as_deref(), settings.endpoint_url.as_deref());
        Self::with_region_rule(settings, rule).await
    }

    /// As [`S3Store::new`], with a region rule that does not follow from the settings: for an endpoint that stands in
    /// front of AWS and hands on its answers about regions.
    pub async fn with_region_rule(settings: S3Settings, rule: RegionRule) -> Self {
        let mut loader = aws_config::defaults(BehaviorVersion::latest());
        match (&settings.region, &settings.endpoint_url) {
            (Some(region), _) => loader = loader.region(Region::new(region.clone())),
            (None, Some(_)) => loader = loader.region(Region::from_static(DEFAULT_REGION)),
            // The region of the surroundings is where token services are asked, and whose partition buckets are in.
            (None, None) => {}
        }
        match &settings.credentials {
            CredentialsFrom::DefaultChain => {}
            CredentialsFrom::Static { access_key_id, secret_access_key } => {
                let pair = Credentials::new(access_key_id, secret_access_key, None, None, "configured");
                loader = loader.credentials_provider(SharedCredentialsProvider::new(pair));
            }
            CredentialsFrom::Provider(provider) => loader = loader.credentials_provider(provider.clone()),
        }
        let sdk = loader.load().await;
        Self { settings, sdk, regions: Regions::new(rule), clients: Mutex::new(BTreeMap::new()) }
    }

    /// The region to use for a bucket: see [`Regions::of`]. A bucket that is not known is asked, once.
    ///
    /// # Errors
    /// The bucket could not be asked, or its answer named no region.
    pub async fn region_of(&self, destination: &Destination) -> Result<String, StoreError> {
        let bucket = destination.bucket.bucket();
        match self.regions.of(bucket, destination.region.as_deref()) {
            Where::Region(region) => Ok(region),
            Where::Unknown => {
                let region = self.ask_bucket(bucket).await?;
                self.regions.learn(bucket, &region);
                Ok(region)
            }
        }
    }

    /// The client of a region, of which there is one. For the reading commands, which list and get.
    pub fn client(&self, region: &str) -> Client {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(region) {
            return client.clone();
        }
        if clients.len() >= CLIENTS_MAX {
            clients.clear();
        }
        let client = Client::from_conf(self.config(region));
        clients.insert(region.to_owned(), client.clone());
        client
    }

    fn config(&self, region: &str) -> aws_sdk_s3::Config {
        let stalls = StalledStreamProtectionConfig::enabled().grace_period(STALL_GRACE).build();
        let mut builder = aws_sdk_s3::config::Builder::from(&self.sdk);
        builder.set_endpoint_url(self.settings.endpoint_url.clone());
        builder
            .region(Region::new(region.to_owned()))
            .force_path_style(self.settings.path_style)
            .retry_config(RetryConfig::disabled())
            .timeout_config(self.settings.timeouts.of_body(0))
            .stalled_stream_protection(stalls)
            // `Auto` sends the checksum itself; the client adding one of its own would make it a trailer.
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            // Of reads only: a HEAD does not ask for checksums, for which S3 may want kms:Decrypt.
            .response_checksum_validation(match self.settings.checksums {
                Checksums::Auto => ResponseChecksumValidation::WhenSupported,
                Checksums::WhenRequired => ResponseChecksumValidation::WhenRequired,
            })
            .build()
    }

    /// Asks a bucket where it is. AWS says so in a header even where it refuses or redirects.
    async fn ask_bucket(&self, bucket: &str) -> Result<String, StoreError> {
        let home = self.sdk.region().map_or(DEFAULT_REGION, AsRef::as_ref).to_owned();
        let answer = self.client(&home).head_bucket().bucket(bucket).send().await;
        let named = match &answer {
            Ok(found) => found.bucket_region().and_then(region_name).map(str::to_owned),
            Err(err) => error::region_header(err).map(str::to_owned),
        };
        if let Some(region) = named {
            return Ok(region);
        }
        let hint = format!("find the region of bucket {bucket} (or set it: [s3] region)");
        match answer {
            Err(err) => {
                let mut error = store_error(Context { asked: Asked::HeadBucket, region: &home }, &err).error;
                error.message = format!("{hint}: {}", error.message);
                Err(error)
            }
            Ok(_) => Err(local_error(Fault::Refused, format!("{hint}: the answer names none"))),
        }
    }

    /// Turns a failure into a [`StoreError`], and corrects what is remembered of the bucket's region.
    fn failed<E>(
        &self,
        destination: &Destination,
        context: Context<'_>,
        err: &error::Failure<E>,
    ) -> StoreError
    where
        E: aws_sdk_s3::error::ProvideErrorMetadata + std::error::Error + 'static,
    {
        let told = store_error(context, err);
        if told.error.fault == Fault::Region {
            self.regions.correct(destination.bucket.bucket(), context.region, told.region.as_deref());
        }
        told.error
    }

    fn request_payer(&self) -> Option<RequestPayer> {
        self.settings.request_payer.then_some(RequestPayer::Requester)
    }

    async fn put_once(&self, put: &Put) -> Result<Stored, StoreError> {
        let to = &put.destination;
        let kms = to.encryption.kms();
        let region = self.region_of(to).await?;
        let (body, len) = byte_stream(&put.body).await?;
        let content_length = i64::try_from(len)
            .map_err(|_| local_error(Fault::Refused, format!("a body of {len} bytes cannot be put")))?;
        let checksum = BASE64.encode(put.crc32.to_be_bytes());

        let mut request = self
            .client(&region)
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
            .set_expected_bucket_owner(owner_of(to))
            .set_tagging(tagging(&put.tags))
            .set_acl(
                self.settings.bucket_owner_full_control.then_some(ObjectCannedAcl::BucketOwnerFullControl),
            )
            .set_request_payer(self.request_payer())
            .set_if_none_match((put.mode == PutMode::CreateOnly).then(|| "*".to_owned()))
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
        let context = Context { asked: Asked::Put, region: &region };
        let stored = answer.map_err(|err| self.failed(&put.destination, context, &err))?;
        match stored.checksum_crc32() {
            Some(theirs) if theirs != checksum => {
                let theirs = outside_text(theirs);
                Err(local_error(Fault::Digest, format!("stored with CRC-32 {theirs}, sent with {checksum}")))
            }
            _ => Ok(Stored {
                etag: stored.e_tag().map(str::to_owned),
                applied: Some(AppliedEncryption {
                    algorithm: stored.server_side_encryption().map(|sse| sse.as_str().to_owned()),
                    kms_key: stored.ssekms_key_id().map(str::to_owned),
                    bucket_key: stored.bucket_key_enabled().unwrap_or(false),
                }),
                version: stored.version_id().map(str::to_owned),
            }),
        }
    }

    async fn head_once(&self, destination: &Destination, key: &ObjectKey) -> Result<Head, StoreError> {
        let region = self.region_of(destination).await?;
        let request = self
            .client(&region)
            .head_object()
            .bucket(destination.bucket.bucket())
            .key(key.as_str())
            .set_expected_bucket_owner(owner_of(destination))
            .set_request_payer(self.request_payer());
        let context = Context { asked: Asked::Head, region: &region };
        let head = request.send().await.map_err(|err| self.failed(destination, context, &err))?;
        Ok(Head {
            len: head.content_length().and_then(|len| u64::try_from(len).ok()).unwrap_or(0),
            metadata: head.metadata().into_iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect(),
            applied: Some(AppliedEncryption {
                algorithm: head.server_side_encryption().map(|sse| sse.as_str().to_owned()),
                kms_key: head.ssekms_key_id().map(str::to_owned),
                bucket_key: head.bucket_key_enabled().unwrap_or(false),
            }),
        })
    }
}

impl ObjectStore for S3Store {
    fn put<'a>(&'a self, put: &'a Put) -> BoxFuture<'a, Result<Stored, StoreError>> {
        Box::pin(self.put_once(put))
    }

    fn head<'a>(
        &'a self,
        destination: &'a Destination,
        key: &'a ObjectKey,
    ) -> BoxFuture<'a, Result<Head, StoreError>> {
        Box::pin(self.head_once(destination, key))
    }
}

fn owner_of(destination: &Destination) -> Option<String> {
    destination.expected_bucket_owner.as_ref().map(AccountId::to_string)
}

/// Tags as the header wants them: a query string.
fn tagging(tags: &[(&'static str, String)]) -> Option<String> {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(tags);
    (!tags.is_empty()).then(|| query.finish())
}

/// A staged file that is gone, or not as long as it was, is answered as a wrong digest is: build it again.
async fn byte_stream(body: &Body) -> Result<(ByteStream, u64), StoreError> {
    match body {
        Body::Bytes(bytes) => Ok((ByteStream::from(bytes.clone()), bytes.len() as u64)),
        Body::File { path, len } => {
            let unreadable = |cause: &dyn fmt::Display| {
                local_error(Fault::Digest, format!("staged file {}: {cause}", path.display()))
            };
            let found = tokio::fs::metadata(path).await.map_err(|err| unreadable(&err))?.len();
            if found != *len {
                return Err(unreadable(&format!("it has {found} bytes where {len} were staged")));
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
