// The cost of checking whether a known key comes with the same request: once for each job.

import { KIB } from '../../shards/base/units.ts'
import { fingerprintOf } from '../../shards/job/fingerprint.ts'
import { encodeTemplate, jobBytes, writeJobHead } from '../../shards/wire/codec.ts'
import type { MicroBench } from './micro-case.ts'

const BODIES_BYTES = [214, 16 * KIB]

export const fingerprint: MicroBench = ({ operations }) => BODIES_BYTES.map((bodyBytes) => {
  const template = encodeTemplate({
    userId: 'user-00000001', url: 'http://127.0.0.1:40000/chat/completions', method: 'POST',
    headers: ['Authorization', 'Bearer sk-bench-00000001'],
    webhookUrl: 'http://127.0.0.1:40001/hook', receiver: 1,
  })
  const end = template.length + jobBytes(0, bodyBytes)
  const u32 = new Uint32Array(Math.ceil(end / 4))
  const bytes = Buffer.from(u32.buffer)
  bytes.set(template)
  writeJobHead(bytes, template.length, 1_750_000_000_000, 0, bodyBytes)
  return {
    name: `fingerprint: a job with ${bodyBytes} B`, operations,
    run: () => {
      let sum = 0
      for (let index = 0; index < operations; index++) {
        sum += fingerprintOf({ bytes, u32 }, 0, template.length, end)
      }
      return sum
    },
  }
})
