//! Whether the place of an import's rejected rows can be used: from answers to findings. Pure.

use super::finding::{CheckFinding, Remedy, Trial};
use super::fix::{self, Service};
use super::import_rights::{DeniedRight, ImportRight};
use super::import_run::AccessEnd;
use super::refusal::Refusal;
use super::subject::statement;
use crate::policy::{PolicyBucket, PolicyImport, Template, Values};
use crate::store::StoreError;
use crate::store::reason::{Denial, Reason};

/// The place of rejected rows, and what the store answered.
#[derive(Clone, Debug)]
pub struct TriedRejects {
    /// The import, with the place.
    pub import: PolicyImport,
    /// The place, as a URL.
    pub url: String,
    /// The answer to a put.
    pub put: Result<(), StoreError>,
    /// The answer to a read of what was put; `None`: nothing was put.
    pub get: Option<Result<(), StoreError>>,
}

/// The findings about a place of rejected rows, and how the first one that failed ended.
pub fn test_rejects(tried: &TriedRejects) -> (Vec<CheckFinding>, Option<AccessEnd>) {
    let put = Trial::new("rejects_put", format!("s3:PutObject, {}", tried.url));
    let get = Trial::new("rejects_get", format!("s3:GetObject, {}", tried.url));
    let failed = [tried.put.as_ref().err(), tried.get.as_ref().and_then(|get| get.as_ref().err())];
    let end = failed.into_iter().flatten().next().map(|error| AccessEnd::of(error.reason));
    let put = tried.judged(put, "put into", &tried.put);
    let get = match &tried.get {
        Some(answer) => tried.judged(get, "read from", answer),
        None => get.not_tested("not tested: there is nothing to read, because nothing can be put".to_owned()),
    };
    (vec![put, get], end)
}

impl TriedRejects {
    fn judged(&self, trial: Trial, what: &str, answer: &Result<(), StoreError>) -> CheckFinding {
        match answer {
            Ok(()) => trial.passed(format!("objects can be {what} {}", self.url)),
            Err(error) => trial.failed(error.told().full(), self.remedies(error)),
        }
    }

    fn remedies(&self, error: &StoreError) -> Vec<Remedy> {
        let Self { import, url, .. } = self;
        let refusal = Refusal::from(error.clone());
        if error.reason == Reason::NoSuchBucket {
            let what = format!("create the bucket of {url}, or correct `rejects` of import {}", import.name);
            return vec![Remedy::say(what)];
        }
        if !refusal.is_denied() {
            let what = error.remedy().unwrap_or("see the store's error message");
            return fix::common(Service::Store, &refusal).unwrap_or_else(|| vec![Remedy::say(what)]);
        }
        let denied = DeniedRight::of_file(error.message.full());
        if denied.explicitly || error.reason == Reason::Denied(Denial::Explicit) {
            return vec![Remedy::say(
                "a policy denies this explicitly to the collector's own role or user: find it (of the bucket or the key, a \
                 permissions boundary, or one of the organisation), and change it",
            )];
        }
        let of_key = || self.grant("ForebayEncryptsRejects", denied.key.clone());
        if denied.right == ImportRight::Decrypt {
            return vec![of_key()];
        }
        let mut remedies = vec![self.grant("ForebayKeepsRejects", None)];
        if !denied.is_said && self.import.rejects.as_ref().is_some_and(|place| place.kms_key.is_some()) {
            remedies.push(of_key());
        } else if !denied.is_said {
            remedies.push(Remedy::say(
                "if the bucket encrypts with a KMS key by default, a right to use it may be missing instead: `forebay policy \
                 collector --kms-key ARN` prints it (statement ForebayEncryptsRejects)",
            ));
        }
        remedies
    }

    /// A statement of the collector's policy for this place alone. `key`: in place of the configured one.
    fn grant(&self, sid: &str, key: Option<String>) -> Remedy {
        let mut import = self.import.clone();
        if let Some(place) = &mut import.rejects {
            *place = PolicyBucket { kms_key: key.or(place.kms_key.take()), ..place.clone() };
        }
        let text = "the policy of the collector's own role or user needs this statement (`forebay policy collector` prints the \
                    whole policy)";
        let values = Values { imports: vec![import], ..Values::default() };
        statement(Template::Collector, sid, &values, text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::BucketString;
    use crate::store::Fault;

    const KEY: &str = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

    #[test]
    fn each_right_that_is_missing_has_its_statement() {
        let refused =
            |code: &str, message: &str| StoreError::answered(Fault::Refused, 403, Some(code), message);
        let check = |key: Option<&str>, error: StoreError, end: AccessEnd, sids: &[&str], said: &str| {
            let rejects = PolicyBucket {
                kms_key: key.map(str::to_owned),
                ..PolicyBucket::plain(BucketString::parse("bad-rows/orders").ok())
            };
            let import =
                PolicyImport { name: "orders".to_owned(), rejects: Some(rejects), ..PolicyImport::default() };
            let url = "s3://bad-rows/orders/".to_owned();
            let tried = TriedRejects { import, url, put: Err(error), get: None };
            let (findings, ended) = test_rejects(&tried);
            assert_eq!(ended, Some(end), "{findings:?}");
            let pasted: Vec<&str> =
                findings[0].remedies.iter().filter_map(|remedy| remedy.paste.as_deref()).collect();
            assert_eq!(pasted.len(), sids.len(), "{findings:?}");
            for (paste, sid) in pasted.iter().zip(sids) {
                assert!(paste.contains(sid) && paste.contains("bad-rows/orders/*"), "{paste}");
            }
            assert!(format!("{findings:?}").contains(said), "{said}: {findings:?}");
        };
        let denied = || refused("AccessDenied", "Access Denied");
        let keeps = "ForebayKeepsRejects";
        check(None, denied(), AccessEnd::Denied, &[keeps], "collector --kms-key ARN");
        check(Some(KEY), denied(), AccessEnd::Denied, &[keeps, "ForebayEncryptsRejects"], KEY);
        let of_key =
            format!("User: x is not authorized to perform: kms:GenerateDataKey on resource: {KEY} because");
        check(None, refused("AccessDenied", &of_key), AccessEnd::Denied, &["ForebayEncryptsRejects"], KEY);
        let explicit = "User: x is not authorized to perform: s3:PutObject with an explicit deny in a policy";
        check(None, refused("AccessDenied", explicit), AccessEnd::Denied, &[], "explicitly");
        let missing = StoreError::answered(Fault::Refused, 404, Some("NoSuchBucket"), "no");
        check(None, missing, AccessEnd::Wrong, &[], "create the bucket of s3://bad-rows/orders/");
        let sound = TriedRejects {
            import: PolicyImport::default(),
            url: String::new(),
            put: Ok(()),
            get: Some(Ok(())),
        };
        assert_eq!(test_rejects(&sound).1, None);
    }
}
