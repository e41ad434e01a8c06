// Reading an upstream's pace from the headers of a response: one that announces it, and one that
// does not.

import { readPaceHeaders } from '../../shards/signals/pace-headers.ts'
import type { ResponseHeaders } from '../../shards/signals/response.ts'
import type { MicroBench } from './micro-case.ts'

const PLAIN: ResponseHeaders = {
  'date': 'Sun, 01 Jun 2025 00:00:00 GMT', 'content-type': 'application/json',
  'content-length': '2', 'x-request-id': '7c1e',
}
const PACED: ResponseHeaders =
  { ...PLAIN, 'x-aqueduct-rps': '50', 'x-aqueduct-max-concurrent': '20' }

export const headers: MicroBench = ({ operations }) => {
  const repeat = (name: string, response: ResponseHeaders) => ({
    name, operations,
    run: () => {
      let sum = 0
      for (let index = 0; index < operations; index++) {
        sum += readPaceHeaders(response)?.pacePerSecond ?? 1
      }
      return sum
    },
  })
  return [repeat('headers: with a pace', PACED), repeat('headers: without', PLAIN)]
}
