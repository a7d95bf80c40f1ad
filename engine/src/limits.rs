//! Every number that bounds something: its unit, its default and why.

/// How deep JSON may nest anywhere in a message, in a dictionary or in metadata; the outermost value is depth 1.
///
/// Fixed by the format (`conformance/SPEC.md`), not an option: every port must agree on what is too deep.
pub const MAX_DEPTH: usize = 128;

/// What a receiver accepts. Every bound is checked before the memory behind it is taken.
///
/// # Examples
/// ```
/// use natsbridge::Limits;
///
/// let limits = Limits::default().download_len(10_000_000);
/// assert_eq!(limits.message_len, 64 * 1024 * 1024);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of one message. Default 64 MiB, the largest `max_payload` that a NATS server can be configured for.
    /// A longer body is refused unread. Values above 4 GiB - 1 act as that: positions are kept in 32 bits.
    pub message_len: usize,
    /// Payloads in one message. Default 4,096 (chosen): far above what people send, and under 1 MiB of entries.
    pub payload_count: usize,
    /// Bytes of one payload fetched by link into memory. Default 1 GiB (chosen).
    pub download_len: u64,
    /// Bytes of one payload fetched by link into a file, or read as a stream. Default 16 GiB (chosen): it costs no memory,
    /// but disks are not endless.
    pub save_len: u64,
    /// Bytes that the buffers of one table may hold after decompression. Default 1 GiB (chosen): a small
    /// compressed body can claim any size.
    pub table_len: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_len: 64 * 1024 * 1024,
            payload_count: 4096,
            download_len: 1024 * 1024 * 1024,
            save_len: 16 * 1024 * 1024 * 1024,
            table_len: 1024 * 1024 * 1024,
        }
    }
}

impl Limits {
    /// Sets [`message_len`](Self::message_len), in bytes.
    #[must_use]
    pub fn message_len(mut self, bytes: usize) -> Self {
        self.message_len = bytes;
        self
    }

    /// Sets [`payload_count`](Self::payload_count).
    #[must_use]
    pub fn payload_count(mut self, count: usize) -> Self {
        self.payload_count = count;
        self
    }

    /// Sets [`download_len`](Self::download_len), in bytes.
    #[must_use]
    pub fn download_len(mut self, bytes: u64) -> Self {
        self.download_len = bytes;
        self
    }

    /// Sets [`save_len`](Self::save_len), in bytes.
    #[must_use]
    pub fn save_len(mut self, bytes: u64) -> Self {
        self.save_len = bytes;
        self
    }

    /// Sets [`table_len`](Self::table_len), in bytes.
    #[must_use]
    pub fn table_len(mut self, bytes: u64) -> Self {
        self.table_len = bytes;
        self
    }
}
