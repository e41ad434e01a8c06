// `npm run fuzz -- [inputs] [seed]`: as many damaged frames and batches as wanted, a million unless
// said otherwise.

import { Tool } from '../support/tool-options.ts'
import { runFuzz } from './run-fuzz.ts'

const tool = new Tool(`npm run fuzz -- [INPUTS] [SEED]

As many damaged frames and batches against the front door, a million unless told.`)
const { positionals } = tool.read({}, 2)
const [inputs = 1_000_000, seed = Date.now() % 2 ** 31] =
  positionals.map((text, at) => tool.count(at === 0 ? 'INPUTS' : 'SEED', text))
const ends: (() => void)[] = []
console.log(`${inputs} inputs, seed ${seed}`)
const result = await runFuzz({ after: (run) => { ends.push(run) } }, {
  frames: Math.ceil(inputs * 0.92), batches: Math.ceil(inputs * 0.08), seed,
  onProgress: (done) => { if (done % 50_000 === 0) console.log(`${done} …`) },
})
for (const end of ends) end()
console.log(result)
process.exit(0)
