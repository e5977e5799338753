//! Settings for reaching the store.

use std::fmt;
use std::time::Duration;

use aws_sdk_s3::config::SharedCredentialsProvider;
use aws_sdk_s3::config::timeout::TimeoutConfig;

/// How much longer an operation may take than its one attempt, because it may fetch credentials.
const OPERATION_SLACK: Duration = Duration::from_secs(20);

/// Whether checksums are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Checksums {
    /// `x-amz-checksum-crc32` with every put.
    #[default]
    Auto,
    /// None, for stores that do not support them; not requested with reads either.
    WhenRequired,
}

/// Where credentials come from.
#[derive(Clone, Default)]
pub enum CredentialsFrom {
    /// Environment, profile, web identity, container, instance, in the order of the AWS tools.
    #[default]
    DefaultChain,
    /// A fixed key pair.
    Static {
        /// Access key id.
        access_key_id: String,
        /// Secret access key.
        secret_access_key: String,
    },
    /// A provider, such as an assumed role, which renews itself.
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

/// The time limits of an attempt.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For connecting.
    pub connect: Duration,
    /// For a request with an empty body, including the answer.
    pub attempt: Duration,
    /// Extra time for a body: its length divided by this many bytes per second.
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
    pub(super) fn of_body(&self, len: u64) -> TimeoutConfig {
        let attempt =
            self.attempt.saturating_add(Duration::from_secs(len / self.slowest_bytes_per_second.max(1)));
        TimeoutConfig::builder()
            .connect_timeout(self.connect)
            .operation_attempt_timeout(attempt)
            .operation_timeout(attempt.saturating_add(OPERATION_SLACK))
            .build()
    }
}

/// Settings for reaching the store.
#[derive(Clone, Debug, Default)]
pub struct S3Settings {
    /// The region of buckets without one of their own. If not set, it is discovered (us-east-1 with a custom
    /// endpoint).
    pub region: Option<String>,
    /// Whether the environment alone names a region, and no configuration: messages say which one to set.
    pub region_of_environment: bool,
    /// The endpoint of a store other than AWS.
    pub endpoint_url: Option<String>,
    /// `endpoint/bucket/key` instead of `bucket.endpoint/key`.
    pub path_style: bool,
    /// Whether checksums are sent.
    pub checksums: Checksums,
    /// AWS FIPS endpoints, also of STS.
    pub fips: bool,
    /// AWS endpoints with both IPv4 and IPv6 addresses.
    pub dual_stack: bool,
    /// The STS endpoint for assuming roles, if not AWS's own in the region.
    pub sts_endpoint_url: Option<String>,
    /// The name of assumed-role sessions in AWS logs.
    pub session_name: String,
    /// Whether the bucket's owner gets full control of objects (`x-amz-acl: bucket-owner-full-control`).
    pub bucket_owner_full_control: bool,
    /// Whether the requester pays (`x-amz-request-payer: requester`).
    pub request_payer: bool,
    /// Where credentials come from.
    pub credentials: CredentialsFrom,
    /// The time limits of an attempt.
    pub timeouts: Timeouts,
}
