//! The fake as a store in which objects are changed.

use super::{FakeStore, State, Step, answer, not_found, set};
use crate::lock::lock;
use crate::object::{Encryption, KmsContext, KmsKey, ObjectKey, S3Location, SseKms};
use crate::store::changer::{ObjectCopy, StoreChanger, Tags};
use crate::store::{Attempted, Fault, ObjectVersion, StoreError};

impl FakeStore {
    /// Appends steps for the next changes: copies, deletes, and reads and changes of tags, in order. Changes
    /// after the last step succeed.
    pub fn script_changes(&self, steps: impl IntoIterator<Item = Step>) {
        lock(&self.state).change_steps.extend(steps);
    }

    /// Answers changes of this kind (`copy`, `delete`, `tags` or `tag`) with 403, or stops doing so.
    pub fn refuse_change(&self, kind: &str, refuse: bool) {
        set(&mut lock(&self.state).refused_changes, kind, refuse);
    }

    /// The changes that were asked for, in order: the kind and the key.
    pub fn changes(&self) -> Vec<(&'static str, String)> {
        lock(&self.state).changes.clone()
    }

    /// One change. It is applied as the next step says.
    async fn change<T>(
        &self,
        location: &S3Location,
        (kind, key): (&'static str, &ObjectKey),
        apply: impl FnOnce(&mut State, &str) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let bucket = location.bucket.bucket();
        let step = {
            let mut state = lock(&self.state);
            state.changes.push((kind, key.as_str().to_owned()));
            state.change_steps.pop_front().unwrap_or(Step::Proper)
        };
        if let Step::HoldRequest(gate) = &step {
            gate.passed().await;
        }
        if let Some(gate) = self.gate(bucket) {
            gate.passed().await;
        }
        let applied = match &step {
            Step::Answer { fault, status, code } => return Err(answer(*fault, *status, *code)),
            _ => {
                let mut state = lock(&self.state);
                if state.refuses(location) || state.refused_changes.contains(kind) {
                    return Err(answer(Fault::Refused, Some(403), Some("AccessDenied")));
                }
                if state.missing_buckets.contains(bucket) {
                    return Err(answer(Fault::Refused, Some(404), Some("NoSuchBucket")));
                }
                apply(&mut state, bucket)
            }
        };
        match step {
            Step::LoseAnswer => Err(answer(Fault::Transient, None, None)),
            Step::HoldAnswer(gate) => {
                gate.passed().await;
                applied
            }
            _ => applied,
        }
    }
}

/// The failure of a condition.
fn changed() -> StoreError {
    answer(Fault::Refused, Some(412), Some("PreconditionFailed"))
}

impl StoreChanger for FakeStore {
    fn copy<'a>(&'a self, location: &'a S3Location, copy: &'a ObjectCopy) -> Attempted<'a, ()> {
        let apply = |state: &mut State, bucket: &str| {
            let refuses = |folder: &String| copy.to.as_str().starts_with(folder.as_str());
            if state.refused_folders.iter().any(refuses) {
                return Err(answer(Fault::Refused, Some(403), Some("AccessDenied")));
            }
            let object = state.object(bucket, &copy.from).ok_or_else(not_found)?;
            if object.etag() != copy.etag {
                return Err(changed());
            }
            let mut object = object.clone();
            // A store keeps none of these by itself.
            object.encryption = requested(copy);
            object.storage_class.clone_from(&copy.storage_class);
            object.metadata.clone_from(&copy.metadata);
            let place = (bucket.to_owned(), copy.to.as_str().to_owned());
            object.writes = state.objects.get(&place).map_or(0, |before| before.writes) + 1;
            state.objects.insert(place, object);
            Ok(())
        };
        Box::pin(self.change(location, ("copy", &copy.from), apply))
    }

    fn delete<'a>(
        &'a self,
        location: &'a S3Location,
        key: &'a ObjectKey,
        etag: &'a str,
    ) -> Attempted<'a, ()> {
        let apply = move |state: &mut State, bucket: &str| {
            if state.object(bucket, key).ok_or_else(not_found)?.etag() != etag {
                return Err(changed());
            }
            state.objects.remove(&(bucket.to_owned(), key.as_str().to_owned()));
            Ok(())
        };
        Box::pin(self.change(location, ("delete", key), apply))
    }

    fn tags<'a>(
        &'a self,
        location: &'a S3Location,
        key: &'a ObjectKey,
        version: &'a ObjectVersion,
    ) -> Attempted<'a, Tags> {
        let apply = move |state: &mut State, bucket: &str| {
            let object = state.tagged(bucket, key, version)?;
            Ok(object.tags.iter().map(|(name, value)| (name.clone(), value.clone())).collect())
        };
        Box::pin(self.change(location, ("tags", key), apply))
    }

    fn tag<'a>(
        &'a self,
        location: &'a S3Location,
        key: &'a ObjectKey,
        version: &'a ObjectVersion,
        tags: &'a Tags,
    ) -> Attempted<'a, ()> {
        let apply = move |state: &mut State, bucket: &str| {
            state.tagged(bucket, key, version)?;
            let place = (bucket.to_owned(), key.as_str().to_owned());
            let object = state.objects.get_mut(&place).ok_or_else(not_found)?;
            object.tags = tags.iter().cloned().collect();
            Ok(())
        };
        Box::pin(self.change(location, ("tag", key), apply))
    }
}

impl State {
    /// The object whose tags are meant. S3 knows no condition here, but the id of a version.
    fn tagged(
        &self,
        bucket: &str,
        key: &ObjectKey,
        version: &ObjectVersion,
    ) -> Result<&super::FakeObject, StoreError> {
        let object = self.object(bucket, key).ok_or_else(not_found)?;
        if version.id.is_some() && version.id != self.version_of(object) {
            return Err(answer(Fault::NotFound, Some(404), Some("NoSuchVersion")));
        }
        Ok(object)
    }
}

/// The encryption that a copy asks for.
fn requested(copy: &ObjectCopy) -> Encryption {
    let Some(applied) = &copy.encryption else { return Encryption::None };
    let key = applied.kms_key.as_deref().and_then(|key| KmsKey::parse(key).ok());
    match (applied.algorithm.as_deref(), key) {
        (Some("aws:kms"), Some(key)) => {
            let bucket_key = Some(applied.bucket_key);
            Encryption::Kms(SseKms { key, bucket_key, context: KmsContext::default() })
        }
        (Some(_), _) => Encryption::SseS3,
        (None, _) => Encryption::None,
    }
}
