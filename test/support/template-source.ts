// Bytes as in a ring: with a word array over them.

import type { TemplateSource } from '../../shards/store/templates.ts'

export function templateSource(text: string | Uint8Array): TemplateSource {
  const given = Buffer.from(text)
  // They are followed by what a ring may have there: not zeros.
  const u32 = new Uint32Array((given.length >>> 2) + 1).fill(0xffffffff)
  const bytes = Buffer.from(u32.buffer)
  given.copy(bytes)
  return { bytes, u32 }
}
