//! A page of jobs: the newest first, and a token that says where the next page begins.

use data_encoding::BASE64URL_NOPAD;

use super::api_error::{ApiError, ApiErrorCode};
use crate::time::UnixMillis;

/// Where a job stands in the list: the newest first, then by id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// When the job was made.
    pub made_at: UnixMillis,
    /// Its id.
    pub id: String,
}

impl Place {
    /// Whether it stands behind another one.
    fn is_behind(&self, other: &Self) -> bool {
        (other.made_at.0, &self.id) > (self.made_at.0, &other.id)
    }

    fn token(&self) -> String {
        BASE64URL_NOPAD.encode(format!("{} {}", self.made_at.0, self.id).as_bytes())
    }

    fn of_token(token: &str) -> Option<Self> {
        let text = String::from_utf8(BASE64URL_NOPAD.decode(token.as_bytes()).ok()?).ok()?;
        let (made_at, id) = text.split_once(' ')?;
        Some(Self { made_at: UnixMillis(made_at.parse().ok()?), id: id.to_owned() })
    }
}

/// The jobs of the page that begins at `token`, at most `most` of them, and the token of the next page. Jobs that were
/// made since the first page are on none of the following ones.
/// Errors: the token is none that a page had.
pub fn page<T>(
    jobs: Vec<T>,
    place: impl Fn(&T) -> Place,
    most: usize,
    token: Option<&str>,
) -> Result<(Vec<T>, Option<String>), ApiError> {
    let after = token
        .map(|token| {
            Place::of_token(token).ok_or_else(|| {
                ApiError::new(ApiErrorCode::InvalidNextToken, "nextToken is none that a list of jobs had")
            })
        })
        .transpose()?;
    let mut placed: Vec<(Place, T)> = jobs.into_iter().map(|job| (place(&job), job)).collect();
    placed.sort_by(|(a, _), (b, _)| (b.made_at.0, &a.id).cmp(&(a.made_at.0, &b.id)));
    placed.retain(|(place, _)| after.as_ref().is_none_or(|after| place.is_behind(after)));
    let has_more = placed.len() > most;
    placed.truncate(most);
    let next = placed.last().filter(|_| has_more).map(|(place, _)| place.token());
    Ok((placed.into_iter().map(|(_, job)| job).collect(), next))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(job: &(i64, &str)) -> Place {
        Place { made_at: UnixMillis(job.0), id: job.1.to_owned() }
    }

    #[test]
    fn pages_have_each_job_once_the_newest_first() {
        let jobs = vec![(1, "a"), (3, "c"), (3, "b"), (2, "d"), (9, "e")];
        for most in 1..=6 {
            let (mut seen, mut token) = (Vec::new(), None);
            loop {
                let (page, next) = page(jobs.clone(), place, most, token.as_deref()).unwrap();
                assert!(!page.is_empty() && page.len() <= most);
                seen.extend(page);
                token = next;
                if token.is_none() {
                    break;
                }
            }
            assert_eq!(seen, [(9, "e"), (3, "b"), (3, "c"), (2, "d"), (1, "a")], "{most} a page");
        }
    }

    #[test]
    fn a_job_that_is_made_meanwhile_moves_no_other_one() {
        let (first, token) = page(vec![(1, "a"), (2, "b"), (3, "c")], place, 2, None).unwrap();
        assert_eq!(first, [(3, "c"), (2, "b")]);
        let jobs = vec![(1, "a"), (2, "b"), (3, "c"), (4, "d")];
        assert_eq!(page(jobs, place, 2, token.as_deref()).unwrap(), (vec![(1, "a")], None));
    }

    #[test]
    fn a_made_up_token_is_refused() {
        for token in ["", "x", "####", "MSBhIGI"] {
            let refused = page(vec![(1, "a")], place, 1, Some(token));
            if let Err(error) = refused {
                assert_eq!(error.code, ApiErrorCode::InvalidNextToken);
            } else {
                assert_eq!(token, "MSBhIGI", "only a token that says a place is taken");
            }
        }
    }
}
