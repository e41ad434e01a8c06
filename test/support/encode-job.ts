// Encodes a job as the front door writes it into a ring.

import { type JobPayload, jobBytes, NO_BODY, writeJobHead } from '../../shards/wire/codec.ts'

/** Encodes a job into a buffer of its own. */
export function encodeJob({ createdAtMs, executeBeforeMs, body }: JobPayload): Buffer {
  const bodyBytes = body === null ? NO_BODY : body.length
  const bytes = Buffer.alloc(jobBytes(executeBeforeMs, bodyBytes))
  const at = writeJobHead(bytes, 0, createdAtMs, executeBeforeMs, bodyBytes)
  if (body !== null) bytes.set(body, at)
  return bytes
}
