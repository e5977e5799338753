//! `[alarm]`: who is told of alarms.

use crate::hook::{NoticeForm, PAGERDUTY, RoutingKey};

use super::problem::ConfigProblem;
use super::raw::{Table, Typed};
use super::reader::Reader;
use super::secret::{self, Outside};
use super::values::{self, NoticeFormName};
use super::web_address::{WebAddress, secret_web_address, web_address};

const EXAMPLE: &str = "https://hooks.example.com/alarms";
/// Stands for the key of an integration where secrets are not looked up.
const PLACEHOLDER: &str = "00000000000000000000000000000000";

section! {
    /// `[alarm]`: who is told of alarms.
    pub struct AlarmSettings {
        /// A URL that receives a POST.
        webhook: Option<WebAddress> = None,
        /// What it receives.
        form: NoticeForm = NoticeForm::Json,
    }
}

pub(super) fn check(
    table: &Table,
    outside: &Outside<'_>,
    problems: &mut Vec<ConfigProblem>,
) -> AlarmSettings {
    let mut reader = Reader::new(table, problems);
    let form = reader.word("form", NoticeFormName::Json, values::NOTICE_FORM);
    let webhook = reader.optional("webhook", secret_web_address(EXAMPLE, outside));
    let routing_key = reader.optional("routing_key", |value| {
        let (text, from) = secret::resolve(value, "expected text in quotes, such as \"env:NAME\"", outside)?;
        let stands_in = !outside.secrets_needed && !from.is_empty();
        let text = if stands_in { PLACEHOLDER } else { text.trim() };
        RoutingKey::of(text).map_err(|what| format!("{from}{what}"))
    });
    let is_pagerduty = form == NoticeFormName::PagerDuty;
    if is_pagerduty && !reader.has("routing_key") {
        reader.refuse(
            "routing_key",
            "is not set: PagerDuty needs the integration key of a service (Events API v2)",
        );
    }
    if !is_pagerduty && reader.has("routing_key") {
        reader.refuse("routing_key", "is only for form = \"pagerduty\"");
    }
    let pagerduty = || web_address(PAGERDUTY)(&Typed::Text(PAGERDUTY.to_owned())).ok();
    AlarmSettings {
        webhook: webhook.or_else(|| if is_pagerduty { pagerduty() } else { None }),
        form: match (form, routing_key) {
            (NoticeFormName::Slack, _) => NoticeForm::Slack,
            (NoticeFormName::Teams, _) => NoticeForm::Teams,
            (NoticeFormName::PagerDuty, Some(routing_key)) => NoticeForm::PagerDuty { routing_key },
            (NoticeFormName::PagerDuty, None) | (NoticeFormName::Json, _) => NoticeForm::Json,
        },
    }
}
