//! Who asks: the process's credentials, and the roles it assumes.

use crate::object::Role;
use crate::policy::Template;

use super::finding::{Finding, Remedy, Trial};
use super::mend::{self, Service};
use super::refusal::{Kind, Refusal};
use super::subject::Subject;

/// The process's credentials, as far as they may be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The access key id. It is no secret; it stands in every log of the service.
    pub access_key_id: String,
    /// Where they come from, in words.
    pub from: Option<&'static str>,
}

/// Who the credentials are, by the token service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// Nobody could be asked.
    NotAsked,
    /// It said so.
    Is {
        /// The ARN of the user, or of the session of a role.
        arn: String,
        /// Which region's token service said so.
        region: String,
    },
    /// It refused to say.
    Refused {
        /// How.
        refusal: Refusal,
        /// Which region's token service.
        region: String,
    },
}

/// Whether there are credentials.
pub fn credentials(found: Result<&Credentials, &Refusal>) -> Finding {
    let trial = Trial::new("credentials", "find credentials by the default chain of AWS");
    match found {
        Ok(credentials) => trial.passed(match credentials.from {
            Some(from) => format!("access key {} from {from}", credentials.access_key_id),
            None => format!("access key {}", credentials.access_key_id),
        }),
        Err(refusal) => {
            let what = match refusal.kind {
                Kind::Credentials if refusal.message.contains("no providers in chain") => {
                    "there are none: environment, profile, web identity, container and instance were tried"
                        .to_owned()
                }
                _ => format!("there are none: {}", refusal.message),
            };
            trial.failed(what, mend::give_credentials())
        }
    }
}

/// What stands in for whose they are, where there are none.
pub fn nobody() -> Finding {
    Trial::new("identity", "sts:GetCallerIdentity").not_tested("not tested, because there are no credentials")
}

/// Whose they are. `has_role`: whether a role is assumed, for which the token service must be within reach.
pub fn identity(identity: &Identity, has_role: bool) -> Finding {
    let asked = |region: &str| Trial::new("identity", format!("sts:GetCallerIdentity in {region}"));
    match identity {
        Identity::NotAsked => Trial::new("identity", "sts:GetCallerIdentity").not_tested(
            "the store is not AWS's own and s3.sts_endpoint_url is not set, so nobody can be asked whose they are",
        ),
        Identity::Is { arn, region } => asked(region).passed(format!("{arn} (asked in {region})")),
        Identity::Refused { refusal, region } => {
            let trial = asked(region);
            // A network with a way to the store alone is enough for a collector that assumes no role.
            if refusal.kind != Kind::Answered && !has_role {
                return trial
                    .not_tested(format!("the token service cannot be reached; without a role nothing needs it ({refusal})"));
            }
            match mend::common(Service::Token, refusal) {
                Some(remedies) => trial.failed(refusal.to_string(), remedies),
                None if refusal.is_denied() => trial.not_needed(refusal),
                None => trial.failed(
                    refusal.to_string(),
                    vec![Remedy::say("the token service's own words say what it misses")],
                ),
            }
        }
    }
}

/// Whether the role is given to who has the external id.
pub fn role(
    subject: &Subject<'_>,
    role: &Role,
    region: &str,
    session: &str,
    answer: &Result<(), Refusal>,
) -> Finding {
    let trial = Trial::new(
        "role",
        format!(
            "sts:AssumeRole {} with the external id {} as {session}, in {region}",
            role.arn, role.external_id
        ),
    );
    let refusal = match answer {
        Ok(()) => {
            return trial.passed(format!(
                "{} is assumed with the external id {} (session {session}, asked in {region})",
                role.arn, role.external_id
            ));
        }
        Err(refusal) => refusal,
    };
    if let Some(remedies) = mend::common(Service::Token, refusal) {
        return trial.failed(refusal.to_string(), remedies);
    }
    let remedies = match refusal.code.as_deref() {
        Some("RegionDisabledException") => vec![Remedy::say(format!(
            "the token service of {region} is switched off for the account: switch it on (IAM, account settings), or \
             set another one with s3.sts_endpoint_url"
        ))],
        _ => vec![
            trust(subject, role),
            subject.statement(
                Template::Collector,
                "ForebayAssumesRole",
                "and let the process assume it, in the policy of its own user or role".to_owned(),
            ),
            Remedy::paste(
                "or tell the external id that the trust policy has already",
                subject.setting("external_id = \"…\""),
            ),
        ],
    };
    trial.failed(refusal.to_string(), remedies)
}

/// Whether the role is refused to who has no external id.
pub fn role_without_external_id(
    subject: &Subject<'_>,
    role: &Role,
    with: &Result<(), Refusal>,
    without: &Result<(), Refusal>,
) -> Finding {
    let trial =
        Trial::new("role_without_external_id", format!("sts:AssumeRole {} without an external id", role.arn));
    if with.is_err() {
        return trial.not_tested(
            "not tested, because the role cannot be assumed with the external id either: a refusal would tell nothing",
        );
    }
    match without {
        Ok(()) => trial.failed(
            format!(
                "{} is assumed without an external id: whoever may use this process can make it write for others",
                role.arn
            ),
            vec![trust(subject, role)],
        ),
        Err(refusal) if refusal.is_denied() => trial.passed(format!(
            "{} is refused without an external id, as it should be",
            role.arn
        )),
        Err(refusal) => {
            trial.not_tested(format!("what came back tells nothing of the external id ({refusal})"))
        }
    }
}

fn trust(subject: &Subject<'_>, role: &Role) -> Remedy {
    let template = if subject.external_ids.is_some_and(|ids| ids.len() > 1) {
        Template::RoleTrustMany
    } else {
        Template::RoleTrust
    };
    let text = format!("the trust policy of {} must say this", role.arn);
    subject.statement(template, "CollectorAssumes", text)
}
