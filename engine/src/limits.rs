//! Every number that bounds something: its unit, its default and why.

/// How deep JSON may nest anywhere in a message, in a dictionary or in metadata; the outermost value is depth 1.
///
/// Fixed by the format (`conformance/SPEC.md`), not an option: every port must agree on what is too deep.
pub const MAX_DEPTH: usize = 128;

/// What a receiver accepts, and what a sender writes.
///
/// Every bound is checked before the memory behind it is taken; what just meets a bound is accepted, and what is above
/// one is an error of kind [`LimitExceeded`](crate::ErrorKind::LimitExceeded) with the offset or the size at fault. (What
/// nests deeper than [`MAX_DEPTH`] breaks the format: [`Malformed`](crate::ErrorKind::Malformed) in an envelope,
/// [`InvalidJson`](crate::ErrorKind::InvalidJson) in a payload.) The defaults are meant for a subject that anybody may publish
/// to: they bound what one message can make a receiver hold, and the memory that each can cost stands beside it. Lower them
/// where that is more than the machine has. Values above what the platform can address act as that.
///
/// | what is refused | how much of it is lost |
/// |---|---|
/// | `message_len`, `payload_count`, `name_len`, `metadata_len` | the message: it is an error item of the subscription, which goes on |
/// | `payload_len`, `download_len`, `download_total`, `save_len` | that payload: the message's other payloads can be read |
/// | `json_…`, `table_…` | that reading of the payload: its bytes can still be had, but not from [`smartreceive`](crate::smartreceive()) |
///
/// All of these hold for each message or payload alone; `download_total` holds for the links of a message together. A program
/// asks a [`Bridge`](crate::Bridge) for each payload itself, and decides how many of the results it keeps.
/// [`smartreceive`](crate::smartreceive()) keeps all, so there `json_values`, `table_len`, `table_columns` and
/// `table_buffers` bound the values of a message together as well: what one holds, or a damaged table claims to, is taken off
/// for those behind it, and [`Error::limit`](crate::Error::limit) is what was left.
///
/// An [`Envelope`](crate::Envelope) keeps the last of these for its payloads: what
/// [`decode`](crate::PayloadView::decode) returns is read under the limits that the message was.
///
/// A sender keeps to `payload_count`, `name_len` and `metadata_len` as well, so that it writes no message that a receiver
/// with the same limits refuses; there the error is [`InvalidInput`](crate::ErrorKind::InvalidInput).
///
/// # Examples
/// ```
/// use natsbridge::{Envelope, ErrorKind, Limits};
///
/// let limits = Limits::default().download_len(10_000_000).payload_count(1);
/// assert_eq!(limits.message_len, 64 * 1024 * 1024);
///
/// let two = br#"{"payloads":[{},{}]}"#.as_slice();
/// assert_eq!(Envelope::decode_with(two, &limits).unwrap_err().kind(), ErrorKind::LimitExceeded);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of one message. Default 64 MiB, the largest `max_payload` that a NATS server can be configured for.
    ///
    /// A longer body is refused unread. Reading a message takes no memory but what holds it, 88 bytes for each payload if
    /// there are more than 8, and copies of the strings that hold escapes, which are shorter than the message. Both double
    /// as they grow: for a moment it is up to three times that. Values above 4 GiB - 1 act as that: positions are kept in
    /// 32 bits.
    pub message_len: usize,
    /// Payloads in one message. Default 4,096 (chosen): far above what people send, and half a megabyte of entries.
    pub payload_count: usize,
    /// Bytes of each name, id, subject and other text of a message or payload, its escapes resolved. Default
    /// 64 KiB (chosen): names end up in logs, tables of names and file names, and no honest one comes near.
    ///
    /// What is above it is not copied, whatever escapes it holds. `data` is no name: [`message_len`](Self::message_len) and
    /// [`payload_len`](Self::payload_len) bound it.
    pub name_len: usize,
    /// Bytes of the metadata of a message, and of that of each payload, as JSON text. Default 1 MiB (chosen: whoever has
    /// more to say has a dictionary).
    ///
    /// Looking one key up reads all of it once. What is read as a value is not held against
    /// [`json_values`](Self::json_values): a `serde_json::Value` takes up to 150 bytes for each byte of its text, the worst
    /// being objects inside each other, so 160 MB at the default.
    pub metadata_len: usize,
    /// Bytes of one payload inside a message, decoded. Default 64 MiB: never less than fits into a message.
    ///
    /// A program that asks for payloads one by one holds this much for each that it keeps.
    pub payload_len: u64,
    /// Bytes of one payload fetched by link into memory. Default 1 GiB (chosen: what a machine of
    /// today can hold once or twice; more belongs into a file).
    ///
    /// Memory grows with what arrives, not with what is announced; while it grows, for a moment up to twice that.
    pub download_len: u64,
    /// Bytes of all payloads of one message that are fetched by link into memory. Default 4 GiB (chosen:
    /// a few of the largest).
    ///
    /// Counted once for each payload, at the size that it turned out to have; a payload that was fetched twice counts
    /// once. A download ends where it would take more than the others have left.
    pub download_total: u64,
    /// Bytes of one payload fetched by link into a file, or read as a stream. Default 16 GiB (chosen): it costs no memory,
    /// but disks are not endless.
    pub save_len: u64,
    /// Bytes of JSON text in a dictionary or in JSON rows that is read as a value. Default 64 MiB (chosen: all that
    /// fits into a message; more comes by link, and rather as a table).
    ///
    /// Reading takes up to five bytes of working memory for each byte of text. What its values take comes on top: see
    /// [`json_values`](Self::json_values).
    pub json_len: u64,
    /// Objects, arrays and other values of a dictionary or of JSON rows that is read as a value, keys not counted. Default
    /// 2,097,152 (chosen).
    ///
    /// A `serde_json::Value` takes 30 bytes for a number, and with what reading it takes up to 750 for each object where
    /// objects of one key stand inside each other, the worst that there is: 1.6 GB at the default. The caller's own type
    /// takes what it takes.
    ///
    /// A number is read in about a microsecond, or 15 nanoseconds for each of its digits if they are hundreds, however hard
    /// it is to round.
    pub json_values: u64,
    /// How deep a dictionary or JSON rows that are read may nest. Default [`MAX_DEPTH`], and values above it act as that.
    /// Metadata may always nest as deep as the envelope that it is part of.
    pub json_depth: usize,
    /// Bytes that the buffers of one table hold after decompression, dictionaries included. Default 1 GiB (chosen): a
    /// small compressed body can claim any size.
    ///
    /// Texts of view columns that share bytes count each by its length, nested values of a dictionary count again for each
    /// batch, and the entries of list views for each column that they are part of: they take no more memory, but time to
    /// validate. Rows of columns that have no bytes, such as nulls, count as a bit each, and as 8 bytes each inside of other
    /// columns.
    ///
    /// Buffers that are not compressed share the payload's bytes and take further memory only where they are not aligned,
    /// as much as they have bytes, and numbers of 128 bits and more twice; but all count. A compressed batch takes 4 MiB and
    /// its own length at once, if it claims to need them, and 16 times its length for ZSTD; beyond that it takes memory as it
    /// unpacks, for a moment up to three times what has come out, and for ZSTD a window of up to 8 MiB. A ZSTD buffer that
    /// needs a larger window, as levels from 20 on may, and claims more than 4 MiB and 16 times its length, is refused,
    /// unless this limit is none: from 2^63 on, windows may have 128 MiB.
    pub table_len: u64,
    /// Rows of all record batches of one table. Default 2^31 - 1: what Arrow's 32-bit readers can count.
    ///
    /// Rows take memory through what [`table_len`](Self::table_len) counts; this bounds programs that loop over rows that
    /// have no bytes.
    pub table_rows: u64,
    /// Columns of one table, nested ones included. Default 100,000 (chosen: wide tables have tens of thousands).
    ///
    /// Each takes about 500 bytes in the schema.
    pub table_columns: usize,
    /// Columns times record batches of one table, and its buffers, nested columns and dictionaries included; a nested
    /// column counts once for each column that it is part of, and once more. What is taken apart again for each batch counts
    /// for each: the columns of a dictionary's values, as four, and the buffers that views in it point to. What a union finds
    /// its columns by counts as up to eight. Default 4,194,304 (chosen: the default of
    /// [`table_columns`](Self::table_columns) in some ten batches, a gigabyte).
    ///
    /// Each takes up to 250 bytes beside its values, and a stream spends 16 on announcing it.
    pub table_buffers: u64,
    /// Large dictionaries, and tables, that the bridge reads at the same time, on threads of their own. Default 4 (chosen:
    /// the cores of a small machine); 0 acts as 1.
    ///
    /// The memory that reading takes is taken at most this many times: that of [`json_len`](Self::json_len),
    /// [`json_values`](Self::json_values), [`table_len`](Self::table_len) and [`table_buffers`](Self::table_buffers). What was
    /// read is the caller's, and comes on top for as long as it is kept.
    /// [`smartreceive`](crate::smartreceive()) reads one payload after another, whatever stands here.
    pub concurrent_decodes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_len: 64 << 20,
            payload_count: 4096,
            name_len: 64 << 10,
            metadata_len: 1 << 20,
            payload_len: 64 << 20,
            download_len: 1 << 30,
            download_total: 4 << 30,
            save_len: 16 << 30,
            json_len: 64 << 20,
            json_values: 2 << 20,
            json_depth: MAX_DEPTH,
            table_len: 1 << 30,
            table_rows: i32::MAX as u64,
            table_columns: 100_000,
            table_buffers: 4 << 20,
            concurrent_decodes: 4,
        }
    }
}

impl Limits {
    /// No limit but those of the format and of the machine: for what comes from nobody else.
    pub fn none() -> Self {
        Self {
            message_len: usize::MAX,
            payload_count: usize::MAX,
            name_len: usize::MAX,
            metadata_len: usize::MAX,
            payload_len: u64::MAX,
            download_len: u64::MAX,
            download_total: u64::MAX,
            save_len: u64::MAX,
            json_len: u64::MAX,
            json_values: u64::MAX,
            json_depth: MAX_DEPTH,
            table_len: u64::MAX,
            table_rows: u64::MAX,
            table_columns: usize::MAX,
            table_buffers: u64::MAX,
            concurrent_decodes: usize::MAX,
        }
    }

    /// The part that an envelope keeps for its payloads.
    #[inline(always)]
    pub(crate) fn reading(&self) -> ReadLimits {
        // Without `..`: a new limit is either checked before, or belongs here.
        let Self {
            message_len: _,
            payload_count: _,
            name_len: _,
            metadata_len: _,
            payload_len: _,
            download_len: _,
            download_total: _,
            save_len: _,
            json_len,
            json_values,
            json_depth,
            table_len,
            table_rows,
            table_columns,
            table_buffers,
            concurrent_decodes: _,
        } = *self;
        ReadLimits { json_len, json_values, json_depth, table_len, table_rows, table_columns, table_buffers }
    }

    /// A message of up to so many bytes cannot hold a name, metadata or payload that is too long.
    pub(crate) fn shortest(&self) -> usize {
        let payload_len = usize::try_from(self.payload_len).unwrap_or(usize::MAX);
        self.name_len.min(self.metadata_len).min(payload_len)
    }
}

/// What bounds the reading of a payload's bytes: less than half of the numbers, for an envelope is moved about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReadLimits {
    json_len: u64,
    json_values: u64,
    json_depth: usize,
    table_len: u64,
    table_rows: u64,
    table_columns: usize,
    table_buffers: u64,
}

impl ReadLimits {
    /// With the defaults for all that has been checked already.
    pub(crate) fn limits(self) -> Limits {
        let Self { json_len, json_values, json_depth, table_len, table_rows, table_columns, table_buffers } =
            self;
        Limits {
            json_len,
            json_values,
            json_depth,
            table_len,
            table_rows,
            table_columns,
            table_buffers,
            ..Limits::default()
        }
    }
}

/// A method for each number, of the same name and unit.
macro_rules! setters {
    ($($name:ident: $unit:ident $type:ty),+ $(,)?) => {
        impl Limits {$(
            #[doc = concat!("Sets [`", stringify!($name), "`](Self#structfield.", stringify!($name), ").")]
            #[must_use]
            pub fn $name(mut self, $unit: $type) -> Self {
                self.$name = $unit;
                self
            }
        )+}
    };
}

setters! {
    message_len: bytes usize,
    payload_count: count usize,
    name_len: bytes usize,
    metadata_len: bytes usize,
    payload_len: bytes u64,
    download_len: bytes u64,
    download_total: bytes u64,
    save_len: bytes u64,
    json_len: bytes u64,
    json_values: count u64,
    json_depth: depth usize,
    table_len: bytes u64,
    table_rows: count u64,
    table_columns: count usize,
    table_buffers: count u64,
    concurrent_decodes: count usize,
}
