//! Owns the allocator of a guest: an arena inside the guest's initial memory, then the standard
//! allocator.
//!
//! The standard allocator grows the guest's memory at its first allocation. The host then changes
//! its own page tables twice for each instance, and interrupts all its threads to do so: a fifth of
//! the time of a small task. Most instances live for one call and fit into the arena, where an
//! allocation is one addition.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, UnsafeCell};

/// Size of the arena, in bytes: what a small task allocates.
const CAPACITY: usize = 128 * 1024;

#[repr(align(16))]
struct Buffer(UnsafeCell<[u8; CAPACITY]>);

struct Arena {
    buffer: Buffer,
    /// Bytes allocated so far. Everything from here to the end of the buffer is free.
    used: Cell<usize>,
}

// SAFETY: a guest is single-threaded.
unsafe impl Sync for Arena {}

impl Arena {
    fn start(&self) -> usize {
        self.buffer.0.get() as usize
    }

    /// The offset of a block in the arena; none for a block of the standard allocator.
    fn offset(&self, block: *mut u8) -> Option<usize> {
        (block as usize)
            .checked_sub(self.start())
            .filter(|offset| *offset < CAPACITY)
    }

    /// The end of a block at this offset; none if the block does not fit into the arena.
    fn end(offset: usize, size: usize) -> Option<usize> {
        offset.checked_add(size).filter(|end| *end <= CAPACITY)
    }
}

// SAFETY: two live blocks of the arena never overlap: `used` advances past every block that is
// allocated, and moves back only over the last one when that is freed. Every other block comes from
// `System` and is returned to it.
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let free = self.start() + self.used.get();
        let offset = free.next_multiple_of(layout.align()) - self.start();
        match Self::end(offset, layout.size()) {
            Some(end) => {
                self.used.set(end);
                self.buffer.0.get().cast::<u8>().wrapping_add(offset)
            }
            // SAFETY: the caller guarantees a valid layout.
            None => unsafe { System.alloc(layout) },
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        match self.offset(block) {
            Some(offset) if offset + layout.size() == self.used.get() => self.used.set(offset),
            // Not reused: the memory is freed when the instance ends.
            Some(_) => {}
            // SAFETY: the block is not in the arena, so it came from `System`.
            None => unsafe { System.dealloc(block, layout) },
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let Some(offset) = self.offset(block) else {
            // SAFETY: the block is not in the arena, so it came from `System`.
            return unsafe { System.realloc(block, layout, size) };
        };
        if offset + layout.size() == self.used.get()
            && let Some(end) = Self::end(offset, size)
        {
            self.used.set(end);
            return block;
        }
        // SAFETY: the caller guarantees that the size is valid for this alignment. Both blocks are
        // at least as long as the copied bytes, and they do not overlap, because the old block is
        // still allocated.
        unsafe {
            let new = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !new.is_null() {
                new.copy_from_nonoverlapping(block, layout.size().min(size));
                self.dealloc(block, layout);
            }
            new
        }
    }
}

#[cfg_attr(target_family = "wasm", global_allocator)]
#[cfg_attr(not(target_family = "wasm"), allow(dead_code))]
static ARENA: Arena = Arena {
    buffer: Buffer(UnsafeCell::new([0; CAPACITY])),
    used: Cell::new(0),
};

#[cfg(test)]
mod tests {
    use super::*;

    fn arena() -> Box<Arena> {
        Box::new(Arena {
            buffer: Buffer(UnsafeCell::new([0; CAPACITY])),
            used: Cell::new(0),
        })
    }

    #[test]
    fn allocated_blocks_are_aligned_and_do_not_overlap() {
        let arena = arena();
        let mut blocks: Vec<(*mut u8, Layout)> = Vec::new();
        for size in 1..200_usize {
            let layout =
                Layout::from_size_align(size * 7, 1 << (size % 6)).unwrap_or(Layout::new::<u8>());
            // SAFETY: the size is not 0.
            let block = unsafe { arena.alloc(layout) };
            assert_eq!(block as usize % layout.align(), 0);
            for (other, length) in &blocks {
                let (a, b) = (block as usize, *other as usize);
                assert!(a + layout.size() <= b || b + length.size() <= a);
            }
            blocks.push((block, layout));
        }
        // The blocks exceed the arena, so the last ones come from `System`.
        assert!(
            blocks
                .iter()
                .any(|(block, _)| arena.offset(*block).is_none())
        );
        for (block, layout) in blocks {
            // SAFETY: each block was allocated above with this layout.
            unsafe { arena.dealloc(block, layout) };
        }
    }

    #[test]
    fn reallocated_block_keeps_its_bytes() {
        let arena = arena();
        let mut layout = Layout::new::<[u8; 8]>();
        // SAFETY: no size is 0, each block is freed with the layout that it was allocated with, and
        // only written bytes are read.
        unsafe {
            let mut block = arena.alloc(layout);
            block.copy_from_nonoverlapping(b"persea!!".as_ptr(), 8);
            for size in [16, 4096, CAPACITY / 2, CAPACITY + 1, 3 * CAPACITY] {
                // A block behind this one, so that this one must move to grow.
                let behind = arena.alloc(Layout::new::<u64>());
                block = arena.realloc(block, layout, size);
                arena.dealloc(behind, Layout::new::<u64>());
                layout = Layout::from_size_align(size, layout.align()).unwrap_or(layout);
                assert_eq!(std::slice::from_raw_parts(block, 8), b"persea!!");
            }
            arena.dealloc(block, layout);
        }
    }
}
