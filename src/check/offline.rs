//! What a configuration alone says, without the network and without the machine that it is for.

use std::net::SocketAddr;

use super::estimate;
use super::finding::{CheckFinding, Trial};
use super::report::{CheckReport, Group};
use super::run::{Settings, log_in_kafka};
use super::subject::{LocationUnderCheck, Subject};
use super::surroundings;

/// The findings about a configuration that was loaded, which has `counts`. `open_admin`: where other machines
/// reach the admin listener, if the file has no token for it.
pub fn offline(settings: &Settings, counts: &str, open_admin: Option<SocketAddr>) -> CheckReport {
    let valid = Trial::new("configuration", "read and check every setting")
        .passed(format!("it is valid: {counts} (secrets were not looked up)"));
    let mut of_file = vec![valid];
    of_file.extend(surroundings::transport(&settings.reach));
    of_file.extend(open_admin.map(|listen| {
        Trial::new("admin.token", "nothing").not_tested(format!(
            "not tested: other machines can reach the admin listener at {listen}, so `forebay serve` starts only with \
             FOREBAY_ADMIN_TOKEN in its environment, or with admin.token"
        ))
    }));
    let mut groups = vec![Group::new("the file", of_file)];
    groups.extend(settings.locations.iter().filter_map(|under_check| of_bucket(settings, under_check)));
    let has_spool = settings.spool.is_some();
    let estimate = has_spool.then(|| estimate::estimate(settings.load, &settings.shape));
    groups.push(match &estimate {
        Some(estimate) => Group::new("load", vec![estimate::judge(estimate)]),
        None => log_in_kafka(),
    });
    let asked = Trial::new("online", "nothing").not_tested(
        "not tested: credentials, buckets, keys, this machine; run `forebay check` without --offline where Forebay runs",
    );
    groups.push(Group::new("the rest", vec![asked]));
    CheckReport { groups, estimate }
}

/// What the settings of a bucket say; `None` if nothing.
fn of_bucket(settings: &Settings, under_check: &LocationUnderCheck) -> Option<Group> {
    let subject = Subject {
        reach: &settings.reach,
        location: &under_check.location,
        process: None,
        region: None,
        is_forebay: false,
        sources: &under_check.sources,
        external_ids: None,
    };
    let findings: Vec<CheckFinding> =
        surroundings::endpoint(&subject).into_iter().chain(surroundings::storage_class(&subject)).collect();
    (!findings.is_empty()).then(|| Group::of_bucket(under_check, findings))
}
