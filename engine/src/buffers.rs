//! Buffers that are used again: what was handed out as [`Bytes`] comes back once the last of them is dropped.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};

/// A pool of buffers for messages and payloads. Cheap to share behind an [`Arc`](std::sync::Arc); every method takes
/// `&self`.
///
/// A fresh buffer of half a megabyte costs more than what is written into it: its pages are mapped one by one, and are
/// cold. So a buffer is not freed with the message that was in it. The pool keeps a handle, and the memory is written
/// again when all [`Bytes`] over it are gone; nobody has to give anything back.
///
/// Small requests share a block, one behind the other, as an arena does. A block is used again when the last of
/// *all* its pieces is dropped, so a piece that is kept for long is better copied.
///
/// # Limits
/// The pool holds on to at most the number of bytes that it was made with, or to one block if that is larger, whether they
/// are in use or waiting, and drops its handle to the block that was used longest ago when there would be more. That bounds what it keeps, not what may
/// be in flight: a request is always served, by a new allocation if it must.
///
/// # Cost
/// No allocation where a block is free, and an uncontended lock twice a request.
///
/// # Examples
/// ```
/// use natsbridge::BufferPool;
///
/// let pool = BufferPool::new(1 << 20);
/// let first = pool.fill(5, |out| out.extend_from_slice(b"Hello"));
/// assert_eq!(first, "Hello");
/// let address = first.as_ptr();
/// drop(first);
/// let large = pool.fill(pool.block_len(), |out| out.resize(10, 0)); // too large for the rest of the block
/// assert_eq!(large.as_ptr(), address); // but nobody uses it any more
/// ```
pub struct BufferPool {
    blocks: Mutex<Blocks>,
    max_bytes: usize,
    block_len: usize,
}

#[derive(Default)]
struct Blocks {
    /// Used longest ago first.
    blocks: VecDeque<Block>,
    /// The sum of their capacities.
    bytes: usize,
}

/// A block that is nobody's at the moment but for the pieces that were split from it.
struct Block {
    /// What has not been handed out yet. Invariant: empty, so its capacity is all free.
    rest: BytesMut,
    /// Of the whole block.
    capacity: usize,
}

impl Block {
    /// Lets `work` have it, and says whether it had to grow, and so is another one now.
    fn work<T>(&mut self, work: impl FnOnce(&mut BytesMut) -> T) -> (T, bool) {
        let end = self.end();
        let result = work(&mut self.rest);
        self.rest.clear();
        (result, self.end() != end)
    }

    /// The address of its end, which no splitting changes.
    fn end(&self) -> usize {
        self.rest.as_ptr() as usize + self.rest.capacity()
    }

    /// Makes room for `len` bytes without an allocation, if it can.
    fn make_room(&mut self, len: usize) -> bool {
        self.rest.capacity() >= len || (self.capacity >= len && self.rest.try_reclaim(self.capacity))
    }
}

/// What small requests share; large enough that the hand-over of a block costs nothing for each of them.
const BLOCK_LEN: usize = 64 << 10;

/// A block this many times larger than what is asked for is left to those who need it.
const WASTE: usize = 4;

/// So many of the latest blocks are looked at first: what was just used is still in the cache.
const LATEST: usize = 2;

/// Blocks grow in steps of so many bytes, so that messages of nearly the same length use the same blocks.
const STEP: usize = 16 << 10;

impl BufferPool {
    /// A pool that holds on to at most `max_bytes`. With 0 it keeps nothing, and every buffer is a new one.
    pub fn new(max_bytes: usize) -> Self {
        Self { blocks: Mutex::default(), max_bytes, block_len: BLOCK_LEN }
    }

    /// The length of the blocks that requests share, in bytes; a larger request gets one of its own.
    pub fn block_len(&self) -> usize {
        self.block_len
    }

    /// How many bytes it holds on to.
    pub fn held(&self) -> usize {
        self.lock().bytes
    }

    /// Whether a request of `len` bytes can be served without holding on to more than the limit: by a buffer that is free,
    /// or by a new one that there is still room for.
    pub fn has_room(&self, len: usize) -> bool {
        let mut held = self.lock();
        held.bytes + self.capacity_for(len) <= self.max_bytes || self.find(&mut held, len).is_some()
    }

    /// Hands `write` an empty buffer with room for `len` bytes, and returns what was written. More than `len` may be
    /// written; then the buffer grows, and is not kept.
    pub fn fill(&self, len: usize, write: impl FnOnce(&mut BytesMut)) -> Bytes {
        self.lend(len, |out| {
            write(out);
            out.split().freeze()
        })
    }

    /// Lends an empty buffer with room for `len` bytes. What `work` splits off stays; what it leaves in the buffer is
    /// dropped.
    pub fn lend<T>(&self, len: usize, work: impl FnOnce(&mut BytesMut) -> T) -> T {
        let mut block = self.take(len);
        let (result, grown) = block.work(work);
        if !grown {
            self.put(block);
        }
        result
    }

    fn take(&self, len: usize) -> Block {
        {
            let mut held = self.lock();
            let found = self.find(&mut held, len);
            if let Some(block) = found.and_then(|at| held.blocks.remove(at)) {
                held.bytes -= block.capacity;
                return block;
            }
        }
        let rest = BytesMut::with_capacity(self.capacity_for(len));
        Block { capacity: rest.capacity(), rest }
    }

    /// A block with room for `len` bytes.
    fn find(&self, held: &mut Blocks, len: usize) -> Option<usize> {
        let fits = |block: &Block| block.capacity <= len.saturating_mul(WASTE).max(self.block_len);
        let count = held.blocks.len();
        let latest = (count.saturating_sub(LATEST)..count).rev();
        let others = 0..count.saturating_sub(LATEST);
        latest.chain(others).find(|&at| fits(&held.blocks[at]) && held.blocks[at].make_room(len))
    }

    /// How large a new block for `len` bytes is.
    fn capacity_for(&self, len: usize) -> usize {
        match self.max_bytes {
            0 => len,
            _ if len <= self.block_len => self.block_len,
            _ => len.next_multiple_of(STEP),
        }
    }

    fn put(&self, block: Block) {
        if self.max_bytes == 0 {
            return;
        }
        let mut held = self.lock();
        held.bytes += block.capacity;
        held.blocks.push_back(block);
        while held.bytes > self.max_bytes && held.blocks.len() > 1 {
            let Some(oldest) = held.blocks.pop_front() else { break };
            held.bytes -= oldest.capacity;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Blocks> {
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A pool for one task, and the block that it writes into, for which no lock is needed.
#[derive(Debug)]
#[cfg(feature = "nats")]
pub(crate) struct OwnBuffers {
    pool: BufferPool,
    current: Option<Block>,
}

#[cfg(feature = "nats")]
impl OwnBuffers {
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self { pool: BufferPool::new(max_bytes), current: None }
    }

    /// As [`BufferPool::has_room`].
    pub(crate) fn has_room(&mut self, len: usize) -> bool {
        if self.current.as_ref().is_some_and(|block| block.rest.capacity() >= len) {
            return true;
        }
        if let Some(block) = self.current.take() {
            self.pool.put(block);
        }
        self.pool.has_room(len)
    }

    /// As [`BufferPool::fill`].
    pub(crate) fn fill(&mut self, len: usize, write: impl FnOnce(&mut BytesMut)) -> Bytes {
        let mut block = match self.current.take() {
            Some(block) if block.rest.capacity() >= len => block,
            used => {
                if let Some(block) = used {
                    self.pool.put(block);
                }
                self.pool.take(len)
            }
        };
        let (bytes, grown) = block.work(|out| {
            write(out);
            out.split().freeze()
        });
        self.current = Some(block).filter(|_| !grown);
        bytes
    }
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Block").field("capacity", &self.capacity).finish_non_exhaustive()
    }
}

impl fmt::Debug for BufferPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = self.lock();
        f.debug_struct("BufferPool")
            .field("max_bytes", &self.max_bytes)
            .field("held", &held.bytes)
            .field("blocks", &held.blocks.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(pool: &BufferPool, len: usize, byte: u8) -> Bytes {
        pool.fill(len, |out| out.resize(len, byte))
    }

    #[test]
    fn nothing_is_written_over_while_somebody_reads_it() {
        let pool = BufferPool::new(1 << 20);
        let mut kept: VecDeque<(usize, u8, Bytes)> = VecDeque::new();
        let mut state = 1u32;
        for round in 0..4000u32 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let len = match state >> 29 {
                0 => state as usize % 300_000,
                1..=3 => state as usize % 5000,
                _ => state as usize % 200,
            };
            kept.push_back((len, round as u8, filled(&pool, len, round as u8)));
            if state % 100 < 60 || kept.len() > 300 {
                let at = state as usize % kept.len();
                kept.swap_remove_back(at);
            }
            assert!(pool.held() <= 1 << 20);
        }
        for (len, byte, bytes) in kept {
            assert_eq!(bytes.len(), len);
            assert!(bytes.iter().all(|&found| found == byte));
        }
    }

    #[test]
    fn large_blocks_are_used_again_once_their_bytes_are_dropped() {
        let pool = BufferPool::new(4 << 20);
        let first = filled(&pool, 700_000, 1);
        let second = filled(&pool, 700_000, 2);
        let addresses = [first.as_ptr(), second.as_ptr()];
        drop((first, second));
        let held = pool.held();
        for _ in 0..10 {
            let (one, other) = (filled(&pool, 690_000, 3), filled(&pool, 700_000, 4));
            assert!(addresses.contains(&one.as_ptr()) && addresses.contains(&other.as_ptr()));
        }
        assert_eq!(pool.held(), held);
    }

    #[test]
    fn there_is_room_until_the_limit_is_in_use_and_again_once_it_is_not() {
        let pool = BufferPool::new(1 << 20);
        let mut kept = Vec::new();
        while pool.has_room(20_000) {
            kept.push(filled(&pool, 20_000, 1));
        }
        // Three of them in each of 16 blocks.
        assert_eq!((kept.len(), pool.held()), (48, 1 << 20));
        kept.drain(3..6);
        assert!(pool.has_room(20_000) && !pool.has_room(70_000));
        kept.clear();
        assert!(pool.has_room(60_000));
        let large = filled(&pool, 3 << 20, 2); // more than the limit: it is all that is kept
        assert_eq!(pool.held(), 3 << 20);
        assert!(!pool.has_room(3 << 20));
        drop(large);
        assert!(pool.has_room(3 << 20));
    }

    #[test]
    fn a_small_request_does_not_take_a_large_block() {
        let pool = BufferPool::new(4 << 20);
        let address = filled(&pool, 3_000_000, 1).as_ptr();
        let small = filled(&pool, 100, 2);
        assert_ne!(small.as_ptr(), address);
        assert_eq!(filled(&pool, 3_000_000, 3).as_ptr(), address);
    }

    #[test]
    fn what_is_left_behind_or_grows_leaves_the_pool_in_order() {
        let pool = BufferPool::new(1 << 20);
        pool.lend(10, |out| out.extend_from_slice(b"half"));
        assert_eq!(filled(&pool, 3, b'x'), "xxx");
        let grown = pool.fill(10, |out| out.resize(1 << 20, 1));
        assert_eq!(grown.len(), 1 << 20);
        assert_eq!(filled(&pool, 3, b'y'), "yyy");
        assert!(pool.has_room(100) && pool.held() <= 1 << 20);
        let none = BufferPool::new(0);
        assert_eq!(filled(&none, 3, b'z'), "zzz");
        assert_eq!(none.held(), 0);
    }
}
