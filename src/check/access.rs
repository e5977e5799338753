//! Checks access: the process's credentials, and the roles that it assumes.

use crate::store::reason::{CREDENTIALS_TRIED, NoCredentials, Reason};

use super::finding::{CheckFinding, Remedy, RoleUse, Trial};
use super::fix::{self, Service};
use super::refusal::Refusal;

/// The process's credentials, without secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The access key id. Not secret: it is in every log of the service.
    pub access_key_id: String,
    /// The origin of the credentials, in words.
    pub from: Option<&'static str>,
}

/// The identity of the credentials, according to STS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// STS was not asked, because no endpoint of it is known.
    NotAsked,
    /// The ARN of the user, or of the session of a role.
    Is(String),
    /// STS refused to answer.
    Refused(Refusal),
}

/// Whether there are credentials.
pub fn credentials(found: Result<&Credentials, &Refusal>) -> CheckFinding {
    let trial = Trial::new("credentials", "find credentials by the default chain of AWS");
    match found {
        Ok(credentials) => trial.passed(match credentials.from {
            Some(from) => format!("access key {} from {from}", credentials.access_key_id),
            None => format!("access key {}", credentials.access_key_id),
        }),
        Err(refusal) => {
            let what = match refusal.reason {
                Reason::NoCredentials(NoCredentials::NoneFound) => {
                    format!("none found: tried {CREDENTIALS_TRIED}")
                }
                _ => format!("none found: {}", refusal.message),
            };
            trial.failed(what, fix::give_credentials())
        }
    }
}

/// The identity finding if there are no credentials.
pub fn nobody() -> CheckFinding {
    Trial::new("identity", "sts:GetCallerIdentity").not_tested("not tested, because there are no credentials")
}

/// The identity of the credentials. `region`: that of the STS endpoint. `has_role`: whether a role is
/// assumed, which requires a reachable STS.
pub fn identity(identity: &Identity, region: &str, has_role: bool) -> CheckFinding {
    let trial = Trial::new("identity", format!("sts:GetCallerIdentity in {region}"));
    match identity {
        Identity::NotAsked => Trial::new("identity", "sts:GetCallerIdentity").not_tested(
            "the store is not AWS and s3.sts_endpoint_url is not set, so the identity cannot be determined",
        ),
        Identity::Is(arn) => trial.passed(format!("{arn} (asked in {region})")),
        Identity::Refused(refusal) => {
            // A collector that assumes no role only needs network access to the store.
            if !refusal.is_answered() && !has_role {
                return trial.not_tested(format!(
                    "the token service cannot be reached; it is not required without a role ({refusal})"
                ));
            }
            match fix::common(Service::Token, refusal) {
                Some(remedies) => trial.failed(refusal.to_string(), remedies),
                None if refusal.is_denied() => {
                    trial.not_tested(format!("not testable with these rights; not required ({refusal})"))
                }
                None => trial.failed(
                    refusal.to_string(),
                    vec![Remedy::say("see the error message of the token service")],
                ),
            }
        }
    }
}

/// Whether the role can be assumed with the external id, in this region and under this name of a session.
pub fn role<T>(
    assumed: &RoleUse<'_>,
    region: &str,
    session: &str,
    answer: &Result<T, Refusal>,
) -> CheckFinding {
    let role = assumed.role;
    let trial = Trial::new(
        "role",
        format!(
            "sts:AssumeRole {} with the external id {} as {session}, in {region}",
            role.arn, role.external_id
        ),
    );
    let Err(refusal) = answer else {
        return trial.passed(format!(
            "{} is assumed with the external id {} (session {session}, asked in {region})",
            role.arn, role.external_id
        ));
    };
    if let Some(remedies) = fix::common(Service::Token, refusal) {
        return trial.failed(refusal.to_string(), remedies);
    }
    let remedies = match refusal.reason {
        Reason::RegionDisabled => vec![Remedy::say(format!(
            "the token service in {region} is disabled for the account: enable it (IAM, account settings), or set \
             another endpoint in s3.sts_endpoint_url"
        ))],
        _ => std::iter::once(&assumed.trust).chain(&assumed.others).cloned().collect(),
    };
    trial.failed(refusal.to_string(), remedies)
}

/// Whether the role is refused with another external id.
pub fn role_with_another_external_id<T>(
    assumed: &RoleUse<'_>,
    with: &Result<T, Refusal>,
    another: &Result<T, Refusal>,
) -> CheckFinding {
    let arn = &assumed.role.arn;
    let trial = Trial::new("wrong_external_id", format!("sts:AssumeRole {arn} with another external id"));
    if with.is_err() {
        return trial.not_tested(REFUSED_ANYWAY);
    }
    match another {
        Ok(_) => trial.end(
            assumed.without_external_id,
            format!(
                "{arn} is assumed with any external id: it can be misused to {} for others (confused deputy)",
                assumed.purpose
            ),
            vec![assumed.trust.clone()],
        ),
        Err(refusal) if refusal.is_denied() => {
            trial.passed(format!("{arn} is refused with another external id, as it should be"))
        }
        Err(refusal) => trial
            .not_tested(format!("the answer does not show whether the external id is compared ({refusal})")),
    }
}

/// Why nothing is tried with a wrong external id.
const REFUSED_ANYWAY: &str = "not tested, because the role cannot be assumed with the external id either: a refusal \
                              would prove nothing";

/// Whether the role is refused without the external id.
pub fn role_without_external_id<T>(
    assumed: &RoleUse<'_>,
    with: &Result<T, Refusal>,
    without: &Result<T, Refusal>,
) -> CheckFinding {
    let role = assumed.role;
    let trial =
        Trial::new("role_without_external_id", format!("sts:AssumeRole {} without an external id", role.arn));
    if with.is_err() {
        return trial.not_tested(REFUSED_ANYWAY);
    }
    match without {
        Ok(_) => trial.end(
            assumed.without_external_id,
            format!(
                "{} is assumed without an external id: it can be misused to {} for others (confused deputy)",
                role.arn, assumed.purpose
            ),
            vec![assumed.trust.clone()],
        ),
        Err(refusal) if refusal.is_denied() => {
            trial.passed(format!("{} is refused without an external id, as it should be", role.arn))
        }
        Err(refusal) => trial
            .not_tested(format!("the answer does not show whether the external id is required ({refusal})")),
    }
}
