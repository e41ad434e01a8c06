// A typical job of a known shape, as the front door reads it: key and body found, the body
// unescaped, the rest hashed and compared with the known shape; and the same job parsed.

import { ENQUEUE_HEADER_BYTES, WORD_TEMPLATE_BYTES } from '../../shards/wire/contract.ts'
import { JobIdSource } from '../../src/base/job-id.ts'
import { wordsFor } from '../../src/base/spans.ts'
import { JobUrls } from '../../src/job/job-url.ts'
import { parseBody } from '../../src/job/parse-body.ts'
import { validateJob } from '../../src/job/validate.ts'
import { JobHoles } from '../../src/shapes/job-holes.ts'
import { Outline } from '../../src/shapes/outline.ts'
import { JobText } from '../../src/shapes/scan/job-text.ts'
import { JsonScanner } from '../../src/shapes/scan/json-scanner.ts'
import { makeProbes, Shapes } from '../../src/shapes/shapes.ts'
import { jobFields } from '../load/payloads.ts'
import type { MicroBench } from './micro-case.ts'

const SETTINGS = {
  runId: 'abcdefgh', upstreams: ['http://127.0.0.1:40000'], receiver: 'http://127.0.0.1:40001',
  host: '127.0.0.1:8080',
}

/** For a typical job. */
const TEMPLATE_BYTES = 150

function makeOutline(): Outline {
  const words = new Uint32Array(ENQUEUE_HEADER_BYTES / 4 + wordsFor(TEMPLATE_BYTES))
  words[WORD_TEMPLATE_BYTES] = TEMPLATE_BYTES
  return new Outline(words, { upstreamOrigin: '', receiverOrigin: null, executeBeforeMs: 0 })
}

export const shapes: MicroBench = ({ operations }) => {
  const job = Buffer.from(JSON.stringify(jobFields(SETTINGS, 'typical', 0)))
  const text = new JobText(job.length)
  const scanner = new JsonScanner(text, 1)
  const holes = new JobHoles()
  const known = new Shapes(text, makeProbes(new JobIdSource()))
  const urls = new JobUrls()
  text.take(job)
  scanner.scan(holes)
  known.learn(holes, makeOutline())
  return [{
    name: 'shapes: a job that is known', operations,
    run: () => {
      let sum = 0
      for (let index = 0; index < operations; index++) {
        text.take(job)
        if (!scanner.scan(holes)) continue
        sum += known.match(holes)?.flags ?? -1
        scanner.expectTheSame()
        sum += holes.bodyBytes
      }
      return sum
    },
  }, {
    name: 'shapes: the same job parsed', operations,
    run: () => {
      let sum = 0
      for (let index = 0; index < operations; index++) {
        const parsed = parseBody(job, 'json')
        const valid = parsed.ok ? validateJob(parsed.value, '', urls) : parsed
        sum += valid.ok ? valid.body?.length ?? 0 : -1
      }
      return sum
    },
  }]
}
