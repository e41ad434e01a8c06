// A typical job encoded and decoded, as it crosses the ring and is stored in the log.

import {
  decodeJob, decodeTemplate, encodeTemplate, jobBytes, writeJobHead,
} from '../../shards/wire/codec.ts'
import type { MicroBench } from './micro-case.ts'

const BODY_BYTES = 214

export const codec: MicroBench = ({ operations }) => {
  const job = { createdAtMs: 1_750_000_000_000, executeBeforeMs: 0, body: Buffer.alloc(BODY_BYTES) }
  const template = {
    userId: 'user-00000001', url: 'http://127.0.0.1:40000/chat/completions', method: 'POST',
    headers: ['Authorization', 'Bearer sk-bench-00000001'],
    webhookUrl: 'http://127.0.0.1:40001/hook', receiver: 1,
  }
  const { createdAtMs, executeBeforeMs, body } = job
  const bytes = Buffer.alloc(jobBytes(executeBeforeMs, body.length))
  const encode = (): number => {
    const at = writeJobHead(bytes, 0, createdAtMs, executeBeforeMs, body.length)
    bytes.set(body, at)
    return at
  }
  encode()
  const templateBytes = Buffer.from(encodeTemplate(template))
  const repeat = (name: string, once: () => number) => ({
    name, operations,
    run: () => {
      let sum = 0
      for (let index = 0; index < operations; index++) sum += once()
      return sum
    },
  })
  return [
    repeat('codec: encode a job', encode),
    repeat('codec: decode a job', () =>
      decodeJob(bytes, 0, bytes.length).body?.length ?? 0),
    repeat('codec: encode a template', () => encodeTemplate(template).length),
    repeat('codec: decode a template', () =>
      decodeTemplate(templateBytes, 0, templateBytes.length).url.length),
  ]
}
