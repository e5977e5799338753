//! The classes of failed invocations: what is counted, shown, and decides what happens to a call.

use std::fmt;

closed_list! {
    /// Why an invocation failed.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum Class by slug and of_slug {
        /// The function ran and reported an error.
        ExecutionError = "execution-error",
        /// The function did not answer in time. It may have run.
        Timeout = "timeout",
        /// The role may not invoke the function.
        AccessDenied = "access-denied",
        /// There are no credentials that the service accepts: the role cannot be assumed, or they are unknown
        /// or expired.
        InvalidCredentials = "invalid-credentials",
        /// The function, or the version that its ARN names, does not exist.
        NotFound = "not-found",
        /// The web address answers with a redirect, which is not followed.
        Redirected = "redirected",
        /// Too many requests to the service.
        Throttled = "throttled",
        /// The service or the function's surroundings have a fault that may pass.
        Unavailable = "unavailable",
        /// The call is larger than an invocation may be.
        TooLarge = "too-large",
        /// The service refuses the request as it is.
        BadRequest = "bad-request",
        /// The service stopped a loop: the function sends calls back to the collector.
        Recursive = "recursive",
        /// The service could not be reached, so the call was not sent.
        Network = "network",
        /// The connection broke after the call was sent. The function may have run.
        Unanswered = "unanswered",
    }
}

impl Class {
    /// What fixes a failure of this class.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::ExecutionError => {
                "look at the function's error and the tail of its log (log_type = \"Tail\")"
            }
            Self::Timeout => "make the function faster, or raise its timeout and that of the destination",
            Self::AccessDenied => {
                "allow lambda:InvokeFunction on this function in the policy of the role, or without a role in that of the \
                 process"
            }
            Self::InvalidCredentials => {
                "check role_arn and external_id, and that the role's trust policy names the collector's role and this \
                 external id"
            }
            Self::NotFound => "fix the function's ARN, or publish the version or alias that it names",
            Self::Redirected => "set the address that answers itself",
            Self::Throttled => {
                "raise the function's concurrency in AWS, or lower the destination's; if the token service limits requests, \
                 nothing: it is asked again"
            }
            Self::Unavailable => {
                "nothing here: the call is tried again; see the function's configuration if it lasts"
            }
            Self::TooLarge => {
                "an invocation has at most 6 MB, or 1 MB with invocation = \"Event\"; send smaller calls"
            }
            Self::BadRequest => "see the message of the service",
            Self::Recursive => "the function must not send to this collector what it got from it",
            Self::Network => "check the network between this machine and the service, and endpoint_url",
            Self::Unanswered => {
                "look at what ends connections before they are answered: the function, a proxy or the network"
            }
        }
    }

    /// What fixes the failure if the function is behind a web address.
    pub fn web_remedy(self) -> &'static str {
        match self {
            Self::AccessDenied => {
                "the endpoint refuses the call: check its address, and write_key if calls are forwarded"
            }
            Self::NotFound => {
                "fix url, or forward (without /v1/batch): it must be the address that answers itself"
            }
            Self::Redirected => {
                "set url, or forward (without /v1/batch), to the address that answers itself: redirects are not followed"
            }
            Self::Network => {
                "start the server, or fix the address and the network between this machine and the server"
            }
            Self::Throttled => {
                "raise the number of calls that the endpoint takes, or lower the destination's concurrency"
            }
            Self::Unavailable => "look at the log of the server: it failed or is not ready",
            Self::ExecutionError => "look at what the handler says: it took the call and failed",
            Self::BadRequest => "see the answer of the server: it refuses the call as it is",
            Self::TooLarge => "send smaller calls: the endpoint or the destination takes none of this size",
            Self::Timeout => "make the server answer sooner, or raise the destination's timeout",
            Self::Unanswered => {
                "look at the log of the server or its proxy: it ended the connection without an answer"
            }
            Self::InvalidCredentials | Self::Recursive => self.remedy(),
        }
    }
}

/// The name that Segment's page of deliveries has for a class, where it has one.
impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ExecutionError => "Execution Error",
            Self::Timeout => "Operation timedout",
            Self::AccessDenied => "Accessdenied",
            Self::InvalidCredentials => "Invalid Credentials",
            Self::NotFound => "Function Not Found",
            Self::Redirected => "Redirected",
            Self::Throttled => "Throttled",
            Self::Unavailable => "Service Unavailable",
            Self::TooLarge => "Payload Too Large",
            Self::BadRequest => "Bad Request",
            Self::Recursive => "Recursive Invocation",
            Self::Network => "Network Error",
            Self::Unanswered => "No Answer",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_class_is_found_by_its_slug() {
        for class in Class::ALL {
            assert_eq!(Class::of_slug(class.slug()), Some(class));
        }
        assert_eq!(Class::of_slug("odd"), None);
    }
}
