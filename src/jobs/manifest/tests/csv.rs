use super::*;

fn fields(names: &str) -> Wanted {
    Wanted { fields: (!names.is_empty()).then(|| Fields::parse(names).unwrap()), ..Wanted::default() }
}

#[test]
fn good_manifests() {
    let check = |names: &str, text: &str, expected: &[&str]| {
        let (tasks, read) = read_as(&Files::of(text), &fields(names)).unwrap();
        assert_eq!(short(&tasks), expected, "{text:?}");
        assert_eq!((read.form, read.has_args, read.delete_markers), (ManifestForm::Csv, false, 0));
    };
    check("", "my-bucket,a\nother-bucket,b/c+d%20e\n", &["my-bucket|a", "other-bucket|b/c+d%20e"]);
    check("", "my-bucket,a,v1\nmy-bucket,b,v2", &["my-bucket|a|v1", "my-bucket|b|v2"]);
    check("", "my-bucket,a,\nmy-bucket,b,\n", &["my-bucket|a", "my-bucket|b"]);
    check(
        "",
        "\u{feff}my-bucket,a\r\n\r\n\"my-bucket\",\"b,\"\"c\"\"\"\r\n",
        &["my-bucket|a", "my-bucket|b,\"c\""],
    );
    check("Key,Bucket", "a,my-bucket\n", &["my-bucket|a"]);
    check("Ignore,Bucket,Key,Ignore", "ü,my-bucket,a,\"x\ny\"\n", &["my-bucket|a"]);
    check("Bucket,Key,VersionId", "my-bucket,a,null\n", &["my-bucket|a|null"]);
    check("Bucket,Key,VersionId", "my-bucket,a,1024\n", &["my-bucket|a|1024"]);
    check("Bucket,Key,Ignore", "my-bucket,a,1024\n", &["my-bucket|a"]);
    // The described manifest with JSON in place of keys.
    let key = "%7B%22origKey%22%3A%20%22object1key%22%2C%20%22newKey%22%3A%20%22newObject1Key%22%7D";
    check("Bucket,Key", &format!("my-bucket,{key}\n"), &[&format!("my-bucket|{key}")]);
    // Names that could be those of columns.
    check("", "bucket,key\n", &["bucket|key"]);
}

#[test]
fn malformed_manifests() {
    let check = |names: &str, text: &str, says: &str| check_refused(&Files::of(text), &fields(names), says);
    check("", "my-bucket\n", "line 1: the row has 1 column; columns are Bucket,Key or");
    check("", "a,b,c,d\n", "line 1: the row has 4 columns; columns are");
    // A part of an inventory with sizes.
    let size = "line 1: the third column is a number, as a size is in a part of an inventory";
    check("", "\"my-bucket\",\"a\",\"1024\"\n", size);
    check("", "my-bucket,a\nmy-bucket,b%2Cc,d\n", "and URL-encode keys: \"my-bucket,b%2Cc,d\"");
    check("", "[{\"bucket\":\"my-bucket\",\"key\":\"a\"}]\n", "it is a JSON array");
    check("", "my-bucket,a\nmy-bucket,a,b\n", "line 2: the row has 3 columns and not 2 (Bucket,Key)");
    check(
        "",
        "my-bucket,a,v\n\nmy-bucket,a\n",
        "line 3: the row has 2 columns and not 3 (Bucket,Key,VersionId)",
    );
    check("Bucket,Key", "my-bucket,a,v\n", "line 1: the row has 3 columns and not 2");
    check("", "my-bucket,a\n,a\n", "line 2: the bucket is empty");
    check("", ",a\n", "line 1: the bucket is empty");
    check("", "my-bucket,\n", "line 1: the key is empty");
    check("", "Bucket,Key\nmy-bucket,a\n", "line 1: \"Bucket\" is no bucket");
    check("", "Bucket,Key\n", "remove it and name the columns with the job's fields");
    check("", "s3://my-bucket,a\n", "without s3://");
    check("", "my-bucket,a%2\n", "line 1: the key is not URL-encoded");
    check("", "my-bucket,%FF\n", "line 1: the key is not URL-encoded");
    check(
        "",
        "my-bucket,a\rmy-bucket,b\r",
        "line 1: the key has a control character; URL-encode keys, and end lines with LF or CR LF",
    );
    check("Bucket,Key", "my-bucket,a\rb\n", "line 1: the key has a control character");
    check("", "my-bucket,\"a\n", "line 1: a quote is not closed");
    check("", "my-bucket,a,v1\nmy-bucket,b,\n", "line 2: the row has no version, and the first one has");
    check("", "my-bucket,a,\nmy-bucket,b,v1\n", "line 2: the row has a version, and the first one has none");
    check("", "my-bucket,a,v 1\n", "line 1: \"v 1\" is no version");
    let long = format!("my-bucket,a\nmy-bucket,{}\n", "x".repeat(1_025));
    check("", &long, "line 2: the key has more than 1,024 characters as written");
    assert_eq!(read(&Files::of(long.replace("xx\n", "x\n"))).unwrap().0.len(), 2);
    check_refused(&Files::of(b"my-bucket,a\xFF\n".as_slice()), &Wanted::default(), "line 1: it is not UTF-8");
}

/// The described raw keys. Their commas make each row three columns wide, as with versions.
#[test]
fn raw_json_keys_are_refused_as_such_whatever_their_width() {
    let rows = "my-bucket,{\"origKey\": \"object1key\", \"newKey\": \"newObject1Key\"}\n";
    for names in ["", "Bucket,Key", "Bucket,Key,VersionId", "Bucket,Key,Ignore,Ignore"] {
        check_refused(&Files::of(rows), &fields(names), "line 1: the key is raw JSON; URL-encode it");
        check_refused(
            &Files::of("my-bucket,{\"a\": 1, \"b\": 2, \"c\": 3}\n"),
            &fields(names),
            "line 1: the key is raw JSON",
        );
    }
    for row in ["my-bucket, {\"a\":1}\n", "my-bucket,%20{\"origKey\": \"a\", \"newKey\": \"b\"}\n"] {
        for names in ["", "Bucket,Key", "Bucket,Key,VersionId"] {
            check_refused(&Files::of(row), &fields(names), "line 1: the key is raw JSON");
        }
    }
    check_refused(&Files::of("my-bucket,a\nmy-bucket,{}\n"), &fields(""), "line 2: the key is raw JSON");
    check_refused(&Files::of("my-bucket,\"{\"\"a\"\": 1}\"\n"), &fields(""), "line 1: the key is raw JSON");
}
