// `npm run wasm`: makes module.ts in src/shapes/scan of scan.wat beside it. To be run when that was
// changed; test/unit/src/shapes/scan-module.test.ts fails until it is.

import { writeFileSync } from 'node:fs'
import { MODULE, moduleSource } from './wasm-module.ts'

writeFileSync(MODULE, await moduleSource())
