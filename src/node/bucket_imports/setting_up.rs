//! Sets up the notifications of the bucket of an import, and undoes that. It needs no node and no spool.
//!
//! A put replaces all rules of the bucket, and S3 knows no condition for it. So the rules are read just
//! before, the put has each of them as it was read, and they are read again after it.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::plan::{ImportPlan, ImportStores, plans};
use crate::admin::{BucketImportError, Grant};
use crate::check::SeenRules;
use crate::check::finding::Remedy;
use crate::config::Config;
use crate::import::Unusable;
use crate::import::notifications::set_up::{Change, Conflict, by_others, ours, set_up, wanted_rule};
use crate::node::policies;
use crate::node::settings::node_name;
use crate::object::S3Location;
use crate::policy::{self, PolicyImport, Template, Values};
use crate::queue::{QueueAddress, QueueFault};
use crate::sources::SourceId;
use crate::store::notification_rules::{NotificationRule, SendsTo};
use crate::store::s3::{BucketNotifications, S3Store};
use crate::store::{Fault, Outlook, Reason, StoreError};

/// How often the rules are read after a put, and the time in between: S3 may show a change late.
const LOOKS: u32 = 5;
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What was done with the rules of a bucket, or would be done.
#[derive(Clone, Debug, Default, Serialize)]
pub struct NotificationsSetUp {
    /// The import.
    pub import: String,
    /// Its bucket.
    pub bucket: String,
    /// The ARN of its queue.
    pub queue: String,
    /// Whether this only says what would change.
    pub dry_run: bool,
    /// Rules that are removed.
    pub removed: Vec<NotificationRule>,
    /// The rule that is added.
    pub added: Option<NotificationRule>,
    /// A rule that was there and sends what is wanted, or others that send to the same queue and stay.
    pub is_there: Vec<NotificationRule>,
    /// How many rules stay as they are that send to a queue.
    pub other_queues: usize,
    /// … to a topic.
    pub other_topics: usize,
    /// … to a function.
    pub other_functions: usize,
    /// Whether the bucket sends to EventBridge, which stays so.
    pub event_bridge: bool,
}

/// Why the notifications were not set up.
#[derive(Debug, Serialize)]
pub struct NotSetUp {
    /// Why.
    #[serde(skip)]
    pub why: Unusable,
    /// What grants a right that is missing.
    pub grants: Vec<Grant>,
}

impl From<Unusable> for NotSetUp {
    fn from(why: Unusable) -> Self {
        Self { why, grants: Vec::new() }
    }
}

/// What is to be done with the rules of a bucket.
#[derive(Clone, Copy, Debug)]
pub struct SetUp {
    /// Remove the rule of the import, instead of adding it.
    pub undo: bool,
    /// Only say what would change.
    pub dry_run: bool,
}

/// Makes the bucket of an import send notifications to its queue, or no longer.
/// Errors: [`NotSetUp`]: why nothing has changed, or why that is not known.
pub async fn set_up_notifications(
    config: &Config,
    name: &SourceId,
    asked: SetUp,
) -> Result<NotificationsSetUp, NotSetUp> {
    let plan = plans(config).into_iter().find(|plan| plan.settings.name == *name).ok_or_else(|| {
        let known = config.imports.iter().map(|import| import.name.to_string()).collect();
        wrong(BucketImportError::Unknown(name.to_string(), known))
    })?;
    let address = plan.settings.discovery.queue().ok_or_else(|| {
        wrong(format!(
            "import {name} reads no queue, because its discovery is \"scan\": set discovery = \"sqs\" or \"both\", and queue_url"
        ))
    })?;
    let import = policies::imports(config).into_iter().find(|import| import.name == name.as_str());
    let stores = ImportStores::of(config, &node_name(config)).await;
    let location = plan.reader().map_err(wrong)?.location;
    let store = stores.client_of(&plan).await;
    let grants = Grants { import: import.unwrap_or_default() };
    let queue = queue_arn(&stores, &plan, address, &grants).await?;
    let of_bucket = OfBucket { store, location, grants, queue, import: name.as_str() };
    of_bucket.change(&plan.settings.prefix, asked).await
}

/// What the bucket of an import says of its notifications; `None`: the import reads no queue.
/// Errors: the settings cannot be used; the text says what to do.
pub(in crate::node) async fn seen_rules(
    config: &Config,
    plan: &ImportPlan,
    stores: &ImportStores,
) -> Result<Option<SeenRules>, String> {
    let (Some(address), name) = (plan.settings.discovery.queue(), &plan.settings.name) else {
        return Ok(None);
    };
    let import = policies::imports(config).into_iter().find(|import| import.name == name.as_str());
    let grants = Grants { import: import.unwrap_or_default() };
    let not_said = |failed: NotSetUp| {
        let remedy = |grant: Grant| Remedy { text: grant.text, paste: grant.statement };
        SeenRules::NotSaid(failed.why.to_string(), failed.grants.into_iter().map(remedy).collect())
    };
    let queue = match queue_arn(stores, plan, address, &grants).await {
        Ok(queue) => queue,
        // The queue has findings of its own.
        Err(failed) => return Ok(Some(SeenRules::NotSaid(failed.why.to_string(), Vec::new()))),
    };
    let (store, location) = (stores.client_of(plan).await, plan.reader()?.location);
    let of_bucket = OfBucket { store, location, grants, queue, import: name.as_str() };
    Ok(Some(match of_bucket.present().await {
        Ok(present) => of_bucket.seen(&present, &plan.settings.prefix),
        Err(failed) => not_said(failed),
    }))
}

/// The ARN of the queue: from its URL, or as the queue says it.
async fn queue_arn(
    stores: &ImportStores,
    plan: &ImportPlan,
    address: &QueueAddress,
    grants: &Grants,
) -> Result<String, NotSetUp> {
    if let Some(arn) = address.arn() {
        return Ok(arn);
    }
    let url = address.url();
    let facts = stores.queue_of(plan, address).await.facts().await.map_err(|error| {
        let what = format!("the queue {url} cannot be asked for its ARN: {error}");
        match error.fault {
            QueueFault::Denied => {
                let grant = grants.asks_for_arn();
                NotSetUp { why: Unusable::Denied(what), grants: vec![grant] }
            }
            QueueFault::Passing => Unusable::Unreachable(what).into(),
            QueueFault::NoQueue => wrong(format!("{what}; make the queue, or correct queue_url")),
            QueueFault::Refused | QueueFault::ReceiptEnded => wrong(what),
        }
    })?;
    facts.arn.ok_or_else(|| wrong(format!("the queue {url} does not say its ARN")))
}

fn wrong(what: impl ToString) -> NotSetUp {
    Unusable::Wrong(what.to_string()).into()
}

/// The bucket of an import.
struct OfBucket<'a> {
    store: Arc<S3Store>,
    location: S3Location,
    grants: Grants,
    queue: String,
    import: &'a str,
}

impl OfBucket<'_> {
    async fn change(&self, prefix: &str, asked: SetUp) -> Result<NotificationsSetUp, NotSetUp> {
        let present = self.present().await?;
        let rules = present.rules();
        let wanted = wanted_rule(self.import, &self.queue, prefix);
        let (removed, added, is_there) = match asked.undo {
            true => (ours(&rules, &self.queue), None, by_others(&rules, &self.queue)),
            false => match set_up(&rules, wanted).map_err(|conflict| self.in_the_way(&conflict))? {
                Change::IsThere(rule) => (Vec::new(), None, vec![rule]),
                Change::Put { removed, added } => (removed, Some(added), Vec::new()),
            },
        };
        let others = |to| {
            let stays = |rule: &&NotificationRule| {
                rule.to == to && !removed.contains(*rule) && !is_there.contains(*rule)
            };
            rules.iter().filter(stays).count()
        };
        let done = NotificationsSetUp {
            import: self.import.to_owned(),
            bucket: self.location.bucket.bucket().to_owned(),
            queue: self.queue.clone(),
            dry_run: asked.dry_run,
            other_queues: others(SendsTo::Queue),
            other_topics: others(SendsTo::Topic),
            other_functions: others(SendsTo::Function),
            event_bridge: present.has_event_bridge(),
            removed,
            added,
            is_there,
        };
        if asked.dry_run || (done.removed.is_empty() && done.added.is_none()) {
            return Ok(done);
        }
        let changed = present.changed(&done.removed, done.added.as_ref());
        let changed = changed.map_err(|error| self.failed("be changed", &error))?;
        let put = self.put(&changed).await;
        put.map_err(|error| self.failed("be put; the same command can be given again", &error))?;
        self.shows(&changed).await?;
        Ok(done)
    }

    /// Whether the rules that are there send what the import needs.
    fn seen(&self, present: &BucketNotifications, prefix: &str) -> SeenRules {
        let rules = present.rules();
        let wanted = wanted_rule(self.import, &self.queue, prefix);
        if let Ok(Change::IsThere(rule)) = set_up(&rules, wanted) {
            return SeenRules::Sent(rule.to_string());
        }
        let topic = rules.iter().any(|rule| rule.to == SendsTo::Topic).then_some("a topic of SNS");
        SeenRules::NotSent(present.has_event_bridge().then_some("EventBridge").or(topic))
    }

    async fn present(&self) -> Result<BucketNotifications, NotSetUp> {
        let first = self.store.notifications(&self.location).await;
        let said = match first {
            Err(error) if is_worth_another(&error) => self.store.notifications(&self.location).await,
            said => said,
        };
        said.map_err(|error| self.failed("be read", &error))
    }

    async fn put(&self, changed: &BucketNotifications) -> Result<(), StoreError> {
        match self.store.put_notifications(&self.location, changed).await {
            Err(error) if is_worth_another(&error) => {
                self.store.put_notifications(&self.location, changed).await
            }
            put => put,
        }
    }

    /// Waits until the bucket shows what was put.
    async fn shows(&self, put: &BucketNotifications) -> Result<(), NotSetUp> {
        for _ in 1..LOOKS {
            if self.present().await?.is_same(put) {
                return Ok(());
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        if self.present().await?.is_same(put) {
            return Ok(());
        }
        let what = format!(
            "the rules of {} were put, and the bucket shows others: somebody else may have changed them at the same time. Look \
             at them (`aws s3api get-bucket-notification-configuration`), and give the command again",
            self.place()
        );
        Err(Unusable::Failed(what).into())
    }

    fn place(&self) -> String {
        format!("bucket {}", self.location.bucket.bucket())
    }

    fn in_the_way(&self, conflict: &Conflict) -> NotSetUp {
        let Conflict { rule, what } = conflict;
        wrong(format!(
            "{} has a rule beside which S3 would refuse that of import {}: {rule}. It {what}. Nothing was changed",
            self.place(),
            self.import
        ))
    }

    /// Why a request for the rules failed.
    fn failed(&self, what: &str, error: &StoreError) -> NotSetUp {
        let text = error.told().full().to_owned();
        let what = format!("the notifications of {} cannot {what}: {text}", self.place());
        // AWS has no code of its own for it. All destinations of the bucket are tried.
        if text.contains("Unable to validate the following destination") {
            let what = format!(
                "{what}. S3 may not send to the queue, or it is in another region than the bucket, or the destination of another \
                 rule of the bucket is gone"
            );
            return NotSetUp { why: Unusable::Denied(what), grants: vec![self.grants.sends(&self.queue)] };
        }
        match (error.reason, error.outlook()) {
            (Reason::NotImplemented, _) => wrong(format!(
                "{what}. This store sends no notifications to queues: set discovery = \"scan\""
            )),
            (Reason::Denied(_), Outlook::Denied) if error.fault == Fault::Refused => {
                NotSetUp { why: Unusable::Denied(what), grants: vec![self.grants.sets_up()] }
            }
            (_, Outlook::Denied) => Unusable::Denied(format!(
                "{what}; `forebay import test-credentials {}` shows what is missing",
                self.import
            ))
            .into(),
            (_, Outlook::Passing) => Unusable::Unreachable(what).into(),
            (_, Outlook::Missing | Outlook::Changed | Outlook::Refused) => wrong(what),
        }
    }
}

/// Whether the next attempt uses another region or other credentials.
fn is_worth_another(error: &StoreError) -> bool {
    matches!(error.fault, Fault::Region | Fault::Expired)
}

/// The statements that grant what is missing.
struct Grants {
    import: PolicyImport,
}

impl Grants {
    fn who(&self) -> String {
        match &self.import.role {
            Some(role) => role.to_string(),
            None => "the user or role that runs this command".to_owned(),
        }
    }

    fn sets_up(&self) -> Grant {
        let text = format!(
            "the policy of {} needs this statement (`forebay policy import-notify --import {}` prints it)",
            self.who(),
            self.import.name
        );
        Self::grant(Template::ImportNotify, "ImportSetsUpNotifications", self.import.clone(), text)
    }

    fn asks_for_arn(&self) -> Grant {
        let text = format!(
            "the policy of {} needs sqs:GetQueueAttributes for the queue (`forebay policy import-notify --import {} --queue ARN` \
             prints it)",
            self.who(),
            self.import.name
        );
        // The ARN is what is not known.
        Grant { text, statement: None }
    }

    fn sends(&self, queue: &str) -> Grant {
        let text = format!(
            "the policy of the queue needs this statement, with the twelve digits of the bucket's account for ACCOUNT_ID (`forebay \
             policy import-queue --import {} --account ID` prints it)",
            self.import.name
        );
        let import = PolicyImport { queue: queue.parse().ok(), ..self.import.clone() };
        Self::grant(Template::ImportQueue, "BucketSends", import, text)
    }

    fn grant(template: Template, sid: &str, import: PolicyImport, text: String) -> Grant {
        let values =
            Values { imports: vec![import], account: Some("ACCOUNT_ID".to_owned()), ..Values::default() };
        let (statement, text) = match policy::statement(template, sid, &values) {
            Ok(statement) => (Some(statement), text),
            Err(error) => (None, format!("{text}: {error}")),
        };
        Grant { text, statement }
    }
}
