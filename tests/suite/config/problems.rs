use super::{SMALLEST, load, problems};

/// Adds `lines` before a valid configuration and expects a single problem.
fn check(lines: &str, expected: &str) {
    let text = format!("{lines}\n{SMALLEST}");
    assert_eq!(problems(&text, &[]), [expected], "{lines}");
}

/// Makes `lines` the only source of a valid configuration and expects a single problem.
fn check_source(lines: &str, expected: &str) {
    let text = format!("[s3]\nbucket = \"b-1\"\n[[source]]\n{lines}\n");
    assert_eq!(problems(&text, &[]), [expected], "{lines}");
}

/// Found by fuzzing: a webhook given as a list was shown.
#[test]
fn a_webhook_is_never_shown_as_text_or_in_a_list() {
    let expected =
        "line 2: closed_days.webhook expected a URL such as \"https://scheduler.example.com/day-closed\"";
    check("[closed_days]\nwebhook = \"ftp://a.example/token\"", expected);
    check("[closed_days]\nwebhook = [\"https://a.example/token\"]", expected);
}

#[test]
fn an_endpoint_with_a_secret_is_not_shown() {
    let form = "expected a URL such as \"https://s3.example.com\" or \"http://127.0.0.1:9000\"";
    let wrong = "[s3]\nbucket = \"b-1\"\nendpoint_url = \"https://s3.example.com/?token=secret\"\n\
                 kms_endpoint_url = \"https://me:secret@kms.example.com\"\n[[source]]\nid = \"web\"\nwrite_keys = [\"k\"]\n";
    let expected = [
        format!("line 3: s3.endpoint_url {form}"),
        "line 4: s3.kms_endpoint_url = \"https://…@kms.example.com\": expected a URL without user and password: credentials come \
         from the AWS credential chain"
            .to_owned(),
    ];
    assert_eq!(problems(wrong, &[]), expected);
}

#[test]
fn a_write_key_with_a_colon_is_refused() {
    check_source(
        "id = \"x\"\nwrite_keys = [\"a:secret\"]",
        "line 5: source.x.write_keys number 1 contains a colon: SDKs that use Basic auth cannot send it, because there the key ends at the first colon",
    );
}

#[test]
fn a_pipe_instead_of_the_file_is_refused_without_blocking() {
    use forebay::config::{Environment, Loader};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("forebay.toml");
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0)
        .unwrap();
    let error = Loader::new(path, Environment::default()).load().unwrap_err();
    assert!(error.to_string().contains("it is not a regular file"), "{error}");
}

#[test]
fn a_problem_shows_the_value_and_the_expected_form() {
    check(
        "[flush]\nmax_bytes = 100",
        "line 2: flush.max_bytes = 100: expected a size with its unit, such as \"100 MB\" or \"64 KiB\"",
    );
    check(
        "[flush]\nmax_bytes = \"100\"",
        "line 2: flush.max_bytes = \"100\": expected a size with its unit, such as \"100 MB\" or \"64 KiB\"",
    );
    check(
        "[flush]\nmax_bytes = \"5 GB\"",
        "line 2: flush.max_bytes = \"5 GB\": expected a size from 1 KB to 4 GB",
    );
    check(
        "[flush]\nmax_bytes = \"10 B\"",
        "line 2: flush.max_bytes = \"10 B\": expected a size from 1 KB to 4 GB",
    );
    check(
        "[flush]\nmax_age = 60",
        "line 2: flush.max_age = 60: expected a duration with its unit, such as \"500 ms\", \"2 s\", \"10 min\", \
         \"1 h\" or \"1 d\"",
    );
    check(
        "[flush]\nmax_age = \"2 d\"",
        "line 2: flush.max_age = \"2 d\": expected a duration from 1 s to 1 d",
    );
    check(
        "[flush]\nalign = \":61\"",
        "line 2: flush.align = \":61\": expected a minute of the hour, from \":00\" to \":59\"",
    );
    check("[flush]\non_shutdown = \"yes\"", "line 2: flush.on_shutdown = \"yes\": expected true or false");
    check(
        "[flush]\nshutdown_grace = \"5 s\"",
        "line 2: flush.shutdown_grace = \"5 s\": must be longer than collector.drain_delay: both count from the signal to stop",
    );
    check(
        "[collector]\nlisten = \"8080\"",
        "line 2: collector.listen = \"8080\": expected an address and a port, such as \"127.0.0.1:8080\" or \"[::]:8080\"",
    );
    check(
        "[collector]\nlisten = 8080",
        "line 2: collector.listen = 8080: expected an address and a port, such as \"127.0.0.1:8080\" or \"[::]:8080\"",
    );
    check(
        "[collector]\nmax_body = \"3 MiB\"",
        "line 2: collector.max_body = \"3 MiB\": expected a size from 1 KiB to 2 MiB",
    );
    check(
        "[collector]\nmax_event = \"1100 KiB\"",
        "line 2: collector.max_event = \"1100 KiB\": max_event cannot be more than max_body",
    );
    check(
        "[collector]\nmax_body = \"2 KB\"",
        "line 2: collector.max_body = \"2 KB\": max_event cannot be more than max_body",
    );
    check(
        "[collector]\nmax_connections = 0",
        "line 2: collector.max_connections = 0: expected a whole number from 1 to 1000000",
    );
    check(
        "[collector]\nvalidation = \"lax\"",
        "line 2: collector.validation = \"lax\": expected \"permissive\" or \"strict\"",
    );
    check(
        "[collector]\ntrusted_proxies = [\"10.0.0.0/8\", \"10.x\"]",
        "line 2: collector.trusted_proxies = [\"10.0.0.0/8\", \"10.x\"]: \"10.x\": expected an address or a range such as \"10.0.0.0/8\"",
    );
    check(
        "[collector]\nallowed_origins = \"*\"",
        "line 2: collector.allowed_origins = \"*\": expected a list of origins, such as [\"https://www.example.com\"]",
    );
    check(
        "[collector]\npath_prefix = \"x\"",
        "line 2: collector.path_prefix = \"x\": expected a path such as \"/proxy\"",
    );
    check(
        "[collector]\ntls_cert = \"c\"\ntls_key = \"k\"",
        "line 1: collector.tls_listen is not set: TLS needs tls_listen, tls_cert and tls_key",
    );
    check(
        "[admin]\nlisten = \"0.0.0.0:8080\"\ntoken = \"0123456789abcdef\"",
        "line 2: admin.listen = \"0.0.0.0:8080\": is an address of the collector: give the admin listener a port of its own",
    );
    check(
        "[spool]\nmax_bytes = \"100 MB\"",
        "line 2: spool.max_bytes = \"100 MB\": max_bytes must be at least 4 times segment_bytes: set max_bytes = \"256 MiB\" or more, or segment_bytes = \"23 MiB\" or less",
    );
    check("[spool]\nnode = \"Node\"", "line 2: spool.node = \"Node\": expected 1 to 32 of a-z 0-9 -");
    check("[spool]\ndir = 1", "line 2: spool.dir = 1: expected text in quotes, found a number");
    check(
        "[spool]\ndir = 2026-01-01",
        "line 2: spool.dir = 2026-01-01: expected text in quotes, found a date",
    );
}

#[test]
fn settings_of_s3_are_checked() {
    let s3 = |line: &str, expected: &str| {
        let text = SMALLEST.replacen("[s3]\n", &format!("[s3]\n{line}\n"), 1);
        assert_eq!(problems(&text, &[]), [expected], "{line}");
    };
    s3(
        "endpoint_url = \"http://169.254.169.254\"",
        "line 2: s3.endpoint_url = \"http://169.254.169.254\": a link-local address cannot be an endpoint",
    );
    s3(
        "endpoint_url = \"https://me:secret@s3.example.com\"",
        "line 2: s3.endpoint_url = \"https://…@s3.example.com\": expected a URL without user and password: \
         credentials come from the AWS credential chain",
    );
    let form =
        "expected \"sse-s3\", \"none\", \"kms:KEY\" or { kms = \"KEY\", bucket_key = true, context = { … } }";
    s3("encryption = \"aes\"", &format!("line 2: s3.encryption = \"aes\": {form}"));
    s3(
        "encryption = { key = \"x\" }",
        &format!("line 2: s3.encryption = {{ key = … }}: key is not a key of this table: {form}"),
    );
    s3(
        "encryption = { bucket_key = true }",
        &format!("line 2: s3.encryption = {{ bucket_key = … }}: {form}"),
    );
    s3(
        "encryption = \"sse-kms\"",
        "line 2: s3.encryption = \"sse-kms\": needs a key: expected \"kms:KEY\" or { kms = \"KEY\" }; for the bucket's \
         default encryption use \"none\"",
    );
    s3(
        "encryption = \"kms:alias/\"",
        "line 2: s3.encryption = \"kms:alias/\": expected a KMS key: its id, \"alias/…\" or an ARN",
    );
    s3(
        "encryption = { kms = \"alias/x\", context = { \"aws:s3:arn\" = \"x\" } }",
        "line 2: s3.encryption = { context = …, kms = … }: context: \"aws:s3:arn\": names that begin with aws: are set \
         by AWS itself",
    );
    s3(
        "encryption = { kms = \"alias/x\", bucket_key = 1 }",
        "line 2: s3.encryption = { bucket_key = …, kms = … }: bucket_key: expected true or false",
    );
    s3(
        "external_id = \"x1\"",
        "line 2: s3.external_id = \"x1\": is used only with a role: set role_arn, or remove external_id",
    );
    s3(
        "expected_bucket_owner = 111122223333",
        "line 2: s3.expected_bucket_owner = 111122223333: expected an AWS account id, 12 digits in quotes",
    );
    s3(
        "storage_class = \"standard\"",
        "line 2: s3.storage_class = \"standard\": expected a storage class: STANDARD, STANDARD_IA, ONEZONE_IA, \
         INTELLIGENT_TIERING, GLACIER_IR, GLACIER, DEEP_ARCHIVE",
    );
    s3("acl = \"private\"", "line 2: s3.acl = \"private\": expected \"bucket-owner-full-control\"");
    s3(
        "object_tags = [\"node\"]",
        "line 2: s3.object_tags = [\"node\"]: expected a list of \"source\" and \"day\"",
    );
    s3(
        "sts_endpoint_url = \"https://sts.example.com\"\ndual_stack = true",
        "line 3: s3.dual_stack = true: selects an AWS endpoint, but sts_endpoint_url is set: remove one of them",
    );
    s3(
        "endpoint_url = \"https://s3.example.com\"\nfips = true",
        "line 3: s3.fips = true: selects an AWS endpoint, but endpoint_url is set: remove one of them",
    );
    s3(
        "region = \"eu central\"",
        "line 2: s3.region = \"eu central\": expected a region such as \"eu-central-1\"",
    );
    s3("put = \"append\"", "line 2: s3.put = \"append\": expected \"create-only\" or \"overwrite\"");
    assert_eq!(
        problems(&SMALLEST.replace("b-1", "s3://b-1"), &[]),
        ["line 2: s3.bucket = \"s3://b-1\": write the bucket's name alone, without s3:// or arn:"]
    );
}

#[test]
fn an_unknown_name_suggests_the_nearest_known_one() {
    check("[flush]\nmax_byte = \"1 MB\"", "line 2: flush.max_byte is unknown: did you mean flush.max_bytes?");
    check("[flsh]\nmax_age = \"1 h\"", "line 1: flsh is unknown: did you mean [flush]?");
    check("[flush]\ndir = \"/x\"", "line 2: flush.dir is unknown: did you mean spool.dir?");
    check(
        "[flush]\nzzzzzz = 1",
        "line 2: flush.zzzzzz is unknown: the keys of this section are max_bytes, max_age, align, on_shutdown, shutdown_grace",
    );
    check("max_age = \"1 h\"", "line 1: max_age is unknown: did you mean flush.max_age?");
    let kafka = if cfg!(feature = "kafka") { "kafka, " } else { "" };
    check(
        "[queue]",
        &format!(
            "line 1: queue is unknown: the sections are collector, admin, spool, s3, flush, closed_days, alarm, {kafka}\
             source, destination, import"
        ),
    );
    check("[[sources]]", "line 1: sources is unknown: did you mean [[source]]?");
    check("flush = 3", "line 1: flush is a section: write [flush] and its keys below it");
    check_source(
        "id = \"web\"\nwrite_keys = [\"k\"]\nwrite_key = \"hidden\"",
        "line 6: source.web.write_key is unknown: did you mean source.web.write_keys?",
    );
}

#[test]
fn sources_are_checked_one_by_one_and_together() {
    check_source(
        "id = \"../x\"\nwrite_keys = [\"k\"]",
        "line 4: source[1].id = \"../x\": expected 1 to 64 of A-Z a-z 0-9 - _, beginning with a letter, digit or -",
    );
    check_source(
        "write_keys = [\"k\"]",
        "line 3: source[1].id is not set: each source needs an id, such as \"checkout-web\"",
    );
    check_source(
        "id = \"web\"",
        "line 3: source.web.write_keys is not set: expected a list such as [\"env:CHECKOUT_WRITE_KEY\"]",
    );
    check_source(
        "id = \"web\"\nwrite_keys = \"hidden\"",
        "line 5: source.web.write_keys is not a list with at least one write key: expected a list such as [\"env:CHECKOUT_WRITE_KEY\"]",
    );
    check_source(
        "id = \"web\"\nwrite_keys = [\"good\", \"hid\\u0000den\"]",
        "line 5: source.web.write_keys number 2 is not 1 to 1,024 bytes of text without control characters",
    );
    check_source(
        "id = \"web\"\nwrite_keys = [\"env:NO_SUCH_KEY\"]",
        "line 5: source.web.write_keys number 1 is \"env:NO_SUCH_KEY\", and that variable is not set",
    );
    check_source(
        "id = \"web\"\nwrite_keys = [\"file:/no/such/file\"]",
        "line 5: source.web.write_keys number 1 is \"file:/no/such/file\": No such file or directory (os error 2)",
    );
    check_source(
        "id = \"web\"\nwrite_keys = [\"k\"]\nrole_arn = \"arn:aws:iam::111122223333:user/x\"",
        "line 6: source.web.role_arn = \"arn:aws:iam::111122223333:user/x\": expected the ARN of a role, such as \
         \"arn:aws:iam::111122223333:role/forebay\"",
    );
    check_source(
        "id = \"web\"\nwrite_keys = [\"k\"]\nexternal_id = \"web\"",
        "line 6: source.web.external_id = \"web\": is used only with a role: set role_arn, or remove external_id",
    );
    check_source(
        "id = \"w\"\nwrite_keys = [\"k\"]\nrole_arn = \"arn:aws:iam::111122223333:role/x\"",
        "line 3: source.w.external_id is not set, and the source id, used instead, is too short: an external id needs \
         at least 2 characters",
    );
    check_source(
        "id = \"web\"\nwrite_keys = [\"k\"]\nregion = \"eu-west-1\"\nencryption = \"kms:arn:aws:kms:us-east-1:111122223333:key/x\"",
        "line 7: source.web.encryption = \"kms:arn:aws:kms:us-east-1:111122223333:key/x\": the key is in us-east-1 and \
         the bucket in eu-west-1: S3 accepts only keys of the bucket's region",
    );
    check_source(
        "id = \"web\"\nwrite_keys = [\"k\"]\n[[source]]\nid = \"ios\"\nwrite_keys = [\"other\",\n \"k\"]",
        "line 9: source.ios.write_keys number 2 is also a write key of source.web: a key belongs to one source",
    );
    check_source(
        "id = \"web\"\nwrite_keys = [\"k\"]\n[[source]]\nid = \"web\"\nwrite_keys = [\"k2\"]",
        "line 7: source.web.id = \"web\": is also the id of another source",
    );
    assert_eq!(
        problems("source = 1\n[s3]\nbucket = \"b-1\"", &[])[0],
        "line 1: source is a list: write [[source]], with two brackets, before each source"
    );
}

#[test]
fn all_problems_are_reported_together_in_file_order() {
    let text = "[flush]\nmax_age = \"1 parsec\"\n[collector]\nlisten = \"x\"\nmax_boddy = \"1 MB\"\n";
    let report = super::load(text, &[]).unwrap_err();
    let shown = report.to_string();
    let (first, rest) = shown.split_once('\n').unwrap();
    assert!(first.ends_with("forebay.toml has 5 problems:"), "{first}");
    assert_eq!(
        rest,
        "  line 2: flush.max_age = \"1 parsec\": expected a duration with its unit, such as \"500 ms\", \"2 s\", \"10 min\", \"1 h\" or \"1 d\"
  line 4: collector.listen = \"x\": expected an address and a port, such as \"127.0.0.1:8080\" or \"[::]:8080\"
  line 5: collector.max_boddy is unknown: did you mean collector.max_body?
  source is missing: add at least one [[source]] with an id and write_keys
  s3.bucket is not set: expected a bucket such as \"my-bucket\" or \"my-bucket/path/prefix\""
    );
}

#[test]
fn a_toml_error_names_its_line_without_quoting_it() {
    let texts = problems("[s3]\nbucket = \"b-1\"\n[[source]]\nwrite_keys = [\"hidden]\nid = web\n", &[]);
    assert!(texts.iter().all(|text| text.contains(": not TOML: ")), "{texts:?}");
    assert!(texts.iter().any(|text| text.starts_with("line 4: ")), "{texts:?}");
    assert!(texts.iter().all(|text| !text.contains("hidden")), "{texts:?}");
    let twice = problems("[s3]\nbucket = \"b-1\"\nbucket = \"b-2\"\n", &[]);
    assert_eq!(twice, ["line 3: not TOML: duplicate key"]);
}

#[test]
fn a_file_that_cannot_be_read_is_one_problem() {
    use forebay::config::{Environment, Loader};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("none.toml");
    let shown = Loader::new(&path, Environment::default()).load().unwrap_err().to_string();
    assert!(
        shown.ends_with("has 1 problem:\n  cannot be read: No such file or directory (os error 2)"),
        "{shown}"
    );
    std::fs::write(&path, [b'#', 0xff]).unwrap();
    let shown = Loader::new(&path, Environment::default()).load().unwrap_err().to_string();
    assert!(shown.ends_with("cannot be read: it is not UTF-8 at byte 1"), "{shown}");
}

const TOKEN: &str = "a-token-that-nobody-may-see";

/// Whoever reaches the admin listener may flush and import.
#[test]
fn an_admin_listener_that_others_reach_needs_a_token() {
    let text = |listen: &str, more: &str| format!("[admin]\nlisten = \"{listen}\"\n{more}\n{SMALLEST}");
    for open in ["0.0.0.0:9180", "[::]:9180", "10.0.0.1:9180", "[::ffff:10.0.0.1]:0"] {
        let found = problems(&text(open, ""), &[]);
        let address: std::net::SocketAddr = open.parse().unwrap();
        let begin = format!(
            "line 1: admin.token is not set, and other machines can reach the admin listener at {address}: "
        );
        assert!(found.len() == 1 && found[0].starts_with(&begin), "{found:?}");
        for needed in ["`openssl rand -hex 24`", "FOREBAY_ADMIN_TOKEN", "token = \"file:", "127.0.0.1:9180"] {
            assert!(found[0].contains(needed), "{needed}: {found:?}");
        }
        // An empty variable counts as not set.
        assert_eq!(problems(&text(open, ""), &[("FOREBAY_ADMIN_TOKEN", "")]), found);
        assert!(load(&text(open, &format!("token = \"{TOKEN}\"")), &[]).is_ok());
        assert!(load(&text(open, ""), &[("FOREBAY_ADMIN_TOKEN", TOKEN)]).is_ok());
        // A wrong token is one problem, not two.
        assert_eq!(problems(&text(open, "token = \"short\""), &[]).len(), 1);
    }
    for own in ["127.0.0.1:9180", "[::1]:9180", "127.9.9.9:0", "[::ffff:127.0.0.1]:9180"] {
        assert!(load(&text(own, ""), &[]).is_ok(), "{own}");
    }
    // With other problems, all are reported.
    let both = problems(&format!("{}[flush]\nalign = 1\n", text("0.0.0.0:9180", "")), &[]);
    assert_eq!(both.len(), 2, "{both:?}");
}

#[test]
fn tokens_are_checked_and_never_shown() {
    let check = |lines: &str, expected: &str| {
        let found =
            problems(&format!("[admin]\n{lines}\n{SMALLEST}"), &[("T", TOKEN), ("BAD", "nobody may see")]);
        assert_eq!(found, [expected], "{lines}");
        assert!(!found[0].contains("nobody"), "{found:?}");
    };
    let form =
        "is not 16 to 256 visible ASCII characters without spaces: `openssl rand -hex 24` makes a good one";
    let text = "is not text in quotes, such as \"env:NAME\" or \"file:/etc/forebay/admin-token\"";
    check("token = \"nobody-short\"", &format!("line 2: admin.token {form}"));
    check("token = \"nobody may see this one\"", &format!("line 2: admin.token {form}"));
    check("token = \"env:BAD\"", &format!("line 2: admin.token (from \"env:BAD\") {form}"));
    check("token = \"env:NONE\"", "line 2: admin.token is \"env:NONE\", and that variable is not set");
    check("token = 1234567890123456", &format!("line 2: admin.token {text}"));
    check("token = [\"nobody-may-see-this-one\"]", &format!("line 2: admin.token {text}"));
    check("token = { nobody-may-see-this-one = 1 }", &format!("line 2: admin.token {text}"));
    check(
        "read_token = \"env:T\"",
        "line 2: admin.read_token works only beside admin.token, for those who may do more: make one with `openssl rand \
         -hex 24`",
    );
    check(
        &format!("token = \"{TOKEN}\"\nread_token = \"env:T\""),
        "line 3: admin.read_token is the same as admin.token: each needs a value of its own",
    );
    check(
        "live_view = \"some\"",
        "line 2: admin.live_view = \"some\": expected \"full\" or \"masked\" or \"off\"",
    );
    let loaded = load(
        &format!("[admin]\ntoken = \"env:T\"\nread_token = \"another-token-of-a-test\"\n{SMALLEST}"),
        &[("T", TOKEN)],
    )
    .unwrap();
    assert!(loaded.config.admin.token.unwrap().is(TOKEN.as_bytes()));
    let shown = format!("{loaded:?}");
    assert!(!shown.contains("nobody") && !shown.contains("another-token"), "{shown}");
}

/// Each key got the bucket's name twice, and `check` passed.
#[test]
fn an_endpoint_with_the_bucket_in_its_host_is_refused() {
    let problems_of = |endpoint: &str, common: &str, source: &str| {
        let text = format!(
            "[s3]\nendpoint_url = \"{endpoint}\"\n{common}\n[[source]]\nid = \"web\"\nwrite_keys = [\"k\"]\n{source}\n"
        );
        problems(&text, &[])
    };
    let check = |endpoint: &str, (common, source): (&str, &str), place: &str, instead: &str| {
        let expected = format!(
            "line {place}: the host of s3.endpoint_url begins with the bucket's name, so keys would begin with it, too: set \
             endpoint_url = \"{instead}\""
        );
        assert_eq!(problems_of(endpoint, common, source), [expected]);
    };
    let (lake, aws) = ("bucket = \"lake/raw\"", "https://lake.s3.eu-west-1.amazonaws.com");
    let at = |endpoint: &str| format!("2: s3.endpoint_url = \"{endpoint}\"");
    let without = "https://s3.eu-west-1.amazonaws.com";
    check(aws, (lake, ""), &at(aws), without);
    check(aws, (&format!("{lake}\npath_style = false"), ""), &at(aws), without);
    check(aws, ("bucket = \"other\"", lake), "7: source.web.bucket = \"lake/raw\"", without);
    let path = "http://Lake.s3.test:9000/x";
    check(path, (lake, ""), &at(path), "http://s3.test:9000/x");
    let spaces = "https://lake.fra1.digitaloceanspaces.com";
    check(spaces, (lake, ""), &at(spaces), "https://fra1.digitaloceanspaces.com");
    for (endpoint, bucket) in [
        ("https://s3.eu-west-1.amazonaws.com", "bucket = \"lake\""),
        ("https://lake2.s3.eu-west-1.amazonaws.com", "bucket = \"lake\""),
        // A host of AWS for every bucket.
        ("https://bucket.vpce-1a2b.s3.eu-west-1.vpce.amazonaws.com", "bucket = \"bucket\""),
        // A store that is named so: `check` warns.
        ("https://minio.example.com", "bucket = \"minio\""),
    ] {
        let text = format!(
            "[s3]\nendpoint_url = \"{endpoint}\"\n{bucket}\n[[source]]\nid = \"web\"\nwrite_keys = [\"k\"]\n"
        );
        load(&text, &[]).unwrap();
    }
}
