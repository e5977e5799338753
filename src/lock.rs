//! Locks that a panic does not poison. The guarded data is sound between any two statements, and the owner of
//! the task decides whether a panic ends the process.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

/// Locks a mutex.
pub fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Locks for reading.
pub fn read<T: ?Sized>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

/// Locks for writing.
pub fn write<T: ?Sized>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

/// Waits for notifications until `waits` is false, with the mutex unlocked meanwhile.
pub fn wait_while<'a, T>(
    changed: &Condvar,
    locked: MutexGuard<'a, T>,
    waits: impl FnMut(&mut T) -> bool,
) -> MutexGuard<'a, T> {
    changed.wait_while(locked, waits).unwrap_or_else(PoisonError::into_inner)
}

/// As [`wait_while`], for `at_most` at most.
pub fn wait_while_at_most<'a, T>(
    changed: &Condvar,
    locked: MutexGuard<'a, T>,
    at_most: Duration,
    waits: impl FnMut(&mut T) -> bool,
) -> MutexGuard<'a, T> {
    changed.wait_timeout_while(locked, at_most, waits).unwrap_or_else(PoisonError::into_inner).0
}
