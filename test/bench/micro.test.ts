// Every micro bench at small sizes, so that none of them rots.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SMALL_SIZES } from '../../bench/micro/micro-case.ts'
import { MICRO_BENCHES, runMicro } from '../../bench/micro/run-micro.ts'

for (const name of Object.keys(MICRO_BENCHES)) {
  test(`micro bench ${name}`, async () => {
    const results = await runMicro([name], SMALL_SIZES, 2)
    assert.ok(results.length > 0)
    for (const { nanoseconds, checksum, batches } of results) {
      assert.ok(nanoseconds > 0 && batches > 0)
      assert.ok(checksum > 0, 'nothing was done')
    }
  })
}
