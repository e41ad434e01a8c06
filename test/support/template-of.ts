// The encoded template of an outline.

import { ENQUEUE_HEADER_BYTES } from '../../shards/wire/contract.ts'
import type { Outline } from '../../src/shapes/outline.ts'

export const templateOf = ({ templateBytes, words }: Outline): Buffer =>
  Buffer.from(words.buffer, words.byteOffset + ENQUEUE_HEADER_BYTES, templateBytes)
