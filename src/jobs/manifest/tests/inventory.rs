use super::*;

/// An inventory whose parts are these texts, gzipped.
fn inventory(schema: &str, parts: &[&str]) -> Files {
    let mut files = Files::default();
    let mut listed = Vec::new();
    for (at, text) in parts.iter().enumerate() {
        let (key, bytes) = (format!("inv/my-bucket/all/data/part-{at}.csv.gz"), gzip(text.as_bytes()));
        let (size, md5) = (bytes.len(), md5_of(&bytes));
        listed.push(format!("{{\"key\": \"{key}\", \"size\": {size}, \"MD5checksum\": \"{md5}\"}}"));
        files = files.with_object("dest-bucket", &key, bytes);
    }
    let manifest = format!(
        "{{\n  \"sourceBucket\" : \"my-bucket\",\n  \"destinationBucket\" : \"arn:aws:s3:::dest-bucket\",\n  \
         \"version\" : \"2016-11-30\",\n  \"creationTimestamp\" : \"1514944800000\",\n  \"fileFormat\" : \"CSV\",\n  \
         \"fileSchema\" : \"{schema}\",\n  \"files\" : [ {} ]\n}}",
        listed.join(",\n")
    );
    let checksum = md5_of(manifest.as_bytes());
    Files { manifest: manifest.into_bytes(), ..files }.with_beside("manifest.checksum", checksum)
}

const CURRENT: &str = "Bucket, Key, Size, LastModifiedDate, ETag";
const ALL: &str = "Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size";

/// The same with a text of the manifest replaced, and the checksum of it.
fn changed(files: &Files, from: &str, to: &str) -> Files {
    let text = String::from_utf8(files.manifest.clone()).unwrap();
    assert!(text.contains(from), "{from}");
    let manifest = text.replacen(from, to, 1);
    let checksum = md5_of(manifest.as_bytes());
    Files { manifest: manifest.into_bytes(), ..files.clone() }.with_beside("manifest.checksum", checksum)
}

#[test]
fn all_parts_are_read_in_order() {
    let parts = [
        "\"my-bucket\",\"a+b%20c\",\"3\",\"2026-01-01T00:00:00.000Z\",\"x\"\n",
        "",
        "\"my-bucket\",\"c\",\"3\",\"2026-01-01T00:00:00.000Z\",\"x\"\n\"my-bucket\",\"d\",\"\",\"\",\"\"\n",
    ];
    let files = inventory(CURRENT, &parts);
    let (tasks, read) = read(&files).unwrap();
    assert_eq!(short(&tasks), ["my-bucket|a+b%20c", "my-bucket|c", "my-bucket|d"]);
    assert_eq!((read.form, read.not_compared), (ManifestForm::Inventory, None));
    let progress = Progress::default();
    read_manifest(&files, &Wanted::default(), &progress, &mut |_| Ok(())).unwrap();
    assert_eq!(progress.bytes(), progress.bytes_expected());
    // The same on one line, and with a key of S3's full length.
    let one_line = String::from_utf8(files.manifest.clone()).unwrap().replace('\n', " ");
    let files = Files { manifest: one_line.clone().into_bytes(), ..files }
        .with_beside("manifest.checksum", format!("{}\n", md5_of(one_line.as_bytes())));
    assert_eq!(super::read(&files).unwrap().0.len(), 3);
    let long = inventory("Bucket, Key", &[&format!("\"my-bucket\",\"{}\"\n", "%C3%BC".repeat(512))]);
    assert_eq!(super::read(&long).unwrap().0.len(), 1);
}

#[test]
fn versions_are_tasks_and_delete_markers_are_not() {
    let rows = "\"my-bucket\",\"a\",\"v2\",\"true\",\"false\",\"1\"\n\
                \"my-bucket\",\"a\",\"v1\",\"false\",\"false\",\"1\"\n\
                \"my-bucket\",\"b\",\"v3\",\"true\",\"true\",\"\"\n\
                \"my-bucket\",\"b\",\"\",\"false\",\"false\",\"1\"\n";
    let (tasks, read) = read(&inventory(ALL, &[rows])).unwrap();
    assert_eq!(short(&tasks), ["my-bucket|a|v2", "my-bucket|a|v1", "my-bucket|b|null"]);
    assert_eq!(read.delete_markers, 1);
    let check = |schema: &str, rows: &str, says: &str| {
        check_refused(&inventory(schema, &[rows]), &Wanted::default(), says);
    };
    check(ALL, "\"my-bucket\",\"b\",\"v3\",\"true\",\"true\",\"\"\n", "the inventory lists no object");
    check(
        "Bucket, Key, IsLatest",
        "my-bucket,a,true\nmy-bucket,b,false\n",
        "line 2 of inv/my-bucket/all/data/part-0.csv.gz: the row is an old version",
    );
    check(ALL, "my-bucket,a,v1,yes,false,1\n", "column 4 is \"yes\", and must be true or false");
}

#[test]
fn a_wrong_checksum_names_the_part() {
    let rows = "\"my-bucket\",\"a\",\"3\",\"t\",\"x\"\n".repeat(3);
    let files = inventory(CURRENT, &[&rows, &rows, &rows]);
    let key = ("dest-bucket".to_owned(), "inv/my-bucket/all/data/part-1.csv.gz".to_owned());
    let part = files.objects[&key].clone();
    // A changed byte anywhere, in what the decoder sees or not.
    for at in 0..part.len() {
        let mut changed = part.clone();
        changed[at] ^= 0x20;
        let files = files.clone().with_object(&key.0, &key.1, changed);
        check_refused(&files, &Wanted::default(), "part-1.csv.gz: the file's MD5 is");
    }
    // Another text whose rows are wrong, or that is good.
    for text in ["\"my-bucket\",\"a\"\n", "\"my-bucket\",\"b\",\"3\",\"t\",\"x\"\n"] {
        let files = files.clone().with_object(&key.0, &key.1, gzip(text.as_bytes()));
        check_refused(&files, &Wanted::default(), "part-1.csv.gz: the file has");
    }
    let cut = files.clone().with_object(&key.0, &key.1, &part[..part.len() - 1]);
    check_refused(&cut, &Wanted::default(), "bytes, and the manifest says");
    let mut missing = files;
    missing.objects.remove(&key);
    let error = read(&missing).unwrap_err();
    assert_eq!(
        (error.to_string().as_str(), error.code()),
        ("read s3://dest-bucket/inv/my-bucket/all/data/part-1.csv.gz", "ManifestUnreadable")
    );
}

#[test]
fn the_manifest_is_compared_with_the_checksum_beside_it() {
    let good = inventory("Bucket, Key", &["my-bucket,a\n"]);
    let wrong = good.clone().with_beside("manifest.checksum", md5_of(b"other"));
    check_refused(&wrong, &Wanted::default(), "and manifest.checksum says");
    let none = good.clone().with_beside("manifest.checksum", "not one");
    check_refused(&none, &Wanted::default(), "manifest.checksum: \"not one\" is no MD5");
    for denies in [false, true] {
        let files = Files { denies, beside: BTreeMap::new(), ..good.clone() };
        let not_compared = read(&files).unwrap().1.not_compared.unwrap();
        assert!(
            not_compared.starts_with("the manifest was not compared with manifest.checksum: "),
            "{not_compared}"
        );
    }
}

#[test]
fn other_inventories_are_refused() {
    let good = inventory(CURRENT, &["my-bucket,a,1,t,x\n"]);
    let check = |from: &str, to: &str, says: &str| {
        check_refused(&changed(&good, from, to), &Wanted::default(), says);
    };
    check("\"CSV\"", "\"ORC\"", "the inventory's format is \"ORC\"; a job reads CSV inventories");
    check("\"CSV\"", "\"Parquet\"", "the inventory's format is \"Parquet\"");
    check("Bucket, Key", "Bucket, Keys", "the schema names no column Key");
    check("Bucket, Key", "Name, Key", "the schema names no column Bucket");
    check("Bucket, Key", "Bucket, Key, Key", "the schema names the column Key twice");
    check(
        "Bucket, Key",
        "Bucket, Key, More",
        "line 1 of inv/my-bucket/all/data/part-0.csv.gz: the row has 5 columns",
    );
    check("arn:aws:s3:::dest-bucket", "arn:aws:s3:::", "the bucket is empty");
    check("\"MD5checksum\"", "\"md5\"", "missing field `MD5checksum`");
    check("MD5checksum\": \"", "MD5checksum\": \"x", "part-0.csv.gz: \"x");
    check("\"fileSchema\"", "\"schema\"", "missing field `fileSchema`");
    let wide = format!("Bucket, Key{}", ", x".repeat(63));
    check(CURRENT, &wide, "more than 64 columns");
    let partition = changed(&good, "arn:aws:s3:::dest-bucket", "arn:aws-cn:s3:::dest-bucket");
    assert_eq!(read(&partition).unwrap().0.len(), 1);
}

#[test]
fn a_manifest_of_parts_is_bounded() {
    let good = inventory("Bucket, Key", &["my-bucket,a\n"]);
    let padded = |len: usize| {
        let mut manifest = good.manifest.clone();
        manifest.resize(len, b' ');
        Files { manifest, beside: BTreeMap::new(), ..good.clone() }
    };
    assert_eq!(read(&padded(DOCUMENT_BYTES_MAX)).unwrap().1.tasks, 1);
    let longer = padded(DOCUMENT_BYTES_MAX + 1);
    check_refused(&longer, &Wanted::default(), "a JSON object that is longer than 32 MiB");
}
