//! Where a guest's memory comes from: first an arena that is part of its initial memory, then the standard allocator.
//!
//! The standard allocator grows the memory with its first allocation, which costs the host two changes to its own page tables
//! for each instance, seen by all its threads: a fifth of a small task. Most instances live for one call and fit into the
//! arena, where an allocation is an addition. It must not know who allocates.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, UnsafeCell};

/// Room for what one small task allocates, in bytes.
const ROOM: usize = 128 * 1024;

#[repr(align(16))]
struct Room(UnsafeCell<[u8; ROOM]>);

struct Arena {
    room: Room,
    /// How much of the room is given away.
    used: Cell<usize>,
}

// SAFETY: a guest has one thread.
unsafe impl Sync for Arena {}

impl Arena {
    fn start(&self) -> usize {
        self.room.0.get() as usize
    }

    /// Where a block lies in the room, if it does.
    fn offset(&self, block: *mut u8) -> Option<usize> {
        (block as usize)
            .checked_sub(self.start())
            .filter(|offset| *offset < ROOM)
    }

    /// The end of a block of this size at this place, if there is room.
    fn end(offset: usize, size: usize) -> Option<usize> {
        offset.checked_add(size).filter(|end| *end <= ROOM)
    }
}

// SAFETY: blocks of the arena lie in its room, apart from each other, because `used` only passes over what was given away and
// goes back only over the last block; all others are the system's, and go back to it.
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let free = self.start() + self.used.get();
        let offset = free.next_multiple_of(layout.align()) - self.start();
        match Self::end(offset, layout.size()) {
            Some(end) => {
                self.used.set(end);
                self.room.0.get().cast::<u8>().wrapping_add(offset)
            }
            // SAFETY: the caller's promise is passed on.
            None => unsafe { System.alloc(layout) },
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        match self.offset(block) {
            Some(offset) if offset + layout.size() == self.used.get() => self.used.set(offset),
            // The rest of the arena goes with the instance.
            Some(_) => {}
            // SAFETY: it is not the arena's, so the system gave it.
            None => unsafe { System.dealloc(block, layout) },
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let Some(offset) = self.offset(block) else {
            // SAFETY: it is not the arena's, so the system gave it.
            return unsafe { System.realloc(block, layout, size) };
        };
        if offset + layout.size() == self.used.get()
            && let Some(end) = Self::end(offset, size)
        {
            self.used.set(end);
            return block;
        }
        // SAFETY: the caller promises that the size is valid for this alignment; both blocks are at least as long as what is
        // copied, and the new one lies apart from the old one, which is still given away.
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
    room: Room(UnsafeCell::new([0; ROOM])),
    used: Cell::new(0),
};

#[cfg(test)]
mod tests {
    use super::*;

    fn arena() -> Box<Arena> {
        Box::new(Arena {
            room: Room(UnsafeCell::new([0; ROOM])),
            used: Cell::new(0),
        })
    }

    #[test]
    fn blocks_lie_apart_and_are_aligned() {
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
        // More than the room: the last ones are the system's, and all go back to where they came from.
        assert!(
            blocks
                .iter()
                .any(|(block, _)| arena.offset(*block).is_none())
        );
        for (block, layout) in blocks {
            // SAFETY: each was allocated above with this layout.
            unsafe { arena.dealloc(block, layout) };
        }
    }

    #[test]
    fn what_grows_keeps_its_bytes() {
        let arena = arena();
        let mut layout = Layout::new::<[u8; 8]>();
        // SAFETY: the sizes are not 0, each block has the layout it is given back with, and what is read was written.
        unsafe {
            let mut block = arena.alloc(layout);
            block.copy_from_nonoverlapping(b"persea!!".as_ptr(), 8);
            for size in [16, 4096, ROOM / 2, ROOM + 1, 3 * ROOM] {
                // Every second time something lies behind it, so that it has to move.
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
