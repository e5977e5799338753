//! What the templates under `policies/` grant whoever writes: every request that Forebay sends must be among it.

use std::collections::BTreeSet;

use serde_json::Value;

/// Requests that AWS lets pass without any policy: whose credentials these are, asked with them ("GetCallerIdentity" in
/// the API reference of STS: no permissions are required), and a web identity's exchange, which is not signed at all.
pub(crate) const NEED_NO_GRANT: [&str; 2] = ["sts:GetCallerIdentity", "sts:AssumeRoleWithWebIdentity"];

/// The actions that the identity policies `collector.json` and `role.json` allow, such as `s3:PutObject`, as they stand
/// in the files: with every statement that `forebay policy` leaves out where nothing asks for it.
pub(crate) fn actions() -> BTreeSet<String> {
    ["collector", "role"].iter().flat_map(|template| actions_of(template)).collect()
}

/// The actions that the statements of one template allow.
///
/// # Panics
///
/// When there is no such template, or it is no policy.
pub(crate) fn actions_of(template: &str) -> BTreeSet<String> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("policies/{template}.json"));
    let policy: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let allowed = policy["Statement"].as_array().unwrap().iter().filter(|it| it["Effect"] == "Allow");
    let actions = allowed.flat_map(|statement| match &statement["Action"] {
        Value::Array(several) => several.clone(),
        one => vec![one.clone()],
    });
    let actions: BTreeSet<String> = actions.map(|action| action.as_str().unwrap().to_owned()).collect();
    assert!(
        !actions.is_empty() && actions.iter().all(|action| !action.contains('*')),
        "{template}: {actions:?}"
    );
    actions
}
