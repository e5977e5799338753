//! The jobs API of S3 Control, as AWS's model of it describes (2018-08-20): which call a request is, what it asks for,
//! and the XML of answers. Nothing here knows HTTP servers or jobs under way.

pub mod answers;
pub mod api_answer;
pub mod api_call;
pub mod api_error;
pub mod create_job;
pub mod list_page;
mod xml_tree;
mod xml_writer;

/// The namespace of requests and answers.
pub const NAMESPACE: &str = "http://awss3control.amazonaws.com/doc/2018-08-20/";
/// What paths of S3 Control begin with.
pub const CONTROL_PREFIX: &str = "/v20180820/";
/// The header that has the account of a request.
pub const ACCOUNT_HEADER: &str = "x-amz-account-id";
/// What paths of the API begin with.
pub const PATH_PREFIX: &str = "/v20180820/jobs";
/// The longest body of a request, in bytes: a create-job request with each part at its limit has less.
pub const BODY_MAX: usize = 256 * 1_024;
