//! How the store is reached.

use std::fmt;
use std::time::Duration;

use aws_sdk_s3::config::SharedCredentialsProvider;
use aws_sdk_s3::config::timeout::TimeoutConfig;

/// What the operation may take beyond its one attempt: credentials are fetched in it.
const OPERATION_SLACK: Duration = Duration::from_secs(20);

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
