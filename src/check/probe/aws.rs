//! Requests to the store, STS and KMS, each with one attempt.

use std::error::Error;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_config::Region;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_credential_types::Credentials as Secrets;
use aws_credential_types::credential_feature::AwsCredentialFeature;
use aws_credential_types::provider::ProvideCredentials;
use aws_sdk_kms::types::DataKeySpec;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::types::RequestPayer;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::BeforeDeserializationInterceptorContextRef;
use aws_smithy_runtime_api::client::interceptors::{Intercept, dyn_dispatch_hint};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;

use crate::check::access::{Credentials, Identity};
use crate::check::bucket::HeadBucket;
use crate::check::clock::Reading;
use crate::check::key::KeyFacts;
use crate::check::refusal::Refusal;
use crate::lock::lock;
use crate::object::{ObjectKey, Role, S3Location, SseKms};
use crate::store::fault::Asked;
use crate::store::reason::NoCredentials;
use crate::store::region::{DEFAULT_REGION, region_in_error_body, region_name};
use crate::store::s3::{S3Store, failure, no_credentials};
use crate::store::{Fault, ObjectStore, Put, Reason, Stored};
use crate::time::{Clock, UnixMillis};
use crate::words::{rfc3339, with_causes};

/// The longest time to connect.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// The clients, and how long an answer may take.
#[derive(Debug)]
pub(crate) struct Aws {
    pub(crate) store: Arc<S3Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) timeout: Duration,
    pub(crate) kms_endpoint_url: Option<String>,
    pub(crate) request_payer: bool,
}

impl Aws {
    /// The process's own credentials.
    pub(crate) async fn credentials(&self) -> Result<Credentials, Refusal> {
        let without = Refusal::without_credentials;
        let none = || without(Reason::NoCredentials(NoCredentials::NoneFound), "no provider is configured");
        let provider = self.store.sdk().credentials_provider().ok_or_else(none)?;
        let found = tokio::time::timeout(self.timeout, provider.provide_credentials()).await;
        let late = Reason::NoCredentials(NoCredentials::Failed);
        let found = found.map_err(|_| without(late, "credentials: the request for them timed out"))?;
        let secrets = found.map_err(|error| {
            without(no_credentials(&error), &format!("credentials: {}", with_causes(&error)))
        })?;
        Ok(Credentials { access_key_id: secrets.access_key_id().to_owned(), from: source_of(&secrets) })
    }

    /// The region of the STS endpoint.
    pub(crate) fn token_region(&self) -> String {
        self.store.sdk().region().map_or(DEFAULT_REGION, AsRef::as_ref).to_owned()
    }

    /// The identity of the process's credentials.
    pub(crate) async fn identity(&self) -> Identity {
        let request = self.store.token_service().get_caller_identity().customize();
        match request.config_override(self.once()).send().await {
            Ok(answer) => Identity::Is(answer.arn().unwrap_or("an answer without an ARN").to_owned()),
            Err(error) => Identity::Refused(refusal(&error)),
        }
    }

    /// Assumes a role, with or without its external id.
    pub(crate) async fn assume(&self, role: &Role, session: &str, with_id: bool) -> Result<Secrets, Refusal> {
        let request = self
            .store
            .token_service()
            .assume_role()
            .role_arn(role.arn.as_str())
            .role_session_name(session)
            .set_external_id(with_id.then(|| role.external_id.to_string()))
            .customize();
        let answer = request.config_override(self.once()).send().await.map_err(|error| refusal(&error))?;
        let session = answer.credentials();
        let session = session.ok_or_else(|| Refusal::odd("the answer contains no credentials"))?;
        let token = Some(session.session_token().to_owned());
        Ok(Secrets::new(session.access_key_id(), session.secret_access_key(), token, None, "forebay-check"))
    }

    /// Sends `HeadBucket` to a region, with the writer's identity. Also returns the answer's time.
    pub(crate) async fn head_bucket(&self, to: &S3Location, region: &str) -> (HeadBucket, Option<Reading>) {
        let witness = Witness::default();
        let request = self.store.client_for(to, region).head_bucket().bucket(to.bucket.bucket());
        let request =
            request.set_expected_bucket_owner(to.expected_bucket_owner.as_ref().map(ToString::to_string));
        let before = self.clock.wall();
        let answer = request.customize().interceptor(witness.clone()).send().await;
        let after = self.clock.wall();
        let seen = witness.take();
        let in_body = answer.as_ref().err().and_then(|error| error.raw_response()?.body().bytes());
        let head = HeadBucket {
            asked_in: region.to_owned(),
            region: seen.region.or_else(|| in_body.and_then(region_in_error_body).map(str::to_owned)),
            answer: answer.map(drop).map_err(|error| refusal(&error)),
        };
        (head, seen.date.map(|date| Reading { before, after, date }))
    }

    /// Puts an object. If the store answers that the bucket is in another region, repeats the put there, like
    /// delivery. Also returns that region.
    pub(crate) async fn put(&self, put: &Put) -> (Result<Stored, Refusal>, Option<String>) {
        let mut answer = self.store.put(put).await;
        let mut elsewhere = None;
        if answer.as_ref().is_err_and(|error| error.fault == Fault::Region) {
            elsewhere = self.store.region_of(&put.location).await.ok();
            answer = self.store.put(put).await;
        }
        (answer.map_err(Refusal::from), elsewhere)
    }

    /// The length of an object.
    pub(crate) async fn look(&self, to: &S3Location, key: &ObjectKey) -> Result<u64, Refusal> {
        let head = self.store.head(to, key).await;
        head.and_then(|head| head.length()).map_err(Refusal::from)
    }

    /// Removes an object. Returns whether it is now below a delete marker.
    pub(crate) async fn remove(&self, to: &S3Location, key: &ObjectKey) -> Result<bool, Refusal> {
        let region = self.store.region_of(to).await?;
        let request =
            self.store.client_for(to, &region).delete_object().bucket(to.bucket.bucket()).key(key.as_str());
        let request = request
            .set_expected_bucket_owner(to.expected_bucket_owner.as_ref().map(ToString::to_string))
            .set_request_payer(self.request_payer.then_some(RequestPayer::Requester));
        let answer = request.send().await.map_err(|error| refusal(&error))?;
        Ok(answer.delete_marker() == Some(true))
    }

    /// Describes a key. `as_role`: the session of the writing role, if there is one.
    pub(crate) async fn describe_key(
        &self,
        kms: &SseKms,
        region: &str,
        as_role: Option<&Secrets>,
    ) -> Result<KeyFacts, Refusal> {
        let request = self.key_service(region, as_role).describe_key().key_id(kms.key.as_str());
        let answer = request.send().await.map_err(|error| refusal(&error))?;
        let about = answer.key_metadata();
        let about = about.ok_or_else(|| Refusal::odd("the answer contains nothing about the key"))?;
        let deletion = about.deletion_date().and_then(|at| at.to_millis().ok());
        let text = |value: Option<&str>| value.unwrap_or("unknown").to_owned();
        Ok(KeyFacts {
            arn: about.arn().unwrap_or(about.key_id()).to_owned(),
            state: text(about.key_state().map(AsRef::as_ref)),
            usage: text(about.key_usage().map(AsRef::as_ref)),
            spec: text(about.key_spec().map(AsRef::as_ref)),
            deletion: deletion.map(|ms| rfc3339(UnixMillis(ms))),
        })
    }

    /// Whether a data key for an object could be generated, with the same context as S3 uses.
    pub(crate) async fn generate_data_key(
        &self,
        kms: &SseKms,
        region: &str,
        for_arn: &str,
        as_role: Option<&Secrets>,
    ) -> Result<(), Refusal> {
        let mut request = self
            .key_service(region, as_role)
            .generate_data_key()
            .key_id(kms.key.as_str())
            .key_spec(DataKeySpec::Aes256)
            .encryption_context("aws:s3:arn", for_arn)
            .dry_run(true);
        for (name, value) in kms.context.pairs() {
            request = request.encryption_context(name, value);
        }
        request.send().await.map(drop).map_err(|error| refusal(&error))
    }

    fn key_service(&self, region: &str, as_role: Option<&Secrets>) -> aws_sdk_kms::Client {
        let mut builder = aws_sdk_kms::config::Builder::from(self.store.sdk());
        builder.set_endpoint_url(self.kms_endpoint_url.clone());
        if let Some(session) = as_role {
            builder = builder.credentials_provider(session.clone());
        }
        let config = builder
            .region(Region::new(region.to_owned()))
            .retry_config(RetryConfig::disabled())
            .timeout_config(self.times())
            .build();
        aws_sdk_kms::Client::from_conf(config)
    }

    /// One attempt at a request to the token service.
    fn once(&self) -> aws_sdk_sts::config::Builder {
        let retries = RetryConfig::disabled();
        aws_sdk_sts::config::Builder::new().timeout_config(self.times()).retry_config(retries)
    }

    fn times(&self) -> TimeoutConfig {
        TimeoutConfig::builder()
            .connect_timeout(self.timeout.min(CONNECT_MAX))
            .operation_attempt_timeout(self.timeout)
            .operation_timeout(self.timeout)
            .build()
    }
}

/// The origin of the credentials in words: the last step of the chain that the SDK recorded.
fn source_of(secrets: &Secrets) -> Option<&'static str> {
    use AwsCredentialFeature as From;
    let steps: &Vec<From> = secrets.get_property()?;
    steps.iter().rev().find_map(|step| match step {
        From::CredentialsEnvVars => Some("the environment"),
        From::CredentialsProfile
        | From::CredentialsProfileSourceProfile
        | From::CredentialsProfileNamedProvider => Some("a profile"),
        From::CredentialsProfileProcess | From::CredentialsProcess => Some("a program named in the profile"),
        From::CredentialsEnvVarsStsWebIdToken
        | From::CredentialsProfileStsWebIdToken
        | From::CredentialsStsAssumeRoleWebId => Some("a web identity"),
        From::CredentialsStsAssumeRole => Some("a role named in the profile"),
        From::CredentialsHttp => Some("the container's endpoint"),
        From::CredentialsImds => Some("the instance's metadata"),
        _ => None,
    })
}

/// The answer to a failed request.
fn refusal<E>(error: &SdkError<E, HttpResponse>) -> Refusal
where
    E: ProvideErrorMetadata + Error + 'static,
{
    // The kind of request matters only to a delivery.
    let mut refusal = Refusal::from(failure(Asked::HeadBucket, error));
    let said = error.as_service_error().and_then(|error| error.meta().message());
    if refusal.is_answered() && said.is_none() {
        refusal.message.clear();
    }
    refusal
}

/// Records headers that the client's answer types omit.
#[derive(Clone, Debug, Default)]
struct Witness(Arc<Mutex<Seen>>);

#[derive(Clone, Debug, Default)]
struct Seen {
    date: Option<String>,
    region: Option<String>,
}

impl Witness {
    fn take(&self) -> Seen {
        std::mem::take(&mut *lock(&self.0))
    }
}

#[dyn_dispatch_hint]
impl Intercept for Witness {
    fn name(&self) -> &'static str {
        "Witness"
    }

    fn read_after_transmit(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let headers = context.response().headers();
        *lock(&self.0) = Seen {
            date: headers.get("date").map(str::to_owned),
            region: headers.get("x-amz-bucket-region").and_then(region_name).map(str::to_owned),
        };
        Ok(())
    }
}
