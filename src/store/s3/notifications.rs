//! The rules by which a bucket sends notifications: read, and put in place of those that are there. Each
//! request is one attempt. Only a command sends them, never what delivers or imports.

use std::sync::{Arc, Mutex};

use aws_sdk_s3::types::{
    Event, EventBridgeConfiguration, FilterRule, LambdaFunctionConfiguration, NotificationConfiguration,
    NotificationConfigurationFilter, QueueConfiguration, S3KeyFilter, TopicConfiguration,
};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::AfterDeserializationInterceptorContextRef;
use aws_smithy_runtime_api::client::interceptors::{Intercept, dyn_dispatch_hint};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;

use super::{Asked, S3Store};
use crate::lock::lock;
use crate::object::S3Location;
use crate::store::notification_rules::{NotificationRule, SendsTo};
use crate::store::{Fault, StoreError};
use crate::words::{Told, outside_text_within};

/// The elements of an answer that the client reads. It would drop others, and a put would remove them.
const ELEMENTS: [&str; 15] = [
    "NotificationConfiguration",
    "TopicConfiguration",
    "QueueConfiguration",
    "CloudFunctionConfiguration",
    "EventBridgeConfiguration",
    "Topic",
    "Queue",
    "CloudFunction",
    "Id",
    "Event",
    "Filter",
    "S3Key",
    "FilterRule",
    "Name",
    "Value",
];
/// The longest name of an element that is shown, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// What a bucket sends notifications of, as the store said it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BucketNotifications {
    topics: Vec<TopicConfiguration>,
    queues: Vec<QueueConfiguration>,
    functions: Vec<LambdaFunctionConfiguration>,
    event_bridge: Option<EventBridgeConfiguration>,
}

impl BucketNotifications {
    /// Its rules, in a fixed order.
    pub fn rules(&self) -> Vec<NotificationRule> {
        let rule = |to, id: Option<&str>, arn: &str, events, filter| made(to, id, arn, events, filter);
        let queues = self.queues.iter().map(of_queue);
        let topics = self.topics.iter();
        let topics = topics.map(|it| rule(SendsTo::Topic, it.id(), it.topic_arn(), it.events(), it.filter()));
        let functions = self
            .functions
            .iter()
            .map(|it| rule(SendsTo::Function, it.id(), it.lambda_function_arn(), it.events(), it.filter()));
        let mut rules: Vec<_> = queues.chain(topics).chain(functions).collect();
        rules.sort();
        rules
    }

    /// Whether all events also go to EventBridge.
    pub fn has_event_bridge(&self) -> bool {
        self.event_bridge.is_some()
    }

    /// Whether both mean the same, in whatever order a store says it.
    pub fn is_same(&self, other: &Self) -> bool {
        self.rules() == other.rules() && self.has_event_bridge() == other.has_event_bridge()
    }

    /// The same without these rules of queues, and with another one. Everything else stays as the store said
    /// it. Errors: the rule cannot be sent.
    pub fn changed(
        mut self,
        without: &[NotificationRule],
        with: Option<&NotificationRule>,
    ) -> Result<Self, StoreError> {
        self.queues.retain(|queue| !without.contains(&of_queue(queue)));
        if let Some(rule) = with {
            let filters = rule
                .filters
                .iter()
                .map(|(name, value)| FilterRule::builder().name(name.as_str().into()).value(value).build());
            let filters: Vec<FilterRule> = filters.collect();
            let key = || S3KeyFilter::builder().set_filter_rules(Some(filters.clone())).build();
            let filter = || NotificationConfigurationFilter::builder().key(key()).build();
            let queue = QueueConfiguration::builder()
                .id(&rule.id)
                .queue_arn(&rule.arn)
                .set_events(Some(rule.events.iter().map(|event| Event::from(event.as_str())).collect()))
                .set_filter((!filters.is_empty()).then(filter))
                .build();
            let unbuildable = |error: aws_smithy_types::error::operation::BuildError| {
                StoreError::local(Fault::Refused, format!("the rule cannot be sent: {error}"))
            };
            self.queues.push(queue.map_err(unbuildable)?);
        }
        Ok(self)
    }
}

fn of_queue(it: &QueueConfiguration) -> NotificationRule {
    made(SendsTo::Queue, it.id(), it.queue_arn(), it.events(), it.filter())
}

fn made(
    to: SendsTo,
    id: Option<&str>,
    arn: &str,
    events: &[Event],
    filter: Option<&NotificationConfigurationFilter>,
) -> NotificationRule {
    let filters = filter.and_then(|filter| filter.key()).map(S3KeyFilter::filter_rules).unwrap_or_default();
    let pair = |rule: &FilterRule| {
        let name = rule.name().map(|name| name.as_str().to_ascii_lowercase()).unwrap_or_default();
        (name, rule.value().unwrap_or_default().to_owned())
    };
    let mut events: Vec<String> = events.iter().map(|event| event.as_str().to_owned()).collect();
    let mut filters: Vec<(String, String)> = filters.iter().map(pair).collect();
    events.sort();
    // A filter without a value means every key.
    filters.retain(|(name, value)| !(value.is_empty() && matches!(name.as_str(), "prefix" | "suffix")));
    filters.sort();
    NotificationRule { to, id: id.unwrap_or_default().to_owned(), arn: arn.to_owned(), events, filters }
}

/// Keeps the element of an answer that the client does not know, if there is one.
#[derive(Clone, Debug, Default)]
struct Unknown(Arc<Mutex<Option<String>>>);

#[dyn_dispatch_hint]
impl Intercept for Unknown {
    fn name(&self) -> &'static str {
        "Unknown"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let body = context.response().body().bytes().unwrap_or_default();
        *lock(&self.0) = unknown_element(&String::from_utf8_lossy(body));
        Ok(())
    }
}

/// The names of the elements of an answer.
fn elements(xml: &str) -> impl Iterator<Item = &str> {
    let is_end = |c: char| c.is_whitespace() || matches!(c, '>' | '/');
    let tags = xml.split('<').skip(1).filter(|tag| !tag.starts_with(['/', '?']));
    let names = tags.map(move |tag| tag.split(is_end).next().unwrap_or_default());
    names.map(|name| name.rsplit(':').next().unwrap_or_default())
}

/// The first element of an answer that the client does not read.
fn unknown_element(xml: &str) -> Option<String> {
    elements(xml).find(|name| !ELEMENTS.contains(name)).map(str::to_owned)
}

/// Whether an answer has no rules, in the form of moto: the root has another name then, which the client
/// refuses.
fn has_no_rules(answer: &HttpResponse) -> bool {
    let body = String::from_utf8_lossy(answer.body().bytes().unwrap_or_default());
    answer.status().is_success() && elements(&body).eq(["GetBucketNotificationResponse"])
}

impl S3Store {
    /// What a bucket sends notifications of. Errors: [`StoreError`], also if the answer has something that
    /// could not be put back.
    pub async fn notifications(&self, location: &S3Location) -> Result<BucketNotifications, StoreError> {
        let attempt = self.attempt(location, Asked::Notifications).await?;
        let unknown = Unknown::default();
        let request = attempt
            .client
            .get_bucket_notification_configuration()
            .bucket(location.bucket.bucket())
            .set_expected_bucket_owner(attempt.owner())
            .customize()
            .interceptor(unknown.clone());
        let said = match request.send().await {
            Err(error) if error.raw_response().is_some_and(has_no_rules) => {
                return Ok(BucketNotifications::default());
            }
            answer => answer.map_err(|error| attempt.failed(&error))?,
        };
        if let Some(name) = lock(&unknown.0).take() {
            let name = Told::private(outside_text_within(&name, NAME_BYTES_MAX).to_string());
            let what = Told::plain(
                "the answer has an element that this release does not know, and that a change would remove: ",
            );
            return Err(StoreError::told_locally(Fault::Refused, what.and(&name)));
        }
        Ok(BucketNotifications {
            topics: said.topic_configurations.unwrap_or_default(),
            queues: said.queue_configurations.unwrap_or_default(),
            functions: said.lambda_function_configurations.unwrap_or_default(),
            event_bridge: said.event_bridge_configuration,
        })
    }

    /// Puts what a bucket sends notifications of in the place of what is there. Errors: [`StoreError`]. The
    /// same again does no harm.
    pub async fn put_notifications(
        &self,
        location: &S3Location,
        notifications: &BucketNotifications,
    ) -> Result<(), StoreError> {
        let attempt = self.attempt(location, Asked::Notifications).await?;
        let BucketNotifications { topics, queues, functions, event_bridge } = notifications.clone();
        let put = NotificationConfiguration::builder()
            .set_topic_configurations(Some(topics))
            .set_queue_configurations(Some(queues))
            .set_lambda_function_configurations(Some(functions))
            .set_event_bridge_configuration(event_bridge)
            .build();
        let request = attempt
            .client
            .put_bucket_notification_configuration()
            .bucket(location.bucket.bucket())
            .notification_configuration(put)
            .set_expected_bucket_owner(attempt.owner());
        request.send().await.map(drop).map_err(|error| attempt.failed(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_element_that_would_be_lost_is_noticed() {
        let of = |inside: &str| {
            unknown_element(&format!(
                "<?xml version=\"1.0\"?>\n<NotificationConfiguration xmlns=\"http://s3\">{inside}</NotificationConfiguration>"
            ))
        };
        let queue = "<QueueConfiguration><Id>LambdaFunction</Id><Queue>arn</Queue><Event>s3:x</Event><Filter><S3Key>\
            <FilterRule><Name>prefix</Name><Value>a&lt;b</Value></FilterRule></S3Key></Filter></QueueConfiguration>";
        assert_eq!(of(queue), None);
        assert_eq!(of("<EventBridgeConfiguration/>"), None);
        assert_eq!(of("<s3:EventBridgeConfiguration />"), None);
        assert_eq!(of(""), None);
        let function = "<LambdaFunctionConfiguration><Id>a</Id></LambdaFunctionConfiguration>";
        assert_eq!(of(function).as_deref(), Some("LambdaFunctionConfiguration"));
        assert_eq!(of(&format!("{queue}<New/>")).as_deref(), Some("New"));
        assert!(of("<!-- a -->").is_some());
    }

    #[test]
    fn a_change_leaves_everything_else_as_it_is() {
        let filter = |value: &str| {
            let rule = FilterRule::builder().name("Prefix".into()).value(value).build();
            let key = S3KeyFilter::builder().filter_rules(rule).build();
            NotificationConfigurationFilter::builder().key(key).build()
        };
        let queue = |id: &str| {
            let events = [Event::from("s3:New:*"), Event::S3ObjectCreatedPut];
            let queue =
                QueueConfiguration::builder().id(id).queue_arn("arn").set_events(Some(events.to_vec()));
            queue.filter(filter("in/")).build().unwrap()
        };
        let topic = TopicConfiguration::builder().topic_arn("topic").events(Event::S3ObjectRemoved);
        let before = BucketNotifications {
            topics: vec![topic.build().unwrap()],
            queues: vec![queue("b"), queue("a")],
            functions: Vec::new(),
            event_bridge: Some(EventBridgeConfiguration::builder().build()),
        };
        let rules = before.rules();
        assert_eq!(rules.iter().map(|rule| rule.id.as_str()).collect::<Vec<_>>(), ["a", "b", ""]);
        assert_eq!(
            (rules[0].prefix(), rules[0].events.as_slice()),
            ("in/", &["s3:New:*", "s3:ObjectCreated:Put"].map(str::to_owned)[..])
        );
        let mut added = rules[0].clone();
        (added.id, added.filters) = ("c".to_owned(), Vec::new());
        let after = before.clone().changed(&rules[..1], Some(&added)).unwrap();
        assert_eq!((&after.topics, &after.event_bridge), (&before.topics, &before.event_bridge));
        assert_eq!(after.queues[0], before.queues[0]);
        assert_eq!(after.queues[1].filter, None);
        assert!(!after.is_same(&before));
        let undone = after.changed(&[added], Some(&rules[0])).unwrap();
        assert!(undone.is_same(&before));
    }
}
