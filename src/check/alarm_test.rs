//! Whether the webhook for alarms accepts a test.

use super::finding::{Remedy, Trial};
use super::report::{CheckReport, Group};

/// The finding about a test notice to this webhook, in this form. `None`: there is no webhook.
pub fn alarm_test(to: &str, form: &str, sent: Option<Result<(), String>>) -> CheckReport {
    let trial = Trial::new("alarm_webhook", format!("post a test of the form {form} to {to}"));
    let finding = match sent {
        Some(Ok(())) => trial.passed(format!("{to} took it; look whether it arrived where people see it")),
        Some(Err(why)) => trial.failed(
            format!("{to}: {why}"),
            vec![Remedy::say(format!(
                "compare alarm.webhook with the address that the receiver gave out, and alarm.form, which is {form}, with what it \
                 takes"
            ))],
        ),
        None => Trial::new("alarm_webhook", "nothing").failed(
            "nobody is told of alarms: alarm.webhook is not set",
            vec![Remedy::paste(
                "name an address, such as an incoming webhook of Slack",
                "[alarm]\nwebhook = \"env:ALARM_WEBHOOK\"\nform = \"slack\"",
            )],
        ),
    };
    CheckReport { groups: vec![Group::new("alarms", vec![finding])], estimate: None }
}
