// Decodes a request body: JSON, or MessagePack where the caller says so. Error messages name a
// position, never the text around it, since bodies hold secrets.

import { isUtf8 } from 'node:buffer'
import { decodeUntrusted } from '../../shards/wire/codec.ts'
import { type Refusal, refuse } from '../base/errors.ts'

/** The encoding of a body. */
export type BodyFormat = 'json' | 'msgpack'

const POSITION = /at position (\d+)/

/** The format that a Content-Type names; JSON where it is empty; undefined: not supported. */
export function formatOf(contentType: string): BodyFormat | undefined {
  if (contentType === '' || contentType === 'application/json') return 'json'
  const semicolon = contentType.indexOf(';')
  const type = (semicolon < 0 ? contentType : contentType.slice(0, semicolon)).trim().toLowerCase()
  if (type === 'application/json') return 'json'
  if (type === 'application/msgpack') return 'msgpack'
  return undefined
}

/** Decodes a body. Never throws. The value keeps no view of `bytes`. */
export function parseBody(
  bytes: Buffer, format: BodyFormat,
): { readonly ok: true, readonly value: unknown } | Refusal {
  if (format === 'msgpack') {
    const decoded = decodeUntrusted(bytes)
    if (decoded.ok) return decoded
    return refuse('invalid_msgpack', '',
      'the body is not one plain MessagePack value, or has a text that is not UTF-8')
  }
  if (!isUtf8(bytes)) return refuse('invalid_json', '', 'the body is not valid UTF-8')
  try {
    return { ok: true, value: JSON.parse(bytes.toString()) as unknown }
  } catch (error) {
    const position = error instanceof SyntaxError ? POSITION.exec(error.message)?.[1] : undefined
    const where = position === undefined ? '' : `, from position ${position} on`
    return refuse('invalid_json', '', `the body is not valid JSON${where}`)
  }
}
