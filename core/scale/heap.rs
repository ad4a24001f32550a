//! An allocator that counts, thread by thread: bytes that live, and allocations.

#![expect(
    unsafe_code,
    reason = "the trait of allocators is unsafe; every call goes to the system's"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};

thread_local! {
    static COUNTS: Cell<Counts> = const { Cell::new(Counts { live: 0, calls: 0 }) };
}

/// Whether anything is counted: counting takes a tenth of the time.
static COUNTING: AtomicBool = AtomicBool::new(true);

/// Counts from now on, or not any more.
pub(crate) fn counting(on: bool) {
    COUNTING.store(on, Ordering::Relaxed);
}

/// What one thread has asked for.
#[derive(Clone, Copy)]
pub(crate) struct Counts {
    /// Bytes that live now.
    pub(crate) live: i64,
    /// Allocations so far.
    pub(crate) calls: u64,
}

/// What this thread has asked for so far.
pub(crate) fn counts() -> Counts {
    COUNTS.get()
}

fn count(grown: usize, shrunk: usize) {
    if !COUNTING.load(Ordering::Relaxed) {
        return;
    }
    let mut counts = COUNTS.get();
    counts.live += grown.cast_signed() as i64 - shrunk.cast_signed() as i64;
    counts.calls += u64::from(grown > 0);
    COUNTS.set(counts);
}

/// The system's allocator, counted.
pub(crate) struct Heap;

// SAFETY: every call is handed on to the system's allocator as it is; only numbers are kept beside it.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: the caller's promises are the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: `pointer` came from `System` with this layout, as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size, layout.size());
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}
