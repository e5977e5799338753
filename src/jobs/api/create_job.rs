//! What a create-job request asks for. Each value is checked against AWS's model; the first wrong one is named by its path.

use super::api_error::ApiError;
use super::xml_tree::Element;
use crate::jobs::task::{ARGUMENT_NAME_MAX, ARGUMENT_VALUE_MAX, ARGUMENTS_MAX};
use crate::words::outside_text;

/// A create-job request, with AWS's names and bounds checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateJob {
    /// Whether a person must confirm the job. AWS takes a request without it for `true`.
    pub confirmation_required: bool,
    /// The function: its ARN or name, as given.
    pub function: String,
    /// The form of invocations, as given.
    pub schema: Option<String>,
    /// Arguments of each invocation, in their order.
    pub user_arguments: Vec<(String, String)>,
    /// The manifest.
    pub manifest: CreateJobManifest,
    /// The report; `None`: it is not enabled.
    pub report: Option<CreateJobReport>,
    /// By which a repetition of the request is known.
    pub client_request_token: String,
    /// For people.
    pub description: Option<String>,
    /// From 0 to 2,147,483,647.
    pub priority: u32,
    /// The role's ARN.
    pub role_arn: String,
    /// Tags.
    pub tags: Vec<(String, String)>,
}

/// The manifest of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateJobManifest {
    /// The name of its format.
    pub format: String,
    /// The names of its columns; none for an inventory.
    pub fields: Vec<String>,
    /// Its bucket.
    pub bucket: String,
    /// Its object key.
    pub key: String,
    /// Its version, if one is named.
    pub version: Option<String>,
    /// Its ETag, without quotes.
    pub etag: String,
}

/// The report of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateJobReport {
    /// The bucket's name.
    pub bucket: String,
    /// The beginning of its keys; may be empty.
    pub prefix: String,
    /// `AllTasks` or `FailedTasksOnly`.
    pub scope: String,
}

/// The names of an operation that invokes a function: AWS's, and the one that its guide also has.
const INVOKES: [&str; 2] = ["LambdaInvoke", "LambdaInvokeFunction"];
/// The members of a request.
const MEMBERS: [&str; 10] = [
    "ConfirmationRequired", "Operation", "Report", "ClientRequestToken", "Manifest", "Description",
    "Priority", "RoleArn", "Tags", "ManifestGenerator",
];
/// The most tags of a job.
const TAGS_MAX: usize = 50;

impl CreateJob {
    /// Reads a request's body. Errors: it is no XML, or the first wrong or missing value, with its path.
    pub fn parse(body: &[u8]) -> Result<Self, ApiError> {
        let text = std::str::from_utf8(body).map_err(|_| ApiError::bad("the body is not UTF-8"))?;
        let root = Element::parse(text)
            .map_err(|error| ApiError::bad(format!("the body is no XML that can be read: {error}")))?;
        if root.name != "CreateJobRequest" {
            return Err(ApiError::bad("the body is no CreateJobRequest"));
        }
        Self::of(&Node { element: &root, path: String::new() })
    }

    fn of(root: &Node<'_>) -> Result<Self, ApiError> {
        root.only(&MEMBERS)?;
        if root.get("ManifestGenerator")?.is_some() {
            return Err(ApiError::bad(
                "ManifestGenerator is not offered here: make a manifest with `forebay batch manifest --bucket BUCKET`, and \
                 name it in Manifest",
            ));
        }
        let (function, schema, user_arguments) = operation(&root.need("Operation")?)?;
        Ok(Self {
            confirmation_required: root
                .get("ConfirmationRequired")?
                .map(|node| node.is_true())
                .transpose()?
                .unwrap_or(true),
            function,
            schema,
            user_arguments,
            manifest: CreateJobManifest::of(&root.need("Manifest")?)?,
            report: CreateJobReport::of(&root.need("Report")?)?,
            client_request_token: root.need("ClientRequestToken")?.text(1..=64)?,
            description: root.get("Description")?.map(|node| node.text(1..=256)).transpose()?,
            priority: priority(&root.need("Priority")?)?,
            role_arn: root.need("RoleArn")?.text(1..=2_048)?,
            tags: match root.get("Tags")? {
                Some(tags) => {
                    let pairs = pairs(&tags, "member", ("Key", 1..=128), ("Value", 0..=256), TAGS_MAX)?;
                    // AWS refuses them, too.
                    if pairs.iter().any(|(key, _)| key.starts_with("aws:")) {
                        return Err(tags.bad("has a key that begins with aws:, which AWS keeps for itself"));
                    }
                    pairs
                }
                None => Vec::new(),
            },
        })
    }
}

type Invoked = (String, Option<String>, Vec<(String, String)>);

fn operation(node: &Node<'_>) -> Result<Invoked, ApiError> {
    let [invoke] = node.element.elements.as_slice() else {
        return Err(node.bad("must name exactly one operation, LambdaInvoke"));
    };
    if !INVOKES.contains(&invoke.name.as_str()) {
        let name = outside_text(&invoke.name);
        return Err(node.bad(format!("is {name}, which is not offered here; the only one is LambdaInvoke")));
    }
    let invoke = node.at(invoke);
    invoke.only(&["FunctionArn", "InvocationSchemaVersion", "UserArguments"])?;
    let arguments = match invoke.get("UserArguments")? {
        Some(arguments) => pairs(
            &arguments,
            "entry",
            ("key", 1..=ARGUMENT_NAME_MAX),
            ("value", 0..=ARGUMENT_VALUE_MAX),
            ARGUMENTS_MAX,
        )?,
        None => Vec::new(),
    };
    let schema = invoke.get("InvocationSchemaVersion")?.map(|node| node.text(1..=64)).transpose()?;
    Ok((invoke.need("FunctionArn")?.text(1..=1_024)?, schema, arguments))
}

fn priority(node: &Node<'_>) -> Result<u32, ApiError> {
    let typed = node.text(0..=20)?;
    let priority = typed.trim().parse::<i32>().ok().and_then(|priority| u32::try_from(priority).ok());
    priority.ok_or_else(|| {
        node.bad(format!("is \"{}\"; it must be a number from 0 to 2147483647", outside_text(&typed)))
    })
}

impl CreateJobManifest {
    fn of(node: &Node<'_>) -> Result<Self, ApiError> {
        node.only(&["Spec", "Location"])?;
        let (spec, location) = (node.need("Spec")?, node.need("Location")?);
        spec.only(&["Format", "Fields"])?;
        location.only(&["ObjectArn", "ObjectVersionId", "ETag"])?;
        let arn = location.need("ObjectArn")?;
        let typed = arn.text(1..=2_000)?;
        let place = of_arn(&typed).and_then(|place| place.split_once('/')).filter(|(_, key)| !key.is_empty());
        let Some((bucket, key)) = place else {
            return Err(arn.bad(format!(
                "is \"{}\"; it must have the form arn:aws:s3:::bucket/key",
                outside_text(&typed)
            )));
        };
        let fields = match spec.get("Fields")? {
            Some(fields) => {
                fields.members("member")?.iter().map(|field| field.text(1..=32)).collect::<Result<_, _>>()?
            }
            None => Vec::new(),
        };
        Ok(Self {
            format: spec.need("Format")?.text(1..=64)?,
            fields,
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            version: location.get("ObjectVersionId")?.map(|node| node.text(1..=2_000)).transpose()?,
            etag: location.need("ETag")?.text(1..=1_024)?.trim_matches('"').to_owned(),
        })
    }
}

impl CreateJobReport {
    fn of(node: &Node<'_>) -> Result<Option<Self>, ApiError> {
        node.only(&["Bucket", "Format", "Enabled", "Prefix", "ReportScope", "ExpectedBucketOwner"])?;
        if !node.need("Enabled")?.is_true()? {
            return Ok(None);
        }
        let format = node.need("Format")?;
        if format.text(1..=64)? != "Report_CSV_20180820" {
            return Err(format.bad("must be Report_CSV_20180820"));
        }
        let bucket = node.need("Bucket")?;
        let typed = bucket.text(1..=128)?;
        let name = of_arn(&typed).filter(|name| !name.is_empty() && !name.contains('/'));
        let name = name.ok_or_else(|| {
            bucket.bad(format!("is \"{}\"; it must have the form arn:aws:s3:::bucket", outside_text(&typed)))
        })?;
        let scope = node.need("ReportScope")?;
        let typed = scope.text(1..=64)?;
        if !["AllTasks", "FailedTasksOnly"].contains(&typed.as_str()) {
            return Err(scope.bad("must be AllTasks or FailedTasksOnly"));
        }
        let prefix = node.get("Prefix")?.map(|node| node.text(1..=512)).transpose()?.unwrap_or_default();
        Ok(Some(Self { bucket: name.to_owned(), prefix, scope: typed }))
    }
}

/// What an ARN of S3 names: `arn:PARTITION:s3:::NAME`, where region and account may be filled in.
fn of_arn(arn: &str) -> Option<&str> {
    let mut parts = arn.splitn(6, ':');
    let (first, partition, service) = (parts.next()?, parts.next()?, parts.next()?);
    let (_region, _account, name) = (parts.next()?, parts.next()?, parts.next()?);
    (first == "arn" && !partition.is_empty() && service == "s3").then_some(name)
}

type Bounds = std::ops::RangeInclusive<usize>;

/// Pairs of texts in a list; each name once.
fn pairs(
    node: &Node<'_>,
    of_list: &str,
    (name, names): (&str, Bounds),
    (value, values): (&str, Bounds),
    most: usize,
) -> Result<Vec<(String, String)>, ApiError> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for member in node.members(of_list)? {
        member.only(&[name, value])?;
        let pair = (member.need(name)?.text(names.clone())?, member.need(value)?.text(values.clone())?);
        if pairs.iter().any(|(known, _)| *known == pair.0) {
            return Err(node.bad(format!("has \"{}\" twice", outside_text(&pair.0))));
        }
        pairs.push(pair);
    }
    match pairs.len() > most {
        true => Err(node.bad(format!("has more than {most} members"))),
        false => Ok(pairs),
    }
}

/// An element, and how errors name it: by the names on the way to it.
struct Node<'a> {
    element: &'a Element,
    path: String,
}

impl<'a> Node<'a> {
    fn at(&self, element: &'a Element) -> Self {
        let name = outside_text(&element.name);
        let path = if self.path.is_empty() { name.to_string() } else { format!("{}.{name}", self.path) };
        Self { element, path }
    }

    fn bad(&self, what: impl AsRef<str>) -> ApiError {
        ApiError::bad(format!("{} {}", self.path, what.as_ref()))
    }

    fn inner_path(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// Refuses members that the model does not have: a value that is not understood is not ignored.
    fn only(&self, names: &[&str]) -> Result<(), ApiError> {
        match self.element.elements.iter().find(|element| !names.contains(&element.name.as_str())) {
            Some(unknown) => {
                let name = outside_text(&unknown.name).to_string();
                Err(ApiError::bad(format!("{} is not known here", self.inner_path(&name))))
            }
            None => Ok(()),
        }
    }

    fn get(&self, name: &str) -> Result<Option<Self>, ApiError> {
        let mut found = self.element.elements.iter().filter(|element| element.name == name);
        match (found.next(), found.next()) {
            (_, Some(_)) => Err(ApiError::bad(format!("{} is given twice", self.inner_path(name)))),
            (first, None) => Ok(first.map(|element| self.at(element))),
        }
    }

    fn need(&self, name: &str) -> Result<Self, ApiError> {
        self.get(name)?.ok_or_else(|| ApiError::bad(format!("{} is missing", self.inner_path(name))))
    }

    fn members(&self, name: &str) -> Result<Vec<Self>, ApiError> {
        self.only(&[name])?;
        Ok(self.element.elements.iter().map(|element| self.at(element)).collect())
    }

    /// The text, with so many characters.
    fn text(&self, characters: Bounds) -> Result<String, ApiError> {
        if !self.element.elements.is_empty() {
            return Err(self.bad("must be a text"));
        }
        let len = self.element.text.chars().count();
        match len {
            _ if len < *characters.start() => Err(self.bad("is empty")),
            _ if len > *characters.end() => {
                Err(self.bad(format!("has more than {} characters", characters.end())))
            }
            _ => Ok(self.element.text.clone()),
        }
    }

    fn is_true(&self) -> Result<bool, ApiError> {
        match self.text(0..=10)?.as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(self.bad("must be true or false")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the AWS CLI sends for the create-job command of the guide.
    const REQUEST: &str = "<CreateJobRequest xmlns=\"http://awss3control.amazonaws.com/doc/2018-08-20/\">\
        <Operation><LambdaInvoke><FunctionArn>arn:aws:lambda:us-west-2:123456789012:function:Fn</FunctionArn>\
        </LambdaInvoke></Operation><Report><Bucket>arn:aws:s3:::awsexamplebucket1</Bucket>\
        <Format>Report_CSV_20180820</Format><Enabled>true</Enabled><Prefix>ReportPrefix</Prefix>\
        <ReportScope>AllTasks</ReportScope></Report><ClientRequestToken>t-1</ClientRequestToken><Manifest><Spec>\
        <Format>S3BatchOperations_CSV_20180820</Format><Fields><member>Bucket</member><member>Key</member></Fields>\
        </Spec><Location><ObjectArn>arn:aws:s3:::ManifestLocation/m/a.csv</ObjectArn><ETag>\"abc\"</ETag></Location>\
        </Manifest><Description>Lambda Function</Description><Priority>2</Priority>\
        <RoleArn>arn:aws:iam::123456789012:role/BatchOperationsRole</RoleArn></CreateJobRequest>";

    #[test]
    fn the_request_of_the_guide_is_understood() {
        let job = CreateJob::parse(REQUEST.as_bytes()).unwrap();
        assert!(job.confirmation_required, "as AWS takes a request that does not say");
        assert_eq!(job.function, "arn:aws:lambda:us-west-2:123456789012:function:Fn");
        let CreateJobManifest { bucket, key, etag, fields, .. } = &job.manifest;
        assert_eq!((bucket.as_str(), key.as_str(), etag.as_str()), ("ManifestLocation", "m/a.csv", "abc"));
        assert_eq!(fields, &["Bucket", "Key"]);
        let report = job.report.unwrap();
        assert_eq!((report.bucket.as_str(), report.prefix.as_str()), ("awsexamplebucket1", "ReportPrefix"));
        assert_eq!((job.priority, job.description.as_deref()), (2, Some("Lambda Function")));
    }

    #[test]
    fn schema_arguments_tags_and_confirmation_are_read() {
        let more = "</FunctionArn><InvocationSchemaVersion>2.0</InvocationSchemaVersion><UserArguments><entry>\
            <key>a</key><value>1</value></entry><entry><key>b</key><value/></entry></UserArguments>";
        let tags = "<ConfirmationRequired>false</ConfirmationRequired><Tags><member><Key>k</Key><Value>v</Value>\
            </member></Tags></CreateJobRequest>";
        let request = REQUEST.replace("</FunctionArn>", more).replace("</CreateJobRequest>", tags);
        let job = CreateJob::parse(request.as_bytes()).unwrap();
        assert_eq!(job.schema.as_deref(), Some("2.0"));
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(job.user_arguments, [pair("a", "1"), pair("b", "")]);
        assert_eq!((job.tags, job.confirmation_required), (vec![pair("k", "v")], false));
        let disabled = "<Report><Enabled>false</Enabled></Report>";
        let (before, rest) = REQUEST.split_once("<Report>").unwrap();
        let (_, after) = rest.split_once("</Report>").unwrap();
        let job = CreateJob::parse(format!("{before}{disabled}{after}").as_bytes()).unwrap();
        assert_eq!(job.report, None);
    }

    #[test]
    fn the_first_wrong_value_is_named_by_its_path() {
        let long = "x".repeat(257);
        let cases = [
            ("<Priority>2</Priority>", "", "Priority is missing"),
            ("<Priority>2<", "<Priority>-1<", "Priority is \"-1\""),
            (">Lambda Function<", &format!(">{long}<"), "Description has more than 256 characters"),
            (":::ManifestLocation/m/a.csv", ":::ManifestLocation", "Manifest.Location.ObjectArn is"),
            ("<ETag>\"abc\"</ETag>", "", "Manifest.Location.ETag is missing"),
            (":::awsexamplebucket1", ":::a/b", "Report.Bucket is"),
            ("AllTasks", "Some", "Report.ReportScope must be AllTasks or FailedTasksOnly"),
            ("<Enabled>true", "<Enabled>yes", "Report.Enabled must be true or false"),
            (
                "<LambdaInvoke><FunctionArn>",
                "<LambdaInvoke><Odd/><FunctionArn>",
                "Operation.LambdaInvoke.Odd is not known",
            ),
            ("<Operation>", "<ManifestGenerator/><Operation>", "ManifestGenerator is not offered here"),
            ("<Operation>", "<Operation><S3PutObjectCopy/>", "exactly one operation"),
            ("<ClientRequestToken>t-1</ClientRequestToken>", "", "ClientRequestToken is missing"),
            ("</Priority>", "</Priority><Priority>3</Priority>", "Priority is given twice"),
            (
                "</CreateJobRequest>",
                "<Tags><member><Key>aws:x</Key><Value>v</Value></member></Tags></CreateJobRequest>",
                "Tags has a key that begins with aws:",
            ),
            ("CreateJobRequest", "DeleteJobRequest", "no CreateJobRequest"),
            ("</CreateJobRequest>", "", "no XML"),
        ];
        for (from, to, words) in cases {
            let error = CreateJob::parse(REQUEST.replace(from, to).as_bytes()).unwrap_err();
            assert!(error.message.contains(words), "{words}: {error}");
        }
        let other = REQUEST.replace("LambdaInvoke>", "S3PutObjectAcl>");
        let error = CreateJob::parse(other.as_bytes()).unwrap_err();
        assert!(error.message.contains("Operation is S3PutObjectAcl"), "{error}");
        CreateJob::parse(REQUEST.replace("LambdaInvoke>", "LambdaInvokeFunction>").as_bytes()).unwrap();
        CreateJob::parse(b"\xFF").unwrap_err();
    }
}
