// A bounds-checked view of a FlatBuffers table: enough to look through Arrow's headers before its library
// does.
//
// That library takes offsets and counts on trust: reads outside come back as zeros, and a hostile count makes
// it loop for minutes.

const MAX_TABLES = 100_000;

export class BrokenTable extends Error {}

export class FlatBuffer {
  #tables = 0;

  constructor(bytes) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  /** The root table. */
  root() {
    return this.table(this.u32(0));
  }

  /** A table at a position, with its fields' positions on demand. */
  table(at) {
    // Tables may be shared, so that a small buffer unfolds into an enormous tree; no writer of tables does
    // that.
    if (++this.#tables > MAX_TABLES) throw new BrokenTable("too many tables in a header");
    const vtable = at - this.i32(at);
    const size = this.u16(vtable);
    if (size < 4 || size % 2 !== 0) throw new BrokenTable("a header's table is broken");
    this.inside(vtable, size);
    this.inside(at, this.u16(vtable + 2));
    return new Table(this, at, vtable, size);
  }

  inside(at, length) {
    if (at < 0 || length < 0 || at + length > this.view.byteLength)
      throw new BrokenTable("a header points outside of itself");
    return at;
  }

  u8(at) {
    return this.view.getUint8(this.inside(at, 1));
  }
  u16(at) {
    return this.view.getUint16(this.inside(at, 2), true);
  }
  i16(at) {
    return this.view.getInt16(this.inside(at, 2), true);
  }
  u32(at) {
    return this.view.getUint32(this.inside(at, 4), true);
  }
  i32(at) {
    return this.view.getInt32(this.inside(at, 4), true);
  }
  /**
   * A 64-bit integer as a number; above 2^53 it is larger than anything here can be, which is all that
   * counts.
   */
  i64(at) {
    return Number(this.view.getBigInt64(this.inside(at, 8), true));
  }
}

class Table {
  constructor(buffer, at, vtable, size) {
    Object.assign(this, { buffer, at, vtable, size });
  }

  /** Where field `index` is, or null where it has its default. */
  field(index) {
    const slot = 4 + 2 * index;
    const offset = slot < this.size ? this.buffer.u16(this.vtable + slot) : 0;
    return offset === 0 ? null : this.at + offset;
  }

  /** A scalar field by one of the buffer's readers. */
  scalar(index, read, otherwise = 0) {
    const at = this.field(index);
    return at === null ? otherwise : this.buffer[read](at);
  }

  /** What an offset field points to, or null. */
  target(index) {
    const at = this.field(index);
    return at === null ? null : at + this.buffer.u32(at);
  }

  /** A field that is a table, or null. */
  child(index) {
    const at = this.target(index);
    return at === null ? null : this.buffer.table(at);
  }

  /** The positions of a vector's elements of `width` bytes, all inside. */
  vector(index, width) {
    const at = this.target(index);
    if (at === null) return [];
    const count = this.buffer.u32(at);
    this.buffer.inside(at + 4, count * width);
    return Array.from({ length: count }, (_, i) => at + 4 + i * width);
  }

  /** The tables of a vector. */
  tables(index) {
    return this.vector(index, 4).map((at) => this.buffer.table(at + this.buffer.u32(at)));
  }
}
