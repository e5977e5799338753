//! The S3 server of `dev`, used with common clients: the AWS CLI and boto3.

use std::path::Path;
use std::process::Command;

use forebay::dev_s3::{ACCESS_KEY_ID, BUCKET, DevS3Running, REGION, SECRET_ACCESS_KEY};

use super::dev_s3::start;
use crate::support::tools::{in_venv, on_path, stdout_of};

/// A command with the dev server's credentials and without the machine's AWS settings.
fn command(program: &Path, home: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .current_dir(home)
        .env("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID)
        .env("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)
        .env("AWS_DEFAULT_REGION", REGION)
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_CONFIG_FILE", home.join("no-config"))
        .env("AWS_SHARED_CREDENTIALS_FILE", home.join("no-credentials"))
        .env_remove("AWS_SESSION_TOKEN")
        .env_remove("AWS_PROFILE");
    command
}

async fn aws(program: &Path, home: &Path, server: &DevS3Running, args: &[&str]) -> String {
    let mut command = command(program, home);
    command.args(args).args(["--endpoint-url", &server.url()]);
    stdout_of(command).await
}

/// Files with names that listings tend to get wrong; one is larger than the CLI's multipart threshold.
fn write_tree(root: &Path) -> Vec<(&'static str, Vec<u8>)> {
    let big: Vec<u8> = (0..7_864_320_u32).flat_map(u32::to_le_bytes).collect();
    let files = vec![
        ("a+b%.gz", b"plus and percent".to_vec()),
        ("a b.gz", b"blank".to_vec()),
        ("ü/é & more.gz", b"unicode".to_vec()),
        ("segment-logs/checkout-web/1432684800000/1-n1-0.gz", b"calls".to_vec()),
        ("empty", Vec::new()),
        ("big", big),
    ];
    for (name, bytes) in &files {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    files
}

#[tokio::test]
async fn the_aws_cli_syncs_lists_copies_and_removes() {
    let Some(cli) = on_path("aws") else { return };
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path();
    let server = start(&home.join("s3")).await;
    let files = write_tree(&home.join("up"));
    let bucket = format!("s3://{BUCKET}");

    aws(&cli, home, &server, &["s3", "sync", "up", &bucket]).await;
    let listed = aws(&cli, home, &server, &["s3", "ls", &bucket, "--recursive"]).await;
    for (name, bytes) in &files {
        let line = format!(" {} {name}\n", bytes.len());
        assert!(listed.contains(&line), "{line:?} in\n{listed}");
    }
    let folders =
        aws(&cli, home, &server, &["s3", "ls", &format!("{bucket}/segment-logs/checkout-web/")]).await;
    assert!(folders.contains("PRE 1432684800000/"), "{folders}");

    aws(&cli, home, &server, &["s3", "sync", &bucket, "down"]).await;
    for (name, bytes) in &files {
        assert!(std::fs::read(home.join("down").join(name)).unwrap() == *bytes, "{name}");
    }
    let again = aws(&cli, home, &server, &["s3", "sync", "up", &bucket, "--size-only"]).await;
    assert_eq!(again, "", "nothing to sync");

    aws(&cli, home, &server, &["s3", "cp", &format!("{bucket}/big"), &format!("{bucket}/big copy+")]).await;
    aws(&cli, home, &server, &["s3", "cp", &format!("{bucket}/big copy+"), "big-again"]).await;
    assert!(std::fs::read(home.join("big-again")).unwrap() == files[5].1);
    aws(&cli, home, &server, &["s3", "rm", &bucket, "--recursive"]).await;
    assert_eq!(aws(&cli, home, &server, &["s3", "ls", &bucket, "--recursive"]).await, "");
    server.stop().await.unwrap();
}

/// Prints nothing on success.
const BOTO3: &str = r"
import boto3, sys
from botocore.exceptions import ClientError
from botocore.config import Config
s3 = boto3.client('s3', endpoint_url=sys.argv[1], config=Config(s3={'addressing_style': 'path'}, retries={'total_max_attempts': 1}))
keys = sorted(['a+b%.gz', 'a b.gz', 'ü/é.gz', 'x', 'x/y', 'a/../b', '&<>.gz', 'k' * 1024], key=lambda k: k.encode())
for key in keys:
    s3.put_object(Bucket='forebay', Key=key, Body=key.encode(), Metadata={'m': 'v'})
for operation in ('list_objects_v2', 'list_objects'):
    for size in (1, 3, 1000):
        pages = s3.get_paginator(operation).paginate(Bucket='forebay', PaginationConfig={'PageSize': size})
        listed = [o['Key'] for page in pages for o in page.get('Contents', [])]
        assert listed == keys, (operation, size, listed)
for key in keys:
    got = s3.get_object(Bucket='forebay', Key=key)
    assert got['Body'].read() == key.encode() and got['Metadata'] == {'m': 'v'}, key
for algorithm in ('CRC32', 'SHA1', 'SHA256'):
    put = s3.put_object(Bucket='forebay', Key='sum', Body=b'x', ChecksumAlgorithm=algorithm)
    assert put['Checksum' + algorithm], algorithm
put = s3.put_object(Bucket='forebay', Key='sse', Body=b'x', ServerSideEncryption='AES256')
assert put['ServerSideEncryption'] == 'AES256'
assert s3.head_object(Bucket='forebay', Key='sse')['ServerSideEncryption'] == 'AES256'
assert s3.head_bucket(Bucket='forebay')['ResponseMetadata']['HTTPHeaders']['x-amz-bucket-region'] == 'us-east-1'
assert s3.get_bucket_location(Bucket='forebay')['LocationConstraint'] is None

def refused(code, call, **args):
    try:
        call(Bucket='forebay', **args)
    except ClientError as err:
        assert err.response['Error']['Code'] == code, (code, err)
    else:
        raise AssertionError(code)

refused('PreconditionFailed', s3.put_object, Key='x', Body=b'', IfNoneMatch='*')
refused('BadDigest', s3.put_object, Key='z', Body=b'x', ContentMD5='AAAAAAAAAAAAAAAAAAAAAA==')
refused('BadDigest', s3.put_object, Key='z', Body=b'x', ChecksumCRC32='AAAAAA==')
refused('InvalidEncryptionAlgorithmError', s3.put_object, Key='z', Body=b'x', ServerSideEncryption='ROT13')
refused('NoSuchKey', s3.get_object, Key='z')
deleted = s3.delete_objects(Bucket='forebay', Delete={'Objects': [{'Key': key} for key in keys]})
assert sorted(d['Key'] for d in deleted['Deleted']) == sorted(keys)
";

#[tokio::test]
async fn boto3_lists_reads_and_gets_the_errors_of_s3() {
    let Some(python) = in_venv("python") else { return };
    let dir = tempfile::tempdir().unwrap();
    let server = start(&dir.path().join("s3")).await;
    let mut command = command(&python, dir.path());
    command.args(["-c", BOTO3, &server.url()]).env("PYTHONIOENCODING", "utf-8").env("PYTHONUTF8", "1");
    assert_eq!(stdout_of(command).await, "");
    server.stop().await.unwrap();
}
