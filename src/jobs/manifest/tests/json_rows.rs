use super::*;

fn row(rest: &str) -> Files {
    Files::of(format!("{{\"bucket\":\"my-bucket\",\"key\":\"a\"{rest}}}\n"))
}

#[test]
fn good_rows() {
    let text = "{\"bucket\":\"my-bucket\",\"key\":\"a b+c%d/ü\",\"versionId\":\"v1\",\"args\":{\"z\":\"1\",\"a\":\"ü\"}}\r\n\
                \n\
                { \"key\": \"{\\\"x\\\": 1}\", \"versionId\": \"null\", \"bucket\": \"other-bucket\", \"args\": {} }";
    let (tasks, read) = read(&Files::of(text)).unwrap();
    let expected = ["my-bucket|a%20b%2Bc%25d/%C3%BC|v1", "other-bucket|%7B%22x%22%3A%201%7D|null"];
    assert_eq!(short(&tasks), expected);
    let args: Vec<_> = tasks[0].args.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(args, ["z=1", "a=ü"]);
    assert!(tasks[1].args.is_empty() && read.has_args);
    assert!(!super::read(&row("")).unwrap().1.has_args);
    assert_eq!(super::read(&row(",\"versionId\":null")).unwrap().0[0].version, None);
}

#[test]
fn malformed_rows() {
    let check = |files: &Files, says: &str| check_refused(files, &Wanted::default(), says);
    let second = |line: &str| Files::of(format!("{{\"bucket\":\"my-bucket\",\"key\":\"a\"}}\n{line}\n"));
    check(&second("{\"bucket\":\"my-bucket\"}"), "line 2: missing field `key`; a row is {\"bucket\"");
    check(&second("{\"key\":\"a\"}"), "line 2: missing field `bucket`");
    check(&second("my-bucket,a"), "line 2: expected value");
    check(&second("{\"bucket\":\"my-bucket\",\"key\":\"a\"} x"), "line 2: trailing characters");
    check(&second("{\"bucket\":\"my-bucket\",\"key\":\"\"}"), "line 2: the key is empty");
    check(&second("{\"bucket\":\"B\",\"key\":\"a\"}"), "line 2: \"B\" is no bucket");
    check(
        &second("{\"bucket\":\"my-bucket\",\"key\":1}"),
        "line 2: key is a number, and must be a text; a row is",
    );
    check(&second("{\"bucket\":[],\"key\":\"a\"}"), "line 2: bucket is a list, and must be a text");
    check(&row(",\"versionId\":7"), "line 1: versionId is a number, and must be a text");
    check(&Files::of("{\"bucket\":\"my-bucket\",\"key\":\"a\"\n"), "line 1: EOF");
    check(&row(",\"version\":\"v\""), "line 1: unknown field `version`");
    check(&row(",\"key\":\"b\""), "line 1: duplicate field `key`");
    check(&row(",\"args\":{\"a\":\"1\",\"a\":\"2\"}"), "line 1: the argument \"a\" is there twice");
    check(
        &row(",\"args\":{\"a\":1}"),
        "line 1: args.a: invalid type: integer `1`, expected a string; a row is",
    );
    check(&row(",\"args\":[\"a\"]"), "args as an object whose values are texts");
    check(
        &row(",\"versionId\":\"v\"}\n{\"bucket\":\"my-bucket\",\"key\":\"a\""),
        "line 2: the row has no version",
    );
}

#[test]
fn bounds_of_rows() {
    let check = |files: &Files, says: Option<&str>| match says {
        None => drop(read(files).unwrap()),
        Some(says) => check_refused(files, &Wanted::default(), says),
    };
    let args = |count: usize| {
        let args: Vec<String> = (0..count).map(|at| format!("\"a{at}\":\"\"")).collect();
        row(&format!(",\"args\":{{{}}}", args.join(",")))
    };
    check(&args(10), None);
    check(&args(11), Some("line 1: the row has 11 args; at most 10 are passed"));
    let arg = |name: usize, value: usize| {
        row(&format!(",\"args\":{{\"{}\":\"{}\"}}", "ü".repeat(name), "ü".repeat(value)))
    };
    check(&arg(64, 1_024), None);
    check(&arg(65, 1), Some("must have 1 to 64 characters"));
    check(&arg(0, 1), Some("must have 1 to 64 characters"));
    check(&arg(1, 1_025), Some("the argument \"ü\" has more than 1,024 characters"));
    let key = |key: &str| Files::of(format!("{{\"bucket\":\"my-bucket\",\"key\":\"{key}\"}}"));
    check(&key(&"ü".repeat(512)), None);
    check(&key(&"ü".repeat(513)), Some("line 1: the key has more than 1,024 bytes"));
    // The longest row there can be fits into the copy of the job.
    let args: Vec<String> =
        (0..10).map(|at| format!("\"{at}{}\":\"{}\"", "😀".repeat(63), "😀".repeat(1_024))).collect();
    let longest = format!(
        "{{\"bucket\":\"{}\",\"key\":\"{}\",\"versionId\":\"{}\",\"args\":{{{}}}}}",
        "b".repeat(63),
        "ü".repeat(512),
        "v".repeat(1_024),
        args.join(",")
    );
    let (tasks, _) = read(&Files::of(longest)).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let disk = crate::disk::real_disk::RealDisk::open(dir.path()).unwrap();
    let mut writer = crate::jobs::task_rows::TaskRowsWriter::create(&disk, "tasks").unwrap();
    writer.push(&tasks[0]).unwrap();
    writer.finish().unwrap();
    let rows = crate::jobs::task_rows::TaskRows::open(&disk, "tasks").unwrap();
    assert_eq!(rows.get(0).unwrap(), tasks[0]);
}
