use super::*;
use crate::object::BucketString;

const KEY: &str = "arn:aws:kms:eu-west-1:111122223333:key/1234";

fn place(bucket: &str) -> PolicyBucket {
    PolicyBucket::plain(Some(BucketString::parse(bucket).unwrap()))
}

fn values(places: Vec<PolicyBucket>) -> Values {
    Values { places, ..Values::default() }
}

#[test]
fn a_single_statement_is_filled_in() {
    let with_key = PolicyBucket { kms_key: Some(KEY.to_owned()), ..place("b-1/p") };
    let text = statement(Template::Collector, "ForebayChecksKey", &values(vec![with_key])).unwrap();
    let expected = format!(
        "{{\n  \"Sid\": \"ForebayChecksKey\",\n  \"Effect\": \"Allow\",\n  \"Action\": \"kms:DescribeKey\",\n  \
         \"Resource\": \"{KEY}\"\n}}"
    );
    assert_eq!(text, expected);
}

#[test]
fn each_key_gets_its_own_statement() {
    let other = KEY.replace("1234", "5678");
    let first = PolicyBucket { kms_key: Some(KEY.to_owned()), ..place("b-1") };
    let second = PolicyBucket { kms_key: Some(other.clone()), ..place("b-2") };
    let text = statement(Template::Collector, "ForebayEncrypts", &values(vec![first, second])).unwrap();
    let both: serde_json::Value = serde_json::from_str(&format!("[{text}]")).unwrap();
    let context = |index: usize| &both[index]["Condition"]["StringLike"]["kms:EncryptionContext:aws:s3:arn"];
    assert_eq!((&both[0]["Sid"], &both[1]["Sid"]), (&"ForebayEncrypts".into(), &"ForebayEncrypts2".into()));
    assert_eq!((&both[0]["Resource"], &both[1]["Resource"]), (&KEY.into(), &other.into()));
    assert_eq!(context(0)[0], "arn:aws:s3:::b-1");
    assert_eq!(context(1)[1], "arn:aws:s3:::b-2/segment-logs/*");
}

#[test]
fn a_statement_that_names_no_place_is_made_once() {
    let role = |name: &str| format!("arn:aws:iam::111122223333:role/{name}").parse().unwrap();
    let key = Some(KEY.to_owned());
    let first = PolicyBucket { kms_key: key.clone(), role: Some(role("a")), ..place("b-1") };
    let second = PolicyBucket { kms_key: key, role: Some(role("b")), ..place("b-2") };
    let values = values(vec![first, second]);
    let text = statement(Template::KmsKey, "ForebayChecksKey", &values).unwrap();
    let one: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(one["Principal"]["AWS"].as_array().unwrap().len(), 2);
    let text = statement(Template::KmsKey, "ForebayEncrypts", &values).unwrap();
    assert!(text.contains("\"ForebayEncrypts2\""), "{text}");
}

#[test]
fn policies_longer_than_aws_accepts_are_reported() {
    let many = (0..200).map(|n| place(&format!("a-bucket-with-a-long-name-{n}"))).collect();
    let text = document(Template::Collector, &values(many)).unwrap();
    let what = too_long(Template::Collector, &text).unwrap();
    assert!(what.ends_with("characters without white space, but AWS accepts at most 6144"), "{what}");
    assert_eq!(too_long(Template::Collector, &"\n".repeat(10_000)), None);
    assert_eq!(too_long(Template::Bucket, &" ".repeat(20_480)), None);
    assert!(too_long(Template::Bucket, &" ".repeat(20_481)).is_some());
    assert_eq!(too_long(Template::Lifecycle, &text), None);
}

#[test]
fn an_unused_statement_is_an_error_that_says_what_to_give() {
    let check = |template, sid: &str, said: &str| {
        let error = statement(template, sid, &values(vec![place("b-1")])).unwrap_err().to_string();
        assert!(error.contains(said), "{sid}: {error}");
    };
    check(Template::Collector, "ForebayTags", "a source with object tags is missing");
    check(Template::Collector, "ForebayAcl", "a source with an object ACL is missing");
    check(Template::Collector, "ForebayEncrypts", "give --kms-key ARN");
    check(Template::Collector, "ForebayAssumesRole", "give --role ARN");
    check(Template::Collector, "Nothing", "policy collector has no statement Nothing");
    check(Template::Cloudformation, "ForebayPuts", "policy cloudformation has no statement ForebayPuts");
    let nowhere = document(Template::Collector, &Values::default()).unwrap_err().to_string();
    assert!(nowhere.contains("give --bucket NAME/PREFIX"), "{nowhere}");
}

#[test]
fn every_template_is_found_by_its_name() {
    for template in Template::ALL {
        assert_eq!(Template::of_name(template.name()), Some(template));
        assert!(template.about().len() < 100 && !template.about().ends_with('.'), "{}", template.about());
    }
    assert!(Template::of_name("Bucket").is_none());
}

#[test]
fn a_value_that_contains_a_placeholder_is_not_replaced_again() {
    let text =
        statement(Template::Collector, "ForebayPuts", &values(vec![place("b-1/BUCKET/REGION")])).unwrap();
    assert!(text.contains("arn:aws:s3:::b-1/BUCKET/REGION/segment-logs/*"), "{text}");
}

const FUNCTION: &str = "arn:aws:lambda:eu-west-1:111122223333:function:on-track";

/// A destination whose role has this name, if any.
fn destination(name: &str, functions: &[&str], role: Option<&str>, ids: &[&str]) -> PolicyDestination {
    PolicyDestination {
        name: name.to_owned(),
        functions: functions.iter().map(|&function| function.to_owned()).collect(),
        role: role.map(|role| format!("arn:aws:iam::111122223333:role/{role}").parse().unwrap()),
        external_ids: ids.iter().map(|&id| id.to_owned()).collect(),
    }
}

fn with_destinations(destinations: Vec<PolicyDestination>) -> Values {
    let principal = "arn:aws:iam::444455556666:role/forebay".parse().unwrap();
    Values { destinations, principals: vec![principal], ..Values::default() }
}

#[test]
fn a_destination_needs_no_place() {
    let aliased = format!("{FUNCTION}:live");
    let values = with_destinations(vec![
        destination("crm", &[FUNCTION, &aliased], Some("invoker"), &["web"]),
        destination("mail", &[FUNCTION], Some("invoker"), &["ios", "web"]),
    ]);
    let filled = |template, sid| -> serde_json::Value {
        serde_json::from_str(&statement(template, sid, &values).unwrap()).unwrap()
    };
    let invokes = filled(Template::LambdaDestinationInvoke, "ForebayInvokes");
    assert_eq!(invokes["Resource"], serde_json::json!([FUNCTION, aliased]), "as configured, each once");
    let assumes = filled(Template::LambdaDestinationTrustMany, "CollectorAssumes");
    let ids = &assumes["Condition"]["StringEquals"]["sts:ExternalId"];
    assert_eq!(*ids, serde_json::json!(["web", "ios"]));
    assert_eq!(assumes["Principal"]["AWS"], "arn:aws:iam::444455556666:role/forebay");
    let one = document(Template::LambdaDestinationTrust, &values).unwrap_err().to_string();
    assert!(one.contains("or print lambda-destination-trust-many (web, ios)"), "{one}");
    let stack = document(Template::LambdaDestinationCloudformation, &values).unwrap();
    assert!(stack.contains("    Default: \"web,ios\"\n"), "{stack}");
    assert!(stack.contains(&format!("    Default: \"{FUNCTION},{aliased}\"\n")), "{stack}");
}

#[test]
fn a_policy_of_destinations_is_for_one_role() {
    let check = |roles: [Option<&str>; 2], template, said: Option<&str>| {
        let [first, second] = roles;
        let values = with_destinations(vec![
            destination("crm", &[FUNCTION], first, &["web"]),
            destination("mail", &[FUNCTION], second, &["web"]),
        ]);
        let error = document(template, &values).err().map(|error| error.to_string());
        let as_said = match said {
            None => error.is_none(),
            Some(said) => error.as_ref().is_some_and(|error| error.contains(said)),
        };
        assert!(as_said, "{roles:?} {template:?}: {error:?}");
    };
    let (a, b) = (Some("a"), Some("b"));
    let several = "is for one role: select one with --destination NAME (arn:aws:iam::111122223333:role/a, ";
    for template in [
        Template::LambdaDestinationInvoke,
        Template::LambdaDestinationTrust,
        Template::LambdaDestinationTrustMany,
        Template::LambdaDestinationCloudformation,
    ] {
        check([a, a], template, None);
        check([None, None], template, None);
        check([a, b], template, Some(several));
    }
    check([a, None], Template::LambdaDestinationInvoke, Some(several));
    check([a, None], Template::LambdaDestinationTrust, None);
}

#[test]
fn what_a_destination_lacks_is_named() {
    let values = with_destinations(vec![destination("crm", &[], None, &[])]);
    let check = |template, values: &Values, said: &str| {
        let error = document(template, values).unwrap_err().to_string();
        assert!(error.contains(said), "{template:?}: {error}");
    };
    check(Template::LambdaDestinationInvoke, &values, "give --function-arn ARN");
    check(Template::LambdaDestinationTrust, &values, "give --external-id ID");
    let without = Values { principals: Vec::new(), ..values };
    check(Template::LambdaDestinationTrustMany, &without, "give --principal ARN");
}
