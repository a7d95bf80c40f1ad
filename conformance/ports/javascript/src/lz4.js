// LZ4 frames, unpacked: the compression of Arrow bodies that no runtime brings along.

const MAGIC = 0x184d2204;

/**
 * Unpacks one frame into exactly `out.length` bytes, or throws a RangeError. Checksums are skipped, not
 * verified.
 */
export function unpackLz4(frame, out) {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
  const broken = () => new RangeError("a broken LZ4 frame");
  if (frame.length < 7 || view.getUint32(0, true) !== MAGIC) throw broken();
  const flags = frame[4];
  if (flags >> 6 !== 1) throw broken();
  const blockChecksum = (flags & 0x10) !== 0;
  let at = 6 + ((flags & 0x08) !== 0 ? 8 : 0) + ((flags & 0x01) !== 0 ? 4 : 0) + 1;
  let to = 0;
  for (;;) {
    if (at + 4 > frame.length) throw broken();
    const word = view.getUint32(at, true);
    at += 4;
    if (word === 0) break;
    const size = word & 0x7fffffff;
    if (at + size > frame.length) throw broken();
    const block = frame.subarray(at, at + size);
    if (word >>> 31) {
      if (to + size > out.length) throw broken();
      out.set(block, to);
      to += size;
    } else to = unpackBlock(block, out, to, broken);
    at += size + (blockChecksum ? 4 : 0);
  }
  if (to !== out.length) throw broken();
  return out;
}

/** One block; matches may reach back into the blocks before it. */
function unpackBlock(block, out, to, broken) {
  let at = 0;
  const longer = (length) => {
    if (length !== 15) return length;
    for (;;) {
      if (at >= block.length) throw broken();
      const more = block[at++];
      length += more;
      if (more !== 255) return length;
    }
  };
  while (at < block.length) {
    const token = block[at++];
    const literals = longer(token >> 4);
    if (at + literals > block.length || to + literals > out.length) throw broken();
    out.set(block.subarray(at, at + literals), to);
    at += literals;
    to += literals;
    if (at === block.length) return to; // the last sequence has literals only
    if (at + 2 > block.length) throw broken();
    const distance = block[at] | (block[at + 1] << 8);
    at += 2;
    const length = longer(token & 15) + 4;
    if (distance === 0 || distance > to || to + length > out.length) throw broken();
    for (let i = 0; i < length; i++, to++) out[to] = out[to - distance]; // may overlap itself
  }
  throw broken();
}
