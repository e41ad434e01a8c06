// Bytes as a ring has them: by words, too.

import type { TemplateSource } from '../../shards/templates.ts'

export function templateSource(text: string | Uint8Array): TemplateSource {
  const given = Buffer.from(text)
  const bytes = Buffer.alloc((given.length + 4) & ~3, 0xff)
  given.copy(bytes)
  const own = Buffer.from(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length))
  return { bytes: own, u32: new Uint32Array(own.buffer) }
}
