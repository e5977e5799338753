//! Requests to the store, the token service and the key service, each tried once.

use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
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
use aws_smithy_types::date_time::Format;

use crate::check::access::{Credentials, Identity};
use crate::check::bucket::HeadBucket;
use crate::check::clock::Reading;
use crate::check::key::KeyFacts;
use crate::check::object::Removal;
use crate::check::refusal::Refusal;
use crate::object::{Destination, ObjectKey, Role, SseKms};
use crate::store::region::{DEFAULT_REGION, region_in_error_body, region_name};
use crate::store::s3::S3Store;
use crate::store::s3::direct_client;
use crate::store::{Fault, ObjectStore, Put, Stored};
use crate::time::Clock;

/// Causes of an error that are put into its text.
const CAUSES_MAX: usize = 6;
/// The longest time to connect.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// Who asks, and how long an answer may take.
#[derive(Debug)]
pub(in crate::check) struct Aws {
    pub(in crate::check) store: S3Store,
    pub(in crate::check) clock: Arc<dyn Clock>,
    pub(in crate::check) timeout: Duration,
    pub(in crate::check) kms_endpoint_url: Option<String>,
    pub(in crate::check) request_payer: bool,
}

/// A head of a bucket, and what its answer said of the time.
pub(in crate::check) struct Head {
    pub(in crate::check) head: HeadBucket,
    pub(in crate::check) reading: Option<Reading>,
}

impl Aws {
    /// The process's own credentials.
    pub(in crate::check) async fn credentials(&self) -> Result<Credentials, Refusal> {
        let provider = self.store.sdk().credentials_provider();
        let provider =
            provider.ok_or_else(|| Refusal::new(None, None, "no providers in chain provided credentials"))?;
        let found = tokio::time::timeout(self.timeout, provider.provide_credentials()).await;
        let found =
            found.map_err(|_| Refusal::new(None, None, "credentials: the request for them timed out"))?;
        let secrets =
            found.map_err(|error| Refusal::new(None, None, &format!("credentials: {}", causes(&error))))?;
        Ok(Credentials { access_key_id: secrets.access_key_id().to_owned(), from: source_of(&secrets) })
    }

    /// The region whose token service is asked.
    pub(in crate::check) fn token_region(&self) -> String {
        self.store.sdk().region().map_or(DEFAULT_REGION, AsRef::as_ref).to_owned()
    }

    /// Whose the process's credentials are.
    pub(in crate::check) async fn identity(&self) -> Identity {
        let region = self.token_region();
        let request = self.store.token_service().get_caller_identity().customize();
        let once = aws_sdk_sts::config::Builder::new()
            .timeout_config(self.times())
            .retry_config(RetryConfig::disabled());
        match request.config_override(once).send().await {
            Ok(answer) => {
                Identity::Is { arn: answer.arn().unwrap_or("an answer without an ARN").to_owned(), region }
            }
            Err(error) => Identity::Refused { refusal: refusal(&error), region },
        }
    }

    /// Assumes a role, with or without its external id.
    pub(in crate::check) async fn assume(
        &self,
        role: &Role,
        session: &str,
        with_id: bool,
    ) -> Result<Secrets, Refusal> {
        let request = self
            .store
            .token_service()
            .assume_role()
            .role_arn(role.arn.as_str())
            .role_session_name(session)
            .set_external_id(with_id.then(|| role.external_id.to_string()))
            .customize();
        let once = aws_sdk_sts::config::Builder::new()
            .timeout_config(self.times())
            .retry_config(RetryConfig::disabled());
        let answer = request.config_override(once).send().await.map_err(|error| refusal(&error))?;
        let session = answer.credentials();
        let session =
            session.ok_or_else(|| Refusal::new(Some(200), None, "the answer has no credentials"))?;
        let token = Some(session.session_token().to_owned());
        Ok(Secrets::new(session.access_key_id(), session.secret_access_key(), token, None, "forebay-check"))
    }

    /// Asks for a bucket in a region, as who writes there.
    pub(in crate::check) async fn head_bucket(&self, to: &Destination, region: &str) -> Head {
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
        Head { head, reading: seen.date.map(|date| Reading { before, after, date }) }
    }

    /// Puts an object. Where the store says that the bucket is elsewhere, the put goes there, as that of a delivery
    /// would.
    pub(in crate::check) async fn put(&self, put: &Put) -> Result<Stored, Refusal> {
        self.put_where(put).await.0
    }

    /// The same, and the region in which the first answer said that the bucket is, where it sent us elsewhere.
    pub(in crate::check) async fn put_where(&self, put: &Put) -> (Result<Stored, Refusal>, Option<String>) {
        let mut answer = self.store.put(put).await;
        let mut elsewhere = None;
        if answer.as_ref().is_err_and(|error| error.fault == Fault::Region) {
            elsewhere = self.store.region_of(&put.destination).await.ok();
            answer = self.store.put(put).await;
        }
        (answer.map_err(|error| Refusal::from(&error)), elsewhere)
    }

    /// The length of an object.
    pub(in crate::check) async fn look(&self, to: &Destination, key: &ObjectKey) -> Result<u64, Refusal> {
        let head = self.store.head(to, key).await;
        head.map(|head| head.len).map_err(|error| Refusal::from(&error))
    }

    /// Removes an object.
    pub(in crate::check) async fn remove(&self, to: &Destination, key: &ObjectKey) -> Removal {
        let region = match self.store.region_of(to).await {
            Ok(region) => region,
            Err(error) => return Removal::Refused(Refusal::from(&error)),
        };
        let request =
            self.store.client_for(to, &region).delete_object().bucket(to.bucket.bucket()).key(key.as_str());
        let request = request
            .set_expected_bucket_owner(to.expected_bucket_owner.as_ref().map(ToString::to_string))
            .set_request_payer(self.request_payer.then_some(RequestPayer::Requester));
        match request.send().await {
            Ok(answer) => Removal::Removed { marker: answer.delete_marker() == Some(true) },
            Err(error) => Removal::Refused(refusal(&error)),
        }
    }

    /// What the key service says of a key. `as_role`: the session of the role that writes, where there is one.
    pub(in crate::check) async fn describe_key(
        &self,
        kms: &SseKms,
        region: &str,
        as_role: Option<&Secrets>,
    ) -> Result<KeyFacts, Refusal> {
        let request = self.key_service(region, as_role).describe_key().key_id(kms.key.as_str());
        let answer = request.send().await.map_err(|error| refusal(&error))?;
        let about = answer.key_metadata();
        let about =
            about.ok_or_else(|| Refusal::new(Some(200), None, "the answer says nothing of the key"))?;
        let text = |value: Option<&str>| value.unwrap_or("unknown").to_owned();
        Ok(KeyFacts {
            arn: about.arn().unwrap_or(about.key_id()).to_owned(),
            state: text(about.key_state().map(AsRef::as_ref)),
            usage: text(about.key_usage().map(AsRef::as_ref)),
            spec: text(about.key_spec().map(AsRef::as_ref)),
            deletion: about.deletion_date().and_then(|at| at.fmt(Format::DateTime).ok()),
        })
    }

    /// Whether a data key could be made for an object, as S3 would have it made.
    pub(in crate::check) async fn generate_data_key(
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
        if let Some(direct) = direct_client(self.kms_endpoint_url.as_deref()) {
            builder = builder.http_client(direct);
        }
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

    fn times(&self) -> TimeoutConfig {
        TimeoutConfig::builder()
            .connect_timeout(self.timeout.min(CONNECT_MAX))
            .operation_attempt_timeout(self.timeout)
            .operation_timeout(self.timeout)
            .build()
    }
}

/// In words, the last of the ways by which credentials came: the SDK notes each step of the chain.
fn source_of(secrets: &Secrets) -> Option<&'static str> {
    use AwsCredentialFeature as From;
    let steps: &Vec<From> = secrets.get_property()?;
    steps.iter().rev().find_map(|step| match step {
        From::CredentialsEnvVars => Some("the environment"),
        From::CredentialsProfile
        | From::CredentialsProfileSourceProfile
        | From::CredentialsProfileNamedProvider => Some("a profile"),
        From::CredentialsProfileProcess | From::CredentialsProcess => {
            Some("a program that the profile names")
        }
        From::CredentialsEnvVarsStsWebIdToken
        | From::CredentialsProfileStsWebIdToken
        | From::CredentialsStsAssumeRoleWebId => Some("a web identity"),
        From::CredentialsStsAssumeRole => Some("a role that the profile names"),
        From::CredentialsHttp => Some("the container's endpoint"),
        From::CredentialsImds => Some("the instance's metadata"),
        _ => None,
    })
}

/// What a failed request was answered.
fn refusal<E>(error: &SdkError<E, HttpResponse>) -> Refusal
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let status = error.raw_response().map(|raw| raw.status().as_u16());
    let service = error.as_service_error().map(ProvideErrorMetadata::meta);
    let code = service.and_then(|meta| meta.code());
    let text = match service.and_then(|meta| meta.message()) {
        Some(message) => message.to_owned(),
        None if status.is_some() => String::new(),
        None => causes(error),
    };
    Refusal::new(status, code, &text)
}

/// An error and what lies beneath it, in one line.
fn causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut beneath = error.source();
    for _ in 0..CAUSES_MAX {
        let Some(cause) = beneath else { break };
        let said = cause.to_string();
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        beneath = cause.source();
    }
    text
}

/// Takes down what the client's own answer types leave out.
#[derive(Clone, Debug, Default)]
struct Witness(Arc<Mutex<Seen>>);

#[derive(Clone, Debug, Default)]
struct Seen {
    date: Option<String>,
    region: Option<String>,
}

impl Witness {
    fn take(&self) -> Seen {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
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
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Seen {
            date: headers.get("date").map(str::to_owned),
            region: headers.get("x-amz-bucket-region").and_then(region_name).map(str::to_owned),
        };
        Ok(())
    }
}
