//! Whether the functions of a destination can be invoked, and how one call ended: from observations to
//! findings. Pure.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;

use super::finding::{CheckFinding, Outcome, Remedy, RoleUse, Trial};
use super::subject::{principal_of, statement};
use crate::arn::ArnParts;
use crate::destinations::class::Class;
use crate::destinations::invoke::Invoked;
use crate::destinations::outcome::Failure;
use crate::destinations::request::Invocation;
use crate::destinations::settings::{DestinationSettings, FunctionsAt};
use crate::object::{ExternalId, Role};
use crate::policy::{PolicyBucket, PolicyDestination, Template, Values};
use crate::words::about_duration;

/// The status of a dry run that would be allowed (Lambda API Reference, `Invoke`).
const DRY_RUN_ALLOWED: u16 = 204;

/// A call that is sent to a function to test it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestCall {
    /// Its type; `object` of an object set.
    pub kind: String,
    /// Its messageId.
    pub message_id: String,
    /// The stored line.
    pub line: Bytes,
    /// Why a collector would not send it to the function, if it would not.
    pub not_taken: Option<String>,
}

/// A destination under test, and the identity that invokes its functions.
#[derive(Clone, Copy, Debug)]
pub struct Invoking<'a> {
    /// The destination.
    pub settings: &'a DestinationSettings,
    /// The role that invokes; without one, the process's own credentials do.
    pub role: Option<&'a Role>,
    /// All external ids for the role, also of other sources: a trust policy names them all.
    pub external_ids: &'a BTreeSet<ExternalId>,
    /// The identity of the process according to STS; `None` if unknown.
    pub process: Option<&'a str>,
}

impl Invoking<'_> {
    /// The role, and what fixes it.
    pub fn role_use<'r>(&self, role: &'r Role) -> RoleUse<'r> {
        let place = PolicyBucket { role: Some(role.arn.arn().clone()), ..PolicyBucket::default() };
        RoleUse {
            role,
            purpose: "invoke functions",
            without_external_id: Outcome::Warning,
            trust: self.trust(role),
            others: vec![
                statement(
                    Template::Collector,
                    "ForebayAssumesRole",
                    &Values { places: vec![place], ..Values::default() },
                    "also allow the process to assume it, in the policy of its own user or role".to_owned(),
                ),
                Remedy::paste(
                    "or set the external id that the trust policy already requires",
                    format!("[[destination]]\nname = \"{}\"\nexternal_id = \"…\"", self.settings.name),
                ),
            ],
        }
    }

    fn trust(&self, role: &Role) -> Remedy {
        let mut external_ids: Vec<String> = self.external_ids.iter().map(ToString::to_string).collect();
        if external_ids.is_empty() {
            external_ids.push(role.external_id.to_string());
        }
        let template = match external_ids.len() {
            1 => Template::LambdaDestinationTrust,
            _ => Template::LambdaDestinationTrustMany,
        };
        let command = format!("`forebay policy {}` prints the whole policy", template.name());
        let text = format!("the trust policy of {} needs this statement ({command})", role.arn);
        let Some(principal) = self.process.and_then(principal_of) else {
            return Remedy::say(format!(
                "{text}: it allows sts:AssumeRole to the collector's own user or role with the external id {}",
                role.external_id
            ));
        };
        let destinations = vec![PolicyDestination { external_ids, ..PolicyDestination::default() }];
        let values = Values { principals: vec![principal], destinations, ..Values::default() };
        statement(template, "CollectorAssumes", &values, text)
    }

    /// How the dry run of an invocation ended: with this status, or as a failure.
    pub fn dry_run(&self, function: &str, ended: &Result<u16, Failure>) -> CheckFinding {
        let trial = dry_run_trial(function);
        match ended {
            Ok(DRY_RUN_ALLOWED) => {
                trial.passed("the function exists and may be invoked; it did not run (204)")
            }
            Ok(status) => trial.warning(
                format!("the answer is {status} instead of 204: the endpoint knows no dry run, and the function may have run"),
                vec![Remedy::say("check endpoint_url, unless an emulator is meant to be invoked")],
            ),
            Err(failure) => trial.failed(shown(failure), self.remedies(function, failure)),
        }
    }

    /// How a call ended.
    pub fn call(&self, function: &str, call: &TestCall, invoked: &Invoked, took: Duration) -> CheckFinding {
        let sent = format!("the {} call {}", call.kind, call.message_id);
        let trial = call_trial(function, call);
        let said = [("request", &invoked.request_id), ("version", &invoked.version)];
        let said =
            said.into_iter().filter_map(|(name, value)| Some(format!("{name} {}", value.as_ref()?.full())));
        let said: Vec<String> = said.chain([about_duration(took)]).collect();
        let said = said.join(", ");
        let at = &self.settings.functions_at;
        let is_queued = matches!(at, FunctionsAt::Lambda(at) if at.invocation == Invocation::Event);
        let finding = match &invoked.result {
            Err(failure) => {
                trial.failed(format!("{} ({said})", shown(failure)), self.remedies(function, failure))
            }
            Ok(()) if !invoked.not_taken.is_empty() => trial.failed(
                format!("the function named {sent} in batchItemFailures: it did not take it ({said})"),
                vec![Remedy::say("look at the function's log: it refuses a call that a collector would send")],
            ),
            Ok(()) if is_queued => trial.passed(format!(
                "AWS queued {sent}; whether the function succeeds is only in its log (invocation = \"Event\") ({said})"
            )),
            Ok(()) => trial.passed(format!("the function took {sent} ({said})")),
        };
        match &invoked.log_tail {
            Some(log) => finding.with_log(log),
            None => finding,
        }
    }

    fn remedies(&self, function: &str, failure: &Failure) -> Vec<Remedy> {
        let FunctionsAt::Lambda(_) = &self.settings.functions_at else {
            return vec![Remedy::say(failure.class.web_remedy())];
        };
        let remedy = failure.class.remedy();
        match (failure.class, self.role) {
            (Class::AccessDenied, _) => {
                [self.may_invoke(remedy)].into_iter().chain(self.other_account(function)).collect()
            }
            (Class::InvalidCredentials, Some(role)) => vec![Remedy::say(remedy), self.trust(role)],
            _ => vec![Remedy::say(remedy)],
        }
    }

    fn may_invoke(&self, remedy: &str) -> Remedy {
        let whose = match (self.role, self.process.and_then(principal_of)) {
            (Some(role), _) => role.arn.to_string(),
            (None, Some(process)) => process.to_string(),
            (None, None) => "the process's user or role".to_owned(),
        };
        let functions = self.settings.selection.all_functions().into_iter().map(str::to_owned).collect();
        let destinations = vec![PolicyDestination { functions, ..PolicyDestination::default() }];
        let values = Values { destinations, ..Values::default() };
        let text = format!(
            "{remedy}: the policy of {whose} needs this statement (`forebay policy lambda-destination-invoke` prints the \
             whole policy)"
        );
        statement(Template::LambdaDestinationInvoke, "ForebayInvokes", &values, text)
    }

    /// A function of another account must also allow the invocation itself.
    fn other_account(&self, function: &str) -> Option<Remedy> {
        let of_function = ArnParts::of(function)?;
        let principal = match self.role {
            Some(role) => role.arn.to_string(),
            None => principal_of(self.process?)?.to_string(),
        };
        if ArnParts::of(&principal)?.account == of_function.account {
            return None;
        }
        let name = of_function.resource.strip_prefix("function:")?;
        let (name, qualifier) = match name.split_once(':') {
            Some((name, qualifier)) => (name, format!(" --qualifier {qualifier}")),
            None => (name, String::new()),
        };
        let (account, region) = (of_function.account, of_function.region);
        Some(Remedy::paste(
            format!(
                "the function is in the other account {account}, and its own policy must allow this, too"
            ),
            format!(
                "aws lambda add-permission --region {region} --function-name {name}{qualifier} --statement-id forebay \
                 --action lambda:InvokeFunction --principal {principal}"
            ),
        ))
    }
}

fn shown(failure: &Failure) -> String {
    format!("{}: {}", failure.class, failure.what.full())
}

fn dry_run_trial(function: &str) -> Trial {
    Trial::new("dry_run", format!("lambda:Invoke {function} with InvocationType DryRun"))
}

fn call_trial(function: &str, call: &TestCall) -> Trial {
    Trial::new("call", format!("invoke {function} with the {} call {}", call.kind, call.message_id))
}

/// The finding for a call that is not sent, for this reason.
pub fn not_sent(function: &str, call: &TestCall, because: &str) -> CheckFinding {
    call_trial(function, call).not_tested(format!("not tested: {because}"))
}

/// The finding for a dry run that is not tried, for this reason.
pub fn no_dry_run(function: &str, because: &str) -> CheckFinding {
    dry_run_trial(function).not_tested(format!("not tested: {because}"))
}

/// The findings for a role that cannot be assumed without credentials.
pub fn no_role() -> [CheckFinding; 2] {
    ["role", "role_without_external_id"]
        .map(|check| Trial::new(check, "sts:AssumeRole").not_tested("not tested: there are no credentials"))
}
