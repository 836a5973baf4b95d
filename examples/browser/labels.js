// A .tflite file with metadata ends as a ZIP archive, which has its labels.

const END = 0x06054b50;
const END_BYTES = 22;
const ENTRY_BYTES = 46;
const HEADER_BYTES = 30;

// The text of labels.txt inside `file`, a Uint8Array; null if there is none.
export function labelsInside(file) {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const u16 = (at) => view.getUint16(at, true);
  const u32 = (at) => view.getUint32(at, true);
  const text = (at, bytes) =>
    new TextDecoder().decode(file.subarray(at, at + bytes));

  // Its last record is followed by nothing: our archives have no comment.
  const end = file.length - END_BYTES;
  if (end < 0 || u32(end) !== END) return null;
  const directory = end - u32(end + 12);
  // Some writers count from where the archive starts, others from the file.
  const start = directory - u32(end + 16);
  let entry = directory;
  for (let i = 0; i < u16(end + 10); i++) {
    const nameBytes = u16(entry + 28);
    const stored = u16(entry + 10) === 0;
    if (stored && text(entry + ENTRY_BYTES, nameBytes) === "labels.txt") {
      const header = start + u32(entry + 42);
      const content =
        header + HEADER_BYTES + u16(header + 26) + u16(header + 28);
      return text(content, u32(entry + 24));
    }
    entry += ENTRY_BYTES + nameBytes + u16(entry + 30) + u16(entry + 32);
  }
  return null;
}
