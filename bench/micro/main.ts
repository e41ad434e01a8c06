// `npm run bench:micro [-- ring wheel …]`: the time of one operation of each data structure.

import { parseArgs } from 'node:util'
import { REAL_SIZES, SMALL_SIZES } from './micro-case.ts'
import { MICRO_BENCHES, runMicro } from './run-micro.ts'

const MILLISECONDS = 500
const MILLISECONDS_SMALL = 5

const { positionals, values } = parseArgs({
  allowPositionals: true, options: { small: { type: 'boolean', default: false } },
})
const names = positionals.length === 0 ? Object.keys(MICRO_BENCHES) : positionals
const unknown = names.filter((name) => !Object.hasOwn(MICRO_BENCHES, name))
if (unknown.length > 0) {
  console.error(`no such bench: ${unknown.join(', ')}; ` +
    `there are ${Object.keys(MICRO_BENCHES).join(', ')}`)
  process.exitCode = 2
} else {
  const results = values.small ? await runMicro(names, SMALL_SIZES, MILLISECONDS_SMALL)
    : await runMicro(names, REAL_SIZES, MILLISECONDS)
  for (const { name, nanoseconds, batches, checksum } of results) {
    console.log(`${name.padEnd(44)} ${nanoseconds.toFixed(1).padStart(10)} ns   ` +
      `${batches} batches, checksum ${checksum}`)
  }
}
