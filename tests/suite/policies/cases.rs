//! Evaluates the printed policies against the table `tests/policies/cases.json`.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

use super::engine::{Answer, Request, evaluate};
use super::printed::{policy, project};
use super::weaken::{self, Weakened};

#[derive(Debug, Deserialize)]
struct Table {
    constants: BTreeMap<String, String>,
    own: BTreeMap<String, Value>,
    #[serde(rename = "a key open to its account")]
    open_key: Value,
    shared: BTreeMap<String, Vec<Case>>,
    sets: Vec<Set>,
}

/// One template, filled in, and the requests made under it.
#[derive(Debug, Deserialize)]
struct Set {
    name: String,
    template: String,
    kind: Kind,
    #[serde(rename = "as")]
    principal: String,
    account: Option<String>,
    config: Option<String>,
    #[serde(default)]
    flags: Vec<String>,
    #[serde(default)]
    beside: Vec<Beside>,
    #[serde(default)]
    shared: Vec<String>,
    cases: Vec<Case>,
    #[serde(default)]
    same: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Identity,
    Resource,
}

#[derive(Debug, Deserialize)]
struct Beside {
    template: String,
    flags: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    #[serde(rename = "as")]
    principal: Option<String>,
    own: Option<String>,
    action: Actions,
    on: String,
    account: Option<String>,
    with: Option<Value>,
    says: String,
    by: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Actions {
    One(String),
    Several(Vec<String>),
}

/// The account of everything, unless another is given.
const ACCOUNT: &str = "111122223333";

fn table() -> Table {
    let text = std::fs::read_to_string(project("tests/policies/cases.json")).unwrap();
    let constants = serde_json::from_str::<Table>(&text).unwrap().constants;
    // Replace the longest names first, because one name may begin another.
    let mut names: Vec<&String> = constants.keys().collect();
    names.sort_by_key(|name| std::cmp::Reverse(name.len()));
    let filled = names.iter().fold(text, |text, name| text.replace(&format!("${name}"), &constants[*name]));
    assert!(!filled.contains("\"$"), "unknown constant");
    serde_json::from_str(&filled).unwrap()
}

/// A set with its policies, as printed.
struct Filled<'a> {
    table: &'a Table,
    set: &'a Set,
    policy: Value,
    beside: Vec<Value>,
    cases: Vec<(String, Case)>,
}

impl<'a> Filled<'a> {
    async fn of(table: &'a Table, set: &'a Set) -> Self {
        let print = async |template: &str, flags: &[String]| {
            let arguments: Vec<&str> =
                std::iter::once(template).chain(flags.iter().map(String::as_str)).collect();
            policy(&arguments, set.config.as_deref()).await.json()
        };
        let mut beside = Vec::new();
        for other in &set.beside {
            beside.push(print(&other.template, &other.flags).await);
        }
        let shared = set.shared.iter().flat_map(|name| &table.shared[name]);
        let each_action = |case: &Case| match &case.action {
            Actions::One(action) => vec![(action.clone(), case.clone())],
            Actions::Several(actions) => {
                actions.iter().map(|action| (action.clone(), case.clone())).collect()
            }
        };
        let cases = set.cases.iter().chain(shared).flat_map(each_action).collect();
        Self { table, set, policy: print(&set.template, &set.flags).await, beside, cases }
    }

    /// The requests of all cases, with `policy` in force.
    fn requests(&self, policy: &Value) -> Vec<Request> {
        let request = |(action, case): &(String, Case)| {
            let mut identity: Vec<Value> = case.own.iter().map(|name| self.table.own[name].clone()).collect();
            let resource = match self.set.kind {
                Kind::Identity => {
                    identity.push(policy.clone());
                    match action.split(':').next() {
                        Some("kms") => Some(self.table.open_key.clone()),
                        Some("sts") => self.beside.first().cloned(),
                        _ => None,
                    }
                }
                Kind::Resource => {
                    identity.extend(self.beside.iter().cloned());
                    Some(policy.clone())
                }
            };
            // The engine refuses a policy without statements; leaving it out grants just as little.
            let says_something =
                |policy: &Value| policy["Statement"].as_array().is_some_and(|all| !all.is_empty());
            identity.retain(says_something);
            let account = case.account.as_ref().or(self.set.account.as_ref());
            Request {
                identity,
                resource: resource.filter(says_something),
                principal: case.principal.clone().unwrap_or_else(|| self.set.principal.clone()),
                action: action.clone(),
                on: case.on.clone(),
                account: account.cloned().unwrap_or_else(|| ACCOUNT.to_owned()),
                context: case.with.clone().unwrap_or_else(|| serde_json::json!({})),
            }
        };
        self.cases.iter().map(request).collect()
    }

    /// The statements that decided, on the side of the tested template.
    fn decided<'b>(&self, answer: &'b Answer) -> (&'b str, &'b [String]) {
        match (answer, self.set.kind) {
            (Answer::Decided { result, identity, .. }, Kind::Identity) => (result, identity),
            (Answer::Decided { result, resource, .. }, Kind::Resource) => (result, resource),
            (Answer::Wrong { error }, _) => panic!("{}: {error}", self.set.name),
        }
    }
}

/// Every set, filled in.
async fn filled(table: &Table) -> Vec<Filled<'_>> {
    let mut all = Vec::new();
    for set in &table.sets {
        all.push(Filled::of(table, set).await);
    }
    all
}

#[tokio::test]
async fn every_case_has_the_expected_result_and_deciding_statement() {
    let table = table();
    let sets = filled(&table).await;
    let requests: Vec<Request> = sets.iter().flat_map(|filled| filled.requests(&filled.policy)).collect();
    let Some(answers) = evaluate(&requests).await else { return };
    let mut answers = answers.iter();
    for filled in &sets {
        for ((action, case), answer) in filled.cases.iter().zip(answers.by_ref()) {
            let (result, by) = filled.decided(answer);
            let shown = format!("{}: {action} {case:?}", filled.set.name);
            assert_eq!(result, case.says, "{shown}: {by:?}");
            match &case.by {
                // A statement that trusts the account may also apply, besides the one that names the
                // principal.
                Some(sid) if case.says == "Allowed" => assert!(by.contains(sid), "{shown}: {by:?}"),
                Some(sid) => assert_eq!(by, std::slice::from_ref(sid), "{shown}"),
                None => assert_eq!(case.says, "ImplicitlyDenied", "{shown}: name the statement that decides"),
            }
        }
    }
}

/// Each statement decides some request and leaves another alone, and no part of it is redundant.
#[tokio::test]
async fn weakening_any_part_of_a_statement_changes_a_case() {
    let table = table();
    let sets = filled(&table).await;
    let mut evaluated = 0;
    for filled in &sets {
        let changes = weaken::all(&filled.policy);
        let weakened = changes.iter().map(|weakened| &weakened.policy);
        let policies = std::iter::once(&filled.policy).chain(weakened);
        let requests: Vec<Request> = policies.flat_map(|policy| filled.requests(policy)).collect();
        let Some(answers) = evaluate(&requests).await else { return };
        evaluated += answers.len();
        let (sound, others) = answers.split_at(filled.cases.len());
        let others = others.chunks(filled.cases.len());
        let unnoticed =
            changes.iter().zip(others).filter(|(change, answers)| !notices(filled, change, sound, answers));
        let unnoticed: BTreeSet<&str> = unnoticed.map(|(change, _)| change.what.as_str()).collect();
        let expected: BTreeSet<&str> = filled.set.same.keys().map(String::as_str).collect();
        assert_eq!(unnoticed, expected, "{}: changes that no case notices", filled.set.name);
    }
    assert!(evaluated > 5_000, "{evaluated}");
}

/// Whether the result of a case changes. If a whole statement is left out: whether a request is now allowed
/// that was not, or the reverse.
fn notices(filled: &Filled<'_>, weakened: &Weakened, sound: &[Answer], answers: &[Answer]) -> bool {
    sound.iter().zip(answers).any(|(sound, answer)| {
        let ((before, _), (after, _)) = (filled.decided(sound), filled.decided(answer));
        if weakened.whole { (before == "Allowed") != (after == "Allowed") } else { sound != answer }
    })
}

#[tokio::test]
async fn every_statement_of_every_template_is_in_a_set() {
    let table = table();
    let mut seen = BTreeSet::new();
    for set in &table.sets {
        let filled = Filled::of(&table, set).await;
        for statement in filled.policy["Statement"].as_array().unwrap() {
            seen.insert((set.template.clone(), statement["Sid"].as_str().unwrap().to_owned()));
        }
    }
    let mut all = BTreeSet::new();
    for entry in std::fs::read_dir(project("policies")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if path.extension().is_none_or(|extension| extension != "json") || name == "lifecycle" {
            continue;
        }
        let policy: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        for statement in policy["Statement"].as_array().unwrap() {
            all.insert((name.clone(), statement["Sid"].as_str().unwrap().to_owned()));
        }
    }
    assert_eq!(seen, all);
    assert!(all.len() > 40, "the templates were not found");
}
