// The table of `sluice keys list`.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { keyTable } from '../../../../src/cli/key-table.ts'

test('a table marks expired keys, and shows limits by the options that set them', () => {
  const expires = '2027-01-31T12:00:00.000Z'
  const key = {
    id: 'A', name: 'billing', tenant: 0, scopes: ['submit', 'read'], users: 'one', expires,
    last_used: null, limits: {},
  }
  const limits = { jobs_queued: 5, submissions_per_second: 50, streams: 3, sockets: 4 }
  const last = (shown: object, nowMs: number): string | undefined =>
    keyTable([{ ...key, ...shown }], nowMs).split('\n')[1]?.replaceAll(/ +/g, ' ')
  const before = 'A billing 0 submit,read one'
  assert.equal(last({}, Date.parse(expires) - 1), `${before} 2027-01-31T12:00:00Z never none`)
  assert.equal(last({}, Date.parse(expires)),
    `${before} 2027-01-31T12:00:00Z (expired) never none`)
  assert.equal(last({ expires: null, limits }, Date.parse(expires)),
    `${before} never never jobs-queued=5 rate=50/s streams=3 sockets=4`)
})
