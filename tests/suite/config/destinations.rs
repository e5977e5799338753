//! What is refused in a `[[destination]]`, and the texts that say so.

use forebay::destinations::settings::{AtLambda, ExternalIds, FunctionsAt};
use forebay::sources::SourceId;

use super::{SMALLEST, config, load, problems};

const FUNCTION: &str = "function = \"arn:aws:lambda:eu-west-1:111122223333:function:on-track\"\n";
const ROLE: &str = "role_arn = \"arn:aws:iam::111122223333:role/invoker\"\n";

fn destination(kind: &str, lines: &str) -> String {
    format!("{SMALLEST}[[destination]]\nname = \"crm\"\ntype = \"{kind}\"\n{lines}\n")
}

/// Expects a single problem, of this setting of the destination.
fn check(kind: &str, lines: &str, expected: &str) {
    let found = problems(&destination(kind, lines), &[("THEIR_KEY", "k")]);
    let [problem] = &found[..] else { panic!("{lines}: {found:?}") };
    assert!(problem.contains(&format!("destination.crm.{expected}")), "{lines}: {problem}");
}

fn lambda_of(text: &str) -> AtLambda {
    match config(text).destinations.remove(0).functions_at {
        FunctionsAt::Lambda(target) => target,
        other => panic!("{other:?}"),
    }
}

#[test]
fn settings_of_a_function_that_do_not_fit_are_refused() {
    let lambda = |lines: &str, expected: &str| check("lambda", &format!("{FUNCTION}{lines}"), expected);
    check("lambda", "", "function is not set: set function, or functions for the types that are sent");
    check(
        "lambda",
        "function = \"\"\nfunctions = {}",
        "function = \"\": is not set: set function, or functions",
    );
    check("lambda", "function = \"on-track\"", "function = \"on-track\": expected the ARN of a function");
    check(
        "lambda",
        "functions = { trakc = \"x\" }",
        "functions = { trakc = … }: trakc is no type of calls: expected track",
    );
    lambda("sources = [\"ios\"]", "sources = [\"ios\"]: \"ios\" is the id of no [[source]]");
    lambda("sources = []", "sources = []: expected at least one source");
    lambda("timeout = \"16 min\"", "timeout = \"16 min\": expected a duration from 100 ms to 15 min");
    lambda("concurrency = 0", "concurrency = 0: expected a whole number from 1 to 1000");
    lambda("max_age = \"15 d\"", "max_age = \"15 d\": expected a duration");
    lambda("order_by = \"user\"", "order_by = \"user\": expected \"\" or \"userId\"");
    lambda("url = \"http://127.0.0.1:1/\"", "url is only for type = \"http\"");
    lambda(
        "log_type = \"Tail\"\ninvocation = \"Event\"",
        "log_type = \"Tail\": \"Tail\" needs invocation = \"RequestResponse\"",
    );
    lambda(
        "mode = \"batch\"\ninvocation = \"Event\"",
        "mode = \"batch\": \"batch\" needs invocation = \"RequestResponse\"",
    );
    lambda("endpoint_url = \"127.0.0.1:9001\"", "endpoint_url = \"127.0.0.1:9001\": expected a URL");
}

/// Each of them was reported a second time, as a number that is too large.
#[test]
fn bounds_of_batches_without_batches_are_refused_once() {
    let lines = format!("{FUNCTION}batch_max_calls = 10001");
    check("lambda", &lines, "batch_max_calls = 10001: is only for mode = \"batch\"");
    let lines = format!("{FUNCTION}batch_max_bytes = \"7 MB\"");
    check("lambda", &lines, "batch_max_bytes = \"7 MB\": is only for mode = \"batch\"");
    check(
        "lambda",
        &format!("mode = \"batch\"\n{lines}"),
        "batch_max_bytes = \"7 MB\": expected a size from",
    );
}

#[test]
fn a_role_has_an_external_id_for_each_source_that_is_taken() {
    let ids = |lines: &str| {
        let text = destination("lambda", &format!("{FUNCTION}{ROLE}{lines}"));
        let text = text.replace("[[dest", "[[source]]\nid = \"ios\"\nwrite_keys = [\"l\"]\n[[dest");
        let target = lambda_of(&text);
        ["web", "ios"]
            .map(|source| target.external_ids.of(&SourceId::new(source).unwrap()).unwrap().to_string())
    };
    assert_eq!(ids(""), ["web", "ios"]);
    assert_eq!(ids("external_id = \"crm-1\""), ["crm-1", "crm-1"]);
    assert_eq!(ids("external_id = { web = \"shop-7\" }"), ["shop-7", "ios"]);
    let wrong = |lines: &str, expected: &str| check("lambda", &format!("{FUNCTION}{lines}"), expected);
    wrong("external_id = \"crm-1\"", "external_id = \"crm-1\": is used only with a role: set role_arn");
    let of_role = |lines: &str, expected: &str| wrong(&format!("{ROLE}{lines}"), expected);
    of_role("external_id = \"x\"", "external_id = \"x\": expected an external id: 2 to 1,224");
    of_role(
        "external_id = { ios = \"x1\" }",
        "external_id = { ios = … }: \"ios\" is the id of no source that is taken",
    );
    of_role(
        "external_id = { web = \"x\" }",
        "external_id = { web = … }: web: expected an external id: 2 to 1,224",
    );
    let short = destination("lambda", &format!("{FUNCTION}{ROLE}")).replace("id = \"web\"", "id = \"w\"");
    let found = problems(&short, &[]);
    assert!(found[0].contains("external_id has none for the source w"), "{found:?}");
    let listed = short.replace(ROLE, &format!("{ROLE}external_id = {{ w = \"w-1\" }}\n"));
    assert!(matches!(lambda_of(&listed).external_ids, ExternalIds::OfSources(ids) if ids.len() == 1));
}

#[test]
fn an_address_that_calls_cannot_be_sent_to_is_refused() {
    check("http", "", "url is not set: set url or forward");
    check(
        "http",
        "url = \"ftp://a.example/secret\"",
        "url expected a URL such as \"http://127.0.0.1:9000/\"",
    );
    check("http", "url = \"http://169.254.169.254/\"", "url a link-local address cannot be an endpoint");
    let forward = |address: &str, expected: &str| {
        check("http", &format!("forward = \"{address}\"\nwrite_key = \"env:THEIR_KEY\""), expected);
    };
    let form = "expected a URL such as \"https://api.segment.io\"";
    forward("api.segment.io", "forward = \"api.segment.io\": expected a URL that begins with http");
    forward("https://a.example/?x=1", &format!("forward {form}"));
    let user = "forward = \"https://…@a.example\": expected a URL without user and password: the write key is write_key";
    forward("https://me:secret@a.example", user);
    for routes in ["/v1", "/v1/", "/v1/batch", "/behind/v1/track"] {
        let address = format!("https://a.example{routes}");
        let what = "without /v1/batch, which is added";
        forward(&address, &format!("forward = \"{address}\": {form}, {what}"));
    }
    check(
        "http",
        "forward = \"https://a.example\"",
        "write_key is not set: forward sends calls with the write key",
    );
    check("http", "url = \"http://127.0.0.1:1/\"\nwrite_key = \"k\"", "write_key is only for forward");
    check("http", &format!("url = \"http://127.0.0.1:1/\"\n{FUNCTION}"), "function = ");
}

/// Object sets have a route that not every tracking endpoint has.
#[test]
fn all_types_but_object_sets_are_forwarded() {
    let text = destination("http", "forward = \"https://a.example/behind/\"\nwrite_key = \"env:THEIR_KEY\"");
    let forward = load(&text, &[("THEIR_KEY", "k")]).unwrap().config.destinations.remove(0);
    let kinds: Vec<&str> = forward.selection.functions.keys().map(String::as_str).collect();
    assert_eq!(kinds, ["alias", "group", "identify", "page", "screen", "track"]);
    assert_eq!(forward.selection.function, None);
    assert!(
        matches!(&forward.functions_at, FunctionsAt::Forward { to, .. } if to == "https://a.example/behind")
    );
}

#[test]
fn destinations_have_names_of_their_own_and_share_half_of_the_spool() {
    let two = |first: &str, second: &str| {
        let one = |lines: &str| format!("[[destination]]\ntype = \"lambda\"\n{FUNCTION}{lines}\n");
        format!("[spool]\nmax_bytes = \"4 GB\"\n{SMALLEST}{}{}", one(first), one(second))
    };
    let found = problems(&two("name = \"crm\"", "name = \"crm\""), &[]);
    assert!(found[0].contains("name = \"crm\": is also the name of another destination"), "{found:?}");
    let found = problems(&two("name = \"a\"", ""), &[]);
    assert!(found[0].contains("name is not set: each destination needs a name"), "{found:?}");
    let with = |first: &str, second: &str| {
        two(&format!("name = \"a\"\nmax_queue = \"{first}\""), &format!("name = \"b\"{second}"))
    };
    let found = problems(&with("1500 MB", "\nmax_queue = \"501 MB\""), &[]);
    let expected = "half of spool.max_bytes (2 GB), and those before it leave 500 MB";
    assert!(found[0].contains(expected), "{found:?}");
    let queues =
        config(&with("1500 MB", "")).destinations.iter().map(|one| one.max_queue).collect::<Vec<_>>();
    assert_eq!(queues, [1_500_000_000, 500_000_000]);
}
