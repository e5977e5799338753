//! A queue of SQS.
//!
//! Requests go to the host of the queue's URL. Retries of the client are off: whoever receives decides.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::Builder;
use aws_sdk_sqs::config::timeout::TimeoutConfig;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::types::{MessageSystemAttributeName as OfMessage, QueueAttributeName as OfQueue};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use super::{Asked, LONG_POLL, Queue, QueueAddress, QueueError, QueueFacts, QueueMessage, RECEIVE_MAX};
use crate::lock::lock;
use crate::object::Role;
use crate::store::s3::{S3Store, failure, not_assumed};
use crate::store::{Fault, Reason, StoreError, fault};
use crate::time::UnixMillis;

/// How long a connection and an answer may take; that of the long poll comes on top.
const CONNECT: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(10);

/// A queue of SQS, reached with the credentials of a store.
pub struct Sqs {
    store: Arc<S3Store>,
    address: QueueAddress,
    role: Option<Role>,
    /// The region of requests.
    region: String,
    made: Mutex<Option<Client>>,
}

impl fmt::Debug for Sqs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sqs").field("url", &self.address.url()).finish_non_exhaustive()
    }
}

impl Sqs {
    /// The queue at `address`. It is reached as `role`, or with the store's own credentials, in the region
    /// that the address names, or else in `region`, or in that of the store.
    pub fn new(store: Arc<S3Store>, address: QueueAddress, role: Option<Role>, region: Option<&str>) -> Self {
        let home = store.configured_region().or_else(|| store.sdk().region().map(AsRef::as_ref));
        let region = address.region().or(region).or(home).unwrap_or("us-east-1").to_owned();
        Self { store, address, role, region, made: Mutex::default() }
    }

    fn client(&self) -> Client {
        let mut made = lock(&self.made);
        if let Some(client) = &*made {
            return client.clone();
        }
        let sdk = self.store.sdk_in(self.role.as_ref(), &self.region);
        let other_names = sdk.use_fips() == Some(true) || sdk.use_dual_stack() == Some(true);
        let mut builder = Builder::from(&sdk);
        // Endpoints come only from the configuration.
        builder.set_endpoint_url(self.address.endpoint(other_names).map(str::to_owned));
        let times = TimeoutConfig::builder().connect_timeout(CONNECT).operation_timeout(LONG_POLL + ANSWER);
        let new = Client::from_conf(builder.timeout_config(times.build()).build());
        made.insert(new).clone()
    }

    /// The failure of a request. New credentials are got for the next one if these were refused.
    fn failed<E>(&self, error: &SdkError<E, HttpResponse>, of_receipt: bool) -> QueueError
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let told = not_assumed(error).cloned().unwrap_or_else(|| failure(fault::Asked::List, error));
        if is_of_credentials(&told) {
            self.store.renew_credentials(self.role.as_ref());
            *lock(&self.made) = None;
        }
        QueueError::of(&told, of_receipt)
    }
}

/// Whether other credentials may be accepted.
fn is_of_credentials(error: &StoreError) -> bool {
    error.fault == Fault::Expired
        || matches!(
            error.reason,
            Reason::UnknownAccessKey
                | Reason::WrongSignature
                | Reason::SessionEnded
                | Reason::WrongSessionToken
        )
}

fn seconds(time: Duration) -> i32 {
    i32::try_from(time.as_secs()).unwrap_or(i32::MAX)
}

impl Queue for Sqs {
    fn receive(&self, most: usize, hidden: Duration) -> Asked<'_, Vec<QueueMessage>> {
        Box::pin(async move {
            let most = i32::try_from(most.clamp(1, RECEIVE_MAX)).unwrap_or(1);
            let request = self
                .client()
                .receive_message()
                .queue_url(self.address.url())
                .max_number_of_messages(most)
                .wait_time_seconds(seconds(LONG_POLL))
                .visibility_timeout(seconds(hidden))
                .message_system_attribute_names(OfMessage::SentTimestamp);
            let answer = request.send().await.map_err(|error| self.failed(&error, false))?;
            Ok(answer.messages.unwrap_or_default().into_iter().filter_map(message).collect())
        })
    }

    fn hide<'q>(&'q self, receipt: &'q str, hidden: Duration) -> Asked<'q, ()> {
        Box::pin(async move {
            let request = self
                .client()
                .change_message_visibility()
                .queue_url(self.address.url())
                .receipt_handle(receipt)
                .visibility_timeout(seconds(hidden));
            request.send().await.map(drop).map_err(|error| self.failed(&error, true))
        })
    }

    fn delete<'q>(&'q self, receipt: &'q str) -> Asked<'q, ()> {
        Box::pin(async move {
            let request =
                self.client().delete_message().queue_url(self.address.url()).receipt_handle(receipt);
            request.send().await.map(drop).map_err(|error| self.failed(&error, true))
        })
    }

    fn facts(&self) -> Asked<'_, QueueFacts> {
        Box::pin(async move {
            let wanted = [
                OfQueue::ApproximateNumberOfMessages,
                OfQueue::ApproximateNumberOfMessagesNotVisible,
                OfQueue::MessageRetentionPeriod,
                OfQueue::RedrivePolicy,
                OfQueue::QueueArn,
            ];
            let request = self
                .client()
                .get_queue_attributes()
                .queue_url(self.address.url())
                .set_attribute_names(Some(wanted.to_vec()));
            let answer = request.send().await.map_err(|error| self.failed(&error, false))?;
            let said = answer.attributes.unwrap_or_default();
            let number = |of: &OfQueue| said.get(of).and_then(|value| value.parse::<u64>().ok());
            Ok(QueueFacts {
                arn: said.get(&OfQueue::QueueArn).cloned(),
                waiting: number(&OfQueue::ApproximateNumberOfMessages),
                in_flight: number(&OfQueue::ApproximateNumberOfMessagesNotVisible),
                has_redrive: said.get(&OfQueue::RedrivePolicy).is_some_and(|policy| !policy.is_empty()),
                retention: number(&OfQueue::MessageRetentionPeriod).map(Duration::from_secs),
            })
        })
    }
}

/// A message as SQS gives it. One without a receipt cannot be deleted, and shows again.
fn message(given: aws_sdk_sqs::types::Message) -> Option<QueueMessage> {
    let of = given.attributes.unwrap_or_default();
    let number = |name: &OfMessage| of.get(name).and_then(|value| value.parse::<i64>().ok());
    Some(QueueMessage {
        receipt: given.receipt_handle?,
        id: given.message_id.unwrap_or_default(),
        body: given.body.unwrap_or_default(),
        sent: number(&OfMessage::SentTimestamp).map(UnixMillis),
    })
}
