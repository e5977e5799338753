//! Ids of tasks: the job and the row, so that an id is the same in every try and can be read back.
//!
//! id := base64url without padding (job id | "/" | row in decimal). Decoded by a person it reads
//! `f3cc4f60-61f6-4a2b-8a21-d07600c373ce/41`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The longest id that is read back, in bytes: a job's id of 200 bytes and the largest row.
const ID_MAX: usize = 300;

/// The id of the task on this row (from 0) of a job.
pub fn task_id(job: &str, row: u64) -> String {
    URL_SAFE_NO_PAD.encode(format!("{job}/{row}"))
}

/// The job and the row that an id names. `None`: the text is not exactly what [`task_id`] makes.
pub fn read_task_id(id: &str) -> Option<(String, u64)> {
    if id.len() > ID_MAX {
        return None;
    }
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(id).ok()?).ok()?;
    let (job, row) = text.rsplit_once('/')?;
    let row = row.parse().ok()?;
    // `+1` and `01` parse, too: two ids must not name one task.
    (task_id(job, row) == id).then(|| (job.to_owned(), row))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_id_names_its_job_and_row() {
        let id = task_id("f3cc4f60-61f6-4a2b-8a21-d07600c373ce", 41);
        assert_eq!(id, "ZjNjYzRmNjAtNjFmNi00YTJiLThhMjEtZDA3NjAwYzM3M2NlLzQx");
        assert_eq!(read_task_id(&id), Some(("f3cc4f60-61f6-4a2b-8a21-d07600c373ce".to_owned(), 41)));
    }

    #[test]
    fn other_texts_are_no_ids() {
        let check = |text: &str| assert_eq!(read_task_id(text), None, "{text}");
        check("");
        check("dGFza2lkZ29lc2hlcmUK");
        check("not base64");
        check(&URL_SAFE_NO_PAD.encode("job/01"));
        check(&URL_SAFE_NO_PAD.encode("job/+1"));
        check(&URL_SAFE_NO_PAD.encode("job/18446744073709551616"));
        check(&URL_SAFE_NO_PAD.encode([0xff, b'/', b'1']));
        check(&format!("{}=", URL_SAFE_NO_PAD.encode("job/1")));
        check(&task_id(&"x".repeat(300), 1));
    }

    proptest! {
        #[test]
        fn every_row_comes_back(job in "[ -~]{0,60}", row: u64) {
            prop_assert_eq!(read_task_id(&task_id(&job, row)), Some((job, row)));
        }
    }
}
