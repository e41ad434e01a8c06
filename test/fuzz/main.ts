// `npm run fuzz -- [inputs] [seed]`: as many damaged frames and batches as wanted, a million unless
// said otherwise.

import { runFuzz } from './run-fuzz.ts'

const [inputs = 1_000_000, seed = Date.now() % 2 ** 31] = process.argv.slice(2).map(Number)
const ends: (() => void)[] = []
console.log(`${inputs} inputs, seed ${seed}`)
const result = await runFuzz({ after: (run) => { ends.push(run) } }, {
  frames: Math.ceil(inputs * 0.92), batches: Math.ceil(inputs * 0.08), seed,
  onProgress: (done) => { if (done % 50_000 === 0) console.log(`${done} …`) },
})
for (const end of ends) end()
console.log(result)
process.exit(0)
